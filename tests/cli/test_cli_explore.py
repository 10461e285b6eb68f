"""`zsfuzz explore` as a user meets it.

In:    small blocks, in this process; one command that is killed.
Out:   counts, exit statuses, kept findings, states that are gone on from.
Never: the search itself: tests/explore/.
Next:  zsfuzz/cli/explore.py.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import ROOT, argv, call, environment
from zsfuzz.program.files import load_program

Capture = pytest.CaptureFixture[str]
COMPACT = """\
zsfuzz 2
memory normal=16 movable=16
---
h1 = malloc 3000
parallel {
  lane {
    compact
  }
  lane {
    free h1
  }
}
"""
SCAN = ROOT / "corpus" / "explore" / "scan-free-malloc.zst"


def block(text: str = COMPACT) -> str:
    Path("block.zst").write_text(text, encoding="utf-8")
    return "block.zst"


def document(capsys: Capture, *words: str | Path) -> dict[str, Any]:
    done = call(capsys, "explore", *words, "--json")
    assert done.err == ""
    found: dict[str, Any] = json.loads(done.out)
    del found["seconds"]
    return found


def test_a_clean_block_is_complete_with_status_0(capsys: Capture) -> None:
    done = call(capsys, "explore", block(), "--max-preemptions", "1")
    assert done.status == 0
    assert "up to 1 preemptions; complete" in done.out
    assert "the candidate's are the reference's" in done.out
    assert "no finding" in done.out


def test_json_has_the_counts(capsys: Capture) -> None:
    found = document(capsys, block(), "--max-preemptions", "1")
    assert found["complete"]
    assert found["contained"]
    assert found["stopped"] == "complete"
    assert found["interleavings"] >= 4
    assert found["pruned"]["looking ahead"] > 100
    assert found["states"] > 100
    assert found["findings"] == []
    assert [side["complete"] for side in found["sides"]] == [True, True]


def test_a_finding_is_kept_with_its_schedule_and_replays(capsys: Capture) -> None:
    done = call(capsys, "explore", SCAN, "--max-preemptions", "1", "--candidate", "candidate-literal:H14", "--json")
    assert done.status == 1
    finding = json.loads(done.out)["findings"][0]
    assert finding["signature"] == "memory/bad access/put_last/candidate free_pages_prepare"
    assert finding["preemptions"] == 1
    assert finding["confirmed"]
    kept = load_program(finding["program"])
    assert kept.block is not None
    assert kept.block.schedule
    assert kept.header.verdict == finding["signature"]
    assert call(capsys, "replay", finding["program"]).status == 1


def test_an_end_that_only_the_candidate_has_gives_status_1(capsys: Capture) -> None:
    done = call(capsys, "explore", block(), "--fault", "L-compact-count")
    assert done.status == 1
    assert "compact = 3 in lane 0, operation 0; no schedule makes the reference end so" in done.out
    assert "replay       zsfuzz explore block.zst --max-preemptions 2" in done.out


def test_a_limit_makes_it_incomplete(capsys: Capture) -> None:
    found = document(capsys, block(), "--runs", "3")
    assert not found["complete"]
    assert found["stopped"] == "--runs 3"
    assert found["contained"] is None
    assert document(capsys, SCAN, "--max-preemptions", "6", "--time", "0.2")["stopped"] == "--time 0.2"


def test_it_goes_on_from_a_state_and_ends_with_the_same_figures(capsys: Capture) -> None:
    whole = document(capsys, block(), "--max-preemptions", "1")
    found = document(capsys, block(), "--max-preemptions", "1", "--runs", "3", "--save", "kept.state")
    while not found["complete"]:
        found = document(capsys, block(), "--max-preemptions", "1", "--runs", "3", "--resume", "kept.state")
    assert found == whole


def test_a_killed_search_goes_on_from_what_it_wrote() -> None:
    """kill -9 as soon as there is a state: it is whole, and work is in it."""
    state = Path("kept.state")
    words = ["explore", str(SCAN), "--max-preemptions", "5", "--save", str(state)]
    with subprocess.Popen(argv(*words), env=environment(), stderr=subprocess.DEVNULL) as command:
        until = time.monotonic() + 60
        while not state.exists() and time.monotonic() < until:
            time.sleep(0.05)
        command.kill()
    again = [*words[:4], "--resume", str(state), "--runs", "1", "--json"]
    done = subprocess.run(argv(*again), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["interleavings"] > 20


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["plain.zst"], "has no parallel block"),
        (["block.zst", "block.zst"], "takes one FILE"),
        (["block.zst", "--max-preemptions", "-1"], "negative"),
        (["block.zst", "--resume", "none.state"], "none.state"),
        (["block.zst", "--resume", "block.zst"], "is no state"),
        (["block.zst", "--fault", "X99"], "unknown fault"),
    ],
)
def test_mistakes_are_one_line(capsys: Capture, words: list[str], complaint: str) -> None:
    block()
    Path("plain.zst").write_text("zsfuzz 1\n---\nh1 = malloc 32\n", encoding="utf-8")
    assert complaint in call(capsys, "explore", *words).complaint


def test_help_has_examples(capsys: Capture) -> None:
    assert "--max-preemptions 3 --resume block.state" in call(capsys, "explore", "--help").out
