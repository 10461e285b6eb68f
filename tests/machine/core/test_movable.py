"""Isolating movable pages and giving them back, with each VM_BUG_ON of these paths planted."""

from __future__ import annotations

import pytest

from tests.machine.core.support import World, make_world
from zsfuzz.machine.core.bystander import add_bystander
from zsfuzz.machine.core.lru import isolate_lru_page, mod_node_page_state, putback_lru_page
from zsfuzz.machine.core.movable import (
    isolate_movable_page,
    isolate_page_of_any_sort,
    putback_movable_page,
    putback_movable_pages,
)
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.layout import EBUSY, PAGE_MAPPING_MOVABLE, PG_MAPPING, PG_lru
from zsfuzz.machine.report import Report
from zsfuzz.program.ops import BystanderKind


def test_an_isolated_page_has_one_reference_more_and_its_flag(world: World) -> None:
    [page] = world.movable()
    d = world.core.d
    assert isolate_movable_page(world.core, page) == 0
    assert d.PageIsolated(page)
    assert d.page_ref_count(page) == 2
    assert not d.PageLocked(page)


@pytest.mark.parametrize("why", ["isolated", "locked", "refused", "not movable", "without operations", "free"])
def test_a_refused_page_is_left_as_it_was(world: World, why: str) -> None:
    [page] = world.movable()
    core, d = world.core, world.core.d
    wanted = 1
    if why == "isolated":
        assert isolate_movable_page(core, page) == 0
        core.link_tail(page, core.isolated)
        wanted = 2
    elif why == "locked":
        assert d.trylock_page(page)
    elif why == "refused":
        world.owner.refuses = True
    elif why == "not movable":
        world.m.store(page + PG_MAPPING, 0)
    elif why == "without operations":
        world.m.store(page + PG_MAPPING, PAGE_MAPPING_MOVABLE)
    else:
        world.owner.release(page)
        wanted = 0
    assert isolate_movable_page(core, page) == -EBUSY
    assert d.page_ref_count(page) == wanted
    assert d.PageLocked(page) == (why == "locked")


def test_pages_put_back_are_told_to_their_owner_in_list_order(world: World) -> None:
    pages = world.movable(3)
    world.list_of(pages, world.core.batch)
    putback_movable_pages(world.core, world.core.batch)
    assert world.owner.putbacks == pages
    assert world.core.is_empty(world.core.batch)
    assert [world.core.d.page_ref_count(page) for page in pages] == [1, 1, 1]
    assert not any(world.core.d.PageIsolated(page) for page in pages)


def test_a_page_whose_owner_let_go_of_it_is_freed_by_putback(world: World) -> None:
    [page] = world.movable()
    before = world.free_pages()
    world.list_of([page], world.core.batch)
    world.owner.release(page)
    assert world.free_pages() == before
    putback_movable_pages(world.core, world.core.batch)
    assert world.owner.putbacks == []
    assert world.free_pages() == before + 1


def test_an_lru_page_is_counted_while_it_is_isolated(world: World) -> None:
    page = world.page(add_bystander(world.core, 0, BystanderKind.LRU, 0))
    core, d = world.core, world.core.d
    assert isolate_page_of_any_sort(core, page) == 0
    assert not d.PageLRU(page)
    core.link_tail(page, core.batch)
    mod_node_page_state(core, page, 1)
    putback_movable_pages(core, core.batch)
    assert d.PageLRU(page)
    assert world.isolated_count() == 0
    assert d.page_ref_count(page) == 1


def test_an_lru_page_put_back_without_being_counted_is_reported(world: World) -> None:
    page = world.page(add_bystander(world.core, 0, BystanderKind.LRU, 0))
    assert isolate_page_of_any_sort(world.core, page) == 0
    world.core.link_tail(page, world.core.batch)
    with pytest.raises(Report, match="nr_isolated of zone 1 would be -1"):
        putback_movable_pages(world.core, world.core.batch)


@pytest.mark.parametrize("missing", ["PageLocked", "PageMovable", "PageIsolated"])
def test_each_assertion_of_putback_fires(world: World, missing: str) -> None:
    [page] = world.movable()
    core, d = world.core, world.core.d
    assert isolate_movable_page(core, page) == 0
    if missing != "PageLocked":
        d.lock_page(page)
    if missing == "PageMovable":
        world.m.store(page + PG_MAPPING, PAGE_MAPPING_MOVABLE)
    if missing == "PageIsolated":
        d.clear_page_isolated(page)
    with pytest.raises(Report) as caught:
        putback_movable_page(core, page)
    assert caught.value.rule == ("VM_BUG_ON !PageLocked" if missing == "PageLocked" else f"VM_BUG_ON !{missing}")


def test_a_page_that_lost_its_flag_on_the_list_is_reported(world: World) -> None:
    [page] = world.movable()
    world.list_of([page], world.core.batch)
    world.core.d.clear_page_isolated(page)
    with pytest.raises(Report, match="not isolated"):
        putback_movable_pages(world.core, world.core.batch)


def test_an_owner_that_sets_the_flag_by_itself_is_reported(world: World) -> None:
    [page] = world.movable()
    isolate = world.owner.isolate_page

    def too_eager(page: int, mode: int) -> bool:
        world.core.d.set_page_isolated(page)
        return isolate(page, mode)

    world.owner.replace(isolate_page=too_eager)
    with pytest.raises(Report, match="PG_isolated by itself"):
        isolate_movable_page(world.core, page)


def test_a_reference_taken_raw_and_dropped_through_the_head_is_reported(world: World) -> None:
    """[tail of Z], rules of 5.10: the page gains a reference at each refusal, Z loses one (H04)."""
    page, head = world.memdesc_tail_at(20)
    world.m.store(page + PG_MAPPING, PAGE_MAPPING_MOVABLE)
    world.owner.refuses = True
    world.m.store32(head + 52, 0)
    with pytest.raises(Report, match="_refcount fell to -1"):
        isolate_movable_page(world.core, page)


def test_a_page_that_says_it_is_isolated_and_is_on_no_list_is_reported(world: World) -> None:
    """A design whose isolated flag is shared by pages says so of pages that nobody took (H07, I10)."""
    [page] = world.movable()
    world.core.d.set_page_isolated(page)
    with pytest.raises(Report, match="has not isolated") as caught:
        isolate_movable_page(world.core, page)
    assert caught.value.rule == "I10 isolated flag"


def test_a_tail_cannot_be_linked_by_its_lru_words(world: World) -> None:
    """lru.next is the same word as compound_head (H03, I9): the page on the list would name no head any more."""
    page, head = world.memdesc_tail_at(20)
    for link in (world.core.link, world.core.link_tail):
        with pytest.raises(Report, match="over its compound_head") as caught:
            link(page, world.core.batch)
        assert caught.value.rule == "I9 head overwritten"
    assert world.core.d.compound_head(page) == head


def test_the_lru_refuses_what_it_should(world: World) -> None:
    page = world.page(add_bystander(world.core, 0, BystanderKind.LRU, 0))
    core = world.core
    with pytest.raises(Report, match="of a page on the LRU"):
        putback_lru_page(core, page)
    world.m.clear_bit(PG_lru, page)
    assert isolate_lru_page(core, page) == -EBUSY
    world.m.store32(page + 52, 0)
    with pytest.raises(Report, match="without a reference"):
        isolate_lru_page(core, page)


def test_isolating_a_tail_from_the_lru_is_reported(world: World) -> None:
    head = world.take_block(16, 2, compound=True)
    with pytest.raises(Report, match="of a tail page"):
        isolate_lru_page(world.core, head + 64)


def test_a_list_that_never_ends_is_reported(world: World) -> None:
    [page] = world.movable()
    core = world.core
    core.link_tail(page, core.batch)
    world.m.store(core.d.core_link(page), core.d.core_link(page))
    with pytest.raises(Report, match="does not return"):
        core.pages_on(core.batch)


class HugeRules(Descriptor):
    """PageHuge() is true for everything, as an unlucky neighbour in the slab makes it (H12)."""

    def PageHuge(self, page: int) -> bool:
        return True


def test_a_page_that_says_it_is_hugetlb_is_reported() -> None:
    world = make_world(rules=HugeRules)
    [page] = world.movable()
    world.list_of([page], world.core.batch)
    with pytest.raises(Report, match="not hugetlb"):
        putback_movable_pages(world.core, world.core.batch)


def test_a_zone_number_that_is_none_is_reported(world: World) -> None:
    with pytest.raises(Report, match="there is no such zone"):
        world.core.lock_zone(3)


def test_the_lists_of_pages_are_named(world: World) -> None:
    names = [name for name, head in world.core.lists_of_pages() if world.core.is_empty(head)]
    assert names == ["isolated", "batch", "migratepages", "source", "pagelist"]
