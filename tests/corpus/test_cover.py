"""The fewest programs that reach what all reach."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from tests.campaign.fakes import sizes
from zsfuzz.corpus.cover import Measured, smallest_cover


def measured(name: str, *units: int, length: int = 1) -> Measured:
    return Measured(name, sizes(*range(1, length + 1)), units)


def names(*programs: Measured, have: tuple[int, ...] = (), most: int | None = None) -> list[str]:
    return [kept.measured.name for kept in smallest_cover(programs, have, most)]


def test_one_program_that_reaches_all_is_enough() -> None:
    assert names(measured("a", 1), measured("b", 1, 2, 3), measured("c", 2, 3)) == ["b"]


def test_of_two_alike_the_shorter_one_is_kept() -> None:
    assert names(measured("a", 1, length=5), measured("b", 1, length=2)) == ["b"]


def test_what_the_greedy_choice_made_needless_is_dropped() -> None:
    """b is the best at first, then a and c are needed anyway: [1 2 3] [2 3 4 5] [4 5 6] -> a, c."""
    assert sorted(names(measured("a", 1, 2, 3), measured("b", 2, 3, 4, 5), measured("c", 4, 5, 6))) == ["a", "c"]


def test_what_is_there_already_needs_nobody() -> None:
    assert names(measured("a", 1, 2), measured("b", 3), have=(1, 2)) == ["b"]


def test_each_unit_is_given_to_one_program() -> None:
    kept = smallest_cover([measured("a", 1, 2, 3), measured("b", 3, 4)])
    assert [each.units for each in kept] == [(1, 2, 3), (4,)]


def test_the_best_few_are_kept_when_there_may_be_only_a_few() -> None:
    programs = [measured("a", 1), measured("b", 2, 3, 4), measured("c", 5, 6)]
    assert names(*programs, most=2) == ["b", "c"]


@pytest.mark.parametrize("seed", range(8))
def test_it_is_a_cover_without_a_needless_program_in_any_order_and_not_far_from_the_smallest(seed: int) -> None:
    dice = Random(seed)
    programs = [measured(f"p{n}", *sorted({dice.randrange(12) for _ in range(dice.randrange(1, 5))})) for n in range(9)]
    everything = {unit for each in programs for unit in each.units}
    kept = [each.measured for each in smallest_cover(programs)]
    assert {unit for each in kept for unit in each.units} == everything
    for left_out in kept:
        assert {unit for each in kept if each is not left_out for unit in each.units} != everything
    assert [each.measured for each in smallest_cover(programs[::-1])] == kept
    smallest = next(
        count
        for count in range(1, len(programs) + 1)
        if any({unit for each in some for unit in each.units} == everything for some in combinations(programs, count))
    )
    assert len(kept) <= smallest + 1
