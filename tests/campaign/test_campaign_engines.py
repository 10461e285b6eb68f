"""Engines by name, their seeds and their corpus folder.

In:    settings.
Out:   programs.
Never: a run.
Next:  zsfuzz/campaign/engines.py.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaign.fakes import sizes
from zsfuzz.campaign.engines import EXTRAS, open_engine, target_modules
from zsfuzz.campaign.settings import RunSettings
from zsfuzz.engine.base import Engine
from zsfuzz.errors import UsageError
from zsfuzz.execute.result import RunResult
from zsfuzz.program.files import save_program
from zsfuzz.program.program import Program

SETTINGS = RunSettings("reference", "candidate", "coverage", None, 3, 7, Path("findings"))


HERE = ("coverage", "hypothesis", "random")
"""Engines of which a process may have several: all but atheris (tests/engine/test_atheris_engine.py)."""


def programs_of(engine: Engine, count: int) -> list[Program]:
    """Programs of an engine that is told nothing came of them."""
    programs = []
    for _ in range(count):
        programs.append(engine.next_program())
        engine.feedback(programs[-1], RunResult((), 1, 0, (), {}, {}))
    return programs


def silence(line: str) -> None:
    raise AssertionError(line)


@pytest.mark.parametrize("name", HERE)
def test_the_seed_decides_the_programs(name: str) -> None:
    first, second, other = (
        programs_of(open_engine(replace(SETTINGS, engine=name, seed=seed), silence), 5) for seed in (1, 1, 2)
    )
    assert first == second != other


@pytest.mark.parametrize("name", HERE)
def test_a_geometry_that_is_named_is_the_only_one(name: str) -> None:
    engine = open_engine(replace(SETTINGS, engine=name, geometry="small"), silence)
    assert {program.header.geometry for program in programs_of(engine, 20)} == {"small"}


@pytest.mark.parametrize("name", EXTRAS)
def test_an_engine_whose_package_is_missing_says_how_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        UsageError, match=rf"--engine {name} needs the package {name}, .*pip install 'zsfuzz\[{name}\]'"
    ):
        open_engine(replace(SETTINGS, engine=name), silence)


def test_the_modules_of_targets_are_those_of_their_packages() -> None:
    names = [module.__name__ for module in target_modules("reference", "candidate")]
    assert {"reference.pool", "candidate.migration", "candidate"} <= set(names)
    assert not [name for name in names if name.startswith("zsfuzz")]


def test_the_corpus_runs_first_without_what_it_was_kept_for(tmp_path: Path) -> None:
    program = sizes(32, 64)
    kept = replace(program, header=replace(program.header, faults=("H05",), candidate="candidate-literal"))
    save_program(kept, tmp_path / "a.zst")
    engine = open_engine(replace(SETTINGS, corpus=tmp_path), silence)
    assert engine.next_program() == program


def test_seeds_run_before_the_corpus_and_their_folder_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    save_program(sizes(32), tmp_path / "seeds" / "a.zst")
    (tmp_path / "kept").mkdir()
    save_program(sizes(64), tmp_path / "kept" / "b.zst")
    engine = open_engine(replace(SETTINGS, seeds=tmp_path / "seeds", corpus=tmp_path / "kept"), silence)
    assert [engine.next_program() for _ in range(2)] == [sizes(32), sizes(64)]
    engine.feedback(engine.next_program(), RunResult((), 1, 0, (1, 2, 3), {}, {}))
    assert len(list((tmp_path / "seeds").iterdir())) == 1


def test_a_folder_of_seeds_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        open_engine(replace(SETTINGS, seeds=tmp_path / "nowhere"), silence)


def test_what_reaches_something_new_is_kept_in_the_corpus(tmp_path: Path) -> None:
    engine = open_engine(replace(SETTINGS, corpus=tmp_path / "new"), silence)
    program = engine.next_program()
    engine.feedback(program, RunResult((), 1, 0, (1, 2, 3), {}, {}))
    assert len(list((tmp_path / "new").glob("*.zsf"))) == 1


def test_files_of_the_corpus_that_hold_no_program_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "bad.zst").write_text("no program")
    told: list[str] = []
    open_engine(replace(SETTINGS, corpus=tmp_path), told.append)
    assert len(told) == 1
    assert "bad.zst" in told[0]
