"""Migrating lists of pages: contents, references, retries, errors, and the assertions of these paths."""

from __future__ import annotations

import pytest

from tests.machine.core.support import World, make_world
from zsfuzz.machine.core.bystander import add_bystander, drop_bystander
from zsfuzz.machine.core.lru import mod_node_page_state
from zsfuzz.machine.core.migrate import MigrateControl, migrate_pages, migrate_pages_to_new
from zsfuzz.machine.core.movable import isolate_page_of_any_sort, putback_movable_pages
from zsfuzz.machine.core.move import move_to_new_page, unmap_and_move
from zsfuzz.machine.core.page_alloc import alloc_migration_target
from zsfuzz.machine.core.words import (
    MIGRATE_ASYNC,
    MIGRATE_SYNC,
    MIGRATE_SYNC_LIGHT,
    MIGRATE_SYNC_NO_COPY,
    MR_MEMORY_FAILURE,
    MR_SYSCALL,
)
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.layout import (
    EAGAIN,
    EBUSY,
    EINVAL,
    ENOMEM,
    PAGE_MAPPING_MOVABLE,
    PG_INDEX,
    PG_MAPPING,
    PG_REFCOUNT,
    STRUCT_PAGE_SIZE,
    ZONE_MOVABLE,
    ZONE_NORMAL,
    PG_isolated,
    PG_writeback,
)
from zsfuzz.machine.report import Report
from zsfuzz.program.ops import BystanderKind
from zsfuzz.target import protocol

BOTH_WAYS = pytest.mark.parametrize("switches", [(), ("batched_migration",)], ids=["one by one", "batched"])


def control_for(world: World, mode: int = MIGRATE_SYNC, reason: int = MR_SYSCALL) -> MigrateControl:
    return MigrateControl(lambda page: alloc_migration_target(world.core, page), None, mode, reason)


def test_the_modes_are_those_of_the_protocol() -> None:
    for name in ("MIGRATE_ASYNC", "MIGRATE_SYNC", "MIGRATE_SYNC_LIGHT", "MIGRATE_SYNC_NO_COPY"):
        assert getattr(protocol, name) == globals()[name]


@BOTH_WAYS
@pytest.mark.parametrize("mode", [MIGRATE_ASYNC, MIGRATE_SYNC_LIGHT, MIGRATE_SYNC])
def test_pages_move_with_their_bytes_and_the_old_frames_are_free(switches: tuple[str, ...], mode: int) -> None:
    world = make_world(*switches)
    pages = world.movable(5)
    before = world.free_pages()
    world.list_of(pages, world.core.batch)
    assert migrate_pages_to_new(world.core, world.core.batch, mode) == 0
    assert world.core.is_empty(world.core.batch)
    moved = list(world.owner.pages)
    assert sorted(world.owner.pages.values()) == [0x10, 0x11, 0x12, 0x13, 0x14]
    assert all(world.owner.has_its_bytes(page) for page in moved)
    assert [world.core.d.page_ref_count(page) for page in moved] == [1] * 5
    assert world.free_pages() == before == world.free_really()
    assert world.m.is_quiescent


@BOTH_WAYS
def test_a_page_that_says_again_is_tried_ten_times(switches: tuple[str, ...]) -> None:
    world = make_world(*switches)
    [page] = world.movable()
    world.list_of([page], world.core.batch)
    before = world.free_pages()
    world.owner.answers = [-EAGAIN] * 20
    assert migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC) == 1
    assert len(world.owner.modes) == (8 if switches else 10)  # a batch counts for the first three passes
    assert world.core.pages_on(world.core.batch) == (page,)
    putback_movable_pages(world.core, world.core.batch)
    assert world.owner.putbacks == [page]
    assert world.free_pages() == before


@BOTH_WAYS
def test_a_page_that_says_again_twice_moves_at_the_third_try(switches: tuple[str, ...]) -> None:
    world = make_world(*switches)
    [page] = world.movable()
    world.list_of([page], world.core.batch)
    world.owner.answers = [-EAGAIN, -EAGAIN]
    assert migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC) == 0
    assert len(world.owner.modes) == 3


def test_a_page_that_is_busy_goes_back_at_once_and_the_others_move(world: World) -> None:
    pages = world.movable(3)
    world.list_of(pages, world.core.batch)
    world.owner.answers = [-EBUSY]
    assert migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC) == 1
    assert world.owner.putbacks == [pages[0]]
    assert world.core.is_empty(world.core.batch)
    assert pages[0] in world.owner.pages
    assert len(world.owner.modes) == 3


def test_a_page_that_is_busy_in_the_batch_has_another_try_by_itself() -> None:
    world = make_world("batched_migration")
    world.list_of(world.movable(3), world.core.batch)
    world.owner.answers = [-EBUSY]
    assert migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC) == 0
    assert world.owner.modes == [MIGRATE_ASYNC] * 3 + [MIGRATE_SYNC]


@BOTH_WAYS
def test_no_copy_is_passed_on_and_refused_by_the_owner(switches: tuple[str, ...]) -> None:
    world = make_world(*switches)
    pages = world.movable(2)
    world.list_of(pages, world.core.batch)
    world.owner.answers = [-EINVAL, -EINVAL]
    assert migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC_NO_COPY) == 2
    assert world.owner.modes == [MIGRATE_SYNC_NO_COPY] * 2
    assert world.owner.putbacks == pages


@BOTH_WAYS
@pytest.mark.parametrize("ordinal", [0, 1, 2])
def test_without_memory_the_rest_stays_on_the_list(switches: tuple[str, ...], ordinal: int) -> None:
    world = make_world(*switches)
    pages = world.movable(3)
    before = world.free_pages()
    world.list_of(pages, world.core.batch)
    world.m.failure.arm("page", ordinal)
    assert migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC) == -ENOMEM
    world.m.failure.disarm()
    assert world.core.pages_on(world.core.batch) == tuple(pages[ordinal:])
    putback_movable_pages(world.core, world.core.batch)
    assert world.free_pages() == before
    assert world.m.is_quiescent


@BOTH_WAYS
def test_a_page_freed_by_its_owner_meanwhile_counts_as_moved(switches: tuple[str, ...]) -> None:
    world = make_world(*switches)
    pages = world.movable(2)
    before = world.free_pages()
    world.list_of(pages, world.core.batch)
    world.owner.release(pages[0])
    assert migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC) == 0
    assert world.free_pages() == before + 1
    assert len(world.owner.pages) == 1


@BOTH_WAYS
def test_a_page_let_go_of_but_referenced_is_no_migration(switches: tuple[str, ...]) -> None:
    """Its owner is gone, somebody has a reference: the target is not used, the isolation ends."""
    world = make_world(*switches)
    [page] = world.movable()
    world.list_of([page], world.core.batch)
    world.core.d.get_page(page)
    world.owner.release(page)
    before = world.free_pages()
    assert migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC) == 0
    assert world.owner.modes == []
    assert world.free_pages() == before
    assert not world.core.d.PageIsolated(page)
    world.core.d.put_page(page)
    assert world.free_pages() == before + 1


def test_a_locked_page_is_waited_for_from_the_fourth_pass_on(world: World) -> None:
    [page] = world.movable()
    world.list_of([page], world.core.batch)
    assert world.core.d.trylock_page(page)
    with pytest.raises(Report) as caught:
        migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC)
    assert caught.value.kind == "progress"


@pytest.mark.parametrize(("mode", "memalloc"), [(MIGRATE_ASYNC, False), (MIGRATE_SYNC, True)])
def test_an_async_or_memalloc_caller_does_not_wait(world: World, mode: int, memalloc: bool) -> None:
    [page] = world.movable()
    world.list_of([page], world.core.batch)
    lock = world.core.d.trylock_page(page)
    control = MigrateControl(lambda page: alloc_migration_target(world.core, page), None, mode, MR_SYSCALL, memalloc)
    assert migrate_pages(world.core, world.core.batch, control) == 1
    world.core.d.unlock_page(page, lock)


def test_a_page_stays_in_the_normal_zone_and_one_of_movable_may_leave_it(world: World) -> None:
    core = world.core
    [normal] = world.movable_at(5)
    assert core.buddy.zone_of_pfn(world.pfn(alloc_migration_target(core, normal))) == ZONE_NORMAL
    [movable] = world.movable_at(70)
    assert core.buddy.zone_of_pfn(world.pfn(alloc_migration_target(core, movable))) == ZONE_MOVABLE
    while core.buddy.zone_page_state(ZONE_MOVABLE, 0):
        world.movable()
    assert core.buddy.zone_of_pfn(world.pfn(alloc_migration_target(core, movable))) == ZONE_NORMAL


def test_soft_offline_keeps_the_reference_of_the_isolation(world: World) -> None:
    [page] = world.movable()
    world.list_of([page], world.core.batch)
    control = control_for(world, reason=MR_MEMORY_FAILURE)
    assert migrate_pages(world.core, world.core.batch, control) == 0
    assert world.core.d.page_ref_count(page) == 1
    assert [pair[0] for pair in control.moved] == [page]


# -- LRU pages


@BOTH_WAYS
def test_an_lru_page_moves_with_its_mapping_its_flags_and_its_bytes(switches: tuple[str, ...]) -> None:
    world = make_world(*switches)
    core = world.core
    pages = [world.page(add_bystander(core, slot, BystanderKind.LRU, 0)) for slot in (3, 9)]
    before = world.free_pages()
    for page in pages:
        assert isolate_page_of_any_sort(core, page) == 0
        core.link_tail(page, core.batch)
        mod_node_page_state(core, page, 1)
    control = control_for(world)
    assert migrate_pages(core, core.batch, control) == 0
    assert [old for old, _ in control.moved] == pages
    for _, new in control.moved:
        assert core.d.PageLRU(new) and core.d.PageAnon(new) and core.d.page_mapped(new)
        assert core.d.page_ref_count(new) == 1
    assert world.isolated_count() == 0
    assert world.free_pages() == before == world.free_really()
    assert [drop_bystander(core, slot) for slot in (3, 9)] == [1, 1]
    assert world.free_pages() == before + 2


@BOTH_WAYS
def test_an_lru_page_that_somebody_else_has_pinned_stays(switches: tuple[str, ...]) -> None:
    world = make_world(*switches)
    core = world.core
    page = world.page(add_bystander(core, 0, BystanderKind.LRU, 0))
    core.d.get_page(page)
    assert isolate_page_of_any_sort(core, page) == 0
    core.link_tail(page, core.batch)
    mod_node_page_state(core, page, 1)
    assert migrate_pages(core, core.batch, control_for(world)) == 1
    putback_movable_pages(core, core.batch)
    core.d.put_page(page)
    assert core.d.page_mapped(page) and core.d.PageLRU(page)
    assert world.isolated_count() == 0
    assert drop_bystander(core, 0) == 1


def test_a_page_under_writeback_is_busy_for_a_light_migration_and_waited_for_by_a_full_one(
    world: World,
) -> None:
    [page] = world.movable()
    world.m.set_bit(PG_writeback, page)
    world.list_of([page], world.core.batch)
    assert unmap_and_move(world.core, page, False, control_for(world)) == -EAGAIN
    with pytest.raises(Report, match="PG_writeback"):
        unmap_and_move(world.core, page, True, control_for(world))


def test_a_page_under_writeback_is_refused_by_a_light_migration(world: World) -> None:
    [page] = world.movable()
    world.m.set_bit(PG_writeback, page)
    world.list_of([page], world.core.batch)
    assert unmap_and_move(world.core, page, True, control_for(world, MIGRATE_SYNC_LIGHT)) == -EBUSY
    assert world.owner.putbacks == [page]


# -- assertions


def test_moving_an_unlocked_page_is_reported(world: World) -> None:
    page, newpage = world.movable(2)
    with pytest.raises(Report, match="not locked"):
        move_to_new_page(world.core, newpage, page, MIGRATE_SYNC)


def test_moving_a_page_that_is_not_isolated_is_reported(world: World) -> None:
    page, newpage = world.movable(2)
    for each in (page, newpage):
        world.core.d.lock_page(each)
    with pytest.raises(Report) as caught:
        move_to_new_page(world.core, newpage, page, MIGRATE_SYNC)
    assert caught.value.rule == "VM_BUG_ON !PageIsolated"


def test_an_owner_that_clears_the_flag_while_moving_is_reported(world: World) -> None:
    [page] = world.movable()
    world.list_of([page], world.core.batch)
    migratepage = world.owner.migratepage

    def careless(mapping: int, newpage: int, page: int, mode: int) -> int:
        world.core.d.clear_page_isolated(page)
        return migratepage(mapping, newpage, page, mode)

    world.owner.replace(migratepage=careless)
    with pytest.raises(Report) as caught:
        migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC)
    assert caught.value.rule == "WARN_ON !PageIsolated"


def test_an_old_page_that_stops_being_movable_keeps_its_flag_and_is_reported(world: World) -> None:
    """The owner clears mapping altogether: nobody clears PG_isolated before the frame is freed (H20)."""
    [page] = world.movable()
    world.list_of([page], world.core.batch)
    migratepage = world.owner.migratepage

    def forgetful(mapping: int, newpage: int, page: int, mode: int) -> int:
        result = migratepage(mapping, newpage, page, mode)
        world.m.store(page + PG_MAPPING, 0)
        return result

    world.owner.replace(migratepage=forgetful)
    with pytest.raises(Report):
        migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC)
    assert world.m.load(page) >> PG_isolated & 1


def test_a_lock_that_moves_to_the_new_head_meanwhile_is_reported(world: World) -> None:
    """H05: newpage is locked as a page and unlocked as a tail of Z."""
    [page] = world.movable()
    world.list_of([page], world.core.batch)
    _, head = world.memdesc_tail_at(40)
    migratepage = world.owner.migratepage

    def attaches(mapping: int, newpage: int, page: int, mode: int) -> int:
        result = migratepage(mapping, newpage, page, mode)
        world.m.store(newpage + 8, head | 1)
        return result

    world.owner.replace(migratepage=attaches)
    with pytest.raises(Report) as caught:
        migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC)
    assert caught.value.rule == "I5 unlock of a lock not held"


class LinkedByIndex(Descriptor):
    """Links pages through index and private, so that a tail on a list keeps its head."""

    def core_link(self, page: int) -> int:
        return page + PG_INDEX


def test_a_real_tail_on_the_list_is_reported() -> None:
    """migrate_pages() asks thp_nr_pages() of it."""
    world = make_world(rules=LinkedByIndex)
    tail = world.take_block(16, 2, compound=True) + STRUCT_PAGE_SIZE
    world.core.link_tail(tail, world.core.batch)
    with pytest.raises(Report, match="of a tail page"):
        migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC)


def test_a_count_of_one_is_taken_for_a_page_without_an_owner(world: World) -> None:
    """H16: the owner's reference is not counted, so the core drops a live page."""
    [page] = world.movable()
    world.list_of([page], world.core.batch)
    world.m.store32(page + PG_REFCOUNT, 1)
    with pytest.raises(Report) as caught:
        migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC)
    assert caught.value.rule == "I10 isolated page freed"
    assert world.m.load(page + PG_MAPPING) & PAGE_MAPPING_MOVABLE == 0
