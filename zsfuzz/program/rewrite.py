"""Rewrite: operations with other slots, or with sizes for another page size.

In:    an operation or a program; what to put in place of what.
Out:   new operations; the old ones are frozen values.
Never: a choice what to rewrite: that is a mutation's (zsfuzz/engine/mutate.py) or a shrinking pass's
       (zsfuzz/minimize/slots.py).
Next:  which argument is a slot of which space: FIELDS in zsfuzz/program/limits.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from zsfuzz.policy.size_class import ZS_HANDLE_SIZE, size_class_table
from zsfuzz.program.block import with_each
from zsfuzz.program.limits import (
    BYSTANDER_SLOT,
    FIELDS,
    HANDLE,
    MAX_OFFSET,
    MAX_SIZE,
    PAGE,
    PAGE_SLOT,
    PAGES,
    POOL,
    REF_SLOT,
    Kind,
)
from zsfuzz.program.ops import Component, IsolatedPage, Malloc, Operation, PageName, Pfn, Read, Write
from zsfuzz.program.program import Program


class Space(Enum):
    """The number spaces in which a program names what it made."""

    HANDLE = "h"
    PAGE = "p"
    REF = "r"
    BYSTANDER = "b"
    POOL = "z"


SPACE_OF_KIND: dict[Kind, Space] = {
    HANDLE: Space.HANDLE,
    PAGE_SLOT: Space.PAGE,
    REF_SLOT: Space.REF,
    BYSTANDER_SLOT: Space.BYSTANDER,
    POOL: Space.POOL,
}


def slots_of(operation: Operation) -> Iterator[tuple[Space, int]]:
    """Yield (space, slot) of every name in an operation, in the order of its arguments."""
    for name, kind in FIELDS[type(operation)]:
        value = getattr(operation, name)
        space = SPACE_OF_KIND.get(kind)
        if space is not None:
            yield space, value
        elif kind == PAGE:
            yield from _slots_of_page(value)
        elif kind == PAGES:
            for page in value:
                yield from _slots_of_page(page)


def _slots_of_page(page: PageName) -> Iterator[tuple[Space, int]]:
    match page:
        case Component(slot, _):
            yield Space.HANDLE, slot
        case IsolatedPage(page_slot):
            yield Space.PAGE, page_slot
        case Pfn():
            pass


def renamed(operation: Operation, space: Space, names: Mapping[int, int]) -> Operation:
    """Return the operation with the slots of one space renamed; those that `names` lacks stay."""
    changes: dict[str, Any] = {}
    for name, kind in FIELDS[type(operation)]:
        value = getattr(operation, name)
        after: Any = value
        if SPACE_OF_KIND.get(kind) is space:
            after = names.get(value, value)
        elif kind == PAGE:
            after = _renamed_page(value, space, names)
        elif kind == PAGES:
            after = tuple([_renamed_page(page, space, names) for page in value])
        if after != value:
            changes[name] = after
    return replace(operation, **changes) if changes else operation


def _renamed_page(page: PageName, space: Space, names: Mapping[int, int]) -> PageName:
    match page:
        case Component(slot, index):
            return Component(names.get(slot, slot), index) if space is Space.HANDLE else page
        case IsolatedPage(page_slot):
            return IsolatedPage(names.get(page_slot, page_slot)) if space is Space.PAGE else page
        case Pfn():
            return page


def renamed_program(program: Program, space: Space, names: Mapping[int, int]) -> Program:
    """Return the program with the slots of one space renamed, in its steps and in its block."""
    return with_each_operation(program, lambda operation: renamed(operation, space, names))


def with_each_operation(program: Program, change: Callable[[Operation], Operation]) -> Program:
    """Return the program with every operation changed; header and schedule stay."""
    block = None if program.block is None else with_each(program.block, change)
    return replace(program, steps=tuple([change(step) for step in program.steps]), block=block)


def rescaled(operation: Operation, page_size_before: int, page_size_after: int) -> Operation:
    """Return an operation as it would be with other pages: scaled, a malloc in a class of the same shape.

    page_size_before, page_size_after: bytes, of geometries. A class that fills N pages with M objects does so
    in pages of any size, as far as the steps between classes allow. Requests that get a page of their own, or
    none, keep their distance from the page size.
    """
    if page_size_before == page_size_after:
        return operation
    if isinstance(operation, Read | Write):
        offset = min(operation.offset * page_size_after // page_size_before, MAX_OFFSET)
        length = min(operation.length * page_size_after // page_size_before, MAX_OFFSET)
        return replace(operation, offset=offset, length=length)
    if not isinstance(operation, Malloc) or not operation.size:
        return operation
    size = operation.size
    size_class = size_class_table(page_size_before).class_for(size + ZS_HANDLE_SIZE)
    if size_class.huge:
        return replace(operation, size=min(max(1, size - page_size_before + page_size_after), MAX_SIZE))
    slot_bytes = size_class.size_bytes * page_size_after // page_size_before
    return replace(operation, size=max(1, slot_bytes - ZS_HANDLE_SIZE))


def rescaled_program(program: Program, page_size_before: int, page_size_after: int) -> Program:
    """Return the program with every operation as it would be with other pages; the header stays."""
    return with_each_operation(program, lambda step: rescaled(step, page_size_before, page_size_after))
