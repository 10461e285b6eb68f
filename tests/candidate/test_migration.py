"""The mm core on the candidate's pages: isolate, migrate, put back, and what a zspage does meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from candidate.allocator import Candidate
from tests.candidate.world import CLASS_3264, HUGE, MOVABLE, World, content
from zsfuzz.machine.core.compaction import compact_range
from zsfuzz.machine.core.migrate import isolate_movable_page
from zsfuzz.machine.layout import NR_ZSPAGES, PAGE_MAPPING_MOVABLE, ZONE_MOVABLE, ZONE_NORMAL
from zsfuzz.machine.report import Report
from zsfuzz.target.protocol import (
    MIGRATE_ASYNC,
    MIGRATE_SYNC,
    MIGRATE_SYNC_LIGHT,
    MIGRATE_SYNC_NO_COPY,
    ZS_MM_RO,
)

HEAPS = pytest.mark.parametrize("switches", [(), ("heap_above_memmap",), ("batched_migration",)])


@HEAPS
@pytest.mark.parametrize("index", range(4))
def test_a_page_moves_with_its_place_its_objects_and_its_offset(switches: tuple[str, ...], index: int) -> None:
    """[p0 p1 p2 p3] with five straddling objects; page i is exchanged, nothing else changes."""
    world = World(Candidate, *switches)
    handles = world.fill(5)
    before = world.view(handles[0])
    assert world.move(before.pages[index]) == 0
    after = world.view(handles[0])
    assert [old == new for old, new in zip(before.pages, after.pages, strict=True)] == [i != index for i in range(4)]
    assert after.offsets == before.offsets
    for number, handle in enumerate(handles):
        assert world.read(handle, CLASS_3264) == content(number, CLASS_3264)
    world.free(*handles)
    assert world.clean()


@pytest.mark.parametrize("mode", [MIGRATE_ASYNC, MIGRATE_SYNC_LIGHT, MIGRATE_SYNC])
def test_all_pages_of_a_zspage_move_in_one_request(mode: int) -> None:
    """Four pages, one lock (H06): the core takes it once a page."""
    world = World()
    handles = world.fill(3)
    old = world.pages(handles[0])
    assert [world.isolate(page) for page in old] == [0, 0, 0, 0]
    assert world.view(handles[0]).isolated == 4
    assert world.migrate(mode) == 0
    assert all(new != page for page, new in zip(old, world.pages(handles[0]), strict=True))
    assert [world.read(handle, CLASS_3264) for handle in handles] == [content(n, CLASS_3264) for n in range(3)]
    world.free(*handles)
    assert world.clean()


def test_the_roles_of_the_counts_swap_at_the_hand_over() -> None:
    """H05: the zspage's count and both pages' own through one exchange, as the callback leaves them."""
    world = World()
    handle = world.malloc()
    page, zspage, d = world.pages(handle)[1], world.target.zspage_of(handle), world.d
    assert (world.count(zspage), world.count(page)) == (1, 1)
    assert isolate_movable_page(world.core, page) == 0
    assert (world.count(zspage), world.count(page)) == (2, 1)
    newpage = world.machine.buddy.alloc_page(MOVABLE)
    lock, new_lock = d.lock_page(page), d.lock_page(newpage)
    assert (lock, new_lock) == (zspage, newpage)
    mapping = d.page_mapping(page)
    assert world.target.zs_page_migrate(mapping, newpage, page, MIGRATE_SYNC) == 0
    assert (world.count(zspage), world.count(page), world.count(newpage)) == (2, 1, 1)
    assert d.mapping_word(page) == PAGE_MAPPING_MOVABLE
    d.clear_page_isolated(page)
    d.unlock_page(newpage, new_lock)
    assert d.PageLocked(zspage)
    d.unlock_page(page, lock)
    d.put_page(newpage)
    assert world.count(zspage) == 1
    d.put_page(page)
    assert world.machine.buddy.is_free_buddy_page(world.machine.buddy.page_to_pfn(page))
    world.free(handle)
    assert world.clean()


def test_a_huge_object_moves_with_its_handle() -> None:
    """H31: write, migrate twice, read, free."""
    world = World()
    handle = world.malloc(HUGE)
    world.write(handle, content(3, HUGE))
    for _ in range(2):
        assert world.move(world.pages(handle)[0]) == 0
    assert world.read(handle, HUGE) == content(3, HUGE)
    world.free(handle)
    assert world.clean()


def test_isolation_is_per_page_and_takes_the_zspage_off_its_list_once() -> None:
    """H07: isolate p0, isolate p1, put p0 back, migrate p1."""
    world = World()
    handles = world.fill(2)
    first, second = world.pages(handles[0])[:2]
    index = world.view(handles[0]).class_index
    assert world.isolate(first) == 0
    assert world.d.PageIsolated(first) and not world.d.PageIsolated(second)
    assert world.target.fullness_list(world.pool, index, 1) == ()
    assert world.isolate(second) == 0
    assert (world.view(handles[0]).isolated, world.target.isolated_zspages(world.pool)) == (2, 1)
    assert world.target.zspage_of(world.malloc()) != world.target.zspage_of(handles[0])
    world.putback()
    assert (world.view(handles[0]).isolated, world.target.isolated_zspages(world.pool)) == (0, 0)
    assert world.target.zspage_of(handles[0]) in world.target.fullness_list(world.pool, index, 1)


def test_an_isolated_page_is_refused_to_a_second_isolator() -> None:
    world = World()
    page = world.pages(world.malloc())[0]
    zspage = world.d.compound_head(page)
    assert world.isolate(page) == 0
    assert world.isolate(page) == -16
    assert (world.count(zspage), world.count(page)) == (2, 1)


def test_refused_isolations_leave_both_counts_as_they_were() -> None:
    """H04: the page lock is taken by somebody; ten scans come by."""
    world = World()
    page = world.pages(world.malloc())[0]
    zspage = world.d.compound_head(page)
    lock = world.d.lock_page(page)
    for _ in range(10):
        assert world.isolate(page) == -16
    world.d.unlock_page(page, lock)
    assert (world.count(zspage), world.count(page)) == (1, 1)


def test_the_isolated_list_leaves_the_head_alone_and_its_words_are_scrubbed() -> None:
    """H03, H28: linked through index and private, which are 0 again afterwards."""
    world = World()
    page = world.pages(world.malloc())[2]
    zspage = world.d.compound_head(page)
    world.isolate(page)
    assert world.d.compound_head(page) == zspage
    assert world.machine.load(page + 32) == world.machine.load(page + 40) == world.core.isolated
    world.putback()
    assert world.machine.load(page + 32) == world.machine.load(page + 40) == 0


def test_an_empty_zspage_is_not_isolated() -> None:
    world = World()
    handle = world.malloc()
    page = world.pages(handle)[0]
    lock = world.d.lock_page(page)
    world.free(handle)
    world.d.unlock_page(page, lock)
    assert world.isolate(page) == -16
    world.machine.run_work()
    assert world.clean()


def test_a_zspage_that_compaction_has_taken_off_its_list_is_not_isolated() -> None:
    world = World()
    handle = world.malloc()
    class_ = world.target.size_class_of(world.pool, CLASS_3264 + 8)
    world.target.lock_class(class_)
    zspage = world.target.isolate_zspage(class_, source=True)
    world.target.unlock_class(class_)
    assert world.isolate(world.pages(handle)[0]) == -16
    world.target.putback_zspage(class_, zspage)


@pytest.mark.parametrize("end", ["putback", "migrate"])
def test_a_zspage_is_not_freed_while_isolated_and_the_worker_frees_it_afterwards(end: str) -> None:
    """isolate p0, free the last object, put back or migrate; only the worker gives the pages back (A04)."""
    world = World()
    handle = world.malloc()
    zspage, page = world.target.zspage_of(handle), world.pages(handle)[0]
    world.isolate(page)
    world.free(handle)
    assert world.target.zs_get_total_pages(world.pool) == 4
    if end == "putback":
        world.putback()
    else:
        assert world.migrate() == 0
    assert world.machine.has_pending_work
    assert zspage in world.target.fullness_list(world.pool, world.target.view_class(zspage).index, 0)
    world.machine.run_work()
    assert world.target.zs_get_total_pages(world.pool) == 0
    assert world.clean()


def test_the_statistic_of_the_empty_group_drifts_with_each_deferred_free() -> None:
    """As in 5.10: the worker splices the list and counts nothing down."""
    world = World()
    class_ = world.target.size_class_of(world.pool, CLASS_3264 + 8)
    for drift in range(3):
        assert world.target.zs_stat_get(class_, 0) == drift
        handle = world.malloc()
        world.isolate(world.pages(handle)[0])
        world.free(handle)
        world.putback()
        world.machine.run_work()


def test_no_copy_is_refused_and_the_page_can_be_put_back() -> None:
    world = World()
    handles = world.fill(2)
    before = world.pages(handles[0])
    world.isolate(before[0])
    assert world.migrate(MIGRATE_SYNC_NO_COPY) == 1
    assert world.pages(handles[0]) == before
    assert world.view(handles[0]).isolated == 0
    world.free(*handles)
    assert world.clean()


def test_a_pinned_object_keeps_its_page_where_it_is() -> None:
    """The pin bit is held between pin_tag() and the read lock: the one window in which 5.10 says -EAGAIN."""
    world = World()
    handles = world.fill(2)
    page = world.pages(handles[0])[0]
    world.isolate(page)
    world.target.pin_tag(handles[0])
    assert world.migrate(MIGRATE_ASYNC) == 1
    world.target.unpin_tag(handles[0])
    assert world.pages(handles[0])[0] == page
    assert world.migrate() == 0
    world.free(*handles)
    assert world.clean()


def test_pages_are_counted_in_the_zone_they_are_in() -> None:
    """Migration targets of the core come from ZONE_NORMAL or MOVABLE; NR_ZSPAGES follows page by page."""
    world = World()
    handle = world.malloc(gfp=MOVABLE)
    page = world.pages(handle)[1]
    newpage = world.machine.buddy.alloc_page(0xCC0)
    assert isolate_movable_page(world.core, page) == 0
    exchange(world, page, newpage)
    counts = [world.machine.buddy.zone_page_state(zone, NR_ZSPAGES) for zone in (ZONE_NORMAL, ZONE_MOVABLE)]
    assert counts == [1, 3]
    world.free(handle)
    assert world.clean()


def exchange(world: World, page: int, newpage: int) -> None:
    """What unmap_and_move() does, for a target of the test's own choice."""
    d = world.d
    lock, new_lock = d.lock_page(page), d.lock_page(newpage)
    assert world.target.zs_page_migrate(d.page_mapping(page), newpage, page, MIGRATE_SYNC) == 0
    d.clear_page_isolated(page)
    d.unlock_page(newpage, new_lock)
    d.unlock_page(page, lock)
    d.put_page(newpage)
    d.put_page(page)


def test_a_reference_that_nobody_accounts_for_keeps_every_head_where_it_is() -> None:
    """R1: with a scanner's reference on the zspage no page of it is exchanged; the core retries later."""
    world = World()
    handles = world.fill(2)
    before = world.view(handles[0])
    assert world.d.get_page_unless_zero(before.pages[0])
    world.isolate(before.pages[1])
    assert world.migrate() == 1
    assert world.pages(handles[0]) == before.pages
    world.d.put_page(before.pages[0])
    assert world.migrate() == 0
    assert world.count(before.zspage) == 1
    world.free(*handles)
    assert world.clean()


def test_a_target_that_somebody_else_refers_to_is_not_attached() -> None:
    """R1 for the new page: its reference was taken raw, and would be dropped on the zspage."""
    world = World()
    handles = world.fill(2)
    page, zspage = world.pages(handles[0])[0], world.target.zspage_of(handles[0])
    assert isolate_movable_page(world.core, page) == 0
    newpage = world.machine.buddy.alloc_page(MOVABLE)
    assert world.d.get_page_unless_zero(newpage)
    lock = world.d.lock_page(page)
    assert world.target.zs_page_migrate(world.d.page_mapping(page), newpage, page, MIGRATE_SYNC) == -11
    assert world.count(zspage) == 2 and not world.d.PageTail(newpage)
    world.d.unlock_page(page, lock)
    assert world.pages(handles[0])[0] == page
    assert world.read(handles[0], CLASS_3264) == content(0, CLASS_3264)


def test_destroying_a_pool_waits_for_its_isolated_pages() -> None:
    world = World()
    handle = world.malloc()
    world.isolate(world.pages(handle)[0])
    world.free(handle)
    with pytest.raises(Report, match="isolated pages of a pool"):
        world.target.zs_destroy_pool(world.pool)


def test_destroying_a_pool_lets_the_worker_run_first() -> None:
    world = World()
    handle = world.malloc()
    world.isolate(world.pages(handle)[0])
    world.free(handle)
    world.putback()
    world.target.zs_destroy_pool(world.pool)
    assert world.machine.buddy.vmstat() == [64, 0, 0, 64, 0, 0]
    assert not world.machine.has_pending_work


@pytest.mark.parametrize("callback", ["isolate", "migrate", "putback"])
def test_a_page_in_the_wrong_state_is_a_bug_of_the_core(callback: str) -> None:
    world = World()
    page = world.pages(world.malloc())[0]
    if callback == "isolate":
        world.d.set_page_isolated(page)
    assert world.d.lock_page(page)
    mapping = world.d.page_mapping(page)
    calls: dict[str, Callable[[], object]] = {
        "isolate": lambda: world.target.zs_page_isolate(page, 0),
        "migrate": lambda: world.target.zs_page_migrate(mapping, page, page, MIGRATE_SYNC),
        "putback": lambda: world.target.zs_page_putback(page),
    }
    with pytest.raises(Report, match="isolated"):
        calls[callback]()


@HEAPS
def test_compaction_of_a_zone_moves_the_pages_of_zspages(switches: tuple[str, ...]) -> None:
    """[Z0 .. Z11 free Z15]: the migrate scanner sees no compound page, and offers each tail (H01)."""
    world = World(Candidate, *switches)
    handles = world.fill(80)
    world.free(*handles[60:75])
    result = compact_range(world.core, 64, 72, MIGRATE_SYNC)
    assert result[3::2] == tuple(range(71, 63, -1))
    kept = [*range(60), *range(75, 80)]
    for number in kept:
        assert world.read(handles[number], CLASS_3264) == content(number, CLASS_3264)
    world.free(*[handles[number] for number in kept])
    assert world.clean()


def test_a_mapping_is_a_read_lock_that_migration_waits_for() -> None:
    world = World()
    handle = world.malloc()
    page = world.pages(handle)[0]
    world.isolate(page)
    world.target.zs_map_object(world.pool, handle, ZS_MM_RO)
    with pytest.raises(Report, match="zspage rwlock"):
        world.migrate()
