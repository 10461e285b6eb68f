"""`zsfuzz atheris`: libFuzzer's own flags, merging and minimizing included."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.commands import call, shell
from zsfuzz.cli.atheris import entry_script, script_problem
from zsfuzz.errors import UsageError
from zsfuzz.program.files import load_program, save_program
from zsfuzz.program.ops import Component as Page
from zsfuzz.program.ops import Free, Isolate, Malloc, Operation, Putback, Stats
from zsfuzz.program.program import Header, Program

pytest.importorskip("atheris", reason="atheris is not installed: it has no wheel for this Python")

Capture = pytest.CaptureFixture[str]

DEAD: tuple[Operation, ...] = (Malloc(0, 800), Isolate(0, Page(0, 0)), Free(0), Putback(0))
"""What fault A04 shows itself by."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved(name: str, *steps: Operation) -> Path:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    save_program(Program(Header("small"), steps), path)
    return path


def test_a_finding_is_kept_the_run_goes_on_and_the_status_is_77(folder: Path) -> None:
    saved("corpus/a.zsf", *DEAD)
    saved("corpus/b.zst", Stats(), *DEAD, Stats())
    done = shell("atheris", "--fault", "A04", "--geometry", "small", "--", "-runs=12", "-seed=1", "corpus", cwd=folder)
    assert done.status == 77, done.err
    assert "Done 12 runs" in done.err
    (line, hits) = done.out.splitlines()[:2]
    path = Path("zsfuzz-findings", line.split()[0] + ".zst")
    assert f"zsfuzz replay {path}" in hits
    assert load_program(path).steps == DEAD
    assert int(hits.split()[1].rstrip(";")) >= 2


def test_a_merge_keeps_what_reaches_something_and_no_finding_gives_status_0(folder: Path) -> None:
    for number in range(4):
        saved(f"corpus/{number}.zsf", Malloc(0, 100), *(Stats(),) * (number % 2))
    Path("small").mkdir()
    done = shell("atheris", "--", "-merge=1", "small", "corpus", cwd=folder)
    assert done.status == 0, done.err
    assert 1 <= len(list(Path("small").iterdir())) <= 2


def test_a_crash_is_minimized_and_stays_the_same_finding(folder: Path) -> None:
    long = saved("long.zsf", *(Malloc(slot, 100) for slot in range(1, 12)), *DEAD, *(Stats(),) * 9)
    words = ("--fault", "A04", "--findings", "found", "--", "-minimize_crash=1", "-runs=6", "-seed=3", str(long))
    done = shell("atheris", *words, cwd=folder, timeout=300)
    assert done.status == 77, done.err
    smallest = min(Path("found").glob("minimized-from-*"), key=lambda path: path.stat().st_size)
    assert len(load_program(smallest).steps) < 24
    replayed = shell("replay", "--fault", "A04", "--json", str(smallest), cwd=folder)
    assert replayed.status == 1
    kept = shell("replay", "--fault", "A04", "--json", str(long), cwd=folder)
    assert '"signature"' in kept.out
    signatures = {line for out in (replayed.out, kept.out) for line in out.splitlines() if '"signature"' in line}
    assert len(signatures) == 1


def test_a_single_file_that_shows_a_finding_is_a_crash(folder: Path) -> None:
    path = saved("one.zsf", *DEAD)
    assert shell("atheris", "--fault", "A04", "--", str(path), cwd=folder).status == 77
    assert shell("atheris", "--", str(path), cwd=folder).status == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--", "-minimize_crash=1"), "takes one input file, not 0"),
        (("--", "-minimize_crash=1", "clean.zsf"), "gives no finding"),
        (("--candidate", "nobody", "--", "-runs=1"), "unknown target 'nobody'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(words: tuple[str, ...], reason: str, folder: Path, capsys: Capture) -> None:
    saved("clean.zsf", Stats())
    done = call(capsys, "atheris", *words)
    assert done.status == 2
    assert reason in done.err
    assert len(done.err.splitlines()) == 1


def test_a_script_that_sh_cannot_start_is_refused_before_libfuzzer_calls_it_a_success(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Path("bin/zsfuzz-atheris")
    script.parent.mkdir()
    monkeypatch.setattr("sys.argv", [str(folder / "bin/zsfuzz")])
    for text, mode, problem in (
        ("#!/bin/sh\n", 0o644, "not executable"),
        ("echo\n", 0o755, "no first line that names its interpreter"),
        ("#!/no/such/python\n", 0o755, "cannot be started"),
    ):
        script.write_text(text)
        script.chmod(mode)
        if mode == 0o644 and os.access(script, os.X_OK):
            pytest.skip("this user may execute anything")
        with pytest.raises(UsageError, match=problem):
            entry_script(["-merge=1"])
    script.write_text("#!/bin/sh\n")
    assert script_problem(script) == ""
    assert entry_script(["-merge=1"]) == folder.resolve() / script


def test_a_path_with_a_space_is_refused_where_libfuzzer_would_start_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Path("my bin/zsfuzz-atheris")
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(folder / "my bin/zsfuzz")])
    with pytest.raises(UsageError, match="a space in its path"):
        entry_script(["-merge=1"])
    assert entry_script(["-runs=1"]).name == "zsfuzz-atheris"
