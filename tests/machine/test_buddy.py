"""Buddy: conservation, merging, zones, migrate types, and the bad-page checks on planted dirt."""

from __future__ import annotations

import pytest

from zsfuzz.machine.layout import (
    GFP_HIGHMEM,
    GFP_KERNEL,
    GFP_MOVABLE,
    MIGRATE_ISOLATE,
    MIGRATE_MOVABLE,
    MIGRATE_UNMOVABLE,
    NR_FREE_PAGES,
    NR_ZSPAGES,
    PG_COMPOUND_HEAD,
    PG_MAPCOUNT,
    PG_MAPPING,
    PG_PRIVATE,
    ZONE_MOVABLE,
    ZONE_NORMAL,
    PG_hwpoison,
    PG_isolated,
    PG_private,
)
from zsfuzz.machine.machine import Machine
from zsfuzz.machine.report import Report

MOVABLE = GFP_HIGHMEM | GFP_MOVABLE


def test_all_pages_can_be_taken_and_merge_back_to_the_largest_blocks(machine: Machine) -> None:
    buddy = machine.buddy
    before = buddy.vmstat()
    pages = [buddy.alloc_page(MOVABLE) for _ in range(buddy.pages_count)]
    assert len(set(pages)) == buddy.pages_count and 0 not in pages
    assert buddy.alloc_page(MOVABLE) == 0 and buddy.alloc_page(GFP_KERNEL) == 0
    for page in pages[::2] + pages[1::2]:
        machine.d.put_page(page)
    assert buddy.vmstat() == before
    largest = buddy.max_order - 1
    blocks = [pfn for zone in (0, 1) for kind in range(3) for pfn in buddy.free_blocks(zone, largest, kind)]
    assert sorted(blocks) == list(range(0, buddy.pages_count, 1 << largest))


def test_movable_requests_prefer_the_movable_zone_and_kernel_requests_never_enter_it(machine: Machine) -> None:
    buddy = machine.buddy
    pfn = buddy.page_to_pfn(buddy.alloc_page(MOVABLE))
    assert buddy.zone_of_pfn(pfn) == ZONE_MOVABLE
    kernel = [buddy.page_to_pfn(page) for page in iter(lambda: buddy.alloc_page(GFP_KERNEL), 0)]
    assert {buddy.zone_of_pfn(pfn) for pfn in kernel} == {ZONE_NORMAL}
    assert {buddy.get_pageblock_migratetype(pfn) for pfn in kernel} == {MIGRATE_UNMOVABLE}


def test_a_block_of_every_order_is_aligned_to_its_size(machine: Machine) -> None:
    for order in range(machine.buddy.max_order):
        pfn = machine.buddy.page_to_pfn(machine.buddy.alloc_pages(MOVABLE, order))
        assert pfn % (1 << order) == 0


def test_a_compound_page_has_a_head_and_tails_and_frees_as_one(machine: Machine) -> None:
    buddy, d = machine.buddy, machine.d
    before = buddy.vmstat()
    head = buddy.alloc_pages(MOVABLE, 3, compound=True)
    assert d.PageHead(head) and d.compound_order(head) == 3 and d.compound_nr(head) == 8
    for number in range(1, 8):
        tail = head + number * 64
        assert d.PageTail(tail) and d.compound_head(tail) == head
        assert d.compound_order(tail) == 0 and d.compound_nr(tail) == 1
    d.get_page(head + 64)
    d.put_page(head + 128)
    assert d.page_count(head + 192) == 1
    d.put_page(head)
    assert buddy.vmstat() == before


@pytest.mark.parametrize(
    ("word", "value", "field"),
    [
        (PG_MAPPING, 0x1000, "non-NULL mapping"),
        (0, 1 << PG_private, "unexpected flags"),
        (PG_PRIVATE, 5, "private"),
        (0, 1 << PG_isolated, "PG_isolated"),
        (PG_COMPOUND_HEAD, 0xFFFF888000001001, "compound_head"),
    ],
)
def test_a_dirty_page_is_reported_when_it_is_freed(machine: Machine, word: int, value: int, field: str) -> None:
    page = machine.buddy.alloc_page(GFP_KERNEL)
    machine.store(page + word, value)
    assert machine.d.put_page_testzero(page)
    with pytest.raises(Report) as caught:
        machine.buddy.free_unref_page(page)
    assert caught.value.field == field


def test_a_mapped_page_and_a_used_page_are_reported_when_freed(machine: Machine) -> None:
    page = machine.buddy.alloc_page(GFP_KERNEL)
    with pytest.raises(Report) as caught:
        machine.buddy.free_unref_page(page)
    assert caught.value.field == "nonzero _refcount"
    machine.store32(page + PG_MAPCOUNT, 0)
    with pytest.raises(Report) as caught:
        machine.buddy.free_unref_page(page)
    assert caught.value.field == "nonzero mapcount"


def test_freeing_twice_and_dirtying_a_free_page_are_reported(machine: Machine) -> None:
    page = machine.buddy.alloc_page(GFP_KERNEL)
    machine.d.put_page(page)
    with pytest.raises(Report) as caught:
        machine.buddy.free_unref_page(page)
    assert caught.value.rule == "double free page"
    machine.store(page + PG_MAPPING, 3)
    with pytest.raises(Report) as caught:
        machine.buddy.alloc_page(GFP_KERNEL)
    assert caught.value.rule == "I6 bad page at alloc"


def test_a_poisoned_page_never_comes_back(machine: Machine) -> None:
    page = machine.buddy.alloc_page(GFP_KERNEL)
    free = machine.buddy.zone_page_state(ZONE_NORMAL, NR_FREE_PAGES)
    machine.set_bit(PG_hwpoison, page)
    machine.d.put_page(page)
    assert machine.buddy.zone_page_state(ZONE_NORMAL, NR_FREE_PAGES) == free
    assert page not in list(iter(lambda: machine.buddy.alloc_page(GFP_KERNEL), 0))


def test_blocks_of_an_isolated_pageblock_are_kept_apart(machine: Machine) -> None:
    buddy = machine.buddy
    before = buddy.zone_page_state(ZONE_MOVABLE, NR_FREE_PAGES)
    start = buddy.zone_start[ZONE_MOVABLE]
    for block in range(start, start + 32, buddy.pageblock_pages):
        buddy.set_pageblock_migratetype(block, MIGRATE_ISOLATE)
        buddy.move_freepages_block(block, MIGRATE_ISOLATE)
    taken = [buddy.page_to_pfn(page) for page in iter(lambda: buddy.alloc_page(MOVABLE), 0)]
    assert not set(taken) & set(range(start, start + 32))
    for block in range(start, start + 32, buddy.pageblock_pages):
        buddy.set_pageblock_migratetype(block, MIGRATE_MOVABLE)
        buddy.move_freepages_block(block, MIGRATE_MOVABLE)
    for pfn in taken:
        machine.d.put_page(buddy.pfn_to_page(pfn))
    assert buddy.zone_page_state(ZONE_MOVABLE, NR_FREE_PAGES) == before


def test_one_page_can_be_cut_out_of_a_free_block(machine: Machine) -> None:
    """[ 32 free ] cut at 13 -> 13 is a block of order 0, the other 31 stay free."""
    buddy = machine.buddy
    buddy.split_free_block(13)
    assert buddy.is_buddy(13) and buddy.buddy_order(13) == 0
    assert sorted(buddy.free_block_of(pfn) >= 0 for pfn in range(32)) == [True] * 32
    assert buddy.take_free_block(13) == 0
    assert not buddy.is_free_buddy_page(13)
    assert all(buddy.is_free_buddy_page(pfn) for pfn in range(32) if pfn != 13)


def test_a_counter_below_zero_is_reported(machine: Machine) -> None:
    with pytest.raises(Report) as caught:
        machine.buddy.mod_zone_page_state(ZONE_NORMAL, NR_ZSPAGES, -1)
    assert caught.value.rule == "I7 zone counter below zero"
    with pytest.raises(Report, match="outside the memmap"):
        machine.buddy.pfn_to_page(machine.buddy.pages_count)
    with pytest.raises(Report, match="not a struct page"):
        machine.kmap(machine.memory.heap_base)
