"""zs_compact() and the shrinker: what moves, what is freed, and what is in the way.

In:    reference/, a machine.
Out:   nothing.
Never: migration of pages, but as something in the way.
"""

from __future__ import annotations

import pytest

from tests.reference.world import ALMOST_EMPTY, ALMOST_FULL, EMPTY, FULL, World, reports
from zsfuzz.machine.layout import NR_ZSPAGES


def sparse(world: World, size_bytes: int, kept: list[int]) -> list[list[int]]:
    """One zspage for every number, with that many objects kept; returns the kept handles of each."""
    row = world.row(size_bytes)
    filled = [world.fill_zspage(row) for _ in kept]
    for handles, count in zip(filled, kept, strict=True):
        for handle in handles[: row.objs_per_zspage - count]:
            world.free(handle)
    return [handles[row.objs_per_zspage - count :] for handles, count in zip(filled, kept, strict=True)]


def test_two_half_empty_zspages_become_one() -> None:
    """[..xxx] + [...xx] -> [xxxxx], 4 pages freed."""
    world = World()
    sparse(world, 3264, [3, 2])
    assert world.zs.zs_compact(world.pool) == 4
    assert world.zs.zs_pool_stats(world.pool) == 4
    assert world.zone_state(NR_ZSPAGES) == (0, 4)
    assert len(world.listed(world.row(3264), FULL)) == 1
    world.check()
    world.finish()


def test_objects_go_from_the_emptiest_group_to_the_fullest() -> None:
    """ALMOST_EMPTY is the source, ALMOST_FULL the destination."""
    world = World()
    (fuller, (moved,)) = sparse(world, 3264, [4, 1])
    destination = world.zs.zspage_of(fuller[0])
    placements = [world.zs.placement(handle) for handle in fuller]
    assert world.zs.zs_compact(world.pool) == 4
    assert world.zs.zspage_of(moved) == destination
    assert world.index(moved) == 0
    assert [world.zs.placement(handle) for handle in fuller] == placements
    world.check()
    world.finish()


def test_a_source_is_spread_over_several_destinations() -> None:
    world = World()
    kept = sparse(world, 3264, [4, 4, 2])
    assert world.zs.zs_compact(world.pool) == 4
    assert len({world.zs.zspage_of(handle) for handles in kept for handle in handles}) == 2
    world.check()
    world.finish()


def test_nothing_moves_when_no_zspage_would_be_freed() -> None:
    world = World()
    kept = sparse(world, 3264, [4, 4])
    placements = [world.zs.placement(handle) for handles in kept for handle in handles]
    assert world.zs.zs_compact(world.pool) == 0
    assert [world.zs.placement(handle) for handles in kept for handle in handles] == placements
    world.check()
    world.finish()


@pytest.mark.parametrize("name", ["linux-5.10", "small"])
def test_compaction_keeps_every_byte_of_every_class(name: str) -> None:
    """Objects move between slots that straddle pages at different places."""
    world = World(name)
    for row in world.table.classes:
        if row.objs_per_zspage == 1 or 3 * row.pages_per_zspage > 200:
            continue
        handles = [world.malloc(world.payload(row)) for _ in range(3 * row.objs_per_zspage)]
        for handle in handles[::3] + handles[1::3]:
            world.free(handle)
        kept = handles[2::3]
        before = world.zs.zs_get_total_pages(world.pool)
        freed = world.zs.zs_compact(world.pool)
        after = world.zs.zs_get_total_pages(world.pool)
        assert freed == before - after
        assert after == row.pages_per_zspage * -(-len(kept) // row.objs_per_zspage)
        world.check(row)
        for handle in kept:
            world.free(handle)
    world.finish()


def test_a_huge_class_has_nothing_to_compact() -> None:
    world = World()
    world.malloc(4096)
    world.malloc(4000)
    assert world.zs.zs_compact(world.pool) == 0
    world.check()
    world.finish()


def test_the_shrinker_counts_what_compaction_frees_and_stops_when_there_is_nothing() -> None:
    world = World()
    sparse(world, 3264, [3, 2])
    sparse(world, 3072, [1, 1, 1])
    assert world.zs.zs_shrinker_count(world.pool) == 4 + 2 * 3
    assert world.zs.zs_shrinker_scan(world.pool) == 4 + 2 * 3
    assert world.zs.zs_shrinker_count(world.pool) == 0
    assert world.zs.zs_shrinker_scan(world.pool) == -1
    world.check()
    world.finish()


def test_the_freeable_column_says_what_a_class_could_free() -> None:
    world = World()
    sparse(world, 3264, [3, 2])
    row = world.row(3264)
    (line,) = [line for line in world.zs.zs_stats_size_show(world.pool) if line.index == row.index]
    assert (line.almost_full, line.almost_empty, line.obj_allocated, line.obj_used) == (0, 2, 10, 5)
    assert (line.pages_used, line.freeable) == (8, 4)
    world.finish()


def test_a_source_with_a_locked_page_is_counted_as_freed_and_left_to_the_worker() -> None:
    """The return value exceeds what is free at that moment: a fact of the design."""
    world = World()
    row = world.row(3264)
    first, second = sparse(world, 3264, [3, 2])
    source = world.listed(row, ALMOST_EMPTY)[0]
    handle = next(handle for handle in first + second if world.zs.zspage_of(handle) == source)
    with world.locked(world.pages(handle)[1]):
        assert world.zs.zs_compact(world.pool) == 4
        assert world.zone_state(NR_ZSPAGES) == (0, 8)
        assert world.listed(row, EMPTY) == (source,)
    world.machine.run_work()
    assert world.zone_state(NR_ZSPAGES) == (0, 4)
    world.check()
    world.finish()


def test_an_isolated_zspage_is_neither_source_nor_destination() -> None:
    world = World()
    first, second = sparse(world, 3264, [3, 2])
    page = world.pages(first[0])[0]
    world.isolate(page)
    placements = [world.zs.placement(handle) for handle in first + second]
    assert world.zs.zs_compact(world.pool) == 0
    assert [world.zs.placement(handle) for handle in first + second] == placements
    world.putback(page)
    assert world.zs.zs_compact(world.pool) == 4
    world.finish()


def test_a_mapped_object_stays_while_others_move_round_it() -> None:
    """[pinned....] is passed over as a source; as a destination it takes an object of [xx...]."""
    world = World()
    _, moved, (pinned,) = sparse(world, 3264, [4, 2, 1])
    stays = world.zs.placement(pinned)
    world.zs.zs_map_object(world.pool, pinned, 0)
    assert world.zs.zs_compact(world.pool) == 4
    world.zs.zs_unmap_object(world.pool, pinned)
    assert world.zs.placement(pinned) == stays
    assert world.zs.zspage_of(pinned) in [world.zs.zspage_of(handle) for handle in moved]
    world.check()
    world.finish()


def test_a_mapped_object_at_the_head_of_the_list_keeps_compaction_going_round() -> None:
    """map; compact: the same two zspages are taken and put back until the user unmaps."""
    world = World()
    row = world.row(3264)
    ((moved,), (pinned,)) = sparse(world, 3264, [1, 1])
    if world.listed(row, ALMOST_EMPTY)[0] != world.zs.zspage_of(pinned):
        moved, pinned = pinned, moved
    world.zs.zs_map_object(world.pool, pinned, 0)
    with reports("progress", "livelock"):
        world.zs.zs_compact(world.pool)


def test_compaction_takes_a_cursor_over_all_pages_of_the_source() -> None:
    """Live objects in the last page only, behind three pages without any."""
    world = World()
    row = world.row(3264)
    target, source = world.fill_zspage(row), world.fill_zspage(row)
    for handle in source[:4] + target[:2]:
        world.free(handle)
    assert world.index(source[4]) == 4
    assert world.zs.zs_compact(world.pool) == 4
    assert world.zs.zspage_of(source[4]) == world.zs.zspage_of(target[4])
    world.check()
    world.finish()


def test_compaction_leaves_the_groups_right() -> None:
    world = World()
    row = world.row(3264)
    sparse(world, 3264, [3, 1])
    world.zs.zs_compact(world.pool)
    assert [len(world.listed(row, group)) for group in range(4)] == [0, 0, 1, 0]
    assert world.stat(row, ALMOST_FULL) == 1
    world.check()
    world.finish()
