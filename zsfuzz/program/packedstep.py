"""One step as a list of plain values, both ways: what msgpack takes and gives.

In:    an Operation, or whatever a file holds in its place.
Out:   raw_step(), unpack_step().
Never: limits of numbers (zsfuzz/program/limits.py), msgpack itself (zsfuzz/program/packed.py).
Next:  what each step holds in FIELDS of zsfuzz/program/limits.py; the layout in docs/program-format.md.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, assert_never

from zsfuzz.program import ops
from zsfuzz.program.limits import FIELDS, Choice, Kind, Malformed, Number, OnePage, PageList, shown

_COMPONENT, _ISOLATED_PAGE, _PFN = range(3)


def raw_step(step: ops.Operation) -> list[object]:
    """Return the step as a list: the operation's number, then its arguments."""
    opcode, names, converters = _PACKING[type(step)]
    raw = [opcode, *(getattr(step, name) for name in names)]
    for at, to_raw in converters:
        raw[at] = to_raw(raw[at])
    return raw


def _raw_page(page: ops.PageName) -> tuple[int, ...]:
    match page:
        case ops.Component(slot, index):
            return _COMPONENT, slot, index
        case ops.IsolatedPage(page_slot):
            return _ISOLATED_PAGE, page_slot
        case ops.Pfn(pfn):
            return _PFN, pfn
        case _:
            assert_never(page)


def unpack_step(raw: object) -> ops.Operation:
    """Return the step; StepChecker still has to see its numbers."""
    if type(raw) is not list or not raw or type(raw[0]) is not int:
        raise Malformed(f"a step is a list that begins with an operation's number, not {shown(raw)}")
    opcode, *arguments = raw
    if not 0 <= opcode < len(_UNPACKING):
        raise Malformed(f"there is no operation {opcode}; the last one is {len(_UNPACKING) - 1}")
    operation, count, converters = _UNPACKING[opcode]
    if len(arguments) != count:
        raise Malformed(f"{operation.__name__} takes {count} arguments, not {len(arguments)}")
    for at, from_raw in converters:
        arguments[at] = from_raw(arguments[at])
    return operation(*arguments)


def _page(raw: object) -> ops.PageName:
    if type(raw) is list and raw and type(raw[0]) is int:
        tag, *arguments = raw
        if tag == _COMPONENT and len(arguments) == 2:
            return ops.Component(*arguments)
        if tag == _ISOLATED_PAGE and len(arguments) == 1:
            return ops.IsolatedPage(*arguments)
        if tag == _PFN and len(arguments) == 1:
            return ops.Pfn(*arguments)
    raise Malformed(f"a page is a list of a tag 0..2 and its numbers, not {shown(raw)}")


def _pages(raw: object) -> tuple[ops.PageName, ...]:
    if type(raw) is not list:
        raise Malformed(f"the pages of a migrate are a list, not {shown(raw)}")
    return tuple(map(_page, raw))


_Convert = Callable[[Any], Any]


def _to_raw(kind: Kind) -> _Convert | None:
    """Return how an argument of this kind is packed, None for as it is."""
    match kind:
        case Number():
            return None
        case Choice():
            numbers: dict[object, int] = {member: number for number, member in enumerate(_members(kind))}
            return numbers.__getitem__
        case OnePage():
            return _raw_page
        case PageList():
            return lambda pages: [*map(_raw_page, pages)]
        case _:
            assert_never(kind)


def _from_raw(kind: Kind) -> _Convert | None:
    """Return how an argument of this kind is unpacked, None for as it is: the checker sees it anyway."""
    match kind:
        case Number():
            return None
        case Choice():
            return _member_of(kind)
        case OnePage():
            return _page
        case PageList():
            return _pages
        case _:
            assert_never(kind)


def _members(choice: Choice[Any]) -> tuple[Enum, ...]:
    """Return the members in the order of their definition, which numbers them: append only."""
    enum: type[Enum] = choice.enum
    return tuple(enum)


def _member_of(choice: Choice[Any]) -> _Convert:
    members = _members(choice)

    def member(raw: object) -> object:
        if type(raw) is int and 0 <= raw < len(members):
            return members[raw]
        raise Malformed(f"{choice.noun} must be a number from 0 to {len(members) - 1}, not {shown(raw)}")

    return member


def _converters(
    operation: type[ops.Operation], convert: Callable[[Kind], _Convert | None], first: int
) -> tuple[tuple[int, _Convert], ...]:
    """Return (position, conversion) of the arguments that need one, positions counted from `first`."""
    found = ((at, convert(kind)) for at, (_, kind) in enumerate(FIELDS[operation], first))
    return tuple((at, conversion) for at, conversion in found if conversion is not None)


_PACKING = {
    operation: (opcode, tuple(name for name, _ in FIELDS[operation]), _converters(operation, _to_raw, 1))
    for opcode, operation in enumerate(ops.OPERATIONS)
}
_UNPACKING: tuple[tuple[Callable[..., ops.Operation], int, tuple[tuple[int, _Convert], ...]], ...] = tuple(
    (operation, len(FIELDS[operation]), _converters(operation, _from_raw, 0)) for operation in ops.OPERATIONS
)
