"""Imports point down only, and the check that says so fires.

In:    the product's sources, the table in tests/house/layers.py.
Out:   nothing.
Never: an exception to the table without a line in the table.
"""

from __future__ import annotations

import pytest

from tests.house.layers import LAYERS, layer_problems, package_of, table_cycle
from tests.house.tree import PRODUCT, module_name, nothing, python_files, text_of


def test_imports_point_down() -> None:
    problems = []
    for path in python_files(*PRODUCT):
        is_package = path.endswith("/__init__.py")
        problems += layer_problems(module_name(path), text_of(path), is_package=is_package)
    nothing(problems)


def test_every_package_folder_is_a_package() -> None:
    """Without an __init__.py the folder would be left out of an installation."""
    files = python_files(*PRODUCT)
    folders = sorted({path.rsplit("/", 1)[0] for path in files})
    assert [folder for folder in folders if f"{folder}/__init__.py" not in files] == []


def test_the_table_itself_has_no_cycle() -> None:
    assert table_cycle() == []


def test_a_planted_cycle_in_the_table_is_seen() -> None:
    looped = {"a": frozenset({"b.part"}), "b": frozenset({"c"}), "c": frozenset({"a"})}
    assert table_cycle(looped) == ["a", "b", "c", "a"]


def test_the_two_allocators_may_not_meet() -> None:
    assert not any(name.startswith("candidate") for name in LAYERS["reference"])
    assert not any(name.startswith("reference") for name in LAYERS["candidate"])


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("candidate.zspage", "from reference.zspage import Zspage"),
        ("reference.zspage", "import candidate.zspage"),
        ("reference.zspage", "from zsfuzz.program.ops import Malloc"),
        ("zsfuzz.machine.memory", "from zsfuzz import oracle"),
        ("zsfuzz.machine.memory", "from zsfuzz.program.program import Program"),
        ("zsfuzz.machine.memory", "from ..oracle.finding import Finding"),
        ("zsfuzz.engine.random", "import zsfuzz.machine.memory as memory"),
        ("zsfuzz.policy.size_class", "def late():\n    from zsfuzz.cli.main import main"),
        ("zsfuzz.program.ops", "from zsfuzz.execute.runner import Runner"),
    ],
)
def test_a_planted_import_upwards_is_seen(module: str, source: str) -> None:
    assert len(layer_problems(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("candidate.zspage", "from zsfuzz.policy.size_class import SizeClass"),
        ("candidate.zspage", "from .locks import trylock_zspage"),
        ("zsfuzz.machine.memory", "from zsfuzz.program.ops import Gfp"),
        ("zsfuzz.machine.memory", "from zsfuzz.program import ops"),
        ("zsfuzz.execute.runner", "from ..oracle.finding import Finding"),
        ("zsfuzz.cli.main", "import rich\nfrom zsfuzz.campaign import loop"),
    ],
)
def test_an_import_downwards_is_left_alone(module: str, source: str) -> None:
    assert layer_problems(module, source) == []


def test_a_package_without_a_layer_is_a_problem() -> None:
    assert layer_problems("zsfuzz.newcomer.part", "") != []
    assert package_of("zsfuzz") == "zsfuzz"
    assert package_of("zsfuzz.machine.core.buddy") == "zsfuzz.machine"
