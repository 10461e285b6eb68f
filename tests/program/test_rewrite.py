"""Rewriting: slots are found and renamed in every operation, and sizes keep the shape of their class."""

from __future__ import annotations

import pytest

from zsfuzz.machine.geometry import GEOMETRIES
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE
from zsfuzz.program import ops
from zsfuzz.program.block import Block, Switch
from zsfuzz.program.limits import MAX_OFFSET, MAX_SIZE
from zsfuzz.program.program import Header, Program
from zsfuzz.program.rewrite import Space, renamed, renamed_program, rescaled, rescaled_program, slots_of

EVERY_NAME = ops.Migrate((ops.Component(4, 1), ops.IsolatedPage(4), ops.Pfn(4)), ops.MigrateMode.SYNC)


@pytest.mark.parametrize(
    ("operation", "slots"),
    [
        (ops.Malloc(3, 100, ops.Gfp.KERNEL, 2), [(Space.HANDLE, 3), (Space.POOL, 2)]),
        (ops.Isolate(5, ops.Component(3, 1)), [(Space.PAGE, 5), (Space.HANDLE, 3)]),
        (ops.Isolate(5, ops.Pfn(3)), [(Space.PAGE, 5)]),
        (EVERY_NAME, [(Space.HANDLE, 4), (Space.PAGE, 4)]),
        (ops.SpeculativeGet(1, ops.IsolatedPage(2)), [(Space.REF, 1), (Space.PAGE, 2)]),
        (ops.Bystander(6, ops.BystanderKind.LRU, 0), [(Space.BYSTANDER, 6)]),
        (ops.Scan(ops.Scanner.KPAGEFLAGS, 1, 2), []),
        (ops.RunWork(), []),
    ],
    ids=str,
)
def test_the_slots_of_an_operation_come_in_the_order_of_its_arguments(
    operation: ops.Operation, slots: list[tuple[Space, int]]
) -> None:
    assert list(slots_of(operation)) == slots


def test_renaming_touches_one_space_only() -> None:
    assert renamed(EVERY_NAME, Space.HANDLE, {4: 9}) == ops.Migrate(
        (ops.Component(9, 1), ops.IsolatedPage(4), ops.Pfn(4)), ops.MigrateMode.SYNC
    )
    assert renamed(EVERY_NAME, Space.PAGE, {4: 9}) == ops.Migrate(
        (ops.Component(4, 1), ops.IsolatedPage(9), ops.Pfn(4)), ops.MigrateMode.SYNC
    )
    assert renamed(ops.Malloc(1, 1, ops.Gfp.MOVABLE, 1), Space.POOL, {1: 0}) == ops.Malloc(1, 1)


def test_what_has_no_such_slot_stays_the_same_object() -> None:
    assert renamed(EVERY_NAME, Space.REF, {4: 9}) is EVERY_NAME
    assert renamed(EVERY_NAME, Space.HANDLE, {5: 9}) is EVERY_NAME


def test_every_class_of_small_pages_keeps_its_shape_in_large_ones() -> None:
    small, large = GEOMETRIES["small"], GEOMETRIES["linux-5.10"]
    for size_class in small.size_classes.classes:
        request = size_class.size_bytes - (0 if size_class.huge else ZS_HANDLE_SIZE)
        scaled = rescaled(ops.Malloc(0, request), small.page_size, large.page_size)
        assert isinstance(scaled, ops.Malloc)
        after = large.size_classes.class_for(scaled.size + ZS_HANDLE_SIZE)
        shape = after.pages_per_zspage, after.objs_per_zspage, after.huge
        assert shape == (size_class.pages_per_zspage, size_class.objs_per_zspage, size_class.huge)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 1), (808, 3256), (1024, 4096), (1025, 4097)])
def test_the_edges_of_sizes_stay_edges(before: int, after: int) -> None:
    scaled = rescaled(ops.Malloc(7, before, ops.Gfp.KERNEL, 1), 1024, 4096)
    if before == 1:
        assert isinstance(scaled, ops.Malloc)
        assert 0 < scaled.size <= 120
    else:
        assert scaled == ops.Malloc(7, after, ops.Gfp.KERNEL, 1)


def test_offsets_and_lengths_scale_with_the_page() -> None:
    assert rescaled(ops.Write(0, 100, 50, 7), 1024, 4096) == ops.Write(0, 400, 200, 7)
    assert rescaled(ops.Read(0, 400, 2), 4096, 1024) == ops.Read(0, 100, 0)


def test_nothing_scales_beyond_what_a_file_may_hold() -> None:
    operations: list[ops.Operation] = [ops.Write(0, MAX_OFFSET, MAX_OFFSET, 7), ops.Malloc(0, MAX_SIZE)]
    assert [rescaled(operation, 1024, 4096) for operation in operations] == operations


def test_a_program_is_renamed_and_rescaled_with_its_block() -> None:
    schedule = (Switch(0, 0, 3, 1),)
    block = Block(((ops.Free(4),), (EVERY_NAME, ops.Malloc(1, 808))), schedule)
    program = Program(Header("small"), (ops.Malloc(4, 808),), block)
    after = renamed_program(program, Space.HANDLE, {4: 9})
    moved = renamed(EVERY_NAME, Space.HANDLE, {4: 9})
    assert after.steps == (ops.Malloc(9, 808),)
    assert after.block == Block(((ops.Free(9),), (moved, ops.Malloc(1, 808))), schedule)
    scaled = rescaled_program(program, 1024, 4096)
    assert scaled.header == program.header
    assert scaled.steps == (ops.Malloc(4, 3256),)
    assert scaled.block == Block(((ops.Free(4),), (EVERY_NAME, ops.Malloc(1, 3256))), schedule)
    assert renamed_program(Program(Header(), (ops.Free(4),)), Space.HANDLE, {4: 9}).block is None


def test_other_operations_and_the_same_pages_change_nothing() -> None:
    malloc = ops.Malloc(0, 100)
    assert rescaled(malloc, 4096, 4096) is malloc
    assert rescaled(ops.RunWork(), 1024, 4096) == ops.RunWork()
