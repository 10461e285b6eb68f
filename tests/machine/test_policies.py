"""Policies: PCT keeps its promise, others reach every order of a tiny case, all of them decide by their seed alone."""

from __future__ import annotations

from collections import Counter
from math import comb
from random import Random

import pytest

from bench.policies import BUGS, LAST, POLICIES, TWICE, WINDOW, PlantedBug, Rate, Synthetic, measure_rate
from zsfuzz.errors import UsageError
from zsfuzz.machine.lanes import NOTHING
from zsfuzz.machine.policies import MAKERS, check_policy, make_policy


@pytest.mark.parametrize(
    ("bug", "policy", "walk", "runs"),
    [
        (WINDOW, "pct2", "any lane each time", 3000),
        (LAST, "pct2", "random", 3000),
        (TWICE, "pct3", "any lane each time", 10_000),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_pct_hits_a_bug_of_its_depth_as_often_as_it_promises(
    bug: PlantedBug, policy: str, walk: str, runs: int
) -> None:
    """1 / (n * k**(d - 1)) lies below the bound of 95 % confidence; a random walk hits five times more rarely."""
    rate = measure_rate(bug, policy, runs)
    assert rate.bounds[0] >= bug.promise
    assert 5 * measure_rate(bug, walk, runs).hits <= rate.hits


def test_pct_of_a_smaller_depth_does_not_reach_a_deeper_bug() -> None:
    """What the planted bugs are called is no chance: the one of depth 3 takes two changes."""
    assert measure_rate(TWICE, "pct2", 3000).hits == 0


def test_the_bounds_are_those_of_wilson() -> None:
    low, high = Rate(10, 100).bounds
    assert (round(low, 4), round(high, 4)) == (0.0552, 0.1744)
    assert Rate(0, 100).bounds[0] == pytest.approx(0)


TINY = PlantedBug("tiny", 1, (("a", "b"), ("c", "d")), lambda made: True)
TINY_THREE = PlantedBug("tiny", 1, (("a", "b"), ("c",), ("d",)), lambda made: True)


@pytest.mark.parametrize("policy", ["pos", "uniform", "random", "any lane each time"])
@pytest.mark.parametrize(("tiny", "orders"), [(TINY, comb(4, 2)), (TINY_THREE, 12)], ids=["2+2", "2+1+1"])
def test_every_order_of_a_tiny_case_is_reached(policy: str, tiny: PlantedBug, orders: int) -> None:
    """All accesses race on one word. The uniform walk comes to each at least half as often as to all others."""
    world = Synthetic(tiny)
    seen = Counter(world.run(POLICIES[policy](Random(seed), tiny.lengths)) for seed in range(600))
    assert len(seen) == orders
    assert policy != "uniform" or min(seen.values()) >= 600 / orders / 2


def test_the_uniform_walk_lets_a_short_lane_come_late() -> None:
    """
    a1 a2 a3 a4 a5 a6 a7 a8 a9
      c among them: a coin at each point puts it in front, the uniform walk looks at what is left of each lane
    """
    long = PlantedBug("long", 1, (tuple(f"a{number}" for number in range(1, 10)), ("c",)), lambda made: True)
    world = Synthetic(long)

    def places(policy: str) -> list[int]:
        """How often c comes in each place."""
        made = [world.run(POLICIES[policy](Random(seed), long.lengths)).index("c") for seed in range(1000)]
        return [made.count(place) for place in range(10)]

    walk, coin = places("uniform"), places("any lane each time")
    assert min(walk) > 5 and max(walk) < 250
    assert walk == sorted(walk), "it begins later than it could, and then has two points to pass"
    assert coin[0] > 250 > 30 > coin[9]


def test_round_robin_takes_turns() -> None:
    """A quantum of one point: a, c, b, d."""
    world = Synthetic(TINY)
    made = {world.run(make_policy("round-robin", Random(seed), TINY.lengths)) for seed in range(20)}
    assert ("a", "c", "b", "d") in made and ("a", "b", "c", "d") in made


@pytest.mark.parametrize("policy", POLICIES)
def test_a_seed_decides_everything(policy: str) -> None:
    world, again = Synthetic(TWICE), Synthetic(TWICE)
    for seed in range(20):
        made = world.run(POLICIES[policy](Random(seed), TWICE.lengths))
        assert again.run(POLICIES[policy](Random(seed), TWICE.lengths)) == made
        assert again.lanes.taken == world.lanes.taken


@pytest.mark.parametrize("policy", MAKERS)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_an_estimate_of_the_lengths_may_be_wrong_or_missing(policy: str, bug: PlantedBug) -> None:
    """Too long, too short, of fewer lanes, zero: every access is made all the same."""
    world = Synthetic(bug)
    for lengths in ((1000,) * 4, (1,) * 4, (0,) * 4, (5,)):
        for seed in range(5):
            assert len(world.run(make_policy(policy, Random(seed), lengths))) == sum(map(len, bug.lanes))


@pytest.mark.parametrize("policy", MAKERS)
def test_nothing_is_held_back_without_store_buffers(policy: str) -> None:
    world = Synthetic(WINDOW)
    for seed in range(30):
        world.run(make_policy(policy, Random(seed), WINDOW.lengths))
        assert all(each.held == NOTHING for each in world.lanes.taken)


def test_a_policy_that_does_not_exist_is_the_users_mistake() -> None:
    check_policy("pct3")
    with pytest.raises(UsageError, match="unknown policy 'fair'"):
        check_policy("fair")
