"""Page isolation of v5.10, v6.1 and v7.2: real compound pages from every start, wild heads, undoing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.machine.core.support import World, make_world
from zsfuzz.machine.core.bystander import add_bystander
from zsfuzz.machine.core.page_alloc import split_free_page
from zsfuzz.machine.core.page_isolation import (
    has_unmovable_pages,
    set_migratetype_isolate,
    skip_pages_to_end,
    start_isolate_page_range,
    undo_isolate_page_range,
    unset_migratetype_isolate,
)
from zsfuzz.machine.core.page_isolation import (
    test_pages_isolated as pages_isolated,
)
from zsfuzz.machine.core.page_isolation_later import (
    has_unmovable_pages_v6_1,
    has_unmovable_pages_v7_2,
    isolate_single_pageblock,
    or_mask_step,
)
from zsfuzz.machine.core.words import MEMORY_OFFLINE, REPORT_FAILURE
from zsfuzz.machine.layout import (
    EBUSY,
    ENOENT,
    MIGRATE_ISOLATE,
    MIGRATE_MOVABLE,
    MIGRATE_UNMOVABLE,
    PG_COMPOUND_NR,
    PG_MAPPING,
    PG_REFCOUNT,
    STRUCT_PAGE_SIZE,
    PG_head,
    PG_hwpoison,
    PG_lru,
)
from zsfuzz.machine.report import Report
from zsfuzz.program.ops import BystanderKind

Scan = Callable[[World, int, int], int]


def v5_10(world: World, start: int, flags: int = 0) -> int:
    page = world.page(start)
    return has_unmovable_pages(world.core, world.core.d.page_zone(page), page, flags)


def v6_1(world: World, start: int, flags: int = 0) -> int:
    return has_unmovable_pages_v6_1(world.core, start, (start | 15) + 1, flags)


def v7_2(world: World, start: int, flags: int = 0) -> int:
    return has_unmovable_pages_v7_2(world.core, start, (start | 15) + 1, flags)


ALL = pytest.mark.parametrize("scan", [v5_10, v6_1, v7_2])
BOTH_HEAPS = pytest.mark.parametrize("switches", [(), ("heap_above_memmap",)], ids=["head below", "head above"])


def found(world: World, page: int) -> int:
    return world.pfn(page) if page else -1


@ALL
def test_the_first_unmovable_page_is_found(scan: Scan, world: World) -> None:
    """[m m L . . k m m]: free and movable pages are passed."""
    world.movable_at(16, 17, 22, 23)
    lru = world.page(add_bystander(world.core, 0, BystanderKind.LRU, 1))
    assert world.core.d.PageLRU(lru)
    assert scan(world, 16, 0) == 0
    world.kernel_page_at(21)
    assert found(world, scan(world, 16, 0)) == 21
    assert found(world, scan(world, 21, 0)) == 21
    assert scan(world, 22, 0) == 0


@ALL
@pytest.mark.parametrize("start", range(16, 32))
def test_a_real_compound_page_is_unmovable_from_every_start_inside_it(scan: Scan, start: int, world: World) -> None:
    world.take_block(20, 2, compound=True)
    expected = max(start, 20) if start < 24 else -1
    assert found(world, scan(world, start, 0)) == expected


@ALL
@pytest.mark.parametrize("start", range(16, 24))
def test_a_real_huge_lru_page_is_skipped_to_its_end_from_every_start(scan: Scan, start: int, world: World) -> None:
    """[H t t t t t t t k]: whatever the way of skipping, the kernel page behind it is found."""
    head = world.take_block(16, 3, compound=True)
    world.m.set_bit(PG_lru, head)
    world.kernel_page_at(24)
    assert found(world, scan(world, start, 0)) == 24


@ALL
def test_in_the_movable_zone_only_reserved_pages_count(scan: Scan, world: World) -> None:
    world.kernel_page_at(66)
    assert scan(world, 64, 0) == 0
    pfn = add_bystander(world.core, 0, BystanderKind.RESERVED, 1)
    assert found(world, scan(world, 64, 0)) == pfn


@ALL
@pytest.mark.parametrize("how", ["poisoned", "offline driver"])
def test_memory_offline_passes_what_may_stay(scan: Scan, how: str, world: World) -> None:
    page = world.kernel_page_at(18)
    if how == "poisoned":
        world.m.set_bit(PG_hwpoison, page)
    else:
        world.m.store32(page + 48, 0xFFFFFFFF & ~0x100)
    assert found(world, scan(world, 16, 0)) == 18
    assert scan(world, 16, MEMORY_OFFLINE) == 0


# -- heads outside the memmap


@BOTH_HEAPS
@pytest.mark.parametrize("scan", [v5_10, v6_1])
@pytest.mark.parametrize("pfn", [16, 20, 31])
def test_a_skip_relative_to_a_head_outside_the_memmap_is_reported(
    switches: tuple[str, ...], scan: Scan, pfn: int
) -> None:
    """H11: the distance is cut to 32 bits; the loop is left, and what lies behind would not be seen."""
    world = make_world(*switches)
    world.memdesc_tail_at(pfn)
    with pytest.raises(Report) as caught:
        scan(world, 16, 0)
    assert caught.value.rule == "I8 scanner leaves its range"
    assert caught.value.field == "has_unmovable_pages"


@pytest.mark.parametrize("scan", [v5_10, v6_1])
@pytest.mark.parametrize(("distance", "rule"), [(2, "skips pages"), (8, "skips pages"), (40, "leaves its range")])
def test_a_small_truncated_distance_skips_inside_the_block(scan: Scan, distance: int, rule: str, world: World) -> None:
    """compound_nr(head) - (page - head) is small only in its low 32 bits."""
    page, head = world.memdesc_tail_at(20)
    nr_pages = ((page - head) // STRUCT_PAGE_SIZE + distance) & 0xFFFFFFFF
    world.m.set_bit(PG_head, head)
    world.m.store32(head + STRUCT_PAGE_SIZE + PG_COMPOUND_NR, nr_pages)
    assert skip_pages_to_end(world.core, page, head) == distance
    with pytest.raises(Report) as caught:
        scan(world, 16, 0)
    assert caught.value.rule == f"I8 scanner {rule}"


@pytest.mark.parametrize("scan", [v5_10, v6_1])
def test_a_truncated_distance_of_zero_wraps_to_four_billion_pages(scan: Scan, world: World) -> None:
    page, head = world.memdesc_tail_at(20)
    world.m.set_bit(PG_head, head)
    nr_pages = ((page - head) // STRUCT_PAGE_SIZE) & 0xFFFFFFFF
    world.m.store32(head + STRUCT_PAGE_SIZE + PG_COMPOUND_NR, nr_pages)
    with pytest.raises(Report, match=hex(20 + (1 << 32))):
        scan(world, 16, 0)


@pytest.mark.parametrize(("scan", "tail"), [(v5_10, 1), (v6_1, 1)])
def test_the_distance_of_a_real_tail_is_the_rest_of_its_page(scan: Scan, tail: int, world: World) -> None:
    head = world.take_block(16, 3, compound=True)
    for number in range(8):
        assert skip_pages_to_end(world.core, head + number * STRUCT_PAGE_SIZE, head) == 8 - number


@BOTH_HEAPS
def test_v7_2_calls_a_memdesc_tail_unmovable(switches: tuple[str, ...]) -> None:
    world = make_world(*switches)
    page, _ = world.memdesc_tail_at(20)
    assert v7_2(world, 16) == page


def test_an_or_mask_is_taken_for_a_power_of_two_only(world: World) -> None:
    page = world.page(18)
    assert [or_mask_step(world.core, page, nr) for nr in (1, 2, 4, 8, 32)] == [1, 2, 2, 6, 14]
    assert [or_mask_step(world.core, page, nr) for nr in (0, 3, 64, 1 << 32)] == [1, 1, 1, 1]


def test_an_or_mask_that_leaves_a_compound_page_is_reported(world: World) -> None:
    """An LRU page of 4 that says it has 8: the mask goes past its end."""
    head = world.take_block(16, 2, compound=True)
    world.m.set_bit(PG_lru, head)
    world.m.store32(head + STRUCT_PAGE_SIZE + PG_COMPOUND_NR, 8)
    world.kernel_page_at(20)
    with pytest.raises(Report) as caught:
        v7_2(world, 16)
    assert (caught.value.rule, caught.value.field) == ("I8 scanner skips pages", "page_is_unmovable")


def test_v6_1_refuses_a_range_in_two_pageblocks(world: World) -> None:
    with pytest.raises(Report, match="more than one pageblock"):
        has_unmovable_pages_v6_1(world.core, 16, 33, 0)


# -- isolating pageblocks


def test_isolating_and_undoing_leaves_the_free_lists_as_they_were(world: World) -> None:
    buddy = world.m.buddy
    before = [sorted(buddy.free_blocks(0, order, MIGRATE_MOVABLE)) for order in range(6)]
    assert start_isolate_page_range(world.core, 0, 32, MIGRATE_MOVABLE, 0) == 0
    assert [buddy.get_pageblock_migratetype(pfn) for pfn in (0, 16, 32)] == [MIGRATE_ISOLATE] * 2 + [MIGRATE_MOVABLE]
    assert buddy.free_blocks(0, 5, MIGRATE_ISOLATE) == [0]
    assert pages_isolated(world.core, 0, 32, 0) == 0
    assert pages_isolated(world.core, 0, 48, 0) == -EBUSY
    undo_isolate_page_range(world.core, 0, 32, MIGRATE_MOVABLE)
    assert [sorted(buddy.free_blocks(0, order, MIGRATE_MOVABLE)) for order in range(6)] == before


def test_a_failure_undoes_what_was_isolated_before_it(world: World) -> None:
    world.kernel_page_at(20)
    assert start_isolate_page_range(world.core, 0, 32, MIGRATE_MOVABLE, REPORT_FAILURE) == -EBUSY
    assert [world.m.buddy.get_pageblock_migratetype(pfn) for pfn in (0, 16)] == [MIGRATE_MOVABLE] * 2
    assert world.m.is_quiescent


def test_a_pageblock_is_isolated_once(world: World) -> None:
    assert set_migratetype_isolate(world.core, world.page(16), 0) == 0
    assert set_migratetype_isolate(world.core, world.page(16), 0) == -EBUSY
    unset_migratetype_isolate(world.core, world.page(16), MIGRATE_UNMOVABLE)
    unset_migratetype_isolate(world.core, world.page(16), MIGRATE_MOVABLE)
    assert world.m.buddy.get_pageblock_migratetype(16) == MIGRATE_UNMOVABLE


def test_large_free_blocks_of_both_sides_merge_again_when_isolation_ends(world: World) -> None:
    """[ 0..15 isolated ][ 16..31 ] with a free block each: one of 32 afterwards."""
    buddy = world.m.buddy
    page = world.kernel_page_at(3)
    world.owner.take(page, 1)
    assert set_migratetype_isolate(world.core, world.page(0), 0) == 0
    world.owner.release(page)
    assert buddy.buddy_order(0) == 4 and buddy.buddy_order(16) == 4
    unset_migratetype_isolate(world.core, world.page(0), MIGRATE_MOVABLE)
    assert buddy.buddy_order(0) == 5


def test_a_page_in_use_or_a_crooked_range_is_no_isolated_range(world: World) -> None:
    [page] = world.movable_at(5)
    assert start_isolate_page_range(world.core, 0, 16, MIGRATE_MOVABLE, 0) == 0
    assert pages_isolated(world.core, 0, 16, 0) == -EBUSY
    world.m.set_bit(PG_hwpoison, page)
    assert pages_isolated(world.core, 0, 16, MEMORY_OFFLINE) == 0
    with pytest.raises(Report, match="whole number of pageblocks"):
        start_isolate_page_range(world.core, 3, 16, MIGRATE_MOVABLE, 0)


def test_an_offline_range_is_not_isolated(world: World) -> None:
    world.m.buddy.set_section_online(32, False)
    assert start_isolate_page_range(world.core, 32, 64, MIGRATE_MOVABLE, 0) == 0
    assert world.m.buddy.get_pageblock_migratetype(32) == MIGRATE_MOVABLE
    assert pages_isolated(world.core, 32, 64, 0) == -EBUSY


# -- isolate_single_pageblock(), v6.1


def test_a_free_block_across_the_boundary_is_cut(world: World) -> None:
    """[ 32 .............. 63 ] free, boundary 48: two halves, one of them isolated."""
    buddy = world.m.buddy
    assert buddy.buddy_order(32) == 5
    before = world.free_pages()
    assert isolate_single_pageblock(world.core, 48, 0, MIGRATE_MOVABLE, isolate_before=True) == 0
    assert buddy.free_blocks(0, 4, MIGRATE_ISOLATE) == [32]
    assert 48 in buddy.free_blocks(0, 4, MIGRATE_MOVABLE)
    assert world.free_pages() == before == world.free_really()
    unset_migratetype_isolate(world.core, world.page(32), MIGRATE_MOVABLE)
    assert buddy.buddy_order(32) == 5


def test_an_unmovable_page_keeps_its_pageblock(world: World) -> None:
    world.kernel_page_at(35)
    assert isolate_single_pageblock(world.core, 32, 0, MIGRATE_MOVABLE, isolate_before=False) == -EBUSY
    assert world.m.buddy.get_pageblock_migratetype(32) == MIGRATE_MOVABLE


def test_a_compound_page_across_the_boundary_is_refused_and_its_block_restored(world: World) -> None:
    """LRU in name, so that the first test passes; pinned, so that it cannot be isolated."""
    head = world.take_block(32, 5, compound=True)
    world.m.set_bit(PG_lru, head)
    world.m.store(head + PG_MAPPING, world.core.anon_vma | 1)
    world.core.d.get_page(head)
    result = isolate_single_pageblock(world.core, 48, 0, MIGRATE_MOVABLE, isolate_before=True)
    assert result == -EBUSY
    assert world.m.buddy.get_pageblock_migratetype(32) == MIGRATE_MOVABLE
    assert world.m.is_quiescent


def test_a_movable_compound_page_across_the_boundary_is_migrated_and_its_frames_are_cut(world: World) -> None:
    """[H t ... t | t ... t] -> free, one half isolated; the compound page went to [0..31]."""
    head = world.take_block(32, 5, compound=True)
    world.owner.take(head, 9)
    before = world.free_pages()
    result = isolate_single_pageblock(world.core, 48, 0, MIGRATE_MOVABLE, isolate_before=True)
    assert result == 0
    assert [world.pfn(page) for page in world.owner.pages] == [0]
    assert world.m.buddy.free_blocks(0, 4, MIGRATE_ISOLATE) == [32]
    assert world.m.buddy.free_blocks(0, 4, MIGRATE_MOVABLE) == [48]
    assert world.free_pages() == before == world.free_really()


@BOTH_HEAPS
@pytest.mark.parametrize("movable", [False, True])
def test_an_absolute_skip_by_a_head_outside_the_memmap_never_passes(switches: tuple[str, ...], movable: bool) -> None:
    """head_pfn + nr <= boundary does not hold: refused, or a migration of a pfn that does not exist."""
    world = make_world(*switches)
    page, head = world.memdesc_tail_at(40, movable=False)
    world.m.store(page + PG_MAPPING, world.owner.mapping | 2 if movable else 0)
    world.m.set_bit(PG_lru, head)
    world.m.buddy.set_pageblock_migratetype(32, MIGRATE_ISOLATE)
    how = {"isolate_before": True, "skip_isolation": True}
    with pytest.raises(Report, match="outside the memmap"):
        isolate_single_pageblock(world.core, 48, 0, MIGRATE_MOVABLE, **how)
    world.m.clear_bit(PG_lru, head)
    if not movable:
        assert isolate_single_pageblock(world.core, 48, 0, MIGRATE_MOVABLE, **how) == -EBUSY


def test_a_small_quotient_above_the_memmap_is_reported(world: World) -> None:
    """A head whose pfn comes out below: the cursor would go back for ever."""
    page = world.kernel_page_at(40)
    world.m.store(page + 8, world.page(4) | 1)
    world.m.buddy.set_pageblock_migratetype(32, MIGRATE_ISOLATE)
    with pytest.raises(Report) as caught:
        isolate_single_pageblock(world.core, 48, 0, MIGRATE_MOVABLE, isolate_before=True, skip_isolation=True)
    assert (caught.value.rule, caught.value.field) == (
        "I8 scanner does not advance",
        "isolate_single_pageblock",
    )


def test_the_assertions_of_isolate_single_pageblock_fire(world: World) -> None:
    with pytest.raises(Report, match="inside a pageblock"):
        isolate_single_pageblock(world.core, 40, 0, MIGRATE_MOVABLE, isolate_before=True)
    with pytest.raises(Report, match="is not isolated"):
        isolate_single_pageblock(world.core, 48, 0, MIGRATE_MOVABLE, isolate_before=True, skip_isolation=True)


@pytest.mark.parametrize("boundary", [0, 64, 128])
def test_the_edges_of_memory_are_boundaries_too(world: World, boundary: int) -> None:
    before = boundary == 128
    assert isolate_single_pageblock(world.core, boundary, 0, MIGRATE_MOVABLE, isolate_before=before) == 0


def test_a_free_block_that_changed_is_not_cut(world: World) -> None:
    assert split_free_page(world.core, world.page(32), 4, 8) == -ENOENT
    assert split_free_page(world.core, world.page(33), 5, 8) == -ENOENT
    assert split_free_page(world.core, world.page(32), 5, 8) == 0
    assert world.free_really() == 128
    assert world.m.load32(world.page(32) + PG_REFCOUNT) == 0
