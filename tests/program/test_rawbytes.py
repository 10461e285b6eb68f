"""Raw bytes: every input is a program, and a small change of the input is a small change of the program."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zsfuzz.program import ops
from zsfuzz.program.limits import check_program
from zsfuzz.program.program import SWITCHES, Header, Program
from zsfuzz.program.rawbytes import MAX_RAW_STEPS, STEP_BYTES, decode_raw


def record(first: int, slot: int = 0, detail: int = 0, which: int = 0) -> bytes:
    return bytes((first, slot, 0, 0, 0, 0, detail, which))


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_well_formed_program(data: bytes) -> None:
    program = decode_raw(data)
    check_program(program)
    assert len(program.steps) == (max(len(data) - 1, 0) + STEP_BYTES - 1) // STEP_BYTES


@given(st.binary(min_size=9, max_size=200), st.integers(0, 10**6), st.integers(1, 255))
def test_one_changed_byte_changes_one_step(data: bytes, place: int, mask: int) -> None:
    """Or the header, or, in a map, the unmaps that follow it too."""
    changed = bytearray(data)
    at = place % len(data)
    changed[at] ^= mask
    before, after = decode_raw(data), decode_raw(bytes(changed))
    differing = [i for i, steps in enumerate(zip(before.steps, after.steps, strict=True)) if steps[0] != steps[1]]
    if at == 0:
        assert differing == []
    else:
        assert before.header == after.header
        others = [after.steps[i] for i in differing if i != (at - 1) // STEP_BYTES]
        assert all(isinstance(step, ops.Unmap) for step in others)


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
    assert len(SWITCHES) <= 6, "byte 0 has no bit left for another switch: use a second byte"


def test_more_bytes_than_the_cap_are_not_looked_at() -> None:
    data = bytes(1 + (MAX_RAW_STEPS + 5) * STEP_BYTES)
    assert len(decode_raw(data).steps) == MAX_RAW_STEPS
