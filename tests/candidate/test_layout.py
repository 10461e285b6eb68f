"""The layout of struct zspage, and that it reads as a plain, unlocked, unmapped page."""

from __future__ import annotations

from typing import ClassVar

import pytest

from candidate.allocator import Candidate
from candidate.layout import ZspageLayout, check_layout
from tests.candidate.world import CLASS_3264, HUGE, MOVABLE, World
from zsfuzz.machine.geometry import GEOMETRIES
from zsfuzz.machine.layout import (
    PAGE_MAPPING_MOVABLE,
    PG_COMPOUND_HEAD,
    PG_locked,
    PG_waiters,
)

MEMBERS = ("FLAGS", "LIST", "MAPPING", "PAGE_TYPE", "REFCOUNT", "MEMCG", "SECOND", "PAGES", "SIZE", "ALIGN")


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_that_is_not_where_struct_page_has_it_is_refused(member: str) -> None:
    moved = type("Moved", (ZspageLayout,), {member: getattr(ZspageLayout, member) + 8})
    with pytest.raises(AssertionError, match="struct zspage"):
        check_layout(moved)


def test_the_layout_in_use_is_accepted() -> None:
    class Same(ZspageLayout):
        INUSE: ClassVar[int] = 68  # a member of its own may lie anywhere

    check_layout(Same)


@pytest.mark.parametrize("switches", [(), ("heap_above_memmap",)])
def test_a_live_zspage_reads_as_a_plain_page_to_every_redirected_primitive(switches: tuple[str, ...]) -> None:
    world = World(Candidate, *switches)
    handle = world.malloc()
    zspage, d = world.target.zspage_of(handle), world.d
    for primitive in (
        "PageTail",
        "PageHead",
        "PageCompound",
        "PageLRU",
        "PageSlab",
        "PageAnon",
        "PageWriteback",
    ):
        assert not getattr(d, primitive)(zspage), primitive
    for primitive in (
        "PageReserved",
        "PageHWPoison",
        "PageIsolated",
        "PageBuddy",
        "PageOffline",
        "page_mapped",
    ):
        assert not getattr(d, primitive)(zspage), primitive
    assert not d.page_has_type(zspage)
    assert d.page_mapcount(zspage) == 0
    assert world.machine.load(zspage + 80) == 0xFFFFFFFF_00000000
    assert d.page_count(zspage) == 1


def test_no_bit_of_the_flags_word_is_zsmallocs_own() -> None:
    """PG_locked, PG_waiters and the zone bits (H09, H10)."""
    world = World()
    handles = world.fill(7)
    zspage = world.target.zspage_of(handles[0])
    world.free(handles[1])
    allowed = 1 << PG_locked | 1 << PG_waiters | 3 << 62
    assert world.machine.load(zspage) & ~allowed == 0
    assert world.d.page_zone(zspage) == world.d.page_zone(world.pages(handles[0])[0])


def test_bit_0_of_the_list_word_is_clear_on_every_list_and_off_it() -> None:
    world = World()
    handles = world.fill(6)
    zspage = world.target.zspage_of(handles[0])
    assert world.machine.load(zspage + PG_COMPOUND_HEAD) & 1 == 0
    world.isolate(world.pages(handles[0])[0])
    assert world.machine.load(zspage + PG_COMPOUND_HEAD) & 1 == 0


def test_zspages_are_aligned_for_the_type_bits() -> None:
    world = World()
    heads = [world.target.zspage_of(world.malloc(HUGE)) for _ in range(20)]
    assert all(head % 16 == 0 for head in heads)


def test_a_component_page_holds_compound_head_and_nothing_else() -> None:
    """Every other word is what alloc_page() left."""
    world = World()
    page = world.machine.buddy.alloc_page(MOVABLE)
    fresh = words(world, page)
    world.d.free_page(page)
    handle = world.malloc()
    zspage = world.target.zspage_of(handle)
    for component in world.pages(handle):
        now = words(world, component)
        assert now[1] == zspage | 1
        assert [now[0], *now[3:]] == [fresh[0], *fresh[3:]]


def words(world: World, page: int) -> list[int]:
    """The eight words of a struct page."""
    return [world.machine.load(page + 8 * number) for number in range(8)]


def test_the_mapping_is_set_last_and_names_the_pool() -> None:
    world = World()
    zspage = world.target.zspage_of(world.malloc(CLASS_3264))
    mapping = world.machine.load(zspage + ZspageLayout.MAPPING)
    assert mapping & 3 == PAGE_MAPPING_MOVABLE
    assert world.machine.mapping_private_data(mapping & ~3) == world.pool


@pytest.mark.parametrize("name", sorted(GEOMETRIES))
def test_the_computed_offset_is_the_one_that_a_walk_over_the_objects_finds(name: str) -> None:
    """For all classes and pages: offset(i) equals what init_zspage() would have stored (H08)."""
    world = World(name=name)
    page_size = world.machine.page_size
    for size_class in world.machine.geometry.size_classes.classes:
        starts = range(0, size_class.pages_per_zspage * page_size, size_class.size_bytes)
        for index in range(size_class.pages_per_zspage):
            first = next(start for start in starts if start >= index * page_size)
            assert world.target.first_obj_offset(size_class.size_bytes, index) == first - index * page_size
