"""Shares: weights that follow what pays.

In:    things to choose from, each with a weight; now and then, which of them were used, at what cost, with what gain.
Out:   Shares: pick() one of them; factor() how far a weight has moved.
Never: a thing that is never chosen any more: no weight falls below `lowest` of its own or rises above `highest`.
Next:  who uses it: zsfuzz/engine/coverage_engine.py for its ways of making programs, zsfuzz/engine/mutate.py for its
       mutations, zsfuzz/engine/swarm.py for kinds of operations.

A share is its first weight times how much the thing gains for its cost, measured by what all of them gain for theirs.
Old gains fade: what pays at the start of a campaign is not what pays later. (Compare Lyu et al., MOPT: Optimized
Mutation Scheduling for Fuzzers, USENIX Security 2019, which moves weights in the same way with more machinery.)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from zsfuzz.engine.rng import Dice

T = TypeVar("T", bound=Hashable)
_RENEWED = 64  # notes between two looks at the gains
_FADE = 0.97  # what a gain is worth at the next look
_DOUBT = 0.02  # of all cost: what each thing is taken to have had with an average gain before


class Shares(Generic[T]):
    """A weighted choice whose weights follow the gains."""

    def __init__(self, weights: Sequence[tuple[T, int]], *, lowest: float = 0.4, highest: float = 3.0) -> None:
        """weights: of 0 or more; at least one is positive. lowest, highest: what a weight may be multiplied by."""
        self._lowest, self._highest = lowest, highest
        self._items = tuple([item for item, _ in weights])
        self._base = tuple([float(weight) for _, weight in weights])
        self._cost = dict.fromkeys(self._items, 0.0)
        self._gain = dict.fromkeys(self._items, 0.0)
        self._factor = dict.fromkeys(self._items, 1.0)
        self._notes = 0
        self._reckon()

    def pick(self, dice: Dice) -> T:
        """Return one thing, by the present weights."""
        at = bisect_right(self._bounds, dice.random() * self._bounds[-1])
        return self._items[min(at, len(self._items) - 1)]

    def factor(self, item: T) -> float:
        """Return by what the first weight of a thing is multiplied at present."""
        return self._factor[item]

    def note(self, items: Iterable[T], cost: float, gain: float) -> None:
        """Take in that things were used together. cost: above 0; gain: 0 or more, of any unit."""
        for item in items:
            self._cost[item] += cost
            self._gain[item] += gain
        self._notes += 1
        if self._notes % _RENEWED == 0:
            self._renew()

    def note_each(self, costs: Mapping[T, float], gains: Mapping[T, float]) -> None:
        """Take in uses and gains that are known one by one."""
        for item, cost in costs.items():
            self._cost[item] += cost
        for item, gain in gains.items():
            self._gain[item] += gain
        self._notes += 1
        if self._notes % _RENEWED == 0:
            self._renew()

    def _renew(self) -> None:
        cost, gain = sum(self._cost.values()), sum(self._gain.values())
        if not cost or not gain:
            return
        rate = gain / cost
        doubt = _DOUBT * cost
        for item in self._items:
            paid = (self._gain[item] + doubt * rate) / (self._cost[item] + doubt)
            self._factor[item] = min(self._highest, max(self._lowest, paid / rate))
            self._cost[item] *= _FADE
            self._gain[item] *= _FADE
        self._reckon()

    def _reckon(self) -> None:
        weights = [base * self._factor[item] for item, base in zip(self._items, self._base, strict=True)]
        self._bounds = list(accumulate(weights))
