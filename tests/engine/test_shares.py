"""Shares follow what pays, and never give a thing up."""

from __future__ import annotations

from collections import Counter
from random import Random

from zsfuzz.engine.rng import Dice
from zsfuzz.engine.shares import Shares
from zsfuzz.engine.swarm import Swarm
from zsfuzz.program import ops


def picked(shares: Shares[str], count: int = 3000) -> Counter[str]:
    dice = Dice(Random(1))
    return Counter(shares.pick(dice) for _ in range(count))


def test_weights_decide_before_anything_is_known() -> None:
    counts = picked(Shares([("a", 30), ("b", 10), ("c", 0)]))
    assert 2.4 < counts["a"] / counts["b"] < 3.6
    assert counts["c"] == 0


def test_what_gains_more_for_its_cost_is_picked_more_often() -> None:
    shares = Shares([("rich", 1), ("poor", 1)], lowest=0.1, highest=10.0)
    for _ in range(640):
        shares.note(["rich"], cost=10.0, gain=8.0)
        shares.note(["poor"], cost=10.0, gain=1.0)
    counts = picked(shares)
    assert counts["rich"] > 4 * counts["poor"] > 0


def test_a_dear_thing_is_no_better_for_gaining_more() -> None:
    shares = Shares([("dear", 1), ("cheap", 1)])
    for _ in range(640):
        shares.note(["dear"], cost=100.0, gain=10.0)
        shares.note(["cheap"], cost=10.0, gain=3.0)
    assert shares.factor("cheap") > 1 > shares.factor("dear")


def test_a_factor_stays_in_its_bounds() -> None:
    shares = Shares([("all", 1), ("nothing", 1), ("never", 1)], lowest=0.5, highest=1.5)
    for _ in range(6400):
        shares.note(["all"], 1.0, 5.0)
        shares.note(["nothing"], 1.0, 0.0)
    assert (shares.factor("all"), shares.factor("nothing")) == (1.5, 0.5)
    assert 0.9 < shares.factor("never") <= 1.5


def test_old_gains_fade() -> None:
    shares = Shares([("a", 1), ("b", 1)])
    for first, second in (("a", "b"), ("b", "a")):
        for _ in range(16_000):
            shares.note([first], 1.0, 4.0)
            shares.note([second], 1.0, 1.0)
        assert shares.factor(first) > 1 > shares.factor(second)


def test_without_any_gain_nothing_moves() -> None:
    shares = Shares([("a", 1), ("b", 1)])
    for _ in range(640):
        shares.note(["a"], 1.0, 0.0)
    assert shares.factor("a") == shares.factor("b") == 1.0


def test_a_swarm_asks_for_kinds_that_show_something_new() -> None:
    swarm = Swarm()
    number = ops.OPERATIONS.index(ops.Poison)
    for _ in range(640):
        swarm.learn([ops.Trim(), ops.Poison(ops.Pfn(1), ops.PoisonKind.SOFT)], [number])
    assert swarm.weight("poison", 10) > 10 > swarm.weight("trim", 10) >= 1
    assert swarm.weight("an_idiom", 10) == 10
