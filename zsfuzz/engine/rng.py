"""Dice: every random choice of an engine, in words that no Python version changes.

In:    a random.Random that the caller seeded.
Out:   small integers, picks, coin tosses; the same seed gives the same sequence on Python 3.11 to 3.13.
Never: random.sample, shuffle, choices, randrange: their algorithms are not part of Python's promise. Never
       hash(), a clock, or the global generator.
Next:  who throws them: zsfuzz/engine/generate.py, zsfuzz/engine/mutate.py, zsfuzz/engine/coverage_engine.py.

Everything rests on Random.random(), 53 bits of the Mersenne Twister, whose sequence Python guarantees.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Random choices over one random.Random, which it consumes."""

    __slots__ = ("random",)

    def __init__(self, rng: Random) -> None:
        self.random = rng.random

    def below(self, limit: int) -> int:
        """Return an integer in 0..limit-1. limit: 1 or more, far below 2**53."""
        return int(self.random() * limit)

    def between(self, low: int, high: int) -> int:
        """Return an integer in low..high, both ends included."""
        return low + int(self.random() * (high - low + 1))

    def percent(self, chance: int) -> bool:
        """Return True in `chance` of 100 throws."""
        return self.random() * 100.0 < chance

    def pick(self, items: Sequence[T]) -> T:
        """Return one item of a sequence that is not empty."""
        return items[int(self.random() * len(items))]

    def take(self, items: list[T]) -> T:
        """Remove one item of a list that is not empty and return it; the last one takes its place."""
        position = int(self.random() * len(items))
        taken = items[position]
        items[position] = items[-1]
        items.pop()
        return taken

    def few(self, limit: int) -> int:
        """Return an integer in 1..limit, small ones more often: each further one costs a coin toss."""
        count = 1
        random = self.random
        while count < limit and random() < 0.5:
            count += 1
        return count


def weighted(weights: Sequence[tuple[T, int]]) -> tuple[T, ...]:
    """Return a table in which each item stands as often as its weight says: pick() from it is weighted.

    weights: (item, weight) with small weights of 0 or more; at least one is positive.
    Errors: ValueError when the table would be empty.
    """
    table = tuple(item for item, weight in weights for _ in range(weight))
    if not table:
        raise ValueError("every weight is 0")
    return table
