"""zs_map_object(): objects in one page, objects in two, and the copies that a mode spares.

In:    reference/, a machine.
Out:   nothing.
Never: two mappings at a time, but where the contract's breach is the point.
"""

from __future__ import annotations

import pytest

from tests.reference.world import World, reports
from zsfuzz.target.protocol import ZS_MM_RO, ZS_MM_RW, ZS_MM_WO


def buffer_of(world: World) -> int:
    """The CPU's copy buffer."""
    return world.machine.load(world.zs.get_cpu_area())


def straddling(world: World) -> tuple[int, int]:
    """Two straddling objects of one 3264 zspage (objects 1 to 4 straddle), filled with A and B."""
    handles = world.fill_zspage(world.row(3264))
    for handle, letter in zip(handles[1:3], (b"A", b"B"), strict=True):
        world.write(handle, letter * 3256)
    return handles[1], handles[2]


def test_an_object_in_one_page_is_mapped_where_it_lies() -> None:
    world = World()
    handle = world.malloc(1000)
    address = world.zs.zs_map_object(world.pool, handle, ZS_MM_RO)
    assert address == world.kernel.kmap(world.pages(handle)[0]) + 8
    world.zs.zs_unmap_object(world.pool, handle)


def test_a_straddling_object_is_mapped_in_the_buffer() -> None:
    """Object 1 of class 3264: 832 bytes in page 0, 2432 in page 1."""
    world = World()
    first, _ = straddling(world)
    address = world.zs.zs_map_object(world.pool, first, ZS_MM_RO)
    assert address == buffer_of(world) + 8
    assert world.machine.memory.read_bytes(address, 3256) == b"A" * 3256
    world.zs.zs_unmap_object(world.pool, first)
    pages = world.pages(first)
    frame = world.kernel.kmap(pages[0])
    assert world.machine.memory.read_bytes(frame + 3264 + 8, 824) == b"A" * 824
    assert world.machine.memory.read_bytes(world.kernel.kmap(pages[1]), 2432) == b"A" * 2432
    assert world.machine.load(frame + 3264) == first | 1
    world.check()


def test_a_straddling_object_mapped_for_writing_is_not_read() -> None:
    """No-read fast path: the buffer shows what the last mapping left in it, and unmap stores just that."""
    world = World()
    first, second = straddling(world)
    assert world.read(second) == b"B" * 3256
    address = world.zs.zs_map_object(world.pool, first, ZS_MM_WO)
    world.machine.memory.write_bytes(address, b"new")
    world.zs.zs_unmap_object(world.pool, first)
    world.contents[first] = b"new" + b"B" * 3253
    world.check()


def test_a_straddling_object_mapped_read_only_is_not_written_back() -> None:
    """No-write fast path."""
    world = World()
    first, _ = straddling(world)
    address = world.zs.zs_map_object(world.pool, first, ZS_MM_RO)
    world.machine.memory.write_bytes(address, b"lost")
    world.zs.zs_unmap_object(world.pool, first)
    assert world.read(first) == b"A" * 3256


def test_a_straddling_object_mapped_for_both_keeps_what_was_not_written() -> None:
    world = World()
    first, _ = straddling(world)
    address = world.zs.zs_map_object(world.pool, first, ZS_MM_RW)
    world.machine.memory.write_bytes(address + 820, b"across")
    world.zs.zs_unmap_object(world.pool, first)
    assert world.read(first) == b"A" * 820 + b"across" + b"A" * 2430


def test_unmapping_a_straddling_object_leaves_its_header_alone() -> None:
    """The buffer's first 8 bytes do not go back: the header is not the user's."""
    world = World()
    first, _ = straddling(world)
    world.zs.zs_map_object(world.pool, first, ZS_MM_RW)
    world.machine.store(buffer_of(world), 0)
    world.zs.zs_unmap_object(world.pool, first)
    world.check()


def test_a_second_mapping_on_one_cpu_breaks_the_lock_order() -> None:
    """map h1; map h2: the second pin would be taken under the first one's migrate lock."""
    world = World()
    first, second = straddling(world)
    world.zs.zs_map_object(world.pool, first, ZS_MM_RO)
    with reports("invariant", "lock order", "pin bit > zspage rwlock > pin bit"):
        world.zs.zs_map_object(world.pool, second, ZS_MM_RO)


def test_a_second_straddling_mapping_would_overwrite_the_buffer_of_the_first() -> None:
    """One buffer a CPU: why the contract allows one mapping."""
    world = World()
    first, second = straddling(world)
    address = world.zs.zs_map_object(world.pool, first, ZS_MM_RO)
    pages = world.pages(second)
    world.zs.map_straddling(world.zs.get_cpu_area(), (pages[1], pages[2]), 2 * 3264 - 4096, 3264)
    assert world.machine.memory.read_bytes(address, 4) == b"BBBB"


@pytest.mark.parametrize("name", ["linux-5.10", "small"])
def test_every_object_of_every_class_holds_its_bytes_beside_its_neighbours(name: str) -> None:
    world = World(name)
    for row in world.table.classes:
        handles = world.fill_zspage(row)
        for number, handle in enumerate(handles):
            world.write(handle, bytes([number % 251]) * world.payload(row))
        world.check(row)
        for handle in handles:
            world.free(handle)
    world.finish()


def test_a_mapping_holds_the_pin_and_the_migrate_lock() -> None:
    world = World()
    handle = world.malloc(3256)
    zspage = world.zs.zspage_of(handle)
    world.zs.zs_map_object(world.pool, handle, ZS_MM_RW)
    assert world.machine.locks.held == [("pin bit", handle), ("zspage rwlock", zspage + 40)]
    world.zs.zs_unmap_object(world.pool, handle)
    assert world.machine.locks.held == []


def test_without_compaction_a_mapping_holds_the_pin_alone() -> None:
    world = World(switches=("no_compaction",))
    handle = world.malloc(3256)
    world.zs.zs_map_object(world.pool, handle, ZS_MM_RW)
    assert world.machine.locks.held == [("pin bit", handle)]
    world.zs.zs_unmap_object(world.pool, handle)
    world.finish()
