"""Bystanders: what each kind looks like, that its bytes follow it, and that it gives its frames back."""

from __future__ import annotations

import pytest

from tests.machine.core.support import World
from zsfuzz.errors import HarnessError
from zsfuzz.machine.core.bystander import add_bystander, drop_bystander, find_record, is_movable, kind_of
from zsfuzz.machine.core.core import BYSTANDER_RECORDS
from zsfuzz.machine.core.page_alloc import free_pages, take_page_off_buddy
from zsfuzz.machine.layout import STRUCT_PAGE_SIZE, ZONE_MOVABLE, ZONE_NORMAL, PG_hwpoison
from zsfuzz.machine.report import Report
from zsfuzz.program.ops import BystanderKind

KINDS = pytest.mark.parametrize("kind", BystanderKind)
SINGLE = (BystanderKind.LRU, BystanderKind.RESERVED)


@KINDS
@pytest.mark.parametrize("order", range(11))
def test_every_kind_and_order_comes_and_goes_without_a_trace(kind: BystanderKind, order: int, world: World) -> None:
    pfn = add_bystander(world.core, 7, kind, order)
    size = 1 if kind in SINGLE else 1 << max(order % 6, kind is BystanderKind.COMPOUND)
    assert world.free_pages() == 128 - size == world.free_really()
    for number in range(size):
        page = world.page(pfn + number)
        assert kind_of(world.core, page) == kind.value
        assert is_movable(world.core, page) == (kind is BystanderKind.LRU)
    assert drop_bystander(world.core, 7) == 1
    assert world.free_pages() == 128 == world.free_really()
    assert kind_of(world.core, world.page(pfn)) == ""


def test_a_single_page_with_an_odd_order_lies_in_the_other_zone(world: World) -> None:
    zones = [
        world.m.buddy.zone_of_pfn(add_bystander(world.core, slot, kind, order))
        for slot, (kind, order) in enumerate((kind, order) for kind in SINGLE for order in (0, 1))
    ]
    assert zones == [ZONE_MOVABLE, ZONE_NORMAL, ZONE_NORMAL, ZONE_MOVABLE]


def test_each_kind_looks_like_what_it_is(world: World) -> None:
    d = world.core.d
    pages = {kind: world.page(add_bystander(world.core, slot, kind, 2)) for slot, kind in enumerate(BystanderKind)}
    lru, unmovable = pages[BystanderKind.LRU], pages[BystanderKind.UNMOVABLE]
    assert d.PageLRU(lru) and d.PageAnon(lru) and d.page_mapcount(lru) == 1 and d.page_mapping(lru) == 0
    assert [d.page_ref_count(unmovable + number * STRUCT_PAGE_SIZE) for number in range(4)] == [1, 0, 0, 0]
    assert d.compound_order(pages[BystanderKind.COMPOUND]) == 2
    assert d.PageReserved(pages[BystanderKind.RESERVED])


@KINDS
@pytest.mark.parametrize("frame", [0, 3])
def test_a_changed_byte_is_reported_when_it_is_dropped(kind: BystanderKind, frame: int, world: World) -> None:
    pfn = add_bystander(world.core, 0, kind, 2)
    number = 0 if kind in SINGLE else frame
    world.m.memory.write_bytes(world.m.kmap(world.page(pfn + number)) + 100, b"!")
    with pytest.raises(Report) as caught:
        drop_bystander(world.core, 0)
    assert (caught.value.rule, caught.value.field) == ("bystander content", kind.value)


def test_two_bystanders_do_not_hold_the_same_bytes(world: World) -> None:
    """A frame that another one's copy landed in shows."""
    first, second = (add_bystander(world.core, slot, BystanderKind.LRU, 0) for slot in (0, 1))
    source, target = world.m.kmap(world.page(first)), world.m.kmap(world.page(second))
    world.m.memory.memcpy(target, source, world.m.page_size)
    assert drop_bystander(world.core, 0) == 1
    with pytest.raises(Report):
        drop_bystander(world.core, 1)


def test_slot_numbers_may_be_any_and_sixty_four_of_them_are_kept(world: World) -> None:
    slots = range(1000, 1000 + BYSTANDER_RECORDS)
    assert -1 not in [add_bystander(world.core, slot, BystanderKind.LRU, 0) for slot in slots]
    assert add_bystander(world.core, 5, BystanderKind.LRU, 0) == -1
    assert [drop_bystander(world.core, slot) for slot in slots] == [1] * BYSTANDER_RECORDS
    assert find_record(world.core, 1001) is None


def test_without_memory_there_is_no_bystander(world: World) -> None:
    for slot in range(2):
        assert add_bystander(world.core, slot, BystanderKind.UNMOVABLE, 5) >= 0
    assert add_bystander(world.core, 9, BystanderKind.UNMOVABLE, 0) == -1
    assert find_record(world.core, 10) is None


def test_a_wrong_slot_is_the_harness_fault(world: World) -> None:
    add_bystander(world.core, 0, BystanderKind.LRU, 0)
    with pytest.raises(HarnessError):
        add_bystander(world.core, 0, BystanderKind.LRU, 0)
    with pytest.raises(HarnessError):
        drop_bystander(world.core, 1)


def test_records_are_part_of_a_snapshot(world: World) -> None:
    saved = world.m.snapshot()
    pfn = add_bystander(world.core, 0, BystanderKind.COMPOUND, 3)
    world.m.restore(saved)
    assert kind_of(world.core, world.page(pfn)) == ""
    assert add_bystander(world.core, 0, BystanderKind.COMPOUND, 3) == pfn


def test_a_block_somebody_refers_to_gives_the_rest_of_its_frames_back(world: World) -> None:
    """[r . . . . . . .]: 7 of 8 are free at once, the first with the last reference."""
    page = world.take_block(16, 3)
    world.core.d.get_page(page)
    free_pages(world.core, page, 3)
    assert world.free_pages() == 127
    world.core.d.put_page(page)
    assert world.free_pages() == 128 == world.free_really()
    assert world.m.buddy.buddy_order(0) == 5


def test_one_free_page_is_taken_and_the_rest_of_its_block_stays_free(world: World) -> None:
    assert take_page_off_buddy(world.core, world.page(37))
    assert not take_page_off_buddy(world.core, world.page(37))
    assert world.free_pages() == 127 == world.free_really()


def test_a_poisoned_frame_of_a_dropped_block_is_withheld(world: World) -> None:
    pfn = add_bystander(world.core, 0, BystanderKind.COMPOUND, 3)
    world.m.set_bit(PG_hwpoison, world.page(pfn + 5))
    assert drop_bystander(world.core, 0) == 1
    assert world.free_pages() == 127
    assert not world.m.buddy.is_free_buddy_page(pfn + 5)
