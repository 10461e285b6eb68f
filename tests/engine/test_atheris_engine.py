"""The engine `atheris`, in processes of its own: libFuzzer can be made once in each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.cli.commands import environment, shell
from zsfuzz.engine.atheris_engine import functions_of
from zsfuzz.program.packed import MAGIC

pytest.importorskip("atheris", reason="atheris is not installed: it has no wheel for this Python")


def run_python(script: str, *words: str) -> int:
    """Run a script in a process of its own; return its status."""
    return subprocess.run(
        [sys.executable, "-c", script, *words], env=environment(), capture_output=True, timeout=120, check=False
    ).returncode


def test_a_run_keeps_findings_and_goes_on_and_a_seed_repeats_it(tmp_path: Path) -> None:
    documents = []
    for folder in ("one", "two"):
        words = (
            "--engine",
            "atheris",
            "--fault",
            "A04",
            "--runs",
            "40",
            "--seed",
            "5",
            "--json",
            "--geometry",
            "small",
        )
        done = shell("run", *words, "--findings", folder, "--corpus", f"{folder}-corpus", cwd=tmp_path)
        assert done.status == 1, done.err
        document = json.loads(done.out)
        assert document["programs"] == 40
        for finding in document["findings"]:
            assert (tmp_path / finding["program"]).is_file()
        del document["seconds"]
        for finding in document["findings"]:
            del finding["program"], finding["replay"]
        documents.append(document)
    assert documents[0] == documents[1]
    assert documents[0]["engine_statistics"]["instrumented"] > 300
    kept = [each.read_bytes() for each in (tmp_path / "one-corpus").iterdir()]
    assert sum(data.startswith(MAGIC) for data in kept) >= len(kept) - 1 > 5, "all but the empty input"


def test_state_features_reach_libfuzzer_as_coverage(tmp_path: Path) -> None:
    """The same inputs, with and without a new feature each: only then is an input worth keeping."""
    script = """
import sys
from zsfuzz.engine.atheris_engine import FeatureTable, atheris_module
table, atheris, runs = FeatureTable(256), atheris_module(), 0
def target(data):
    global runs
    runs += 1
    table.show([runs] if sys.argv[2] == "shown" else [])
mutate = lambda data, most, seed: str(seed).encode()
atheris.Setup(["x", "-runs=40", "-seed=1", sys.argv[1]], target, custom_mutator=mutate)
atheris.Fuzz()
"""
    counts = {}
    for mode in ("shown", "hidden"):
        corpus = tmp_path / mode
        corpus.mkdir()
        assert run_python(script, str(corpus), mode) == 0
        counts[mode] = len(list(corpus.iterdir()))
    assert counts["shown"] > 20
    assert counts["hidden"] <= 1


def test_every_function_of_a_module_is_instrumented_once() -> None:
    module = ModuleType("sample")
    text = """
def plain(): pass
again = plain
class Box:
    def method(self): pass
    @staticmethod
    def static(): pass
    @property
    def value(self): pass
"""
    exec(text, vars(module))
    for value in (module.plain, module.Box.method, module.Box.static, module.Box.value.fget):
        value.__module__ = "sample"
    module.Box.__module__ = "sample"
    assert [each.__name__ for each in functions_of([module])] == ["plain", "method", "static", "value"]
