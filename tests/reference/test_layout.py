"""What the legacy design writes where: struct page, struct zspage, handles and headers, read raw.

In:    reference/, a machine.
Out:   nothing.
Never: an accessor of the model where the raw word is the point.
"""

from __future__ import annotations

import pytest

from tests.reference.world import ALMOST_EMPTY, FULL, World
from zsfuzz.machine.layout import (
    PAGE_MAPPING_MOVABLE,
    PG_INDEX,
    PG_MAPCOUNT,
    PG_MAPPING,
    PG_PRIVATE,
    PG_owner_priv_1,
    PG_private,
)

INDEX_BITS = 23  # OBJ_INDEX_BITS on x86-64 with 4096-byte pages


def test_a_zspage_is_chained_by_private_freelist_units_and_mapping() -> None:
    """Class 3264: [0....|2432...|1600...|768....], objects start in each page at these offsets."""
    world = World()
    handle = world.malloc(3256)
    zspage, pages, load = world.zs.zspage_of(handle), world.pages(handle), world.machine.load
    assert [load(page + PG_PRIVATE) for page in pages] == [zspage] * 4
    assert [load(page + PG_INDEX) for page in pages] == [*pages[1:], 0]
    assert [world.machine.load32(page + PG_MAPCOUNT) for page in pages] == [0, 2432, 1600, 768]
    assert [load(page) >> PG_private & 1 for page in pages] == [1, 0, 0, 0]
    assert not any(load(page) >> PG_owner_priv_1 & 1 for page in pages)
    mappings = {load(page + PG_MAPPING) for page in pages}
    assert len(mappings) == 1
    (mapping,) = mappings
    assert mapping & 3 == PAGE_MAPPING_MOVABLE
    assert world.machine.mapping_private_data(mapping & ~3) == world.pool


def test_the_packed_word_holds_fullness_class_isolated_and_magic() -> None:
    """Bits 0-1, 2-10, 11-13 and 14-21; then inuse, freeobj and the first page."""
    world = World()
    handle = world.malloc(3256)
    zspage, (first, second, *_) = world.zs.zspage_of(handle), world.pages(handle)
    world.isolate(first)
    world.isolate(second)
    assert world.machine.load32(zspage) == ALMOST_EMPTY | 202 << 2 | 2 << 11 | 0x58 << 14
    assert world.machine.load32(zspage + 4) == 1
    assert world.machine.load32(zspage + 8) == 1
    assert world.machine.load(zspage + 16) == first
    world.putback(first)
    world.putback(second)
    world.finish()


def test_a_handle_names_pfn_and_index_and_the_header_names_the_handle() -> None:
    world = World()
    first, second = world.malloc(3256), world.malloc(3256)
    page = world.pages(second)[0]
    pfn = world.machine.buddy.page_to_pfn(page)
    assert world.machine.load(second) == (pfn << INDEX_BITS | 1) << 1
    assert world.zs.placement(second) == pfn << 32 | 1
    frame = world.kernel.kmap(page)
    assert world.machine.load(frame) == first | 1
    assert world.machine.load(frame + 3264) == second | 1


def test_the_pin_bit_does_not_change_where_an_object_is() -> None:
    world = World()
    handle = world.malloc(3256)
    placement = world.zs.placement(handle)
    address = world.zs.zs_map_object(world.pool, handle, 0)
    assert world.machine.load(handle) & 1
    assert world.zs.placement(handle) == placement
    assert address == world.kernel.kmap(world.pages(handle)[0]) + 8
    world.zs.zs_unmap_object(world.pool, handle)
    assert not world.machine.load(handle) & 1


def test_a_huge_object_has_no_header_and_its_handle_lies_in_the_page() -> None:
    """page->index = handle | tag; the object begins at byte 0 of the frame."""
    world = World()
    handle = world.malloc(4096)
    (page,) = world.pages(handle)
    assert world.machine.load(page + PG_INDEX) == handle | 1
    assert world.machine.load(page) >> PG_owner_priv_1 & 1
    assert world.machine.load(page) >> PG_private & 1
    assert world.zs.zs_map_object(world.pool, handle, 0) == world.kernel.kmap(page)
    world.zs.zs_unmap_object(world.pool, handle)
    assert world.zs.object_header(world.zs.zspage_of(handle), 0) == handle | 1
    world.finish()


def test_the_exhausted_free_list_ends_in_the_phantom_slot() -> None:
    """Class 3264: 6 links for 5 objects, so that freeobj of a full zspage is 5, and nobody is there."""
    world = World()
    handles = world.fill_zspage(world.row(3264))
    zspage = world.zs.zspage_of(handles[0])
    assert world.machine.load32(zspage + 8) == 5
    assert world.zs.zspage_view(zspage).free_indices == ()
    assert world.zs.object_header(zspage, 5) == 0xFFFFFFFFFFFFFFFE


def test_most_classes_have_a_phantom_slot() -> None:
    """54 of the 69 classes leave room behind their last object."""
    world = World(pages=(64, 192))
    phantoms = 0
    for row in world.table.classes:
        handles = [world.zs.zs_malloc(world.pool, world.payload(row), 0) for _ in range(row.objs_per_zspage)]
        freeobj = world.machine.load32(world.zs.zspage_of(handles[0]) + 8)
        has_room = row.pages_per_zspage * 4096 % row.size_bytes != 0
        assert freeobj == (row.objs_per_zspage if has_room else 0xFFFFFFFF)
        phantoms += has_room
        for handle in handles:
            world.zs.zs_free(world.pool, handle)
    assert (len(world.table.classes), phantoms) == (69, 54)


def test_the_last_link_comes_back_from_32_bits_as_another_value() -> None:
    """Class 2048: -1 << 1 in the frame, 0xffffffff in freeobj, 0xfffffffe when it is written back."""
    world = World()
    row = world.row(2048)
    first, second = world.fill_zspage(row)
    zspage = world.zs.zspage_of(first)
    assert world.machine.load32(zspage + 8) == 0xFFFFFFFF
    world.free(second)
    assert world.zs.object_header(zspage, 1) == 0xFFFFFFFE
    assert world.view(first).free_indices == (1,)
    second = world.malloc(2040)
    assert world.machine.load32(zspage + 8) == 0x7FFFFFFF
    world.free(first)
    assert world.view(second).free_indices == (0,)
    world.check()
    world.finish()


def test_the_free_list_is_last_in_first_out() -> None:
    world = World()
    handles = world.fill_zspage(world.row(3264))
    for index in (1, 3, 0):
        world.free(handles[index])
    assert world.view(handles[2]).free_indices == (0, 3, 1)
    assert [world.index(world.malloc(3256)) for _ in range(3)] == [0, 3, 1]
    assert world.view(handles[2]).fullness == FULL
    world.check()


@pytest.mark.parametrize("name", ["linux-5.10", "small"])
def test_every_class_fills_one_zspage_and_empties_it(name: str) -> None:
    """All contents, headers, offsets and lists hold at empty, at full and half way."""
    world = World(name)
    for row in world.table.classes:
        handles = world.fill_zspage(row)
        assert {world.zs.zspage_of(handle) for handle in handles} == {world.zs.zspage_of(handles[0])}
        assert [world.index(handle) for handle in handles] == list(range(row.objs_per_zspage))
        assert world.listed(row, FULL) == (world.zs.zspage_of(handles[0]),)
        world.check(row)
        for handle in handles[::2]:
            world.free(handle)
        world.check(row)
        for handle in handles[1::2]:
            world.free(handle)
        assert world.zs.zs_get_total_pages(world.pool) == 0
    world.finish()


@pytest.mark.parametrize("name", ["linux-5.10", "small"])
def test_first_object_offsets_are_what_arithmetic_says(name: str) -> None:
    world = World(name)
    for row in world.table.classes:
        handle = world.malloc(world.payload(row), fill=False)
        expected = tuple(-i * world.page_size % row.size_bytes for i in range(row.pages_per_zspage))
        assert world.view(handle).offsets == expected
        world.free(handle)
    world.finish()
