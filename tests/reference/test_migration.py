"""The core's callbacks: isolate, migrate, put back; and the worker that frees what they left empty.

In:    reference/, a machine; the core's part is played by tests/reference/world.py.
Out:   nothing.
Never: the product's core.
"""

from __future__ import annotations

import pytest

from reference.layout import POOL_DESTROYING, POOL_MIGRATION_WAIT
from tests.reference.world import (
    ALMOST_EMPTY,
    ALMOST_FULL,
    EMPTY,
    UNMOVABLE,
    World,
    reports,
)
from zsfuzz.machine.layout import EAGAIN, EINVAL, NR_FREE_PAGES, NR_ZSPAGES, PG_INDEX
from zsfuzz.target.protocol import MIGRATE_SYNC_NO_COPY


@pytest.mark.parametrize("number", range(4))
def test_a_migrated_page_takes_the_old_one_s_place_in_the_chain(number: int) -> None:
    """p0 p1 p2 p3 -> the same with one replaced; offsets, contents and indices stay."""
    world = World()
    handles = world.fill_zspage(world.row(3264), spare=1)
    before = world.view(handles[0])
    indices = [world.index(handle) for handle in handles]
    newpage = world.move(before.pages[number])
    after = world.view(handles[0])
    expected = list(before.pages)
    expected[number] = newpage
    assert after.pages == tuple(expected)
    assert after.offsets == before.offsets
    assert [world.index(handle) for handle in handles] == indices
    world.check()
    world.finish()


@pytest.mark.parametrize("name", ["linux-5.10", "small"])
def test_migration_of_every_page_keeps_every_byte_of_every_class(name: str) -> None:
    world = World(name)
    for row in world.table.classes:
        handles = world.fill_zspage(row)
        for handle in handles[1::2]:
            world.free(handle)
        for page in world.pages(handles[0]):
            world.move(page)
            world.check(row)
        for handle in handles[::2]:
            world.free(handle)
    world.finish()


def test_the_old_page_of_a_migration_is_free_and_clean() -> None:
    world = World()
    handle = world.malloc(3256)
    before = world.zone_state(NR_FREE_PAGES)
    page = world.pages(handle)[0]
    world.move(page)
    assert world.zone_state(NR_FREE_PAGES) == before
    assert world.machine.buddy.is_free_buddy_page(world.machine.buddy.page_to_pfn(page))
    assert world.zs.page_owner(page) == 0
    world.finish()


def test_a_huge_page_migrates_with_its_handle() -> None:
    world = World()
    handle = world.malloc(4096)
    newpage = world.move(world.pages(handle)[0])
    assert world.pages(handle) == (newpage,)
    assert world.machine.load(newpage + PG_INDEX) == handle | 1
    world.check()
    world.finish()


def test_a_migration_between_zones_moves_the_zone_count() -> None:
    world = World()
    handle = world.malloc(3256)
    assert world.zone_state(NR_ZSPAGES) == (0, 4)
    world.move(world.pages(handle)[1], UNMOVABLE)
    assert world.zone_state(NR_ZSPAGES) == (1, 3)
    world.check()
    world.finish()


def test_the_first_isolated_page_takes_its_zspage_off_the_list_and_the_last_puts_it_back() -> None:
    world = World()
    row = world.row(3264)
    handle = world.malloc(3256)
    zspage, pages = world.zs.zspage_of(handle), world.pages(handle)
    for count, page in enumerate(pages[:3], 1):
        assert world.isolate(page)
        assert world.listed(row, ALMOST_EMPTY) == ()
        assert (world.view(handle).isolated, world.zs.isolated_zspages(world.pool)) == (count, 1)
        world.check()
    for page in pages[:2]:
        world.putback(page)
        assert world.listed(row, ALMOST_EMPTY) == ()
        world.check()
    world.putback(pages[2])
    assert world.listed(row, ALMOST_EMPTY) == (zspage,)
    assert world.zs.isolated_zspages(world.pool) == 0
    world.finish()


def test_an_isolated_zspage_serves_no_malloc() -> None:
    world = World()
    handle = world.malloc(3256)
    page = world.pages(handle)[2]
    world.isolate(page)
    assert world.zs.zspage_of(world.malloc(3256)) != world.zs.zspage_of(handle)
    world.putback(page)
    world.finish()


def test_objects_freed_during_isolation_decide_the_list_at_putback() -> None:
    """ALMOST_FULL at isolation, ALMOST_EMPTY when it comes back."""
    world = World()
    row = world.row(3264)
    handles = world.fill_zspage(row, spare=1)
    page = world.pages(handles[0])[0]
    world.isolate(page)
    world.free(handles[0])
    assert world.view(handles[1]).fullness == ALMOST_EMPTY
    world.check()
    world.putback(page)
    assert world.listed(row, ALMOST_FULL) == ()
    assert world.listed(row, ALMOST_EMPTY) == (world.zs.zspage_of(handles[1]),)
    world.finish()


def test_a_page_of_an_empty_zspage_is_not_isolated() -> None:
    world = World()
    handle = world.malloc(3256)
    page = world.pages(handle)[0]
    with world.locked(page):
        world.free(handle)
    assert not world.isolate(page)
    world.machine.run_work()
    world.finish()


def test_a_page_of_a_zspage_under_compaction_is_not_isolated() -> None:
    """Off its list and not isolated: that is a compactor's."""
    world = World()
    handle = world.malloc(3256)
    size_class = world.size_class(world.row(3264))
    zspage = world.zs.isolate_zspage(size_class, source=True)
    assert not world.isolate(world.pages(handle)[0])
    world.zs.putback_zspage(size_class, zspage)
    assert world.isolate(world.pages(handle)[0])


def test_two_isolated_pages_of_one_zspage_migrate_one_after_the_other() -> None:
    world = World()
    handles = world.fill_zspage(world.row(3264))
    pages = world.pages(handles[0])
    for page in pages:
        assert world.isolate(page)
    for count, page in enumerate(pages, 1):
        result, newpage = world.migrate(page)
        assert (result, world.pages(handles[0])[count - 1]) == (0, newpage)
        assert world.view(handles[0]).isolated == 4 - count
        world.check()
    world.finish()


def test_migration_without_copying_is_refused() -> None:
    world = World()
    handle = world.malloc(3256)
    page = world.pages(handle)[0]
    world.isolate(page)
    assert world.migrate(page, mode=MIGRATE_SYNC_NO_COPY) == (-EINVAL, 0)
    world.putback(page)
    world.check()
    world.finish()


def test_a_pinned_object_of_the_page_refuses_migration_and_leaves_no_pin_behind() -> None:
    """pin_tag() happened, the migrate lock is still free: -EAGAIN, objects before it are unpinned again."""
    world = World()
    handles = world.fill_zspage(world.table.class_for(1008))
    before = world.view(handles[0])
    world.isolate(before.pages[0])
    world.zs.pin_tag(handles[2])
    assert world.migrate(before.pages[0]) == (-EAGAIN, 0)
    assert [world.zs.testpin_tag(handle) for handle in handles[:4]] == [False, False, True, False]
    world.zs.unpin_tag(handles[2])
    world.putback(before.pages[0])
    assert world.pages(handles[0]) == before.pages
    world.check()
    world.finish()


def test_a_pinned_object_of_another_page_does_not_refuse_migration() -> None:
    world = World()
    handles = world.fill_zspage(world.row(3264))
    pages = world.pages(handles[0])
    world.zs.pin_tag(handles[4])  # starts in the last page
    world.isolate(pages[0])
    assert world.migrate(pages[0])[0] == 0
    world.zs.unpin_tag(handles[4])
    world.check()
    world.finish()


def test_migrating_under_a_mapping_deadlocks_on_the_migrate_lock() -> None:
    """map; migrate: the contract forbids it, the migrate lock is why."""
    world = World()
    handle = world.malloc(3256)
    page = world.pages(handle)[0]
    world.isolate(page)
    world.zs.zs_map_object(world.pool, handle, 0)
    newpage = world.kernel.alloc_page(UNMOVABLE)
    mapping = world.d.page_mapping(page)
    assert world.d.trylock_page(page)
    assert world.d.trylock_page(newpage)
    with reports("progress", "self-deadlock", "zspage rwlock"):
        world.zs.zs_page_migrate(mapping, newpage, page, 0)


@pytest.mark.parametrize("ending", ["migrate", "putback"])
def test_a_zspage_that_empties_while_isolated_is_freed_by_the_worker(ending: str) -> None:
    """isolate; free the last object; migrate or put back -> EMPTY with work pending; run_work frees it."""
    world = World()
    row = world.row(3264)
    handle = world.malloc(3256)
    zspage, page = world.zs.zspage_of(handle), world.pages(handle)[1]
    world.isolate(page)
    world.free(handle)
    assert world.machine.pending_work() == []
    assert world.zs.zspage_view(zspage).inuse == 0
    if ending == "migrate":
        assert world.migrate(page)[0] == 0
    else:
        world.putback(page)
    assert world.listed(row, EMPTY) == (zspage,)
    assert len(world.machine.pending_work()) == 1
    world.check()
    assert world.machine.run_work() == 1
    assert world.zone_state(NR_ZSPAGES) == (0, 0)
    world.finish()


def test_a_huge_zspage_that_empties_while_isolated_does_not_show_its_stale_handle() -> None:
    """The tag stays in page->index after the free; migration does not look because inuse is 0."""
    world = World()
    handle = world.malloc(4096)
    page = world.pages(handle)[0]
    world.isolate(page)
    world.free(handle)
    assert world.machine.load(page + PG_INDEX) & 1
    assert world.migrate(page)[0] == 0
    world.machine.run_work()
    world.finish()


def test_the_worker_frees_all_empty_zspages_of_all_classes() -> None:
    world = World()
    handles = [world.malloc(size) for size in (3256, 3064, 100, 4096, 3257)]
    pages = [world.pages(handle)[0] for handle in handles]
    for page in pages:
        world.isolate(page)
    for handle in handles:
        world.free(handle)
    for page in pages:
        world.putback(page)
    assert len(world.machine.pending_work()) == 1
    world.machine.run_work()
    assert world.zone_state(NR_ZSPAGES) == (0, 0)
    world.finish()


def test_the_worker_waits_for_a_page_lock_and_in_one_lane_that_is_a_deadlock() -> None:
    world = World()
    handle = world.malloc(3256)
    page = world.pages(handle)[2]
    assert world.d.lock_page(page)
    world.free(handle)
    with reports("progress", "self-deadlock", "page lock"):
        world.machine.run_work()


@pytest.mark.parametrize("number", [0, 2])
def test_the_worker_goes_on_when_somebody_unlocks_the_page_it_waits_for(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits without the migrate lock and with a reference of its own; then it takes the lock itself."""
    world = World()
    handle = world.malloc(3256)
    page = world.pages(handle)[number]
    lock = world.d.lock_page(page)
    world.free(handle)

    def unlocked_meanwhile(waited_for: int) -> None:
        assert (waited_for, world.d.page_count(page)) == (page, 2)
        assert "zspage rwlock" not in [name for name, _ in world.machine.locks.held]
        world.d.unlock_page(page, lock)

    monkeypatch.setattr(world.d, "wait_on_page_locked", unlocked_meanwhile)
    world.machine.run_work()
    assert world.zone_state(NR_ZSPAGES) == (0, 0)
    world.finish()


def test_the_last_zspage_that_comes_back_wakes_whoever_destroys_the_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    pages = [world.pages(world.malloc(size))[0] for size in (3256, 4096)]
    for page in pages:
        world.isolate(page)
    woken: list[int] = []
    monkeypatch.setattr(world.kernel, "wake_up_all", woken.append)
    world.machine.store(world.pool + POOL_DESTROYING, 1)
    world.putback(pages[0])
    assert woken == []
    world.putback(pages[1])
    assert woken == [world.pool + POOL_MIGRATION_WAIT]


def test_destroying_a_pool_waits_for_isolated_pages() -> None:
    world = World()
    handle = world.malloc(3256)
    page = world.pages(handle)[0]
    world.isolate(page)
    world.free(handle)
    with reports("progress", "deadlock: wait_event", "isolated pages of a pool"):
        world.zs.zs_destroy_pool(world.pool)


def test_destroying_a_pool_runs_the_worker() -> None:
    world = World()
    handle = world.malloc(3256)
    with world.locked(world.pages(handle)[0]):
        world.free(handle)
    assert len(world.machine.pending_work()) == 1
    world.zs.zs_destroy_pool(world.pool)
    assert world.drained() == world.at_boot


def test_without_compaction_no_page_is_movable_or_placed_as_such() -> None:
    world = World(switches=("no_compaction",))
    handle = world.malloc(3256)
    assert world.zone_state(NR_ZSPAGES) == (4, 0)
    assert not any(world.d.page_has_movable_mapping(page) for page in world.pages(handle))
    world.zs.set_page_movable(world.pages(handle)[0], world.pool)
    assert world.d.mapping_word(world.pages(handle)[0]) == 0
    world.check()
    world.finish()


def test_without_compaction_a_locked_zspage_stays_until_it_is_revived() -> None:
    """kick_deferred_free() is an empty stub there."""
    world = World(switches=("no_compaction",))
    row = world.row(3264)
    handle = world.malloc(3256)
    zspage = world.zs.zspage_of(handle)
    with world.locked(world.pages(handle)[0]):
        world.free(handle)
    assert world.machine.pending_work() == []
    assert world.listed(row, EMPTY) == (zspage,)
    assert world.zs.zspage_of(world.malloc(3256)) == zspage
    world.finish()


def test_without_compaction_objects_are_still_compacted() -> None:
    world = World(switches=("no_compaction",))
    row = world.row(3264)
    first, second = world.fill_zspage(row), world.fill_zspage(row)
    for handle in first[:3] + second[:3]:
        world.free(handle)
    assert world.zs.zs_compact(world.pool) == 4
    world.check()
    world.finish()
