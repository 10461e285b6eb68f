"""Pools: creation, merged classes, failures half way, destruction, and state that lies in the arena alone.

In:    reference/, a machine.
Out:   nothing.
Never: the core.
"""

from __future__ import annotations

import pytest

from reference import FAULTS, TARGETS, Zsmalloc
from tests.reference.world import ALMOST_EMPTY, MOVABLE, World, reports
from zsfuzz.machine.layout import KPF_MMAP, KPF_OWNER_PRIVATE, KPF_PRIVATE, NR_FREE_PAGES
from zsfuzz.target.protocol import ClassRow


def test_the_package_offers_its_target_and_its_faults() -> None:
    assert list(TARGETS.items()) == [("reference", Zsmalloc)]
    assert len({fault.id for fault in FAULTS}) == len(FAULTS)
    assert {fault.target for fault in FAULTS} == {"reference"}


def test_raw_sizes_share_the_classes_that_the_table_merges() -> None:
    """255 raw sizes, 69 classes: the pointer of a merged size is that of the next larger class."""
    world = World()
    classes = [world.zs.class_of(world.pool, index) for index in range(255)]
    assert len(set(classes)) == 69
    for index in range(255):
        row = world.table.class_at(index)
        assert classes[index] == classes[row.index]
        assert world.machine.load32(classes[index] + 72) == row.size_bytes


@pytest.mark.parametrize(
    ("kind", "ordinal"),
    [("kmalloc-3072", 0), ("kmalloc-192", 0), ("kmalloc-192", 7), ("kmalloc-192", 68), ("kmalloc-64", 0)],
)
def test_a_pool_that_cannot_be_finished_is_taken_apart(kind: str, ordinal: int) -> None:
    """No memory for the pool, for the first, a middle and the last class, and for the inode."""
    world = World()
    before = world.drained()
    with world.failing(kind, ordinal):
        assert world.zs.zs_create_pool() == 0
    assert world.drained() == before
    world.finish()


def test_a_new_pool_has_empty_lists_and_zero_counters() -> None:
    world = World()
    for line in world.zs.zs_stats_size_show(world.pool):
        row = world.table.class_at(line.index)
        assert line == ClassRow(row.index, row.size_bytes, 0, 0, 0, 0, 0, row.pages_per_zspage, 0)
        assert [world.listed(row, group) for group in range(4)] == [()] * 4
    assert (world.zs.zs_get_total_pages(world.pool), world.zs.zs_pool_stats(world.pool)) == (0, 0)
    assert world.zs.zs_shrinker_count(world.pool) == 0
    assert world.machine.registered_shrinkers() == [world.pool]


def test_a_destroyed_pool_leaves_nothing_behind() -> None:
    world = World()
    for size in (1, 100, 1000, 3256, 3257, 4096):
        for handle in [world.malloc(size) for _ in range(20)][::2]:
            world.free(handle)
    assert world.zone_state(NR_FREE_PAGES) != world.at_boot[0]
    world.finish()


def test_a_pool_with_a_live_object_is_not_destroyed_in_silence() -> None:
    world = World()
    world.malloc(3256)
    with reports("bug", "Freeing non-empty class", "zs_destroy_pool"):
        world.zs.zs_destroy_pool(world.pool)


def test_a_leaked_handle_shows_at_destruction() -> None:
    world = World()
    world.zs.cache_alloc_handle(world.pool)
    with reports("memory", "leak at cache shutdown", "zs_handle"):
        world.zs.zs_destroy_pool(world.pool)


def test_every_lock_of_a_pool_is_named_and_free() -> None:
    world = World()
    world.malloc(3256)
    words = world.zs.lock_words(world.pool)
    assert len(words) == 69
    assert {name for name, _ in words} == {"class->lock"}
    assert all(world.machine.load(address) == 0 for _, address in words)


def test_a_restored_arena_is_a_restored_allocator() -> None:
    """Nothing about a pool lives outside the arena."""
    world = World()
    kept = world.malloc(3256)
    attributes = dict(vars(world.zs))
    saved = world.machine.snapshot()
    placement = world.zs.placement(kept)
    for _ in range(30):
        world.zs.zs_malloc(world.pool, 3256, MOVABLE)
    world.zs.zs_compact(world.pool)
    assert vars(world.zs) == attributes
    world.machine.restore(saved)
    assert world.zs.placement(kept) == placement
    world.check()
    world.finish()


def test_views_neither_write_nor_lock() -> None:
    world = World()
    handle = world.malloc(3256)
    world.isolate(world.pages(handle)[1])
    saved, locks = world.machine.snapshot(), world.machine.locks.acquired_count
    zspage = world.zs.zspage_of(handle)
    world.zs.zspage_view(zspage)
    world.zs.placement(handle)
    world.zs.object_header(zspage, 4)
    world.zs.fullness_list(world.pool, 202, ALMOST_EMPTY)
    world.zs.isolated_zspages(world.pool)
    world.zs.lock_words(world.pool)
    for pfn in range(256):
        world.zs.page_owner(world.kernel.pfn_to_page(pfn))
    assert world.machine.snapshot() == saved
    assert world.machine.locks.acquired_count == locks


def test_views_of_a_broken_zspage_come_to_an_end() -> None:
    """A chain and a free list that bite their tails are followed a little and no further."""
    world = World()
    handle = world.malloc(3256)
    zspage, pages = world.zs.zspage_of(handle), world.pages(handle)
    world.machine.store(world.kernel.kmap(pages[0]) + 3264, 1 << 1)
    assert world.zs.zspage_view(zspage).free_indices == (1,) * 6
    world.machine.store(pages[3] + 32, pages[0])
    assert len(world.zs.zspage_view(zspage).pages) == 16
    world.machine.store(pages[0] + 32, 0)
    world.machine.store32(zspage + 8, 4)
    assert world.zs.zspage_view(zspage).free_indices == (4,)


def test_a_page_of_somebody_else_has_no_owner() -> None:
    world = World()
    page = world.kernel.alloc_page(MOVABLE)
    assert world.zs.page_owner(page) == 0
    world.machine.store(page + 40, world.pool)  # alive, but no zspage
    assert world.zs.page_owner(page) == 0


def test_scanners_are_shown_what_the_struct_page_words_say() -> None:
    """kpagecount is the first-object offset + 1; the first page is PRIVATE, a huge one OWNER_PRIVATE."""
    world = World()
    for size in (3256, 4096):
        view = world.view(world.malloc(size))
        for index, page in enumerate(view.pages):
            shown = world.zs.shown_to_scanners(view, index)
            assert shown.kpagecount == world.d.page_mapcount(page)
            flags = (
                world.d.page_mapped(page) << KPF_MMAP
                | world.d.PagePrivate(page) << KPF_PRIVATE
                | world.d.PageOwnerPriv1(page) << KPF_OWNER_PRIVATE
            )
            assert shown.kpageflags == flags
