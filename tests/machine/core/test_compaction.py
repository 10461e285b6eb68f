"""Compaction: pages go up, free pages are conserved, and planted defects are reported."""

from __future__ import annotations

import pytest

from tests.machine.core.support import GFP_KERNEL, World, make_world
from zsfuzz.machine.core.bystander import add_bystander, drop_bystander
from zsfuzz.machine.core.compaction import (
    compact_range,
    compact_zone,
    compaction_alloc,
    compaction_free,
    release_unused_freepages,
    suitable_migration_source,
)
from zsfuzz.machine.core.control import compact_control, pageblock_pfn_to_page
from zsfuzz.machine.core.freepages import (
    isolate_freepages_block,
    isolate_freepages_range,
    release_freepages,
    split_map_pages,
)
from zsfuzz.machine.core.migratepages import isolate_migratepages_block, isolate_migratepages_range
from zsfuzz.machine.core.movable import putback_movable_pages
from zsfuzz.machine.core.words import (
    COMPACT_COMPLETE,
    COMPACT_CONTENDED,
    ISOLATE_UNEVICTABLE,
    MIGRATE_ASYNC,
    MIGRATE_SYNC,
    MIGRATE_SYNC_LIGHT,
)
from zsfuzz.machine.layout import EAGAIN, PG_PRIVATE, STRUCT_PAGE_SIZE, PG_hwpoison
from zsfuzz.machine.report import Report
from zsfuzz.program.ops import BystanderKind


def isolate(world: World, start: int, end: int, mode: int = MIGRATE_SYNC, **how: object) -> tuple[int, list[int]]:
    """Run the migrate scanner over a block. Returns (where it stopped, pfns in list order)."""
    core = world.core
    cc = compact_control(core, core.buddy.zone_of_pfn(start), mode, **how)  # type: ignore[arg-type]
    stopped = isolate_migratepages_block(core, cc, start, end, ISOLATE_UNEVICTABLE)
    pfns = [world.pfn(page) for page in core.pages_on(cc.migratepages)]
    assert cc.nr_migratepages == len(pfns)
    return stopped, pfns


# -- the migrate scanner


def test_the_migrate_scanner_takes_movable_and_lru_pages_and_nothing_else(world: World) -> None:
    """[m k L c c m . .] -> m, L, m; the first found is last on the list."""
    world.movable_at(0, 5)
    world.kernel_page_at(1)
    world.take_block(2, 1, compound=True)
    world.take_block(4, 0)
    lru = add_bystander(world.core, 0, BystanderKind.LRU, 1)
    stopped, pfns = isolate(world, 0, 16)
    assert stopped == 16
    assert sorted(pfns) == sorted([0, 5, lru])
    assert pfns[-1] == 0
    assert world.isolated_count() == 1
    putback_movable_pages(world.core, world.core.migratepages)
    assert world.isolated_count() == 0


def test_the_migrate_scanner_stops_when_a_cluster_is_full(world: World) -> None:
    world.movable_at(*range(16))
    assert world.core.cluster_max == 8
    assert isolate(world, 0, 16)[0] == 8


def test_a_contended_lock_is_noted_by_an_async_compactor(world: World) -> None:
    """Nobody else runs: waiting for the lock then is the deadlock that is reported."""
    add_bystander(world.core, 0, BystanderKind.LRU, 1)
    world.core.lock_lru()
    with pytest.raises(Report) as caught:
        isolate(world, 0, 16, MIGRATE_ASYNC)
    assert caught.value.rule == "self-deadlock"


def test_a_direct_compactor_gives_a_block_up_with_what_it_had_isolated_there(world: World) -> None:
    """order 2: [m m k m | m m m m]: the first four are put back, the second four stay isolated."""
    world.movable_at(0, 1, 3, 4, 5, 6, 7)
    world.kernel_page_at(2)
    stopped, pfns = isolate(world, 0, 16, MIGRATE_ASYNC, order=2, direct_compaction=True)
    assert sorted(pfns) == [4, 5, 6, 7]
    assert stopped == 8
    assert [world.pfn(page) for page in world.owner.putbacks] == [1, 0]


def test_a_free_or_compound_block_that_reaches_out_of_the_range_is_clamped(world: World) -> None:
    assert isolate(world, 48, 50) == (50, [])
    world.take_block(16, 4, compound=True)
    assert isolate(world, 20, 24) == (24, [])


@pytest.mark.parametrize("start", range(16, 24))
def test_a_real_compound_page_is_passed_from_every_start(world: World, start: int) -> None:
    """[c c c c m m m m]: from inside, its tails are looked at one by one."""
    world.take_block(16, 2, compound=True)
    world.movable_at(20, 21, 22, 23)
    stopped, pfns = isolate(world, start, 32)
    assert sorted(pfns) == [pfn for pfn in range(20, 24) if pfn >= start]
    assert stopped == 32


def test_a_tail_is_never_offered_but_to_alloc_contig(world: World) -> None:
    """H01, rules of 5.10: the compound test comes before __PageMovable()."""
    page, _ = world.memdesc_tail_at(20)
    world.m.store(page + 24, world.owner.mapping | 2)
    assert isolate(world, 16, 32) == (32, [])
    world.m.store32(page + 52, 2)
    with pytest.raises(Report, match="over its compound_head"):  # offered, taken, and put on a list (H03)
        isolate(world, 16, 32, alloc_contig=True)


@pytest.mark.parametrize(("order", "rule"), [(3, "skips pages"), (5, "leaves its range")])
def test_a_compound_order_that_is_wrong_is_reported(world: World, order: int, rule: str) -> None:
    head = world.take_block(16, 2, compound=True)
    world.movable_at(20)
    world.m.store(head + STRUCT_PAGE_SIZE + 16, 1 | order << 8)
    with pytest.raises(Report) as caught:
        isolate(world, 16, 32)
    assert caught.value.rule == f"I8 scanner {rule}"
    assert caught.value.field == "isolate_migratepages_block"


def test_a_free_block_with_a_wrong_order_is_reported(world: World) -> None:
    world.movable_at(20)
    assert world.m.buddy.is_buddy(16)
    world.m.store(world.page(16) + PG_PRIVATE, 4)
    with pytest.raises(Report) as caught:
        isolate(world, 16, 32)
    assert caught.value.rule == "I8 scanner skips pages"


def test_an_order_no_block_can_have_is_not_followed(world: World) -> None:
    world.movable_at(20)
    world.m.store(world.page(16) + PG_PRIVATE, 99)
    assert isolate(world, 16, 32) == (32, [20])


def test_a_pinned_lru_page_is_left_alone(world: World) -> None:
    pfn = add_bystander(world.core, 0, BystanderKind.LRU, 1)
    world.core.d.get_page(world.page(pfn))
    assert isolate(world, 0, 16)[1] == []


def test_the_range_form_goes_on_over_offline_blocks(world: World) -> None:
    world.movable_at(33, 66)
    world.m.buddy.set_section_online(32, False)
    cc = compact_control(world.core, 0, MIGRATE_SYNC, alloc_contig=True)
    assert isolate_migratepages_range(world.core, cc, 0, 64) == 64
    assert world.core.is_empty(cc.migratepages)
    world.m.buddy.set_section_online(32, True)
    assert isolate_migratepages_range(world.core, cc, 32, 64) == 64
    assert [world.pfn(page) for page in world.core.pages_on(cc.migratepages)] == [33]


def test_a_block_across_two_zones_or_the_end_is_no_block(world: World) -> None:
    assert pageblock_pfn_to_page(world.core, 48, 64, 0) == world.page(48)
    assert pageblock_pfn_to_page(world.core, 48, 65, 0) == 0
    assert pageblock_pfn_to_page(world.core, 48, 64, 1) == 0
    assert pageblock_pfn_to_page(world.core, 112, 129, 1) == 0


# -- the free scanner


@pytest.mark.parametrize("strict", [False, True])
def test_the_free_scanner_takes_free_blocks_and_gives_them_back(world: World, strict: bool) -> None:
    core = world.core
    before, lists = world.free_pages(), world.m.buddy.vmstat()
    cc = compact_control(core, 0, MIGRATE_SYNC)
    cc.nr_migratepages = 1000
    world.kernel_page_at(37)
    assert isolate_freepages_block(core, cc, 32, 48, cc.freepages, 1, strict) == ((0, 37) if strict else (15, 48))
    assert world.free_pages() == before - 1 - (5 if strict else 15)
    assert split_map_pages(core, cc.freepages) == (5 if strict else 15)
    pages = core.pages_on(cc.freepages)
    assert all(core.d.page_ref_count(page) == 1 for page in pages)
    assert release_freepages(core, cc.freepages) == max(world.pfn(page) for page in pages)
    assert world.free_pages() == before - 1 == world.free_really()
    core.d.put_page(world.page(37))
    assert world.m.buddy.vmstat() == lists


def test_the_free_scanner_stops_when_it_has_enough(world: World) -> None:
    """[. k . k . k ...]: two wanted, two single pages taken."""
    for pfn in range(33, 48, 2):
        world.kernel_page_at(pfn)
    cc = compact_control(world.core, 0, MIGRATE_SYNC)
    cc.nr_migratepages = 2
    assert isolate_freepages_block(world.core, cc, 32, 48, cc.freepages, 1, False) == (2, 35)


def test_the_free_scanner_with_a_stride_looks_at_every_eighth_page(world: World) -> None:
    for pfn in range(33, 48, 2):
        world.kernel_page_at(pfn)
    cc = compact_control(world.core, 0, MIGRATE_ASYNC)
    cc.nr_migratepages = 100
    assert isolate_freepages_block(world.core, cc, 32, 48, cc.freepages, 8, False) == (2, 48)


@pytest.mark.parametrize("start", range(16, 20))
def test_the_free_scanner_passes_a_real_compound_page_from_every_start(world: World, start: int) -> None:
    world.take_block(16, 2, compound=True)
    cc = compact_control(world.core, 0, MIGRATE_SYNC)
    cc.nr_migratepages = 100
    assert isolate_freepages_block(world.core, cc, start, 32, cc.freepages, 1, False) == (12, 32)


def test_a_free_block_that_claims_pages_in_use_is_reported(world: World) -> None:
    world.kernel_page_at(20)
    world.m.store(world.page(16) + PG_PRIVATE, 4)
    cc = compact_control(world.core, 0, MIGRATE_SYNC)
    cc.nr_migratepages = 100
    with pytest.raises(Report) as caught:
        isolate_freepages_block(world.core, cc, 16, 32, cc.freepages, 1, False)
    assert (caught.value.rule, caught.value.field) == ("I8 scanner skips pages", "isolate_freepages_block")


def test_a_strict_range_is_all_or_nothing(world: World) -> None:
    before = world.free_pages()
    world.kernel_page_at(40)
    cc = compact_control(world.core, 0, MIGRATE_SYNC)
    assert isolate_freepages_range(world.core, cc, 16, 48) == 0
    assert world.free_pages() == before - 1
    assert isolate_freepages_range(world.core, cc, 0, 32) == 32
    assert world.core.is_empty(cc.freepages)
    assert world.free_pages() == before - 1 - 32


def test_a_poisoned_page_in_a_free_block_is_not_handed_out(world: World) -> None:
    world.m.set_bit(PG_hwpoison, world.page(36))
    cc = compact_control(world.core, 0, MIGRATE_SYNC)
    cc.nr_migratepages = 100
    isolate_freepages_block(world.core, cc, 32, 48, cc.freepages, 1, False)
    taken = split_map_pages(world.core, cc.freepages)
    assert world.page(36) not in world.core.pages_on(cc.freepages)
    assert taken == 31  # the free block has 32 pages


# -- both


@pytest.mark.parametrize("switches", [(), ("batched_migration",)], ids=["one by one", "batched"])
@pytest.mark.parametrize("mode", [MIGRATE_ASYNC, MIGRATE_SYNC_LIGHT, MIGRATE_SYNC])
def test_compaction_moves_pages_up_and_conserves_memory(switches: tuple[str, ...], mode: int) -> None:
    world = make_world(*switches)
    core = world.core
    world.movable_at(*range(64, 96, 4), *range(1, 30, 3), 50, 120)
    world.kernel_page_at(2)
    lru = [add_bystander(core, slot, BystanderKind.LRU, slot) for slot in (1, 2)]
    before = world.free_pages()
    for start, end in ((0, 64), (64, 128)):
        result = compact_range(core, start, end, mode)
        assert result[0] == COMPACT_COMPLETE
        moved = dict(zip(result[3::2], result[4::2], strict=True))
        assert moved and all(new > old for old, new in moved.items())
    assert world.free_pages() == before == world.free_really()
    assert all(world.owner.has_its_bytes(page) for page in world.owner.pages)
    assert world.isolated_count() == 0
    assert all(core.is_empty(head) for _, head in core.lists_of_pages())
    assert core.is_empty(core.freepages)
    assert world.m.is_quiescent
    assert len(lru) == 2 and [drop_bystander(core, slot) for slot in (1, 2)] == [1, 1]


def test_compaction_keeps_to_its_range_and_its_zone(world: World) -> None:
    world.movable_at(2, 20, 70)
    world.kernel_page_at(62)
    result = compact_range(world.core, 16, 128, MIGRATE_SYNC)
    assert result[3] == 20 and len(result) == 5
    assert 48 <= result[4] < 64


def test_a_page_that_does_not_move_is_put_back_and_counted(world: World) -> None:
    world.movable_at(2, 3)
    world.kernel_page_at(62)
    before = world.free_pages()
    world.owner.answers = [-EAGAIN] * 20
    result = compact_range(world.core, 0, 64, MIGRATE_SYNC)
    assert result == (COMPACT_COMPLETE, 2, 2)
    assert world.free_pages() == before
    assert [world.pfn(page) for page in world.owner.putbacks] == [3, 2]


def test_compaction_without_a_target_is_contended(world: World) -> None:
    """Every page above is a kernel page: no target in a movable block, nothing is lost."""
    world.movable_at(2)
    while world.m.buddy.alloc_pages(GFP_KERNEL, 0):
        pass
    result = compact_range(world.core, 0, 64, MIGRATE_SYNC)
    assert result[0] in (COMPACT_CONTENDED, COMPACT_COMPLETE)
    assert [world.pfn(page) for page in world.owner.pages] == [2]
    assert world.m.is_quiescent


def test_a_direct_compactor_spares_large_free_blocks(world: World) -> None:
    """[m ...][........][k .....

    | ...........]: the block with k in it takes the page, a free one does not.
    """
    world.movable_at(2)
    world.kernel_page_at(32)
    assert world.m.buddy.buddy_order(48) == 4
    assert compact_range(world.core, 0, 16, MIGRATE_ASYNC) == (COMPACT_COMPLETE, 1, 0, 2, 47)
    world.movable_at(3)
    assert compact_range(world.core, 0, 16, MIGRATE_SYNC) == (COMPACT_COMPLETE, 1, 0, 3, 63)


def test_a_block_inside_a_large_compound_page_is_no_source(world: World) -> None:
    world.take_block(32, 5, compound=True)
    assert not suitable_migration_source(world.core, world.page(32))
    assert not suitable_migration_source(world.core, world.page(48))
    world.take_block(16, 3, compound=True)
    assert suitable_migration_source(world.core, world.page(16))


def test_a_target_handed_back_is_handed_out_again(world: World) -> None:
    cc = compact_control(world.core, 0, MIGRATE_SYNC)
    cc.migrate_pfn, cc.free_pfn, cc.nr_migratepages = 0, 48, 1
    world.kernel_page_at(62)
    page = compaction_alloc(world.core, cc)
    assert page
    counted = cc.nr_freepages
    compaction_free(world.core, cc, page)
    assert cc.nr_freepages == counted + 1
    assert compaction_alloc(world.core, cc) == page
    world.core.d.free_page(page)
    release_unused_freepages(world.core, cc)


@pytest.mark.parametrize(("claimed", "rule"), [(1, "VM_BUG_ON free_pfn == 0"), (0, "VM_BUG_ON nr_freepages")])
def test_free_pages_that_were_not_counted_are_reported(world: World, claimed: int, rule: str) -> None:
    cc = compact_control(world.core, 0, MIGRATE_SYNC)
    cc.nr_freepages = claimed
    if not claimed:
        world.core.link(world.kernel_page_at(40), cc.freepages)
    with pytest.raises(Report) as caught:
        release_unused_freepages(world.core, cc)
    assert caught.value.rule == rule


@pytest.mark.parametrize("claimed", [1, 3])
def test_a_wrong_count_of_free_pages_is_reported(world: World, claimed: int) -> None:
    """The kernel's own checks ask only whether there are any."""
    cc = compact_control(world.core, 0, MIGRATE_SYNC)
    cc.nr_freepages = claimed
    for pfn in (40, 41):
        world.core.link(world.kernel_page_at(pfn), cc.freepages)
    with pytest.raises(Report) as caught:
        release_unused_freepages(world.core, cc)
    assert caught.value.rule == "I10 count of a scan"


def test_a_compaction_of_nothing_is_complete_at_once(world: World) -> None:
    cc = compact_control(world.core, 0, MIGRATE_SYNC)
    cc.migrate_pfn, cc.end_pfn = 0, 0
    assert compact_zone(world.core, cc) == (COMPACT_COMPLETE, 0)
