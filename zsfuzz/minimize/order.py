"""Order: which of two programs is the simpler one.

In:    programs.
Out:   cost() and simpler(); there is no endless way down.
Never: a proposal; those are the passes'.
Next:  zsfuzz/minimize/search.py refuses to accept a program that is not simpler.

    cost = (operations, those in the block, lanes, switches, header, arguments of each operation but its slots,
            slots in order of appearance, how early the switches are)

A range is simpler when it is shorter, then when it starts lower. A component is the simplest name of a page
and a pfn the worst: it says nothing to a reader, and another frame tomorrow. A switch is simpler when it is later:
more of what happens before it happens in one piece.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from zsfuzz.program.block import Block
from zsfuzz.program.limits import FIELDS
from zsfuzz.program.ops import OPERATIONS, Component, IsolatedPage, Operation, PageName, Pfn
from zsfuzz.program.program import Header, Program
from zsfuzz.program.rewrite import SPACE_OF_KIND, slots_of

Cost = tuple[Any, ...]
"""Nested tuples of int, comparable with any other of its sort."""

SIMPLEST_HEADER = Header()
_NUMBERS = {operation: number for number, operation in enumerate(OPERATIONS)}


def cost(program: Program) -> Cost:
    """Return what the passes make smaller, most important first."""
    operations = list(program.operations)
    slots = tuple([slot for step in operations for _, slot in slots_of(step)])
    arguments = tuple([(_NUMBERS[type(step)], operation_cost(step)) for step in operations])
    shape, schedule = block_cost(program.block)
    return program.operations_count, *shape, header_cost(program.header), arguments, slots, schedule


def simpler(candidate: Program, best: Program) -> bool:
    """Return whether the candidate costs less; quick for the usual case, in which it is shorter."""
    if candidate.operations_count != best.operations_count:
        return candidate.operations_count < best.operations_count
    return cost(candidate) < cost(best)


def block_cost(block: Block | None) -> tuple[Cost, Cost]:
    """Return the cost of a block's shape, and that of the places of its switches."""
    if block is None:
        return (0, 0, 0), ()
    places = tuple([(-switch.operation, -switch.point, switch.held) for switch in block.schedule])
    return (block.operations_count, len(block.lanes), len(block.schedule)), places


def header_cost(header: Header) -> Cost:
    """Return the cost of geometry, switches and memory; targets, faults and verdict are never changed."""
    return (
        int(header.geometry != SIMPLEST_HEADER.geometry),
        len(header.switches),
        header.normal_pages,
        header.movable_pages,
    )


def operation_cost(operation: Operation) -> Cost:
    """Return the cost of an operation's arguments but its slots; comparable within one class."""
    parts: list[Any] = []
    start = getattr(operation, "start", None)
    for name, kind in FIELDS[type(operation)]:
        value = getattr(operation, name)
        if kind in SPACE_OF_KIND:
            continue
        if name == "start":
            parts.append(getattr(operation, "end", value) - value)
        elif name == "end":
            parts.append(start)
        elif isinstance(value, Enum):
            parts.append(list(type(value)).index(value))
        elif isinstance(value, tuple):
            parts.append((len(value), *[page_cost(page) for page in value]))
        elif isinstance(value, Component | IsolatedPage | Pfn):
            parts.append(page_cost(value))
        else:
            parts.append(value)
    return tuple(parts)


def page_cost(page: PageName) -> Cost:
    """Return the cost of a page's name but its slot."""
    match page:
        case Component(_, index):
            return 0, index
        case IsolatedPage():
            return 1, 0
        case Pfn(pfn):
            return 2, pfn
