"""Offline and online: frames conserved, blocks emptied, livelocks told from what has a reason."""

from __future__ import annotations

import pytest

from tests.machine.core.support import MOVABLE_GFP, World, make_world
from zsfuzz.machine.core.bystander import add_bystander, drop_bystander
from zsfuzz.machine.core.memory_failure import memory_failure, soft_offline_page
from zsfuzz.machine.core.memory_hotplug import (
    do_migrate_range,
    first_pfn_outside_compound,
    is_offered,
    isolate_migrate_range,
    offline_isolated_pages,
    offline_pages,
    online_pages,
    scan_movable_pages,
    scan_movable_pages_or_mask,
    sections,
)
from zsfuzz.machine.core.movable import putback_movable_pages
from zsfuzz.machine.core.words import EINTR
from zsfuzz.machine.layout import (
    EAGAIN,
    EBUSY,
    EINVAL,
    ENOENT,
    PAGE_MAPPING_MOVABLE,
    PG_MAPPING,
    STRUCT_PAGE_SIZE,
    PG_hwpoison,
    PG_lru,
)
from zsfuzz.machine.report import Report
from zsfuzz.program.ops import BystanderKind


@pytest.mark.parametrize("switches", [(), ("batched_migration",)], ids=["one by one", "batched"])
def test_a_section_is_emptied_and_comes_back(switches: tuple[str, ...]) -> None:
    world = make_world(*switches)
    world.movable_at(*range(64, 96, 3))
    lru = add_bystander(world.core, 5, BystanderKind.LRU, 0)
    assert 64 <= lru < 96
    before = world.free_pages()
    assert offline_pages(world.core, 64, 96) == (0,)
    assert world.free_pages() == before - 32
    assert not any(64 <= world.pfn(page) < 96 for page in world.owner.pages)
    assert all(world.owner.has_its_bytes(page) for page in world.owner.pages)
    assert not world.m.buddy.section_online(64)
    taken = {world.pfn(page) for page in iter(lambda: world.m.buddy.alloc_page(MOVABLE_GFP), 0)}
    assert not taken & set(range(64, 96))
    for pfn in sorted(taken):
        world.core.d.put_page(world.page(pfn))
    assert online_pages(world.core, 64, 96) == (0,)
    assert world.free_pages() == before == world.free_really()
    assert world.m.buddy.free_blocks(1, 5, 1).count(64) == 1
    assert drop_bystander(world.core, 5) == 1
    assert world.isolated_count() == 0 and world.m.is_quiescent


def test_ranges_are_widened_to_sections_and_judged_one_by_one(world: World) -> None:
    world.kernel_page_at(5)
    assert sections(world.core, 30, 33) == [(0, 32), (32, 64)]
    assert offline_pages(world.core, 30, 33) == (-EBUSY, 0)
    assert offline_pages(world.core, 40, 41) == (-EINVAL,)
    assert online_pages(world.core, 0, 64) == (-EINVAL, 0)
    assert world.free_pages() == 127 == world.free_really()


def test_a_section_whose_pages_have_nowhere_to_go_is_given_up(world: World) -> None:
    """Every frame is in use: -ENOMEM for ever, which is a reason, not a livelock."""
    pages = [world.m.buddy.alloc_page(MOVABLE_GFP) for _ in range(128)]
    for page in pages:
        world.owner.take(page, 7)
    assert offline_pages(world.core, 64, 96) == (-EINTR,)
    assert world.m.buddy.section_online(64)
    assert len(world.owner.pages) == 128
    assert world.m.buddy.get_pageblock_migratetype(64) == 1


def test_an_owner_that_never_moves_its_page_is_a_livelock(world: World) -> None:
    world.movable_at(70)
    world.owner.answers = [-EAGAIN] * 1000
    with pytest.raises(Report) as caught:
        offline_pages(world.core, 64, 96)
    assert (caught.value.rule, caught.value.field) == ("livelock", "offline_pages")


def test_an_owner_that_refuses_isolation_is_a_livelock(world: World) -> None:
    world.movable_at(70)
    world.owner.refuses = True
    with pytest.raises(Report, match="offered for ever"):
        offline_pages(world.core, 64, 96)


def test_the_deferred_work_may_set_a_page_free_meanwhile(world: World) -> None:
    [page] = world.movable_at(70)
    world.owner.refuses = True
    work = world.m.slab.core_alloc(2)
    world.m.INIT_WORK(work, world.m.register_work_function(lambda _: world.owner.release(page)))
    world.m.schedule_work(work)
    assert offline_pages(world.core, 64, 96) == (0,)
    assert world.owner.pages == {}


def test_a_page_that_lost_its_mark_keeps_its_section_online(world: World) -> None:
    """H02: nobody offers it. Given up without the truth, a livelock with it."""
    [page] = world.movable_at(70)
    world.m.store(page + PG_MAPPING, 0)
    assert offline_pages(world.core, 64, 96) == (-EINTR,)
    with pytest.raises(Report, match="never offered"):
        offline_pages(world.core, 64, 96, world.is_movable)


def test_a_poisoned_page_in_use_is_a_reason_to_give_up(world: World) -> None:
    world.movable_at(70)
    assert memory_failure(world.core, 70) == -EBUSY
    assert offline_pages(world.core, 64, 96, world.is_movable) == (-EINTR,)


@pytest.mark.parametrize("kind", ["movable", "lru", "free"])
def test_a_section_with_a_withheld_page_goes_offline_and_the_page_stays_withheld(kind: str, world: World) -> None:
    if kind == "movable":
        world.movable_at(70)
        pfn = 70
    elif kind == "lru":
        pfn = add_bystander(world.core, 0, BystanderKind.LRU, 0)
    else:
        pfn = 75
    assert soft_offline_page(world.core, pfn) == 0
    assert not is_offered(world.core, world.page(pfn))
    assert offline_pages(world.core, pfn, pfn + 1) == (0,)
    assert online_pages(world.core, pfn, pfn + 1) == (0,)
    assert not world.m.buddy.is_free_buddy_page(pfn)
    assert world.free_really() == 128 - 1 - (kind != "free")


def test_a_page_in_use_that_goes_offline_is_reported(world: World) -> None:
    world.kernel_page_at(70)
    with pytest.raises(Report, match="pfn 70 goes offline while in use"):
        offline_isolated_pages(world.core, 64, 96)


def test_a_page_that_is_neither_used_nor_free_is_reported_when_it_goes_offline(world: World) -> None:
    page = world.kernel_page_at(70)
    world.m.store32(page + 52, 0)
    with pytest.raises(Report, match="but is not free"):
        offline_isolated_pages(world.core, 64, 96)


# -- scanning and migrating a range


@pytest.mark.parametrize("scan", [scan_movable_pages, scan_movable_pages_or_mask])
def test_the_scan_finds_the_first_page_that_can_move(scan, world: World) -> None:  # type: ignore[no-untyped-def]
    world.kernel_page_at(17)
    world.take_block(20, 2, compound=True)
    assert scan(world.core, 16, 32) == (-ENOENT, 32)
    world.movable_at(26, 28)
    for start in range(16, 27):
        assert scan(world.core, start, 32) == (0, 26)
    assert scan(world.core, 27, 32) == (0, 28)


@pytest.mark.parametrize("scan", [scan_movable_pages, scan_movable_pages_or_mask])
def test_a_driver_page_that_is_in_use_ends_the_scan(scan, world: World) -> None:  # type: ignore[no-untyped-def]
    page = world.kernel_page_at(17)
    world.m.store32(page + 48, 0xFFFFFFFF & ~0x100)
    assert scan(world.core, 16, 32) == (-EBUSY, 17)


def test_an_or_mask_by_a_wrong_size_is_reported(world: World) -> None:
    head = world.take_block(16, 2, compound=True)
    world.m.store32(head + STRUCT_PAGE_SIZE + 24, 16)
    world.movable_at(20)
    with pytest.raises(Report) as caught:
        scan_movable_pages_or_mask(world.core, 16, 32)
    assert caught.value.rule == "I8 scanner skips pages"


def test_a_range_is_migrated_and_what_fails_is_put_back(world: World) -> None:
    pages = world.movable_at(66, 67, 68)
    world.owner.answers = [-EBUSY]
    assert do_migrate_range(world.core, 64, 96) == 1
    assert world.owner.putbacks == [pages[0]]
    world.owner.answers = [-EAGAIN] * 30
    assert do_migrate_range(world.core, 64, 80) > 0
    assert world.core.is_empty(world.core.source)


def test_a_huge_page_is_skipped_by_the_pfn_of_its_head(world: World) -> None:
    world.take_block(64, 3, compound=True)
    world.movable_at(72)
    assert isolate_migrate_range(world.core, 64, 96) == 0
    assert [world.pfn(page) for page in world.core.pages_on(world.core.source)] == [72]
    putback_movable_pages(world.core, world.core.source)


def test_a_tail_is_asked_whether_it_is_huge_which_is_reported(world: World) -> None:
    world.memdesc_tail_at(70)
    with pytest.raises(Report) as caught:
        isolate_migrate_range(world.core, 64, 96)
    assert caught.value.field == "PageTransHuge"


def test_a_huge_page_with_a_wrong_size_is_reported(world: World) -> None:
    head = world.take_block(64, 2, compound=True)
    world.m.store32(head + STRUCT_PAGE_SIZE + 24, 7)
    with pytest.raises(Report) as caught:
        isolate_migrate_range(world.core, 64, 96)
    assert (caught.value.rule, caught.value.field) == ("I8 scanner skips pages", "do_migrate_range")


def test_a_poisoned_page_on_the_lru_is_reported(world: World) -> None:
    pfn = add_bystander(world.core, 0, BystanderKind.LRU, 0)
    world.m.set_bit(PG_hwpoison, world.page(pfn))
    with pytest.raises(Report, match="poisoned page is on the LRU"):
        isolate_migrate_range(world.core, 64, 96)


def test_a_poisoned_page_that_is_still_mapped_is_unmapped(world: World) -> None:
    pfn = add_bystander(world.core, 0, BystanderKind.LRU, 0)
    page = world.page(pfn)
    world.m.set_bit(PG_hwpoison, page)
    world.m.clear_bit(PG_lru, page)
    world.core.d.get_page(page)
    assert isolate_migrate_range(world.core, 64, 96) == 0
    assert not world.core.d.page_mapped(page)


@pytest.mark.parametrize("pfn", range(16, 24))
def test_a_range_begins_after_a_real_compound_page_but_not_after_a_head(pfn: int, world: World) -> None:
    world.take_block(16, 2, compound=True)
    assert first_pfn_outside_compound(world.core, pfn, 32) == (20 if 16 < pfn < 20 else pfn)


def test_a_page_its_owner_left_is_offered_unless_it_is_poisoned(world: World) -> None:
    [page] = world.movable_at(70)
    world.m.store(page + PG_MAPPING, PAGE_MAPPING_MOVABLE)
    assert is_offered(world.core, page)
    world.m.set_bit(PG_hwpoison, page)
    assert not is_offered(world.core, page)
