"""The search on small lanes: held against every schedule there is.

In:    lanes of tests/explore/lanes.py, named and random.
Out:   the reduced search reaches the same ends.
Never: an allocator: tests/explore/test_explorer.py has those.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from tests.explore.lanes import Toy, random_lanes
from zsfuzz.explore.search import Search
from zsfuzz.machine.recording import NOTHING, Footprint, Recorder

LOST_UPDATE = [[[("load", 0), ("store", 0)]], [[("load", 0), ("store", 0)]]]
CROSSED_LOCKS = [
    [[("lock", 0), ("lock", 1), ("lock", 1), ("lock", 0)]],
    [[("lock", 1), ("lock", 0), ("lock", 0), ("lock", 1)]],
]


def reports(search: Search) -> list[str]:
    """Return the rules of the reports that executions ended in."""
    return [str(end[0]) for end in search.ends if isinstance(end, tuple) and isinstance(end[0], str)]


def searched(toy: Toy, bound: int, *, reduces: bool = True) -> Search:
    search = Search(toy, bound, reduces=reduces)
    while not search.complete:
        search.step()
    return search


@pytest.mark.parametrize("seed", range(70))
def test_the_pruned_search_reaches_the_ends_of_all_schedules(seed: int) -> None:
    """Whatever lanes read, store, lock, link, wait for and yield: same ends, same reports, at the same bound."""
    rng = Random(seed)
    count = rng.choice((2, 2, 3))
    lanes = random_lanes(rng, count, rng.randrange(1, 6 if count == 2 else 4))
    bound = rng.randrange(0, 4 if count == 2 else 3)
    pruned, naive = searched(Toy(lanes), bound), searched(Toy(lanes), bound, reduces=False)
    assert set(pruned.ends) == set(naive.ends)
    assert pruned.counts.interleavings + pruned.counts.slept <= naive.counts.interleavings


def test_random_lanes_have_many_ends_and_much_to_prune() -> None:
    """What the test above compares is not trivial: 70 seeds, more than one end and fewer executions in most."""
    several = pruned_away = reported = 0
    for seed in range(0, 70, 5):
        lanes = random_lanes(Random(seed), 2, 4)
        pruned, naive = searched(Toy(lanes), 2), searched(Toy(lanes), 2, reduces=False)
        several += len(naive.ends) > 1
        pruned_away += pruned.counts.interleavings * 2 < naive.counts.interleavings
        reported += bool(reports(naive))
    assert several >= 5
    assert pruned_away >= 7
    assert reported >= 1


def test_lanes_that_share_nothing_are_run_once_for_each_lane_that_begins() -> None:
    """[. . .] beside [. . .]: two schedules, and the many others are looked past."""
    search = searched(Toy([[[("private", 1)] * 5], [[("private", 2)] * 5]]), 3)
    assert search.counts.interleavings == 2
    assert search.counts.skipped > 5
    assert len(search.ends) == 1


def test_a_lost_update_takes_one_preemption() -> None:
    """load | load store | store."""
    ends = [searched(Toy(LOST_UPDATE), bound).ends for bound in (0, 1)]
    assert len(ends[0]) == 2
    assert set(ends[0]) < set(ends[1])


def test_crossed_locks_deadlock_at_one_preemption_only() -> None:
    """Lane 0 has 0 and wants 1, lane 1 has 1 and wants 0. Without a preemption the order of locks tells it."""
    assert reports(searched(Toy(CROSSED_LOCKS), 0)) == ["lock order"]
    assert "deadlock" in reports(searched(Toy(CROSSED_LOCKS), 1))


def test_a_lost_wake_up_is_found_by_both_searches() -> None:
    """The waker looks too early: store after the wake-up."""
    lanes = [[[("wait", 0)]], [[("wake", 0), ("store", 0)]]]
    pruned, naive = (searched(Toy(lanes), 1, reduces=reduces) for reduces in (True, False))
    assert set(pruned.ends) == set(naive.ends)
    assert "lost wake-up" in reports(pruned)


def test_who_begins_costs_nothing() -> None:
    """With no preemption at all either lane may be first."""
    assert searched(Toy([[[("store", 0)]], [[("store", 0)]]]), 0).counts.interleavings == 2


def test_more_preemptions_never_lose_an_end() -> None:
    """Bounds 0, 1, 2, 3: each has the ends of the one before."""
    lanes = [[[("load", 0), ("store", 1), ("add", 0)]], [[("load", 1), ("store", 0), ("add", 1)]]]
    ends = [set(searched(Toy(lanes), bound).ends) for bound in range(4)]
    assert all(fewer <= more for fewer, more in pairwise(ends))
    assert len(ends[3]) > len(ends[0])


class _Blind(Recorder):
    """A recorder that sees no store."""

    def take(self) -> Footprint:
        return Footprint(super().take().reads, 0)


def test_a_recorder_that_misses_stores_is_caught_by_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug of this folder: without stores all steps are independent, and ends are lost."""
    monkeypatch.setattr("tests.explore.lanes.Recorder", _Blind)
    assert len(searched(Toy(LOST_UPDATE), 2).ends) < len(searched(Toy(LOST_UPDATE), 2, reduces=False).ends)


class _Unsteady(Toy):
    """Lanes that are not the same each time."""

    def execute(self, policy: object) -> object:
        self.bodies = [[[("load", 0)] * (1 + self.executions % 3), *self.bodies[0][1:]], *self.bodies[1:]]
        return super().execute(policy)  # type: ignore[arg-type]


def test_lanes_that_do_not_repeat_themselves_are_a_fault_of_ours() -> None:
    """A search over something that changes would mean nothing."""
    with pytest.raises(RuntimeError, match="did not repeat itself"):
        searched(_Unsteady(LOST_UPDATE), 2, reduces=False)


def test_steps_conflict_when_one_writes_what_the_other_touches() -> None:
    """Read beside read is nothing; who yields depends on all."""
    recorder = Recorder()
    recorder.on = True
    recorder.read(7)
    reads = recorder.take()
    recorder.write(7)
    writes = recorder.take()
    recorder.write(("everything",))
    yields = recorder.take()
    assert not reads.conflicts(reads)
    assert reads.conflicts(writes)
    assert writes.conflicts(reads)
    assert yields.conflicts(reads)
    assert not NOTHING.conflicts(writes)
