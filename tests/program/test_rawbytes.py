"""Raw bytes: every input is a program, and a small change of the input is a small change of the program."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from zsfuzz.program import ops
from zsfuzz.program.block import Block, Switch
from zsfuzz.program.limits import check_program
from zsfuzz.program.program import SWITCHES, Header, Program
from zsfuzz.program.rawbytes import (
    MAX_RAW_OPERATIONS,
    MAX_RAW_STEPS,
    MAX_RAW_SWITCHES,
    STEP_BYTES,
    SWITCH_BYTES,
    decode_raw,
)


def record(first: int, slot: int = 0, detail: int = 0, which: int = 0) -> bytes:
    return bytes((first, slot, 0, 0, 0, 0, detail, which))


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_well_formed_program(data: bytes) -> None:
    check_program(decode_raw(data))


@given(st.binary(max_size=2000))
def test_without_a_block_every_eight_bytes_are_a_step(data: bytes) -> None:
    program = decode_raw(b"\0" + data)
    assert len(program.steps) == (len(data) + STEP_BYTES - 1) // STEP_BYTES
    assert program.block is None


@given(st.binary(min_size=8, max_size=200), st.integers(0, 10**6), st.integers(1, 255))
def test_one_changed_byte_changes_one_step(data: bytes, place: int, mask: int) -> None:
    """Or, in a map, the unmaps that follow it too."""
    data = b"\0" + data
    changed = bytearray(data)
    at = 1 + place % (len(data) - 1)
    changed[at] ^= mask
    before, after = decode_raw(data), decode_raw(bytes(changed))
    differing = [i for i, steps in enumerate(zip(before.steps, after.steps, strict=True)) if steps[0] != steps[1]]
    assert before.header == after.header
    others = [after.steps[i] for i in differing if i != (at - 1) // STEP_BYTES]
    assert all(isinstance(step, ops.Unmap) for step in others)


@given(st.binary(max_size=200), st.integers(1, 127))
def test_a_first_byte_without_a_block_changes_no_step(data: bytes, first: int) -> None:
    assert decode_raw(bytes((first,)) + data).steps == decode_raw(b"\0" + data).steps


def test_nothing_is_the_empty_program() -> None:
    assert decode_raw(b"") == Program(Header(), ())


def test_every_first_byte_means_an_operation_and_every_operation_has_one() -> None:
    program = decode_raw(b"\0" + b"".join(record(first) for first in range(256)))
    assert {type(step) for step in program.steps} == set(ops.OPERATIONS)


def test_every_word_of_every_enumeration_can_be_reached() -> None:
    records = [record(first, detail=detail) for first in range(256) for detail in (*range(16), 255)]
    steps = decode_all(records)
    for enum in (
        ops.MapMode,
        ops.MigrateMode,
        ops.PoisonKind,
        ops.ShrinkKind,
        ops.Scanner,
        ops.BystanderKind,
    ):
        assert {member for member in enum if member in values_of(steps)} == set(enum)
    assert {step.gfp for step in steps if isinstance(step, ops.Malloc)} == set(ops.Gfp)
    assert {step.operation for step in steps if isinstance(step, ops.Fail)} == set(ops.FailOperation)


def decode_all(records: list[bytes]) -> list[ops.Operation]:
    return [step for one in records for step in decode_raw(b"\0" + one).steps]


def values_of(steps: list[ops.Operation]) -> list[object]:
    return [getattr(step, name) for step in steps for name in step.__dataclass_fields__]


def test_pages_are_named_in_all_three_ways() -> None:
    steps = decode_all([record(first, which=which) for first in range(256) for which in (0, 180, 255)])
    pages = [step.page for step in steps if isinstance(step, ops.Isolate)]
    assert {type(page) for page in pages} == {ops.Component, ops.IsolatedPage, ops.Pfn}


def test_a_migrate_may_take_the_whole_zspage() -> None:
    steps = decode_all([record(first, slot=3) for first in range(256)])
    migrates = [step for step in steps if isinstance(step, ops.Migrate)]
    assert migrates[0].pages == tuple(ops.Component(0, index) for index in range(4))


def test_an_unmap_finds_the_map_before_it() -> None:
    maps = [first for first in range(256) if isinstance(decode_all([record(first)])[0], ops.Map)]
    unmaps = [first for first in range(256) if isinstance(decode_all([record(first)])[0], ops.Unmap)]
    steps = decode_raw(b"\0" + record(maps[0], slot=7) + record(unmaps[0], slot=2)).steps
    assert steps[1] == ops.Unmap(7)


def test_the_first_byte_switches() -> None:
    assert decode_raw(b"\x3f").header.switches == ()
    assert decode_raw(b"\xc0").header.switches == ()
    assert decode_raw(b"\xff").header.switches == SWITCHES
    assert len(SWITCHES) <= 5, "byte 0 has no bit left for another switch: use a second byte"


def test_the_first_byte_asks_for_a_block() -> None:
    """From 128 on without a switch; from 192 on one bit of it does."""
    having = [first for first in range(256) if decode_raw(bytes((first,))).block is not None]
    assert having == [first for first in range(128, 256) if first < 192 or first & 32]


def block_of_bytes(steps: bytes, operations: bytes, switches: bytes, lanes: int) -> Program:
    """What a block of these parts means. lanes: 2..4."""
    tail = bytes((len(switches) // SWITCH_BYTES, len(operations) // STEP_BYTES, lanes - 2))
    return decode_raw(b"\x80" + steps + operations + switches + tail)


def test_a_block_is_read_from_the_end() -> None:
    """Three lanes: slots 0x01, 0x22 and 0x43 are slots 1, 2 and 3 in lanes 0, 1 and 2."""
    free = next(first for first in range(256) if isinstance(decode_all([record(first)])[0], ops.Free))
    operations = record(free, 0x01) + record(free, 0x22) + record(free, 0x43) + record(free, 0x24)
    switches = bytes((1, 1, 5, 0)) + bytes((0x90, 0, 3, 0)) + bytes((2, 1, 9, 9)) + bytes((1, 0, 4, 255))
    for steps in (b"", record(free, 9), record(free, 9)[:5]):
        program = block_of_bytes(steps, operations, switches, 3)
        assert len(program.steps) == bool(steps)
        assert program.block == Block(
            ((ops.Free(1),), (ops.Free(2), ops.Free(4)), (ops.Free(3),)),
            (
                Switch(0, 0, 3, 2, held=1),
                Switch(1, 0, 4 | 7 << 8, 2),
                Switch(1, 1, 5, 2),
                Switch(2, 1, 0, 0),
            ),
        )


def test_two_lanes_keep_a_map_each() -> None:
    maps = [first for first in range(256) if isinstance(decode_all([record(first)])[0], ops.Map)]
    unmaps = [first for first in range(256) if isinstance(decode_all([record(first)])[0], ops.Unmap)]
    operations = record(maps[0], 0x07) + record(maps[0], 0x29) + record(unmaps[0], 0x00) + record(unmaps[0], 0x20)
    block = block_of_bytes(b"", operations, b"", 2).block
    assert block is not None
    assert [lane[1] for lane in block.lanes] == [ops.Unmap(7), ops.Unmap(9)]


def test_of_two_switches_at_one_place_the_first_stays() -> None:
    block = block_of_bytes(b"", record(0), bytes((0, 0, 7, 0)) + bytes((0x80, 0, 7, 0)), 2).block
    assert block is not None
    assert block.schedule == (Switch(0, 0, 7, 1),)


def test_blocks_of_any_bytes_come_in_all_shapes() -> None:
    rng = Random(1)
    blocks = [decode_raw(b"\x80" + rng.randbytes(rng.randrange(600))).block for _ in range(300)]
    assert {len(block.lanes) for block in blocks if block} == {2, 3, 4}
    assert max(block.operations_count for block in blocks if block) == MAX_RAW_OPERATIONS
    assert max(len(block.schedule) for block in blocks if block) > MAX_RAW_SWITCHES // 2
    every = [(block, switch) for block in blocks if block for switch in block.schedule]
    assert {switch.lane for _, switch in every} == {switch.to for _, switch in every} == {0, 1, 2, 3}
    assert {switch.held for _, switch in every} == {0, 1, 2}
    assert any(switch.operation == len(block.lanes[switch.lane]) for block, switch in every)
    assert any(switch.point > 1000 for _, switch in every)


def test_more_bytes_than_the_cap_are_not_looked_at() -> None:
    data = bytes(1 + (MAX_RAW_STEPS + 5) * STEP_BYTES)
    assert len(decode_raw(data).steps) == MAX_RAW_STEPS
