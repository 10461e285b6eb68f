"""A bench goes on where a kill -9 left it, measures again what other sources gave, and leaves no part of a file.

In:    the command in a process of its own; stores in temporary folders.
Out:   nothing.
Never: more than a second or two of fuzzing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import ROOT, argv, call, environment, shell
from zsfuzz.errors import HarnessError
from zsfuzz.measure import processes
from zsfuzz.measure.processes import run_jobs, wall_limit
from zsfuzz.measure.store import Store, sources_digest

FAULTS = ("H05", "G-missing-put", "C-fullness")
WORDS = ("faults", "bench", "--faults", *FAULTS, "--engines", "random", "--seeds", "2", "--budget", "3", "--json")


def written(out: Path) -> list[Path]:
    return sorted((out / "cells").glob("*.json")) if (out / "cells").exists() else []


def test_a_killed_bench_goes_on_where_it_was(tmp_path: Path) -> None:
    out = tmp_path / "bench"
    process = subprocess.Popen(
        argv(*WORDS, "--out", out), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while len(written(out)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path.name: (path.read_text(), path.stat().st_mtime_ns) for path in written(out)}
    assert 2 <= len(before) < 6
    for text, _ in before.values():
        assert json.loads(text)["result"]["status"] == "found"

    done = shell(*WORDS, "--out", out, cwd=ROOT)
    assert done.status == 0, done.err
    document = json.loads(done.out)
    assert [(each["fault"], each["found"], each["runs"]) for each in document["faults"]] == [
        (fault, 2, 2) for fault in FAULTS
    ]
    assert len(written(out)) == 6
    for path in written(out):
        if path.name in before:
            assert (path.read_text(), path.stat().st_mtime_ns) == before[path.name], "a finished cell was run again"
    assert Path(document["picture"]).read_text().startswith("<svg")


def test_a_result_of_other_sources_or_another_budget_is_not_taken(tmp_path: Path) -> None:
    Store(tmp_path, "one").save("cell", {"budget": 3.0, "status": "found"})
    assert Store(tmp_path, "one").load("cell", 3.0) == {"budget": 3.0, "status": "found"}
    assert Store(tmp_path, "two").load("cell", 3.0) is None
    assert Store(tmp_path, "one").load("cell", 4.0) is None
    assert Store(tmp_path, "one").load("other", 3.0) is None
    (tmp_path / "cells" / "cell.json").write_text('{"sources": "one", "res')
    assert Store(tmp_path, "one").load("cell", 3.0) is None


def test_the_digest_is_of_what_results_depend_on() -> None:
    assert sources_digest() == sources_digest() and len(sources_digest()) == 16


# -- workers


def jobs_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> list[tuple[int, dict[str, Any] | None]]:
    """Run two jobs with a worker of our own."""
    (tmp_path / "fake_worker.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(processes, "WORKER", "fake_worker")
    return list(run_jobs([{"number": 0}, {"number": 1}], 2, 2.0))


def test_results_come_with_the_numbers_of_their_jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = "import json, sys\nprint(json.dumps({'was': json.load(sys.stdin)['number']}))\n"
    assert sorted(jobs_of(monkeypatch, tmp_path, code)) == [(0, {"was": 0}), (1, {"was": 1})]


def test_a_worker_that_sleeps_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert sorted(jobs_of(monkeypatch, tmp_path, "import time\ntime.sleep(600)\n")) == [(0, None), (1, None)]


def test_a_worker_that_the_kernel_ends_is_a_job_without_a_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    assert sorted(jobs_of(monkeypatch, tmp_path, code)) == [(0, None), (1, None)]


def test_a_worker_that_falls_over_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="ZeroDivisionError"):
        jobs_of(monkeypatch, tmp_path, "1 / 0\n")


def test_no_worker_outlives_a_call_that_ends_early(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    code = f"import os, time\nopen({str(mark)!r}, 'a').write(f'{{os.getpid()}}\\n')\ntime.sleep(600)\n"
    (tmp_path / "fake_worker.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(processes, "WORKER", "fake_worker")
    running = run_jobs([{}, {}], 2, 1.0)
    next(running)
    running.close()  # type: ignore[attr-defined]  # it is a generator
    for pid in mark.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_the_wall_is_far_behind_the_budget() -> None:
    assert wall_limit(30) > 30 * 20


# -- the command


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--engines", "nobody"), "--engines: nobody is unknown"),
        (("--engines", ","), "--engines names none"),
        (("--faults", "X"), "unknown fault 'X'"),
        (("--mutants", "5", "--both-sides"), "--mutants and --both-sides do not go together"),
        (("--mutants", "5", "--seeds", "2"), "--mutants and --seeds do not go together"),
        (("--faults", "B-zone"), "add --both-sides"),
        (("--budget", "0"), "is no time to run"),
    ],
)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], reason: str
) -> None:
    assert reason in call(capsys, "faults", "bench", *words, "--out", tmp_path / "out").complaint


def test_the_table_names_what_was_found_and_what_was_left_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = call(
        capsys,
        "faults",
        "bench",
        "--faults",
        "H05",
        "--engines",
        "random",
        "--seeds",
        "1",
        "--budget",
        "3",
        "--out",
        tmp_path,
    )
    assert done.status == 0
    assert "H05    random  1/1" in done.out
    assert "1 of 1 faults are left out of medians and ratios: random finds them within 1 s" in done.out


def test_both_sides_says_the_share_and_what_was_missed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    done = call(
        capsys,
        *("faults", "bench", "--both-sides", "--faults", "S-putback-flag"),
        *("--seeds", "1", "--budget", "3", "--out", tmp_path, "--json"),
    )
    assert json.loads(done.out)["both_sides"] == {"faults": 1, "found": ["S-putback-flag"], "missed": []}


def test_mutants_are_counted_and_survivors_are_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    done = call(capsys, "faults", "bench", "--mutants", "2", "--seed", "3", "--budget", "0.5", "--out", tmp_path)
    assert done.status == 0
    assert "of 2 mutants killed" in done.out and "killed by" in done.out
