"""What a well-formed program is: each rule once at its border, once beyond it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given

from tests.program.refusal import refused
from tests.program.strategies import EVERY_WORD, programs
from zsfuzz.program import limits, ops
from zsfuzz.program.block import MAX_LANES, Block, Chance, Switch
from zsfuzz.program.limits import FIELDS, Malformed, StepChecker, check_header, check_program, shown
from zsfuzz.program.program import Header, Program
from zsfuzz.program.steps import format_step
from zsfuzz.program.text import format_program

SYNC = ops.MigrateMode.SYNC

WIDEST: tuple[ops.Operation, ...] = (
    ops.Malloc(limits.MAX_SLOT, limits.MAX_SIZE, ops.Gfp.KERNEL, limits.MAX_POOL),
    ops.Free(limits.MAX_SLOT),
    ops.Map(limits.MAX_SLOT, ops.MapMode.RW),
    ops.Unmap(limits.MAX_SLOT),
    ops.Write(limits.MAX_SLOT, limits.MAX_OFFSET, limits.MAX_OFFSET, limits.MAX_PATTERN),
    ops.Read(limits.MAX_SLOT, limits.MAX_OFFSET, limits.MAX_OFFSET),
    ops.Compact(limits.MAX_POOL),
    ops.Shrink(ops.ShrinkKind.COUNT, limits.MAX_POOL),
    ops.Isolate(limits.MAX_SLOT, ops.Component(limits.MAX_SLOT, limits.MAX_COMPONENT)),
    ops.Migrate((), ops.MigrateMode.SYNC_NO_COPY),
    ops.Putback(limits.MAX_SLOT),
    ops.RunWork(),
    ops.CompactZone(limits.MAX_PFN, limits.MAX_PFN, ops.MigrateMode.SYNC_NO_COPY),
    ops.Offline(limits.MAX_PFN, limits.MAX_PFN),
    ops.Online(limits.MAX_PFN, limits.MAX_PFN),
    ops.Contig(limits.MAX_PFN, limits.MAX_PFN),
    ops.Poison(ops.Component(limits.MAX_SLOT, limits.MAX_COMPONENT), ops.PoisonKind.SOFT),
    ops.Scan(ops.Scanner.ISOLATE_MIGRATEPAGES, limits.MAX_PFN, limits.MAX_PFN),
    ops.SpeculativeGet(limits.MAX_SLOT, ops.Component(limits.MAX_SLOT, limits.MAX_COMPONENT)),
    ops.SpeculativePut(limits.MAX_SLOT),
    ops.Bystander(limits.MAX_SLOT, ops.BystanderKind.UNMOVABLE, limits.MAX_BYSTANDER_ORDER),
    ops.DropBystander(limits.MAX_SLOT),
    ops.Fail(ops.FailOperation.COMPACT_ZONE, ops.FailWhat.ZSPAGE, limits.MAX_ORDINAL),
    ops.Stats(limits.MAX_POOL),
    ops.HugeClassSize(limits.MAX_POOL),
    ops.CreatePool(limits.MAX_POOL),
    ops.DestroyPool(limits.MAX_POOL),
    ops.Trim(),
)
"""Of every operation one that no other of its class is longer than."""


def add(step: Any) -> str:
    with pytest.raises(Malformed) as caught:
        StepChecker().add(step)
    return str(caught.value)


@given(programs())
def test_every_generated_program_is_well_formed(program: Program) -> None:
    check_program(program)


def test_every_operation_at_its_limits_is_well_formed() -> None:
    assert {type(step) for step in WIDEST} == set(ops.OPERATIONS)
    check_program(Program(Header(), WIDEST))


def test_every_field_of_every_operation_has_a_kind() -> None:
    assert tuple(FIELDS) == ops.OPERATIONS
    for operation, named in FIELDS.items():
        assert [name for name, _ in named] == [field.name for field in fields(operation)]


WRONG: tuple[object, ...] = (-1, 1 << 70, True, False, 1.0, float("nan"), None, "1", b"1", [], (), 10**5000)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: type(value).__name__)
def test_no_argument_of_no_operation_may_have_a_wrong_value(wrong: object) -> None:
    for step in EVERY_WORD.steps:
        for name, kind in FIELDS[type(step)]:
            if kind != limits.PAGES or wrong != ():
                values = {field.name: getattr(step, field.name) for field in fields(step)}
                make: Any = type(step)
                reason = add(make(**{**values, name: wrong}))
                assert reason.startswith(kind.noun)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (ops.Free(limits.MAX_SLOT + 1), "from 0 to 1048575, not 1048576"),
        (ops.Malloc(0, limits.MAX_SIZE + 1), "a number of 65 bits"),
        (ops.Compact(4), "a pool must be a whole number from 0 to 3, not 4"),
        (ops.Offline(0, limits.MAX_PFN + 1), "a pfn must be"),
        (ops.Offline(1, 0), "the range 1..0 ends before it starts"),
        (ops.Online(1, 0), "the range 1..0 ends before it starts"),
        (ops.Contig(1, 0), "the range 1..0 ends before it starts"),
        (ops.CompactZone(1, 0, SYNC), "the range 1..0 ends before it starts"),
        (ops.Scan(ops.Scanner.KPAGEFLAGS, 1, 0), "the range 1..0 ends before it starts"),
        (ops.Bystander(0, ops.BystanderKind.LRU, 11), "an order must be"),
        (ops.Isolate(0, ops.Component(0, limits.MAX_COMPONENT + 1)), "a component index must be"),
        (ops.Isolate(0, ops.Component(limits.MAX_SLOT + 1, 0)), "a handle slot must be"),
        (ops.Isolate(0, ops.IsolatedPage(-1)), "a page slot must be"),
        (ops.Isolate(0, ops.Pfn(-1)), "a pfn must be"),
        (ops.Migrate((ops.Pfn(0), ops.Pfn(-1)), SYNC), "a pfn must be"),
        (ops.Migrate((ops.Pfn(0),) * 513, SYNC), "a list of pages has 513 entries; at most 512 are allowed"),
        (ops.OPERATIONS, "a value of type tuple is no operation"),
        ("free h1", "'free h1' is no operation"),
        (ops.Pfn(0), "a value of type Pfn is no operation"),
    ],
)
def test_a_step_beyond_a_limit_is_refused(step: object, reason: str) -> None:
    assert reason in add(step)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (Header(geometry=""), "the geometry must have 1 to 200 characters, not 0"),
        (Header(geometry="x" * 201), "the geometry must have 1 to 200 characters, not 201"),
        (Header(geometry="a b"), "free of spaces"),
        (Header(geometry="a\nb"), "must be printable"),
        (Header(normal_pages=-1), "the memory of a zone must be"),
        (Header(movable_pages=limits.MAX_ZONE_PAGES + 1), "the memory of a zone must be"),
        (Header(movable_pages=True), "the memory of a zone must be"),
        (Header(switches=("warp",)), "'warp' is no switch"),
        (Header(switches=("no_compaction",) * 2), "twice"),
        (Header(reference=""), "the reference must have"),
        (Header(candidate="a\ud800"), "the candidate must be printable"),
        (Header(faults=("a\0",)), "a fault must be printable"),
        (Header(verdict=" clean"), "the verdict must be printable"),
        (Header(verdict="x" * 1001), "the verdict must have 1 to 1000 characters"),
    ],
)
def test_a_bad_header_is_refused(header: Header, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        check_header(header)
    assert reason in str(caught.value)
    assert refused(check_program, Program(header, ())) == f"<program>: header: {caught.value}"


LANES = ((ops.Trim(),), (ops.Trim(),))


def block_refusal(block: Any) -> str:
    return refused(check_program, Program(Header(), (ops.Trim(),), block), "here")


def test_a_block_at_its_limits_is_well_formed() -> None:
    lane = (ops.Trim(),) * limits.MAX_LANE_OPERATIONS
    few = (ops.Trim(),) * (limits.MAX_BLOCK_OPERATIONS // MAX_LANES)
    schedule = tuple(Switch(0, 0, point, 1) for point in range(limits.MAX_SWITCHES - 1))
    last = Switch(1, limits.MAX_LANE_OPERATIONS - 1, limits.MAX_POINT, 0)
    check_program(Program(Header(), (), Block((lane, lane), (*schedule, last))))
    check_program(Program(Header(), (), Block((few,) * MAX_LANES)))
    check_program(Program(Header(), (), Block(((), ()))))


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (Block(()), "a block has 2 to 4 lanes, not 0"),
        (Block(((),)), "a block has 2 to 4 lanes, not 1"),
        (Block(((),) * 5), "the block has more than 4 lanes"),
        (Block(((ops.Trim(),) * 65, ())), "the lane has more than 64 operations"),
        (Block(((ops.Trim(),) * 43,) * 3), "the block has more than 128 operations"),
        (Block(((ops.Free(-1),), ())), "a handle slot must be"),
        (Block((("trim",), ())), "'trim' is no operation"),  # type: ignore[arg-type]
        (Block(((Block(LANES),), ())), "a value of type Block is no operation"),  # type: ignore[arg-type]
        (Block(([], [])), "a lane is a tuple of operations"),  # type: ignore[arg-type]
        (Block([(), ()]), "a block is a tuple of lanes and a tuple of switches"),  # type: ignore[arg-type]
        (Block(LANES, []), "a block is a tuple of lanes and a tuple of switches"),  # type: ignore[arg-type]
        (LANES, "a block is a tuple of lanes and a tuple of switches"),
        (Block(LANES, ((0, 0, 0, 1),)), "a schedule is a tuple of switches"),  # type: ignore[arg-type]
        (Block(LANES, (Switch(0, 0, 0, 1), Switch(0, 0, 0, 1, held=1))), "two switches are at point 0"),
        (Block(LANES, (Switch(1, 0, 0, 0), Switch(0, 0, 0, 1))), "not in the order of lane, operation and point"),
        (Block(LANES, (Switch(0, 0, 0, 0),)), "lane 0 cannot switch to itself"),
        (Block(LANES, (Switch(2, 0, 0, 0),)), "a switch names lane 2, but the block has 2"),
        (Block(LANES, (Switch(0, 0, 0, 2),)), "a switch names lane 2, but the block has 2"),
        (Block(LANES, (Switch(0, 2, 0, 1),)), "point 0 of operation 2 lies behind the end of lane 0"),
        (Block(LANES, (Switch(0, 1, 1, 1),)), "point 1 of operation 1 lies behind the end of lane 0"),
        (Block(LANES, (Switch(0, 0, limits.MAX_POINT + 1, 1),)), "a point must be a whole number from 0 to"),
        (Block(LANES, (), "pct3"), "a block has a chance or none, not 'pct3'"),  # type: ignore[arg-type]
        (Block(LANES, (), Chance("", 1)), "a policy is a word of small letters, digits and dashes, not ''"),
        (Block(LANES, (), Chance("#", 1)), "a policy is a word of small letters, digits and dashes, not '#'"),
        (Block(LANES, (), Chance("p" * 41, 1)), "a policy is a word of small letters, digits and dashes"),
        (Block(LANES, (), Chance("p", -1)), "the seed of a policy must be"),
        (Block(LANES, (), Chance("p", 1, (1,))), "a chance has the length of each of the 2 lanes, or of none"),
        (Block(LANES, (), Chance("p", 1, (1, -1))), "the length of a lane must be"),
        (Block(LANES, (), Chance("p", 1, [])), "a chance has the length of each"),  # type: ignore[arg-type]
        (Block(LANES, (), Chance("p", 1, (), 2)), "the side that a policy drives must be"),
        (Block(LANES, (Switch(0, 0, 0, 1, 3),)), "what a switch holds back must be a whole number from 0 to 2, not 3"),
        (Block(LANES, tuple(Switch(0, 0, point, 1) for point in range(8193))), "more than 8192 switches"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_block_is_refused(block: object, reason: str) -> None:
    message = block_refusal(block)
    assert message.startswith("here: block: ")
    assert reason in message


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: type(value).__name__)
def test_no_number_of_a_switch_may_have_a_wrong_value(wrong: Any) -> None:
    for name in ("lane", "operation", "point", "to", "held"):
        switch = replace(Switch(0, 0, 0, 1), **{name: wrong})
        assert "must be a whole number" in block_refusal(Block(LANES, (switch,)))


def test_pages_of_a_block_are_counted_over_its_lanes() -> None:
    half = ops.Migrate((ops.Pfn(0),) * 256, SYNC)
    check_program(Program(Header(), (), Block(((half,), (half,)))))
    reason = "the block migrates more than 512 pages by name"
    assert reason in block_refusal(Block(((half,), (half, ops.Migrate((ops.Pfn(0),), SYNC)))))


def test_operations_of_a_block_count_as_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_STEPS", 3)
    assert "the program has more than 3 steps" in block_refusal(Block((*LANES, (ops.Trim(),))))


def test_a_refusal_names_the_step() -> None:
    program = Program(Header(), (ops.Trim(), ops.Compact(4)))
    assert refused(check_program, program, "here") == ("here: step 1: a pool must be a whole number from 0 to 3, not 4")


def test_the_step_after_the_last_allowed_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_STEPS", 3)
    check_program(Program(Header(), (ops.Trim(),) * 3))
    assert "step 3: the program has more than 3 steps" in refused(check_program, Program(Header(), (ops.Trim(),) * 4))


def test_page_names_are_counted_over_the_whole_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PAGE_NAMES", 3)
    step = ops.Migrate((ops.Pfn(0),) * 2, SYNC)
    assert "step 1: the program migrates more than 3 pages" in refused(check_program, Program(Header(), (step, step)))


def test_a_real_capture_is_admitted() -> None:
    """84,277 malloc, 84,277 free, 284 migrate, 40 compact, and 21,162 pages of payload at the peak."""
    assert limits.MAX_STEPS > 84_277 * 2 + 284 + 40
    assert limits.MAX_SLOT > 84_277
    assert limits.MAX_ZONE_PAGES > 2 * 21_162


def test_every_well_formed_program_fits_in_a_file() -> None:
    """What format_program() writes, load_program() takes: the widest of everything, added up."""
    wide = "\U0001f41b"  # four bytes
    names = (wide * limits.MAX_NAME_CHARS,) * limits.MAX_FAULTS
    header = len(names) * (len("fault \n") + len(names[0].encode())) + 4 * limits.MAX_VERDICT_CHARS + 4096
    longest = max(len(format_step(step)) + 1 for step in WIDEST)
    page_name = len(f" h{limits.MAX_SLOT}.{limits.MAX_COMPONENT}")
    switch = len(f" 0.{limits.MAX_LANE_OPERATIONS}+{limits.MAX_POINT}~>1")
    block = 4096 + limits.MAX_BLOCK_OPERATIONS * len("    ") + limits.MAX_SWITCHES * 2 * switch
    assert header + block + limits.MAX_STEPS * longest + limits.MAX_PAGE_NAMES * page_name <= limits.MAX_FILE_BYTES


def test_messages_show_values_short_and_printable() -> None:
    for value in (
        "x" * 10**6,
        "\x1b[2J\n",
        "\ud800",
        10**5000,
        -(10**5000),
        b"\xff" * 100,
        [1] * 100,
        object(),
    ):
        assert len(shown(value)) < 300
        assert shown(value).isprintable()
        assert shown(value).isascii()


def test_the_program_that_says_every_word_is_long_enough_to_be_a_sample() -> None:
    assert len(format_program(EVERY_WORD).splitlines()) > 80
