"""Hypothesis strategies for programs, and one program that says every word.

In:    nothing.
Out:   operations(), headers(), schedules(), blocks(), programs(): every well-formed value, small ones first;
       EVERY_WORD.
Never: the tables of zsfuzz/program/limits.py: what may stand where is written down here once more, by hand.
"""

from __future__ import annotations

from enum import Enum
from itertools import product

from hypothesis import strategies as st

from zsfuzz.program import ops
from zsfuzz.program.block import Block, Chance, Switch
from zsfuzz.program.program import SWITCHES, Header, Program

_SLOTS = st.integers(0, 9) | st.integers(0, (1 << 20) - 1)
_POOLS = st.integers(0, 3)
_WORDS32 = st.integers(0, 5000) | st.integers(0, (1 << 32) - 1)
_SIZES = st.integers(0, 5000) | st.integers(0, (1 << 64) - 1)
_PFNS = st.integers(0, 300) | st.integers(0, 1 << 20)
_RANGES = st.tuples(_PFNS, _PFNS).map(sorted)

_PAGES: st.SearchStrategy[ops.PageName] = st.one_of(
    st.builds(ops.Component, _SLOTS, _SLOTS),
    st.builds(ops.IsolatedPage, _SLOTS),
    st.builds(ops.Pfn, _PFNS),
)
_MODES = st.sampled_from(ops.MigrateMode)


def operations() -> st.SearchStrategy[ops.Operation]:
    """Every well-formed operation."""
    return st.one_of(
        st.builds(ops.Malloc, _SLOTS, _SIZES, st.sampled_from(ops.Gfp), _POOLS),
        st.builds(ops.Free, _SLOTS),
        st.builds(ops.Map, _SLOTS, st.sampled_from(ops.MapMode)),
        st.builds(ops.Unmap, _SLOTS),
        st.builds(ops.Write, _SLOTS, _WORDS32, _WORDS32, st.integers(0, 255)),
        st.builds(ops.Read, _SLOTS, _WORDS32, _WORDS32),
        st.builds(ops.Compact, _POOLS),
        st.builds(ops.Shrink, st.sampled_from(ops.ShrinkKind), _POOLS),
        st.builds(ops.Isolate, _SLOTS, _PAGES),
        st.builds(ops.Migrate, st.lists(_PAGES, max_size=6).map(tuple), _MODES),
        st.builds(ops.Putback, _SLOTS),
        st.builds(ops.RunWork),
        st.builds(lambda ends, mode: ops.CompactZone(ends[0], ends[1], mode), _RANGES, _MODES),
        _RANGES.map(lambda ends: ops.Offline(*ends)),
        _RANGES.map(lambda ends: ops.Online(*ends)),
        _RANGES.map(lambda ends: ops.Contig(*ends)),
        st.builds(ops.Poison, _PAGES, st.sampled_from(ops.PoisonKind)),
        st.builds(lambda scanner, ends: ops.Scan(scanner, *ends), st.sampled_from(ops.Scanner), _RANGES),
        st.builds(ops.SpeculativeGet, _SLOTS, _PAGES),
        st.builds(ops.SpeculativePut, _SLOTS),
        st.builds(ops.Bystander, _SLOTS, st.sampled_from(ops.BystanderKind), st.integers(0, 10)),
        st.builds(ops.DropBystander, _SLOTS),
        st.builds(ops.Fail, st.sampled_from(ops.FailOperation), st.sampled_from(ops.FailWhat), _SLOTS),
        st.builds(ops.Stats, _POOLS),
        st.builds(ops.HugeClassSize, _POOLS),
        st.builds(ops.CreatePool, _POOLS),
        st.builds(ops.DestroyPool, _POOLS),
        st.builds(ops.Trim),
    )


def _names() -> st.SearchStrategy[str]:
    wide = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and " " not in text)
    return st.from_regex(r"[a-z:.#=-]{1,12}", fullmatch=True) | wide


def _verdicts() -> st.SearchStrategy[str]:
    wide = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable() and text == text.strip())
    return st.sampled_from(("clean", "bug/VM_BUG_ON PageLocked/unlock_page>putback/flags", "# is no comment")) | wide


def headers() -> st.SearchStrategy[Header]:
    """Every well-formed header."""
    pages = st.just(0) | st.integers(0, 1 << 16)
    return st.builds(
        Header,
        geometry=st.sampled_from(("linux-5.10", "small")) | _names(),
        normal_pages=pages,
        movable_pages=pages,
        switches=st.lists(st.sampled_from(SWITCHES), unique=True).map(tuple),
        reference=st.none() | _names(),
        candidate=st.none() | _names(),
        faults=st.lists(_names(), unique=True, max_size=4).map(tuple),
        verdict=st.none() | _verdicts(),
    )


@st.composite
def schedules(draw: st.DrawFn, lanes: tuple[tuple[ops.Operation, ...], ...]) -> tuple[Switch, ...]:
    """Every well-formed schedule of at most eight switches for these lanes."""
    found: dict[tuple[int, int, int], Switch] = {}
    for _ in range(draw(st.integers(0, 8))):
        lane = draw(st.integers(0, len(lanes) - 1))
        operation = draw(st.integers(0, len(lanes[lane])))
        at_end = operation == len(lanes[lane])
        point = 0 if at_end else draw(st.integers(0, 40) | st.integers(0, (1 << 20) - 1))
        to = draw(st.sampled_from([other for other in range(len(lanes)) if other != lane]))
        found[lane, operation, point] = Switch(lane, operation, point, to, draw(st.integers(0, 2)))
    return tuple(found[place] for place in sorted(found))


@st.composite
def blocks(draw: st.DrawFn, max_operations: int = 4) -> Block:
    """Every well-formed block of at most `max_operations` operations in a lane."""
    lane = st.lists(operations(), max_size=max_operations).map(tuple)
    lanes = draw(st.lists(lane, min_size=2, max_size=4).map(tuple))
    return Block(lanes, draw(schedules(lanes)), draw(st.none() | chances(len(lanes))))


def chances(lanes_count: int) -> st.SearchStrategy[Chance]:
    """Every well-formed chance."""
    length = st.integers(0, 500) | st.integers(0, (1 << 32) - 1)
    lengths = st.just(()) | st.tuples(*(length,) * lanes_count)
    return st.builds(
        Chance,
        st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True),
        st.integers(0, (1 << 64) - 1),
        lengths,
        st.integers(0, 1),
    )


def programs(max_steps: int = 12) -> st.SearchStrategy[Program]:
    """Every well-formed program of at most `max_steps` steps, with and without a block."""
    steps = st.lists(operations(), max_size=max_steps).map(tuple)
    return st.builds(Program, headers(), steps, st.none() | blocks())


def _every_step() -> tuple[ops.Operation, ...]:
    """Every operation, every member of every enumeration, every sort of page name."""
    pages: tuple[ops.PageName, ...] = (ops.Component(3, 1), ops.IsolatedPage(2), ops.Pfn(37))
    found: list[ops.Operation] = [ops.Malloc(1, size, gfp, pool) for size, gfp, pool in _mallocs()]
    found += [ops.Free(1), *(ops.Map(1, mode) for mode in ops.MapMode), ops.Unmap(1)]
    found += [ops.Write(1, 8, 16, 0x5A), ops.Read(1, 0, 3256), ops.Compact(), ops.Compact(2)]
    found += [ops.Shrink(kind, pool) for kind, pool in product(ops.ShrinkKind, (0, 3))]
    found += [ops.Isolate(0, page) for page in pages]
    found += [ops.Migrate(pages[:count], mode) for count, mode in product(range(4), ops.MigrateMode)]
    found += [ops.Putback(0), ops.RunWork()]
    found += [ops.CompactZone(0, 128, mode) for mode in ops.MigrateMode]
    found += [ops.Offline(0, 32), ops.Online(0, 32), ops.Contig(16, 48)]
    found += [ops.Poison(page, kind) for page, kind in product(pages, ops.PoisonKind)]
    found += [ops.Scan(scanner, 0, 256) for scanner in ops.Scanner]
    found += [*(ops.SpeculativeGet(0, page) for page in pages), ops.SpeculativePut(0)]
    found += [*(ops.Bystander(0, kind, 2) for kind in ops.BystanderKind), ops.DropBystander(0)]
    found += [ops.Fail(operation, what, 1) for operation, what in product(ops.FailOperation, ops.FailWhat)]
    found += [ops.Stats(), ops.HugeClassSize(), ops.CreatePool(1), ops.DestroyPool(1), ops.Trim()]
    return tuple(found)


def _mallocs() -> list[tuple[int, ops.Gfp, int]]:
    return [(size, gfp, pool) for size in (0, 3256) for gfp in ops.Gfp for pool in (0, 1)]


EVERY_WORD = Program(
    Header(
        geometry="small",
        normal_pages=64,
        movable_pages=192,
        switches=SWITCHES,
        reference="reference",
        candidate="candidate-literal:H05",
        faults=("H05", "R-example"),
        verdict="invariant/I5/unlock_page>putback_movable_page/flags",
    ),
    _every_step(),
    Block(
        ((ops.Free(1), ops.Malloc(2, 64)), (), (ops.Migrate((ops.Component(1, 0),), ops.MigrateMode.SYNC),)),
        (
            Switch(0, 0, 17, 2),
            Switch(0, 1, 0, 1, held=1),
            Switch(0, 1, 300, 2, held=2),
            Switch(0, 2, 0, 1),
            Switch(1, 0, 0, 2, held=1),
            Switch(2, 0, 70_000, 0),
        ),
        Chance("pct3", 17, (40, 0, 70_000), 0),
    ),
)


def words_of(enum: type[Enum]) -> set[str]:
    """The words of an enumeration, as the text form writes them."""
    return {str(member.value) for member in enum}
