"""Tweak: one operation with one argument changed.

In:    dice, an operation, the bounds of its program.
Out:   an operation of the same class, well-formed (zsfuzz/program/limits.py).
Never: a second argument, but for the other end of a range that would end before it starts.
Next:  who picks the operation: zsfuzz/engine/mutate.py.

The arguments and what they may be come from FIELDS in zsfuzz/program/limits.py, so that a new operation
needs nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from zsfuzz.engine.profile import class_table
from zsfuzz.engine.rng import Dice
from zsfuzz.engine.vocabulary import BYSTANDER_SLOTS, CHAIN, PAGE_SLOTS, POOLS, REF_SLOTS, SLOTS
from zsfuzz.machine.geometry import geometry
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE
from zsfuzz.program import limits
from zsfuzz.program.limits import FIELDS, Choice, Kind
from zsfuzz.program.ops import Component, IsolatedPage, Operation, PageName, Pfn
from zsfuzz.program.program import Header

_LONGEST_LIST = 16  # page names that a tweaked migrate may grow to


@dataclass(frozen=True, slots=True)
class Bounds:
    """What arguments stay near. page_size: bytes. memory_pages: frames of both zones."""

    geometry: str
    page_size: int
    memory_pages: int

    @classmethod
    def of(cls, header: Header) -> Bounds:
        """Return the bounds of a program. Errors: UsageError for an unknown geometry."""
        shape = geometry(header.geometry)
        normal_pages = header.normal_pages or shape.normal_pages
        movable_pages = header.movable_pages or shape.movable_pages
        return cls(header.geometry, shape.page_size, normal_pages + movable_pages)


def tweaked(dice: Dice, operation: Operation, bounds: Bounds) -> Operation:
    """Return the operation with one argument changed; as it is when it has none."""
    named = FIELDS[type(operation)]
    if not named:
        return operation
    name, kind = dice.pick(named)
    value = _other_value(dice, kind, getattr(operation, name), bounds)
    changed: Any = {name: value}
    if name == "start":
        changed["end"] = max(value, getattr(operation, "end", value))
    elif name == "end":
        changed["start"] = min(value, getattr(operation, "start", value))
    return replace(operation, **changed)


def _other_value(dice: Dice, kind: Kind, value: Any, bounds: Bounds) -> Any:
    if isinstance(kind, Choice):
        enumeration: type[Enum] = kind.enum
        return dice.pick(list(enumeration))
    if kind == limits.PAGE:
        return _other_page(dice, value, bounds.memory_pages)
    if kind == limits.PAGES:
        return _other_pages(dice, value, bounds.memory_pages)
    if kind == limits.SIZE:
        return _other_size(dice, value, bounds)
    if kind == limits.PFN:
        return _other_pfn(dice, value, bounds.memory_pages)
    if kind in (limits.OFFSET, limits.LENGTH):
        return dice.pick((0, 1, value // 2, value + 1, dice.below(bounds.page_size), bounds.page_size))
    return dice.below(_LIMIT_OF_KIND[kind])


_LIMIT_OF_KIND: dict[Kind, int] = {
    limits.HANDLE: SLOTS,
    limits.PAGE_SLOT: PAGE_SLOTS,
    limits.REF_SLOT: REF_SLOTS,
    limits.BYSTANDER_SLOT: BYSTANDER_SLOTS,
    limits.POOL: POOLS,
    limits.COMPONENT: CHAIN,
    limits.PATTERN: 256,
    limits.ORDER: 5,
    limits.ORDINAL: CHAIN,
}


def _other_size(dice: Dice, size: int, bounds: Bounds) -> int:
    page_size = bounds.page_size
    form = dice.below(4)
    if form == 0:
        return max(0, min(size, page_size) + dice.pick((-16, -8, -1, 1, 8, 16)))
    if form == 1:
        return dice.pick((0, 1, page_size - ZS_HANDLE_SIZE, page_size, page_size + 1, dice.below(page_size)))
    return max(1, dice.pick(class_table(bounds.geometry)).size_bytes - ZS_HANDLE_SIZE)


def _other_pfn(dice: Dice, pfn: int, memory_pages: int) -> int:
    if dice.percent(50):
        return dice.below(memory_pages)
    return max(0, min(pfn, memory_pages) + dice.pick((-16, -2, -1, 1, 2, 16)))


def _other_page(dice: Dice, page: PageName, memory_pages: int) -> PageName:
    if isinstance(page, Component) and dice.percent(50):
        return Component(page.slot, dice.below(CHAIN))
    if isinstance(page, Pfn) and dice.percent(50):
        return Pfn(_other_pfn(dice, page.pfn, memory_pages))
    form = dice.below(4)
    if form == 0:
        return IsolatedPage(dice.below(PAGE_SLOTS))
    if form == 1:
        return Pfn(dice.below(memory_pages))
    return Component(dice.below(SLOTS), dice.below(CHAIN))


def _other_pages(dice: Dice, pages: tuple[PageName, ...], memory_pages: int) -> tuple[PageName, ...]:
    """Return a list with one entry more, one less, or one changed; never longer than _LONGEST_LIST."""
    changed = list(pages)
    form = dice.below(3)
    if not changed or (form == 0 and len(changed) < _LONGEST_LIST):
        page: PageName = changed[0] if changed else Pfn(dice.below(memory_pages))
        changed.insert(dice.below(len(changed) + 1), _other_page(dice, page, memory_pages))
    elif form == 1 and len(changed) > 1:
        del changed[dice.below(len(changed))]
    else:
        at = dice.below(len(changed))
        changed[at] = _other_page(dice, changed[at], memory_pages)
    return tuple(changed)
