"""Cover: the fewest programs that reach what all of them reach.

In:    programs, each with the units that it reaches: state features, or landmarks.
Out:   Kept programs, each with the units that it is kept for. The same programs in any order give the same result.
Never: a run, a file.
Next:  what asks for it: zsfuzz/corpus/merge.py.

The smallest cover is hard to find; the greedy one is never worse than it by more than a logarithm (Chvatal, A Greedy
Heuristic for the Set-Covering Problem, 1979), and in practice hardly larger. What the greedy choice made needless is
dropped afterwards.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zsfuzz.program.program import Program


@dataclass(frozen=True, slots=True)
class Measured:
    """A program with its name, and what it reaches. units: distinct numbers."""

    name: str
    program: Program
    units: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """A program of the cover. units: those that it is kept for; no other one is kept for them."""

    measured: Measured
    units: tuple[int, ...]


def smallest_cover(programs: Iterable[Measured], have: Iterable[int] = (), most: int | None = None) -> list[Kept]:
    """Return the programs to keep, those that bring most first.

    have: units that need nobody. most: how many programs at most; then they may leave units out.
    """
    covered = set(have)
    chosen = _greedy(list(programs), covered, most)
    needed = _without_needless(chosen, frozenset(have))
    return _assigned(needed, frozenset(have))


def _greedy(programs: list[Measured], covered: set[int], most: int | None) -> list[Measured]:
    """Return programs until nothing is missing. Gains only shrink, so an old gain says what to look at first."""
    heap = [(*_rank(each, len(each.units)), each) for each in programs]
    heapq.heapify(heap)
    chosen: list[Measured] = []
    while heap and (most is None or len(chosen) < most):
        old_gain, *_, best = heapq.heappop(heap)
        gain = sum(unit not in covered for unit in best.units)
        if not gain:
            continue
        if gain != -old_gain:
            heapq.heappush(heap, (*_rank(best, gain), best))
            continue
        chosen.append(best)
        covered.update(best.units)
    return chosen


def _rank(measured: Measured, gain: int) -> tuple[int, int, str]:
    """Return what sorts programs: much gain first, then few operations, then the name, which no two share."""
    return -gain, measured.program.operations_count, measured.name


def _without_needless(chosen: Sequence[Measured], have: frozenset[int]) -> list[Measured]:
    """Drop, the last one first, programs all of whose units others reach too."""
    reached = Counter(unit for each in chosen for unit in each.units)
    kept = []
    for each in reversed(chosen):
        if all(unit in have or reached[unit] > 1 for unit in each.units):
            reached.subtract(each.units)
        else:
            kept.append(each)
    return kept[::-1]


def _assigned(chosen: Sequence[Measured], have: frozenset[int]) -> list[Kept]:
    """Give each unit to the first program that reaches it."""
    given = set(have)
    kept = []
    for each in chosen:
        own = tuple(unit for unit in each.units if unit not in given)
        given.update(own)
        kept.append(Kept(each, own))
    return kept
