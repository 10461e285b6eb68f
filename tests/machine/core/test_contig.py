"""alloc_contig_range(): all of the range or nothing, and every frame accounted for."""

from __future__ import annotations

import pytest

from tests.machine.core.support import World, make_world
from zsfuzz.machine.core.bystander import add_bystander, drop_bystander
from zsfuzz.machine.core.contig import (
    alloc_contig_migrate_range,
    alloc_contig_range,
    free_block_before,
    free_contig_range,
)
from zsfuzz.machine.core.control import compact_control
from zsfuzz.machine.core.words import MIGRATE_SYNC
from zsfuzz.machine.layout import EAGAIN, EBUSY, EINVAL, ENOMEM, MIGRATE_MOVABLE
from zsfuzz.machine.report import Report
from zsfuzz.program.ops import BystanderKind


@pytest.mark.parametrize("switches", [(), ("batched_migration",)], ids=["one by one", "batched"])
@pytest.mark.parametrize(("start", "end"), [(16, 32), (17, 19), (0, 32), (5, 6), (31, 32), (33, 61)])
def test_a_range_is_emptied_taken_and_given_back(switches: tuple[str, ...], start: int, end: int) -> None:
    world = make_world(*switches)
    world.movable_at(*range(1, 64, 7), *range(64, 70))
    lru = add_bystander(world.core, 0, BystanderKind.LRU, 1)
    assert lru < 64
    before = world.free_pages()
    assert alloc_contig_range(world.core, start, end) == 0
    inside = range(start, end)
    assert all(world.core.d.page_ref_count(world.page(pfn)) == 1 for pfn in inside)
    assert not any(world.page(pfn) in world.owner.pages for pfn in inside)
    assert all(world.owner.has_its_bytes(page) for page in world.owner.pages)
    assert world.free_pages() == before - len(inside) == world.free_really()
    free_contig_range(world.core, start, end - start)
    assert world.free_pages() == before == world.free_really()
    assert {world.m.buddy.get_pageblock_migratetype(pfn) for pfn in range(0, 64, 16)} == {MIGRATE_MOVABLE}
    assert drop_bystander(world.core, 0) == 1
    assert world.m.is_quiescent


def test_an_unmovable_page_in_the_aligned_range_refuses_it(world: World) -> None:
    world.kernel_page_at(30)
    before = world.free_pages()
    assert alloc_contig_range(world.core, 0, 8) == -EBUSY
    assert world.free_pages() == before


def test_a_page_that_does_not_move_leaves_everything_as_it_was(world: World) -> None:
    [page, _] = world.movable_at(4, 9)
    before = world.free_pages()
    world.owner.answers = [-EAGAIN] * 1000
    assert alloc_contig_range(world.core, 0, 16) == -EBUSY
    assert world.free_pages() == before == world.free_really()
    assert page in world.owner.pages and page in world.owner.putbacks
    assert world.core.is_empty(world.core.migratepages)
    assert world.core.is_empty(world.core.freepages)


def test_a_zone_that_is_isolated_as_a_whole_has_no_room_for_what_is_in_it(world: World) -> None:
    world.movable_at(4)
    before = world.free_pages()
    assert alloc_contig_range(world.core, 3, 61) == -ENOMEM
    assert world.free_pages() == before
    assert [world.pfn(page) for page in world.owner.pages] == [4]


def test_a_range_in_two_zones_is_refused(world: World) -> None:
    assert alloc_contig_range(world.core, 60, 70) == -EINVAL


def test_an_offline_range_is_refused(world: World) -> None:
    world.m.buddy.set_section_online(32, False)
    assert alloc_contig_range(world.core, 40, 50) == -EBUSY
    assert alloc_contig_range(world.core, 20, 50) == -EBUSY


def test_a_page_isolated_by_somebody_else_keeps_the_range_busy(world: World) -> None:
    world.list_of(world.movable_at(4), world.core.isolated)
    assert alloc_contig_range(world.core, 0, 16) == -EBUSY


def test_a_compound_page_is_offered_to_migration_and_refused(world: World) -> None:
    """alloc_contig leaves the compound test out: what is not on the LRU and not movable stays."""
    world.take_block(64, 2, compound=True)
    cc = compact_control(world.core, 1, MIGRATE_SYNC, alloc_contig=True)
    assert alloc_contig_migrate_range(world.core, cc, 64, 80) == 0
    assert alloc_contig_range(world.core, 64, 80) == -EBUSY


def test_freeing_a_range_that_somebody_still_uses_is_reported(world: World) -> None:
    assert alloc_contig_range(world.core, 0, 4) == 0
    world.core.d.get_page(world.page(2))
    with pytest.raises(Report, match="1 pages are still in use"):
        free_contig_range(world.core, 0, 4)


def test_the_free_block_that_reaches_the_range_from_below_is_found(world: World) -> None:
    assert free_block_before(world.core, 40) == 32
    world.kernel_page_at(36)
    assert free_block_before(world.core, 40) == 40
    assert free_block_before(world.core, 39) == 38
    assert free_block_before(world.core, 36) == 36
