"""Slots: passes that number what a program names from 0, in the order in which it appears.

In:    a Search.
Out:   a best program with fewer or lower slot numbers.
Never: a change of anything else.
Next:  zsfuzz/program/rewrite.py renames.

    h17 = malloc 3256        h0 = malloc 3256
    p4 = isolate h17.2  ->   p0 = isolate h0.2
    free h17                 free h0
"""

from __future__ import annotations

from collections.abc import Mapping

from zsfuzz.minimize.search import Search
from zsfuzz.program.program import Program
from zsfuzz.program.rewrite import Space, renamed_program, slots_of

_MOST_MERGED = 6  # slots that are tried in place of one
_MOST_LOWERED = 3  # free numbers that are tried in place of one


def number_slots(search: Search) -> None:
    """Merge slots that need not be two, then number each space by first appearance."""
    search.phase = "numbering"
    for space in Space:
        _merge(search, space)
        order = _in_order(search.best, space)
        names = {slot: number for number, slot in enumerate(order)}
        if order != list(names.values()) and not _attempt(search, space, names):
            _one_by_one(search, space)


def _in_order(program: Program, space: Space) -> list[int]:
    return list(dict.fromkeys(slot for step in program.operations for of, slot in slots_of(step) if of is space))


def _attempt(search: Search, space: Space, names: Mapping[int, int]) -> bool:
    return search.attempt(renamed_program(search.best, space, names))


def _merge(search: Search, space: Space) -> None:
    """Let one slot serve for two, of which one is not named any more when the other appears."""
    for slot in sorted(_in_order(search.best, space)):
        for lower in _free_before(search.best, space, slot)[:_MOST_MERGED]:
            if _attempt(search, space, {slot: lower}):
                break


def _free_before(program: Program, space: Space, slot: int) -> list[int]:
    """Return the lower slots that are mentioned only before, or only after, all mentions of this one.

    Lanes count as if they came one after the other, which they do not: what that breaks, the predicate refuses.
    """
    mentions: dict[int, list[int]] = {}
    for index, step in enumerate(program.operations):
        for of, name in slots_of(step):
            if of is space:
                mentions.setdefault(name, []).append(index)
    first, last = mentions[slot][0], mentions[slot][-1]
    return sorted(name for name, at in mentions.items() if name < slot and (at[-1] < first or last < at[0]))


def _one_by_one(search: Search, space: Space) -> None:
    """Lower each slot to one of the lowest numbers that are free, where all together did not do."""
    for slot in _in_order(search.best, space):
        taken = set(_in_order(search.best, space))
        free = [lower for lower in range(min(slot, len(taken) + _MOST_LOWERED)) if lower not in taken]
        for lower in free[:_MOST_LOWERED]:
            if _attempt(search, space, {slot: lower}):
                break
