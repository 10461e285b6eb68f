"""What a benchmark accepts as work done, and what it refuses.

In:    results and mixes made by hand; a run of the real pair.
Out:   nothing.
Never: a time.
Next:  bench/work.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from bench.work import (
    CORE_NAMES,
    CORE_SHARE_LEAST,
    KindCounter,
    Mix,
    WorkNotDone,
    check_mixes,
    check_result,
    mix_of,
    must,
)
from zsfuzz.execute.result import RunResult
from zsfuzz.execute.runner import Runner
from zsfuzz.oracle.finding import Finding
from zsfuzz.program import ops
from zsfuzz.program.program import Header, Program

CHECKS = {"counters": 3, "drain": 1, "full": 1}
DONE = RunResult(findings=(), operations=3, no_ops=1, features=(), expected={}, checks=CHECKS)
PUBLISHED = Mix({"Malloc": 60, "Free": 15, "Migrate": 15, "Scan": 10})


def test_the_published_kinds_are_the_six_of_the_contract() -> None:
    assert CORE_NAMES == ("Compact", "Migrate", "CompactZone", "Offline", "Contig", "Scan")


def test_a_mix_knows_its_core_share_and_its_distance_from_another() -> None:
    assert PUBLISHED.total == 100
    assert PUBLISHED.core_share == 0.25
    assert PUBLISHED.distance(PUBLISHED) == 0.0
    assert PUBLISHED.distance(Mix({"Malloc": 60, "Free": 40})) == pytest.approx(0.25)
    assert PUBLISHED.distance(Mix({"Trim": 1})) == pytest.approx(1.0)


def test_a_mix_is_in_the_order_of_the_union() -> None:
    counts: Counter[type[ops.Operation]] = Counter({ops.Scan: 2, ops.Malloc: 3, ops.Free: 0})
    assert list(mix_of(counts).counts.items()) == [("Malloc", 3), ("Scan", 2)]


def test_a_mix_below_the_published_one_is_refused_on_either_side() -> None:
    low = Mix({"Malloc": 80, "Migrate": 20})
    with pytest.raises(WorkNotDone, match=r"random: core operations are 20\.0%"):
        check_mixes({"random": low, "hypothesis": PUBLISHED}, CORE_SHARE_LEAST, 1.0)
    with pytest.raises(WorkNotDone, match=r"hypothesis: core operations are 20\.0%"):
        check_mixes({"random": PUBLISHED, "hypothesis": low}, CORE_SHARE_LEAST, 1.0)


def test_mixes_too_far_apart_are_refused() -> None:
    mixes = {"random": PUBLISHED, "hypothesis": Mix({"Malloc": 20, "Free": 40, "Compact": 40})}
    check_mixes(mixes, CORE_SHARE_LEAST, 0.66)
    with pytest.raises(WorkNotDone, match=r"random and hypothesis: the mixes differ by 65\.0%, more than 60%"):
        check_mixes(mixes, CORE_SHARE_LEAST, 0.60)


def test_a_run_that_was_done_and_checked_is_accepted() -> None:
    check_result(DONE, "random")
    check_result(replace(DONE, checks={"counters": 3, "drain": 1, "full": 0}, parted="D3"), "random")


@pytest.mark.parametrize(
    ("planted", "claim"),
    [
        (replace(DONE, operations=4), "not every operation was compared"),
        (replace(DONE, checks={"counters": 3, "drain": 0, "full": 1}), "was not drained"),
        (replace(DONE, checks={"counters": 3, "drain": 1, "full": 0}), "without a full comparison"),
        (replace(DONE, findings=(Finding("bug", "BUG_ON", ("f",), "", "both", 1, "text"),)), "bug/BUG_ON/f/"),
    ],
)
def test_a_planted_gap_in_the_work_is_seen(planted: RunResult, claim: str) -> None:
    with pytest.raises(WorkNotDone, match=claim):
        check_result(planted, "random")


def test_what_must_hold_says_what_did_not() -> None:
    must(True, "fine")
    with pytest.raises(WorkNotDone, match="the sky is green"):
        must(False, "the sky is green")


def test_the_counter_of_kinds_agrees_with_the_run() -> None:
    """A no-op is not counted, and a step that both sides answer differently, as expected, is counted once."""
    steps = (
        ops.Malloc(0, 3000),
        ops.Free(7),
        ops.Scan(ops.Scanner.KPAGEFLAGS, 0, 256),
        ops.Scan(ops.Scanner.KPAGECOUNT, 0, 256),
        ops.Free(0),
    )
    counter = KindCounter()
    result = Runner().run(Program(Header(), steps), observer=counter)
    assert result.findings == ()
    assert sum(result.expected.values()) > 0
    assert counter.counts == Counter({ops.Scan: 2, ops.Malloc: 1, ops.Free: 1})
    assert counter.counts.total() == result.operations == 4
