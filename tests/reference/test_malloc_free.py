"""zs_malloc() and zs_free(): which zspage serves, which list it lies on, and what happens without memory.

In:    reference/, a machine.
Out:   nothing.
Never: the core.
"""

from __future__ import annotations

import pytest

from tests.reference.world import (
    ALMOST_EMPTY,
    ALMOST_FULL,
    EMPTY,
    FULL,
    MOVABLE,
    UNMOVABLE,
    World,
    reports,
)
from zsfuzz.machine.layout import NR_FREE_PAGES, NR_ZSPAGES


@pytest.mark.parametrize("size", [0, 4097, 1 << 40])
def test_a_size_that_no_class_serves_is_refused_before_anything_is_allocated(size: int) -> None:
    world = World()
    assert world.zs.zs_malloc(world.pool, size, MOVABLE) == 0
    assert world.machine.slab.live_by_cache() == [
        (name, live if name not in ("zspage", "zs_handle") else 0) for name, live in world.machine.slab.live_by_cache()
    ]
    world.finish()


@pytest.mark.parametrize(
    ("size", "size_bytes"),
    [(1, 32), (24, 32), (25, 48), (3256, 3264), (3257, 4096), (4088, 4096), (4096, 4096)],
)
def test_a_request_lands_in_the_class_that_holds_it_and_its_handle(size: int, size_bytes: int) -> None:
    world = World()
    handle = world.malloc(size)
    assert world.view(handle).class_index == world.row(size_bytes).index
    world.finish()


@pytest.mark.parametrize(
    ("size_bytes", "pages", "objs"),
    [
        (3264, 4, 5),
        (3072, 3, 4),
        (2720, 2, 3),
        (2448, 3, 5),
        (2336, 4, 7),
        (2048, 1, 2),
        (48, 3, 256),
        (32, 1, 128),
    ],
)
def test_the_classes_are_those_of_5_10(size_bytes: int, pages: int, objs: int) -> None:
    world = World()
    row = world.row(size_bytes)
    handle = world.malloc(size_bytes - 8)
    assert len(world.pages(handle)) == pages
    (line,) = [line for line in world.zs.zs_stats_size_show(world.pool) if line.index == row.index]
    assert (line.size_bytes, line.pages_per_zspage, line.obj_allocated) == (size_bytes, pages, objs)
    assert len(world.zs.zs_stats_size_show(world.pool)) == 69
    assert world.zs.zs_huge_class_size(world.pool) == 3257


def test_a_zspage_climbs_through_the_groups_and_down_again() -> None:
    """5 objects: ALMOST_EMPTY up to 3, ALMOST_FULL at 4, FULL at 5."""
    world = World()
    row = world.row(3264)
    groups, handles = [], []
    for _ in range(5):
        handles.append(world.malloc(3256))
        groups.append(world.view(handles[0]).fullness)
        world.check()
    assert groups == [ALMOST_EMPTY, ALMOST_EMPTY, ALMOST_EMPTY, ALMOST_FULL, FULL]
    for handle, group in zip(handles, [ALMOST_FULL, ALMOST_EMPTY, ALMOST_EMPTY, ALMOST_EMPTY], strict=False):
        world.free(handle)
        assert world.listed(row, group) == (world.zs.zspage_of(handles[-1]),)
        world.check()
    world.free(handles[-1])
    assert not any(world.listed(row, group) for group in range(4))
    world.finish()


def test_a_full_zspage_is_not_offered_again() -> None:
    """[x x x .] malloc -> [x x x x]; the next malloc opens a new zspage."""
    world = World()
    handles = world.fill_zspage(world.row(3072))
    another = world.malloc(3064)
    assert world.zs.zspage_of(another) != world.zs.zspage_of(handles[0])
    world.finish()


def test_an_almost_full_zspage_serves_before_an_almost_empty_one() -> None:
    world = World()
    row = world.row(3264)
    older, newer = world.fill_zspage(row), world.fill_zspage(row)
    for handle in newer[1:]:
        world.free(handle)
    world.free(older[2])
    assert world.zs.zspage_of(world.malloc(3256)) == world.zs.zspage_of(older[0])
    world.finish()


def test_a_zspage_with_fewer_objects_than_the_head_goes_behind_it() -> None:
    """Lists read [3, 1]: putting back the one with 1 keeps it second; one that comes with 3 goes first."""
    world = World()
    row = world.row(3264)
    fuller, emptier, late = (world.fill_zspage(row) for _ in range(3))
    for handle in emptier[1:]:
        world.free(handle)
    for handle in fuller[3:]:
        world.free(handle)
    first, second = world.zs.zspage_of(fuller[0]), world.zs.zspage_of(emptier[0])
    assert world.listed(row, ALMOST_EMPTY) == (first, second)
    page = world.pages(emptier[0])[0]
    assert world.isolate(page)
    assert world.listed(row, ALMOST_EMPTY) == (first,)
    world.putback(page)
    assert world.listed(row, ALMOST_EMPTY) == (first, second)
    for handle in late[3:]:
        world.free(handle)
    assert world.listed(row, ALMOST_EMPTY) == (world.zs.zspage_of(late[0]), first, second)
    world.finish()


def test_movable_pages_come_from_zone_movable_and_others_from_zone_normal() -> None:
    world = World()
    world.malloc(3256, MOVABLE)
    assert world.zone_state(NR_ZSPAGES) == (0, 4)
    world.malloc(4096, UNMOVABLE)
    assert world.zone_state(NR_ZSPAGES) == (1, 4)
    world.finish()


def test_without_a_handle_nothing_happens() -> None:
    world = World()
    with world.failing("handle"):
        assert world.zs.zs_malloc(world.pool, 3256, MOVABLE) == 0
    world.check()
    world.finish()


def test_without_a_zspage_the_handle_is_given_back() -> None:
    world = World()
    with world.failing("zspage"):
        assert world.zs.zs_malloc(world.pool, 3256, MOVABLE) == 0
    world.check()
    world.finish()


@pytest.mark.parametrize("ordinal", range(4))
def test_without_all_its_pages_a_zspage_gives_back_those_it_got(ordinal: int) -> None:
    world = World()
    before = world.zone_state(NR_FREE_PAGES), world.zone_state(NR_ZSPAGES)
    with world.failing("page", ordinal):
        assert world.zs.zs_malloc(world.pool, 3256, MOVABLE) == 0
    assert (world.zone_state(NR_FREE_PAGES), world.zone_state(NR_ZSPAGES)) == before
    assert all(world.zs.page_owner(world.kernel.pfn_to_page(pfn)) == 0 for pfn in range(256))
    world.check()
    world.malloc(3256)
    world.check()
    world.finish()


def test_memory_that_really_runs_out_ends_in_zero_and_leaves_all_objects_alone() -> None:
    world = World(pages=(32, 32))
    handles = []
    while handle := world.malloc(3256):
        handles.append(handle)
    assert len(handles) == 16 * 5
    world.check()
    world.free(handles[7])
    assert world.malloc(3256)
    world.finish()


def test_a_failed_malloc_with_room_left_needs_no_zspage() -> None:
    world = World()
    world.malloc(3256)
    world.machine.failure.arm("zspage", 0)
    world.machine.failure.arm("page", 0)
    assert world.zs.zs_malloc(world.pool, 3256, MOVABLE)
    world.machine.failure.disarm()


def test_handle_zero_is_freed_without_a_word() -> None:
    world = World()
    world.zs.zs_free(world.pool, 0)
    world.finish()


def test_a_double_free_is_a_use_after_free_of_the_handle() -> None:
    world = World()
    world.malloc(3256)
    handle = world.malloc(3256)
    world.free(handle)
    with reports("memory", "use-after-free slab"):
        world.zs.zs_free(world.pool, handle)


def test_freeing_a_mapped_object_deadlocks_on_its_pin() -> None:
    """map; free: the map contract forbids it, the pin bit is why."""
    world = World()
    handle = world.malloc(3256)
    world.zs.zs_map_object(world.pool, handle, 0)
    with reports("progress", "self-deadlock", "pin bit"):
        world.zs.zs_free(world.pool, handle)


def test_mapping_a_mapped_object_deadlocks_on_its_pin() -> None:
    world = World()
    handle = world.malloc(3256)
    world.zs.zs_map_object(world.pool, handle, 0)
    with reports("progress", "self-deadlock", "pin bit"):
        world.zs.zs_map_object(world.pool, handle, 0)


@pytest.mark.parametrize("locked_index", range(4))
def test_a_locked_page_leaves_freeing_to_the_worker(locked_index: int) -> None:
    """Every page lock taken before the one that fails is released again."""
    world = World()
    row = world.row(3264)
    handle = world.malloc(3256)
    pages, zspage = world.pages(handle), world.zs.zspage_of(handle)
    with world.locked(pages[locked_index]):
        world.free(handle)
        assert [world.d.PageLocked(page) for page in pages] == [page == pages[locked_index] for page in pages]
    assert world.listed(row, EMPTY) == (zspage,)
    assert len(world.machine.pending_work()) == 1
    world.check()
    assert world.machine.run_work() == 1
    assert world.listed(row, EMPTY) == ()
    assert world.zone_state(NR_ZSPAGES) == (0, 0)
    world.finish()


def test_an_empty_zspage_that_waits_for_the_worker_is_revived_by_malloc() -> None:
    world = World()
    handle = world.malloc(3256)
    zspage = world.zs.zspage_of(handle)
    with world.locked(world.pages(handle)[0]):
        world.free(handle)
    again = world.malloc(3256)
    assert world.zs.zspage_of(again) == zspage
    world.machine.run_work()
    assert world.view(again).inuse == 1
    world.check()
    world.finish()


def test_the_empty_count_drifts_by_one_for_each_deferred_free() -> None:
    """CLASS_EMPTY is never taken back by the worker: a fact of every kernel before 6.11."""
    world = World()
    row = world.row(3264)
    for rounds in range(1, 4):
        handle = world.malloc(3256)
        with world.locked(world.pages(handle)[0]):
            world.free(handle)
        world.machine.run_work()
        assert world.stat(row, EMPTY) == rounds
    world.finish()


def test_a_speculative_reference_keeps_a_page_of_a_freed_zspage() -> None:
    """The page goes to the buddy when the scanner lets go, clean, and not before."""
    world = World()
    handle = world.malloc(3256)
    page = world.pages(handle)[2]
    assert world.d.get_page_unless_zero(page)
    world.free(handle)
    assert world.d.page_count(page) == 1
    assert world.zs.page_owner(page) == 0
    assert world.zone_state(NR_ZSPAGES) == (0, 0)
    world.d.put_page(page)
    world.finish()


def test_pages_of_different_pools_do_not_mix() -> None:
    world = World()
    other = world.zs.zs_create_pool()
    mine, theirs = world.malloc(3256), world.zs.zs_malloc(other, 3256, MOVABLE)
    assert world.zs.zspage_of(mine) != world.zs.zspage_of(theirs)
    assert (world.zs.zs_get_total_pages(world.pool), world.zs.zs_get_total_pages(other)) == (4, 4)
    world.zs.zs_free(other, theirs)
    world.zs.zs_destroy_pool(other)
    world.check()
    world.finish()
