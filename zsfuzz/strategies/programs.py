"""Strategies for programs and their parts, for property-based tests of users' own.

In:    Hypothesis.
Out:   operations(), headers(), programs(), blocks(), schedules(): well-formed values that name things a machine of
       the built-in geometries has. Simple values come first, so that what fails shrinks to something short.
Never: a promise that a step makes sense in its state: one that does not is a no-op, and a program still runs.
Next:  rules that know the state: zsfuzz/strategies/machine.py; what is well-formed at all: zsfuzz/program/limits.py.

    @given(programs(geometry="small"))
    def test_my_allocator_never_differs(program):
        assert Runner(candidate="mymodule:MyAllocator").run(program).findings == ()
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from zsfuzz.engine.vocabulary import BYSTANDER_SLOTS, CHAIN, PAGE_SLOTS, PFNS, POOLS, REF_SLOTS
from zsfuzz.machine.geometry import GEOMETRIES, geometry
from zsfuzz.program import limits, ops
from zsfuzz.program.block import BLOCK_SWITCHES, MAX_LANES, MIN_LANES, Block, Switch, block_of
from zsfuzz.program.limits import FIELDS, Choice, Kind
from zsfuzz.program.program import SWITCHES, Header, Program

SLOTS = 16
"""Object slots of these strategies: few, so that a free meets a malloc."""

_MOST_POINTS = 200  # of an operation, that a switch may be at

_HIGHEST: dict[Kind, int] = {
    limits.HANDLE: SLOTS - 1,
    limits.PAGE_SLOT: PAGE_SLOTS - 1,
    limits.REF_SLOT: REF_SLOTS - 1,
    limits.BYSTANDER_SLOT: BYSTANDER_SLOTS - 1,
    limits.POOL: POOLS - 1,
    limits.COMPONENT: CHAIN - 1,
    limits.PATTERN: 255,
    limits.PFN: PFNS - 1,
    limits.ORDER: 4,
    limits.ORDINAL: CHAIN - 1,
}


def operations(
    page_size: int = 4096, kinds: Sequence[type[ops.Operation]] = ops.OPERATIONS
) -> st.SearchStrategy[ops.Operation]:
    """Return a strategy of single operations. page_size: bytes, of the geometry they are for. kinds: only these."""
    return st.one_of([_operation(kind, page_size) for kind in kinds])


def headers(geometry: str | None = None) -> st.SearchStrategy[Header]:
    """Return a strategy of headers with any core switches. geometry: a name, None for all."""
    switches = [each for each in SWITCHES if each not in BLOCK_SWITCHES]
    names = list(GEOMETRIES) if geometry is None else [geometry]
    return st.builds(
        Header,
        geometry=st.sampled_from(names),
        switches=st.sets(st.sampled_from(switches)).map(
            lambda chosen: tuple([each for each in SWITCHES if each in chosen])
        ),
    )


def programs(*, max_steps: int = 50, geometry: str | None = None, parallel: bool = False) -> st.SearchStrategy[Program]:
    """Return a strategy of whole programs.

    max_steps: before the block. geometry: a name, None for all. parallel: let a program end in a block of lanes.
    """

    def of(header: Header) -> st.SearchStrategy[Program]:
        one = operations(_page_size(header))
        steps = st.lists(one, max_size=max_steps).map(tuple)
        block = blocks(_page_size(header)) if parallel else st.none()
        return st.builds(Program, st.just(header), steps, block)

    return headers(geometry).flatmap(of)


@st.composite
def blocks(draw: st.DrawFn, page_size: int = 4096, max_operations: int = 4) -> Block:
    """Draw a parallel block with its schedule. max_operations: of each lane."""
    lane = st.lists(operations(page_size), min_size=1, max_size=max_operations)
    lanes = tuple([tuple(steps) for steps in draw(st.lists(lane, min_size=MIN_LANES, max_size=MAX_LANES))])
    return Block(lanes, draw(schedules(lanes)))


@st.composite
def schedules(
    draw: st.DrawFn, lanes: tuple[tuple[ops.Operation, ...], ...], max_switches: int = 6
) -> tuple[Switch, ...]:
    """Draw a schedule for these lanes: sorted, at most one switch for each place."""
    switches = []
    for _ in range(draw(st.integers(0, max_switches))):
        lane = draw(st.integers(0, len(lanes) - 1))
        operation = draw(st.integers(0, max(0, len(lanes[lane]) - 1)))
        point = draw(st.integers(0, _MOST_POINTS)) if lanes[lane] else 0
        to = draw(st.sampled_from([other for other in range(len(lanes)) if other != lane]))
        switches.append(Switch(lane, operation, point, to))
    return block_of(lanes, switches).schedule


def _page_size(header: Header) -> int:
    return geometry(header.geometry).page_size


def _operation(kind: type[ops.Operation], page_size: int) -> st.SearchStrategy[ops.Operation]:
    """Return a strategy of one kind; a range never ends before it starts."""
    arguments = {name: _argument(each, page_size) for name, each in FIELDS[kind]}
    if "start" not in arguments:
        return st.builds(kind, **arguments)

    def ordered(**values: Any) -> ops.Operation:
        values["start"], values["end"] = sorted((values["start"], values["end"]))
        made: ops.Operation = kind(**values)
        return made

    return st.builds(ordered, **arguments)


def _argument(kind: Kind, page_size: int) -> st.SearchStrategy[Any]:
    if isinstance(kind, Choice):
        return st.sampled_from(kind.enum)
    if kind == limits.PAGE:
        return _pages()
    if kind == limits.PAGES:
        return st.lists(_pages(), min_size=1, max_size=4).map(tuple)
    if kind == limits.SIZE:
        return st.integers(1, page_size) | st.sampled_from((0, page_size - 8, page_size, page_size + 1))
    if kind in (limits.OFFSET, limits.LENGTH):
        return st.integers(0, page_size)
    return st.integers(0, _HIGHEST[kind])


def _pages() -> st.SearchStrategy[ops.PageName]:
    return st.one_of(
        st.builds(ops.Component, _argument(limits.HANDLE, 0), _argument(limits.COMPONENT, 0)),
        st.builds(ops.IsolatedPage, _argument(limits.PAGE_SLOT, 0)),
        st.builds(ops.Pfn, _argument(limits.PFN, 0)),
    )
