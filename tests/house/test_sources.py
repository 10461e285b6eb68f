"""The house rules on sources, each with a planted violation.

In:    every Python file of the repository; the rules of tests/house/source_rules.py.
Out:   nothing.
Never: a rule without a test that it fires.
"""

from __future__ import annotations

import ast
import fnmatch

import pytest

from tests.house.layers import package_of
from tests.house.source_rules import (
    docstring_problems,
    effects,
    fault_switches,
    function_lengths,
    places_of_one_machine,
    set_order,
)
from tests.house.tree import PRODUCT, committed_files, module_name, nothing, python_files, text_of

LONGEST_FUNCTION = 70
LONGEST_FILE = 600

LONG_FUNCTIONS: dict[str, str] = {}
"""path:function -> why it may exceed LONGEST_FUNCTION. A line that is no longer needed fails the test."""

EFFECTS_OF_PACKAGES: dict[str, frozenset[str]] = {
    "zsfuzz.corpus": frozenset({"file"}),
    "zsfuzz.campaign": frozenset({"file", "clock", "print"}),
    "zsfuzz.report": frozenset({"file", "clock", "print"}),
    "zsfuzz.measure": frozenset({"file", "clock", "print"}),
    "zsfuzz.kernel": frozenset({"file"}),  # sources and builds lie in a cache on the disk
    "zsfuzz.cli": frozenset({"file", "clock", "print"}),
    "zsfuzz.pytest_plugin": frozenset({"file"}),  # it reads the programs it is pointed at
}

EFFECTS_OF_MODULES: dict[str, frozenset[str]] = {
    "zsfuzz.program.files": frozenset({"file"}),  # programs on disk, so that readers of bytes stay pure
    "zsfuzz.trace.files": frozenset({"file"}),  # captures on disk, so that the importer stays pure
    "zsfuzz.cli.run": frozenset({"random"}),  # a seed for whoever names none; it is printed
}

MODELS = ("reference/*", "candidate/*", "zsfuzz/machine/*")
FAULT_CATALOGUES = ("*/faults.py",)
"""Where planted bugs are defined: such a file is about faults, the models are not."""


def exists(path: str) -> bool:
    """Whether a committed file, a folder of such, or a pattern of such has this path."""
    wanted = path.rstrip("/")
    return any(
        name == wanted or name.startswith(wanted + "/") or ("*" in wanted and fnmatch.fnmatch(name, wanted))
        for name in committed_files()
    )


def test_every_module_has_a_docstring_that_is_a_true_map() -> None:
    problems = []
    for path in python_files():
        is_map = path.split("/", 1)[0] in PRODUCT and not path.endswith("/__init__.py")
        problems += [f"{path}: {p}" for p in docstring_problems(text_of(path), exists, is_map)]
    nothing(problems)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("x = 1", "no module docstring"),
        ('"""A map. Next: zsfuzz/gone.py"""', "names zsfuzz/gone.py, which does not exist"),
        (
            '"""A map. See docs/adr/0001-gone.md, please."""',
            "names docs/adr/0001-gone.md, which does not exist",
        ),
        ('"""A map."""', "the module docstring has no line 'Out:'"),
    ],
)
def test_a_planted_false_map_is_seen(source: str, problem: str) -> None:
    assert problem in docstring_problems(source, lambda _: False, is_map=True)


def test_a_true_map_is_left_alone() -> None:
    source = '"""A.\n\nIn:    x\nOut:   y\nNever: z (mm/zsmalloc.c).\nNext:  zsfuzz/errors.py.\n"""'
    assert docstring_problems(source, exists, is_map=True) == []
    assert docstring_problems("", exists, is_map=True) == []


def test_the_inside_is_pure() -> None:
    problems = []
    for path in python_files(*PRODUCT):
        module = module_name(path)
        allowed = EFFECTS_OF_PACKAGES.get(package_of(module) or "", frozenset())
        allowed |= EFFECTS_OF_MODULES.get(module, frozenset())
        problems += [
            f"{path}:{line}: {kind}: {what}" for kind, line, what in effects(text_of(path)) if kind not in allowed
        ]
    nothing(problems)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import time", "clock"),
        ("from datetime import datetime", "clock"),
        ("import random\nrandom.shuffle(x)", "random"),
        ("from random import choice", "random"),
        ("from random import Random\nr = Random()", "random"),
        ("import os\nos.urandom(8)", "random"),
        ("import uuid", "random"),
        ("print(1)", "print"),
        ("import sys\nsys.stderr.write('x')", "print"),
        ("open('x')", "file"),
        ("from pathlib import Path\nPath('x').read_text()", "file"),
        ("from pathlib import Path\nPath('x').write_bytes(b'')", "file"),
        ("import tempfile", "file"),
        ("key = id(page)", "identity"),
        ("order = hash(name)", "identity"),
    ],
)
def test_a_planted_effect_is_seen(source: str, kind: str) -> None:
    assert [found for found, _, _ in effects(source)] == [kind]


def test_a_seeded_random_and_a_machines_memory_are_left_alone() -> None:
    assert effects("memory.write_bytes(address, data)") == []
    assert effects("import random\nfrom random import Random\na = random.Random(7)\nb = Random(seed)") == []


def test_no_order_comes_from_a_set() -> None:
    problems = [f"{path}: {p}" for path in python_files(*PRODUCT) for p in set_order(text_of(path))]
    nothing(problems)


@pytest.mark.parametrize(
    "source",
    [
        "for x in {1, 2}: pass",
        "for x in set(y): pass",
        "a = [f(x) for x in frozenset(y)]",
        "a = list({x for x in y})",
        "a = tuple(set(y) | z)",
        "a = ','.join({x for x in y})",
        "def f(y):\n    seen = set(y)\n    for x in seen: pass",
        "a = {x: 1 for x in {1, 2}}",
        "for i, x in enumerate(set(y)): pass",
    ],
)
def test_a_planted_order_from_a_set_is_seen(source: str) -> None:
    assert len(set_order(source)) >= 1


@pytest.mark.parametrize(
    "source",
    [
        "for x in sorted({1, 2}): pass",
        "a = any(f(x) for x in {1, 2})",
        "a = {f(x) for x in set(y)}",
        "def f(y):\n    seen = set(y)\n    seen = sorted(seen)\n    for x in seen: pass",
        "a = x in {1, 2}",
        "for x in {1: 2}: pass",
    ],
)
def test_a_set_without_an_order_is_left_alone(source: str) -> None:
    assert set_order(source) == []


def test_no_model_asks_for_a_fault() -> None:
    problems = []
    for path in python_files(*PRODUCT):
        a_model = any(fnmatch.fnmatch(path, pattern) for pattern in MODELS)
        if a_model and not any(fnmatch.fnmatch(path, pattern) for pattern in FAULT_CATALOGUES):
            problems += [f"{path}: {p}" for p in fault_switches(text_of(path))]
    nothing(problems)


@pytest.mark.parametrize(
    "source",
    [
        "if fault: pass",
        "if self.faults: pass",
        "x = 1 if 'H05' in pool.faults else 2",
        "while not active_fault(): pass",
        "match self.fault:\n    case 1: pass",
    ],
)
def test_a_planted_question_for_a_fault_is_seen(source: str) -> None:
    assert len(fault_switches(source)) == 1


def test_a_default_is_no_fault() -> None:
    assert fault_switches("if default: pass\nif x.default_mode: pass") == []


def test_functions_are_short_or_say_why_not() -> None:
    lengths = {f"{path}:{name}": lines for path in python_files() for name, lines in function_lengths(text_of(path))}
    too_long = {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION}
    assert {name: lines for name, lines in too_long.items() if not LONG_FUNCTIONS.get(name)} == {}
    assert sorted(LONG_FUNCTIONS.keys() - too_long.keys()) == []


def test_a_planted_long_function_is_measured_without_its_docstring() -> None:
    body = "\n".join(f"        x{n} = {n}" for n in range(LONGEST_FUNCTION))
    source = f'class A:\n    def f(self):\n        """One.\n\n        Two.\n        """\n{body}\n'
    assert function_lengths(source) == [("A.f", LONGEST_FUNCTION + 1)]


def too_long_files(files: dict[str, str]) -> list[str]:
    """The files with more than LONGEST_FILE lines."""
    return [name for name, text in files.items() if len(text.splitlines()) > LONGEST_FILE]


def test_files_are_short() -> None:
    assert too_long_files({path: text_of(path) for path in python_files()}) == []


def test_a_planted_long_file_is_seen() -> None:
    assert too_long_files({"a.py": "x\n" * LONGEST_FILE, "b.py": "x\n" * (LONGEST_FILE + 1)}) == ["b.py"]


def test_every_source_names_its_annotations_lazily() -> None:
    """One spelling of types on 3.11, 3.12 and 3.13."""
    assert [path for path in python_files() if lacks_future_annotations(text_of(path))] == []


def lacks_future_annotations(source: str) -> bool:
    """Whether a file with code does not begin with the future import."""
    tree = ast.parse(source)
    has_code = any(not isinstance(node, ast.Expr) for node in tree.body)
    imported = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    return has_code and not imported


def test_a_planted_file_without_lazy_annotations_is_seen() -> None:
    assert lacks_future_annotations('"""Map."""\nx = 1')
    assert not lacks_future_annotations('"""Map."""\n')


def test_committed_files_belong_to_no_machine() -> None:
    problems = []
    for name in committed_files():
        try:
            text = text_of(name)
        except UnicodeDecodeError:
            continue  # captures and packed programs; their text forms are made by the tests that use them
        problems += [f"{name}: {p}" for p in places_of_one_machine(text)]
    nothing(problems)


@pytest.mark.parametrize(
    "text",
    [
        "see /" + "work/main/x",
        "'/" + "tmp/x.zst'",
        "cp x /" + "root/.cache",
        "index = https://py" + "pi.org/simple",
        "https://files.python" + "hosted.org/x",
        "http://deb.debian" + ".org/debian",
    ],
)
def test_a_planted_place_of_one_machine_is_seen(text: str) -> None:
    assert len(places_of_one_machine(f"fine\n{text}\n")) == 1


def test_a_relative_path_belongs_to_everybody() -> None:
    assert places_of_one_machine("corpus/work/x.zst $HOME/work/x /proc/kpageflags ${T}/tmp/x") == []
