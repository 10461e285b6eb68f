"""Dice: fair enough, in range, and the same on every Python."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from zsfuzz.engine.rng import Dice, weighted


def test_the_sequence_of_a_seed_is_fixed() -> None:
    dice = Dice(Random(2021))
    throws = [dice.below(100), dice.between(5, 9), dice.few(8), dice.pick("abcdef"), dice.percent(50)]
    assert throws == [83, 9, 1, "b", False]


def test_below_reaches_both_ends_and_no_further() -> None:
    dice = Dice(Random(1))
    assert {dice.below(3) for _ in range(200)} == {0, 1, 2}


def test_between_includes_both_ends() -> None:
    dice = Dice(Random(1))
    assert {dice.between(7, 9) for _ in range(200)} == {7, 8, 9}


@pytest.mark.parametrize(("chance", "low", "high"), [(0, 0, 0), (25, 200, 300), (100, 1000, 1000)])
def test_percent_comes_true_about_that_often(chance: int, low: int, high: int) -> None:
    dice = Dice(Random(1))
    assert low <= sum(dice.percent(chance) for _ in range(1000)) <= high


def test_few_prefers_one_and_stays_below_the_limit() -> None:
    dice = Dice(Random(1))
    counts = Counter(dice.few(4) for _ in range(1000))
    assert sorted(counts) == [1, 2, 3, 4]
    assert counts[1] > counts[2] > counts[4]


def test_take_empties_a_list_without_repeating() -> None:
    dice = Dice(Random(1))
    items = list(range(20))
    assert sorted(dice.take(items) for _ in range(20)) == list(range(20))
    assert items == []


def test_a_weighted_table_holds_each_item_as_often_as_its_weight() -> None:
    assert Counter(weighted([("a", 3), ("b", 0), ("c", 1)])) == {"a": 3, "c": 1}


def test_a_table_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="every weight is 0"):
        weighted([("a", 0)])
