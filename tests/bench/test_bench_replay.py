"""The replay benchmark refuses a capture that was not replayed to its end.

In:    the excerpt of the swap capture; figures made by hand.
Out:   nothing.
Never: the whole capture, a time.
Next:  bench/replay.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.replay import EXCERPT, EXCERPT_COUNTS, ROOT, ReplayFigures, check_replay, measure_replay
from bench.tables import replay_data, replay_lines
from bench.work import WorkNotDone

DONE = ReplayFigures(
    capture="a.trace",
    targets=("reference", "candidate"),
    cadence=64,
    import_seconds=1.0,
    replay_seconds=2.0,
    cpu_seconds=2.5,
    peak_bytes=1 << 27,
    steps=10,
    operations=9,
    no_ops=1,
    findings=(),
    imported={"malloc": 4, "free": 4, "migrate": 1, "compact": 1},
    effective={"malloc": 4, "free": 4, "compact": 1},
    checks={"full": 1, "drain": 1},
)


def test_the_excerpt_is_replayed_in_a_process_of_its_own() -> None:
    figures = measure_replay(ROOT / EXCERPT, expected=EXCERPT_COUNTS, cadence=64)
    assert figures.findings == ()
    assert figures.effective["free"] == EXCERPT_COUNTS["free"]
    assert figures.peak_bytes > 1 << 20
    assert figures.seconds > 0.0


def test_a_file_that_is_no_capture_is_said_to_be_none() -> None:
    with pytest.raises(WorkNotDone, match=r"Makefile failed: .*no event of zsmalloc"):
        measure_replay(ROOT / "Makefile")


def test_the_figures_can_be_printed_and_kept() -> None:
    assert any("128 MiB" in line for line in replay_lines(DONE))
    assert replay_data(DONE)["wanted_seconds"] == 60.0


@pytest.mark.parametrize(
    ("planted", "claim"),
    [
        (replace(DONE, imported={**DONE.imported, "migrate": 0}), "0 migrate imported, not 1"),
        (replace(DONE, effective={**DONE.effective, "free": 3}), "3 free took effect, not 4"),
        (replace(DONE, operations=8), "10 steps, 9 of them accounted for"),
        (replace(DONE, findings=("bug/x//: text",)), "bug/x//: text"),
        (replace(DONE, checks={"full": 0, "drain": 1}), "not compared to its end"),
        (replace(DONE, checks={"full": 1, "drain": 0}), "not compared to its end"),
    ],
)
def test_a_planted_gap_in_the_replay_is_seen(planted: ReplayFigures, claim: str) -> None:
    check_replay(DONE, DONE.imported)
    with pytest.raises(WorkNotDone, match=claim):
        check_replay(planted, DONE.imported)
