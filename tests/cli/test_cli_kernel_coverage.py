"""`zsfuzz kernel coverage` as a user runs it, with a stand-in for the build.

In:    words of the command line.
Out:   statuses, text, JSON, files.
Never: a compiler; the real build is tests/kernel/test_lines.py.
Next:  zsfuzz/cli/kernel_coverage.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from tests.cli.commands import call
from zsfuzz.campaign.files import write_program
from zsfuzz.cli import kernel_coverage
from zsfuzz.kernel.gcov import FileCoverage, FunctionCount, LineCount
from zsfuzz.kernel.lines import Died
from zsfuzz.program.files import load_program
from zsfuzz.program.ops import Compact, Free, Trim
from zsfuzz.program.program import Header, Program

Capture = pytest.CaptureFixture[str]
SOURCE = "int f(int x)\n{\n\tif (x)\n\t\treturn secret(x);\n\tBUG();\n}\n"
PROGRAM = Program(Header(), (Free(0), Compact(), Trim()))


class FakeRun:
    """Counts the programs that it is given; each one calls f() once, and the second stops."""

    ran: list[Program]

    def __init__(self, build: Any) -> None:
        FakeRun.ran = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def run(self, program: Program) -> Died | None:
        self.ran.append(program)
        return Died(-11) if len(self.ran) == 2 else None

    def coverage(self) -> FileCoverage:
        times = len(self.ran)
        lines = (LineCount(3, "f", times, (times, 0)), LineCount(4, "f", 0, ()), LineCount(5, "f", 0, ()))
        return FileCoverage(lines, (FunctionCount("f", 1, 6, times),))


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three programs; and the stand-in."""
    source = tmp_path / "zsmalloc.c"
    source.write_text(SOURCE)
    monkeypatch.setattr(kernel_coverage, "lines_build", lambda name, cache: SimpleNamespace(source=source))
    monkeypatch.setattr(kernel_coverage, "LinesRun", FakeRun)
    for at in range(3):
        write_program(tmp_path / f"corpus/{at}.zst", Program(Header(), PROGRAM.steps[: at + 1]))
    return tmp_path / "corpus"


def test_a_corpus_is_run_once_and_nothing_else(capsys: Capture, corpus: Path) -> None:
    done = call(capsys, "kernel", "coverage", "6.12", "--corpus", corpus)
    assert done.status == 0
    assert [len(program.steps) for program in FakeRun.ran] == [1, 2, 3]
    assert done.out.startswith("mm/zsmalloc.c of 6.12, 3 programs\n")
    assert "lines     1 of 2 (50.0 %) of what can be reached  1 cannot" in done.out
    assert "4  f  return secret(x);" in done.out
    assert "1  the process ended with status -11" in done.out


def test_programs_are_generated_for_the_time_asked_for_and_some_have_lanes(capsys: Capture, corpus: Path) -> None:
    assert call(capsys, "kernel", "coverage", "6.12", "--corpus", corpus, "--time", "0.5").status == 0
    generated = FakeRun.ran[3:]
    assert {program.block is not None for program in generated} == {True, False}


def test_one_seed_gives_one_sequence_of_programs(capsys: Capture, corpus: Path) -> None:
    sequences = []
    for seed in (3, 3, 4):
        call(capsys, "kernel", "coverage", "6.12", "--time", "0.2", "--seed", str(seed))
        sequences.append(FakeRun.ran[:5])
    assert sequences[0] == sequences[1] != sequences[2]


def test_the_folder_has_the_text_the_figures_and_the_page(capsys: Capture, corpus: Path, tmp_path: Path) -> None:
    done = call(capsys, "kernel", "coverage", "6.12", "--corpus", corpus, "-o", tmp_path / "out", "--json")
    document = json.loads(done.out)
    assert document == json.loads((tmp_path / "out/coverage.json").read_text())
    assert (document["programs"], document["stopped"]) == (3, {"the process ended with status -11": 1})
    assert "secret" not in done.out
    assert "return secret(x);" in (tmp_path / "out/index.html").read_text()
    assert (tmp_path / "out/coverage.txt").read_text().startswith("mm/zsmalloc.c of 6.12")
    assert load_program(tmp_path / "out/stopped/0.zst") == FakeRun.ran[1]


def test_a_name_that_is_nothing_is_a_mistake(capsys: Capture, tmp_path: Path) -> None:
    said = call(capsys, "kernel", "coverage", "nothing", "--cache", tmp_path).complaint
    assert "nothing is neither a build nor a fetched version" in said


def test_an_empty_corpus_and_a_bad_folder_are_mistakes(capsys: Capture, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert (
        "no program in this folder"
        in call(capsys, "kernel", "coverage", "6.12", "--corpus", tmp_path / "empty").complaint
    )
    (tmp_path / "file").write_text("")
    assert "-o" in call(capsys, "kernel", "coverage", "6.12", "-o", tmp_path / "file/x").complaint
