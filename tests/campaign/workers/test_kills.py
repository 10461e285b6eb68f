"""kill -9 of workers and of their supervisor, at random moments: nothing is lost, and nothing counts twice.

In:    one campaign, killed and started again until it ends in order; a seed says who is killed when.
Out:   nothing.
Never: a kill of a process that the test did not start.
Next:  what makes it so: zsfuzz/campaign/workers/record.py and zsfuzz/campaign/workers/suspects.py.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.campaign.workers.deadly import FINDINGS, Run, left_in
from tests.cli.commands import shell
from zsfuzz.corpus.check import check_store
from zsfuzz.corpus.store import CorpusStore
from zsfuzz.program.files import load_program

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")

RUNS = 100
WORDS = (
    "--workers",
    "2",
    "--runs",
    str(RUNS),
    "--seed",
    "1",
    "--corpus",
    "kept",
    "--candidate",
    "candidate-literal:H05",
)
KILLS = ("worker", "supervisor", "worker", "worker", "supervisor", "worker")


@dataclass
class Story:
    """What happened. seen: findings that were on disk at some time."""

    kills: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    starts: int = 0


def on_disk(folder: Path) -> set[str]:
    """Return the ids of the findings that are whole on disk."""
    return {path.stem for path in (folder / FINDINGS).glob("*.json")}


def kill_now_and_then(folder: Path, dice: Random) -> tuple[Story, dict[str, Any], int]:
    """Run the campaign to its end, with kills; return what happened, its report and its exit status."""
    story = Story()
    run = Run(folder, *WORDS)
    story.starts += 1
    for victim in KILLS:
        with suppress(AssertionError):  # it has ended: all programs were run
            run.wait_for(run.has_begun)
        time.sleep(dice.uniform(0.0, 0.6))
        story.seen |= on_disk(folder)
        if run.process.poll() is not None:
            break
        if victim == "supervisor":
            run.kill()
            run = Run(folder, *WORDS)
            story.starts += 1
        elif workers := run.workers():
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(workers[dice.randrange(len(workers))], signal.SIGKILL)
        story.kills.append(victim)
    document = run.report()
    return story, document, run.process.returncode


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_at_random_moments_lose_nothing(tmp_path: Path, seed: int) -> None:
    story, document, status = kill_now_and_then(tmp_path, Random(seed))
    assert len(story.kills) >= 2, "it was over before it was killed: give it more programs"
    assert status == 1
    assert document["stopped"] == f"{RUNS} programs"
    assert document["programs"] == RUNS
    assert document["checks"]["drain"] + sum(finding["hits"] for finding in document["findings"]) >= RUNS
    assert sum(each["programs"] for each in document["worker_figures"]) == RUNS
    assert document["quarantined"] == []
    found = {finding["id"] for finding in document["findings"]}
    assert found >= story.seen
    assert found == on_disk(tmp_path) == {path.stem for path in (tmp_path / FINDINGS).glob("*.zst")}
    for finding in document["findings"]:
        assert load_program(tmp_path / finding["program"]).header.verdict == finding["signature"]
    assert check_store(CorpusStore(tmp_path / "kept", create=False)).bad == ()
    assert ".campaign" not in left_in(tmp_path / FINDINGS)


def test_a_campaign_that_was_cut_off_reports_what_it_had_found(tmp_path: Path) -> None:
    """Killed after a finding; the next one runs one program more and reports both."""
    words = ("--workers", "2", "--candidate", "candidate-literal:H05", "--seed", "1")
    first = Run(tmp_path, *words, "--time", "60")
    first.wait_for(lambda: on_disk(tmp_path))
    first.wait_for(lambda: first.has_begun(2))
    time.sleep(0.5)
    first.kill()
    again = Run(tmp_path, *words, "--runs", "1")  # more than that have been run
    document = again.report()
    assert "going on from a campaign that was cut off" in again.err
    assert {finding["id"] for finding in document["findings"]} >= on_disk(tmp_path)
    assert again.process.returncode == 1
    assert document["programs"] > 1


def test_another_target_does_not_go_on_from_there(tmp_path: Path) -> None:
    first = Run(tmp_path, "--workers", "2", "--candidate", "candidate-literal:H05", "--time", "60")
    first.wait_for(lambda: on_disk(tmp_path))
    first.kill()
    other = Run(tmp_path, "--workers", "2", "--runs", "6", "--seed", "3")
    document = other.report()
    assert "had other settings" in other.err
    assert (other.process.returncode, document["programs"], document["findings"]) == (0, 6, [])


def test_a_finding_that_does_not_show_any_more_is_left_out(tmp_path: Path) -> None:
    own = "import candidate\nclass Mine(candidate.TARGETS['candidate-literal']):\n    name = 'mine'\n"
    (tmp_path / "own.py").write_text(own)
    words = ("--workers", "2", "--candidate", "own:Mine", "--seed", "3")
    first = Run(tmp_path, *words, "--time", "60")
    first.wait_for(lambda: on_disk(tmp_path))
    time.sleep(0.5)
    first.kill()
    (tmp_path / "own.py").write_text(own.replace("candidate-literal", "candidate"))
    again = Run(tmp_path, *words, "--runs", "1000", "--time", "0.1")
    document = again.report()
    assert "does not show its finding any more" in again.err
    assert (again.process.returncode, document["findings"]) == (0, [])
    assert shell("corpus", "stats", FINDINGS, cwd=tmp_path).status == 0
