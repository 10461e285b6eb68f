"""How long a zspage lives: references held over its free, the destructor, poisoned frames."""

from __future__ import annotations

import pytest

from candidate.allocator import Candidate
from candidate.layout import ZspageLayout
from tests.candidate.world import CLASS_2048, CLASS_3264, World
from zsfuzz.machine.layout import NR_FREE_PAGES, NR_ZSPAGES, PG_locked
from zsfuzz.machine.report import Report


def free_pages(world: World) -> int:
    """NR_FREE_PAGES of both zones."""
    return sum(world.machine.buddy.zone_page_state(zone, NR_FREE_PAGES) for zone in (0, 1))


@pytest.mark.parametrize("index", range(4))
def test_a_reference_held_over_the_free_ties_all_frames_until_the_last_put(index: int) -> None:
    """get p[i], free(last), put p[i]: statistics change at the free, frames go at the put (H14)."""
    world = World()
    handle = world.malloc()
    view = world.view(handle)
    assert world.d.get_page_unless_zero(view.pages[index])
    world.free(handle)
    assert world.target.zs_get_total_pages(world.pool) == 0
    assert sum(world.machine.buddy.zone_page_state(zone, NR_ZSPAGES) for zone in (0, 1)) == 0
    assert free_pages(world) == 128 - 4
    assert [world.d.compound_head(page) for page in view.pages] == [view.zspage] * 4
    world.d.put_page(view.pages[index])
    assert free_pages(world) == 128
    assert world.clean()


def test_two_references_need_two_puts() -> None:
    world = World()
    handle = world.malloc()
    first, second = world.pages(handle)[:2]
    assert world.d.get_page_unless_zero(first) and world.d.get_page_unless_zero(second)
    world.free(handle)
    world.d.put_page(second)
    assert free_pages(world) == 124
    world.d.put_page(first)
    assert world.clean()


def test_a_tied_page_reads_as_a_released_movable_page() -> None:
    """As one of 5.10 after reset_page(): __PageMovable() holds, PageMovable() does not."""
    world = World()
    handle = world.malloc()
    page = world.pages(handle)[0]
    zspage = world.d.compound_head(page)
    world.d.get_page_unless_zero(page)
    world.free(handle)
    assert world.d.page_has_movable_mapping(page)
    assert world.isolate(page) == -16
    assert world.count(zspage) == 1
    lock = world.d.lock_page(page)
    assert not world.d.PageMovable(page)
    world.d.unlock_page(page, lock)
    world.d.put_page(page)
    assert world.clean()


def test_a_tied_zspage_outlives_its_pool() -> None:
    world = World()
    handle = world.malloc()
    page = world.pages(handle)[0]
    world.d.get_page_unless_zero(page)
    world.free(handle)
    world.target.zs_destroy_pool(world.pool)
    world.d.put_page(page)
    assert world.counters() == world.boot


def test_a_reference_through_the_head_is_the_same_reference() -> None:
    world = World()
    handle = world.malloc(CLASS_2048)
    page = world.pages(handle)[0]
    head = world.d.compound_head(page)
    assert world.d.get_page_unless_zero(head)
    world.free(handle)
    world.d.put_page(page)
    assert world.clean()


def test_a_freed_zspage_is_gotten_by_nobody() -> None:
    """The slab object is type-stable and its count stays 0: a get on a stale head fails (H15)."""
    world = World()
    handle = world.malloc()
    zspage = world.target.zspage_of(handle)
    world.free(handle)
    assert not world.machine.slab.is_live(zspage)
    assert not world.d.get_page_unless_zero(zspage)


def test_the_lock_is_released_before_the_memory_goes_away() -> None:
    world = World()
    handle = world.malloc()
    zspage = world.target.zspage_of(handle)
    world.free(handle)
    assert world.machine.load(zspage + ZspageLayout.FLAGS) >> PG_locked & 1 == 0
    assert not world.machine.locks.held


def test_a_live_zspage_that_loses_its_last_reference_is_a_bug() -> None:
    world = World()
    handle = world.malloc()
    with pytest.raises(Report, match="lost its last reference"):
        world.d.put_page(world.pages(handle)[0])


def test_a_page_of_the_buddy_that_somebody_refers_to_is_waited_for() -> None:
    """R1 at allocation: in one lane nobody ends the reference, so the wait is a deadlock."""

    class HeldPage(Candidate):
        def init_zspage(self, class_: int, zspage: int) -> None:
            super().init_zspage(class_, zspage)
            self.d.get_page_unless_zero(self.get_first_page(zspage))

    with pytest.raises(Report, match="speculative reference"):
        World(HeldPage).malloc()


def test_a_misaligned_zspage_is_refused() -> None:
    world = World()
    page = world.pages(world.malloc())[0]
    with pytest.raises(Report, match="16-byte"):
        world.target.set_compound_head(page, world.d.compound_head(page) + 8)


def test_a_page_that_names_no_zspage_is_refused() -> None:
    world = World()
    page = world.machine.buddy.alloc_page(0)
    with pytest.raises(Report, match="names no zspage"):
        world.target.get_zspage(page)


def test_a_page_of_another_zspage_has_no_place_in_the_chain() -> None:
    world = World()
    handle, other = world.malloc(), world.malloc(CLASS_2048)
    with pytest.raises(Report, match=r"not in pages\[\]"):
        world.target.page_index(world.target.zspage_of(handle), world.pages(other)[0])


def test_a_magic_that_is_wrong_is_refused() -> None:
    world = World()
    handle = world.malloc()
    zspage = world.target.zspage_of(handle)
    world.machine.store(zspage + ZspageLayout.PACKED, 0)
    with pytest.raises(Report, match="is no zspage"):
        world.free(handle)


@pytest.mark.parametrize("when", ["live", "isolated"])
def test_a_poisoned_frame_is_withheld_and_the_others_come_back(when: str) -> None:
    """H23: memory_failure() keeps a reference; it moves to the frame, so the zspage can still die."""
    world = World()
    handle = world.malloc(CLASS_3264)
    page = world.pages(handle)[1]
    zspage = world.d.compound_head(page)
    world.d.TestSetPageHWPoison(page)
    assert world.d.get_page_unless_zero(zspage)
    world.d.keep_poisoned(page, zspage)
    assert (world.count(zspage), world.count(page)) == (1, 2)
    if when == "isolated":
        assert world.move(page) == 0
    world.free(handle)
    world.machine.run_work()
    assert free_pages(world) == 127
    assert not world.machine.buddy.is_free_buddy_page(world.machine.buddy.page_to_pfn(page))
    assert not world.d.PageTail(page) and world.count(page) == 1
