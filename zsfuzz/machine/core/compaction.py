"""Compaction: the migrate scanner works upwards, the free scanner downwards, until they meet.

In:    a zone and a range of it, a migration mode.
Out:   pages moved towards the end of the zone; every free page that was taken and not used is free again.
Never: a look at a page but through the descriptor rules.
Next:  the scanners: zsfuzz/machine/core/migratepages.py and zsfuzz/machine/core/freepages.py.

    zone   [ . m . . m m | . . . . . . . . | f f . f ]
             migrate_pfn >                <  free_pfn

Source: compact_zone(), isolate_migratepages(), compaction_alloc(), compaction_free(), mm/compaction.c, v5.10,
called as by /proc/sys/vm/compact_memory (order -1). MIGRATE_ASYNC stands for a direct compactor that gives a
block of DIRECT_ORDER up when one page in it cannot be isolated. Strays: see zsfuzz/machine/core/control.py;
the range may begin and end anywhere; a direct compactor does not stop when a page of its order is free, since
one nearly always is.
"""

from __future__ import annotations

from typing import Final

from zsfuzz.machine.core.control import (
    CompactControl,
    block_end_pfn,
    compact_control,
    pageblock_end_pfn,
    pageblock_pfn_to_page,
    pageblock_start_pfn,
)
from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.freepages import isolate_freepages, release_freepages
from zsfuzz.machine.core.migrate import migrate_pages
from zsfuzz.machine.core.migratepages import isolate_migratepages_block
from zsfuzz.machine.core.movable import putback_movable_pages
from zsfuzz.machine.core.move import MigrateControl
from zsfuzz.machine.core.words import (
    COMPACT_COMPLETE,
    COMPACT_CONTENDED,
    COMPACT_CONTINUE,
    ISOLATE_ASYNC_MIGRATE,
    ISOLATE_UNEVICTABLE,
    MIGRATE_ASYNC,
    MIGRATE_SYNC,
    MR_COMPACTION,
)
from zsfuzz.machine.layout import ENOMEM

DIRECT_ORDER: Final = 2


def compact_range(core: Core, start: int, end: int, mode: int) -> tuple[int, ...]:
    """Compact what of [start, end) lies in the zone of `start`; targets are taken from the top of that zone.

    mode: enum migrate_mode. Returns (enum compact_result, pages isolated, pages that did not move, then old
    and new pfn of every page that moved, in order).
    """
    zone = core.buddy.zone_of_pfn(start)
    direct = mode == MIGRATE_ASYNC
    cc = compact_control(core, zone, mode, order=DIRECT_ORDER if direct else -1, direct_compaction=direct)
    cc.migrate_pfn = start
    cc.end_pfn = min(end, core.buddy.zone_end[zone])
    result, stayed = compact_zone(core, cc)
    moved = [core.buddy.page_to_pfn(page) for pair in cc.moved for page in pair]
    return (result, cc.total_isolated, stayed, *moved)


def compact_zone(core: Core, cc: CompactControl) -> tuple[int, int]:
    """Compact from cc.migrate_pfn to cc.end_pfn. Returns (enum compact_result, pages that did not move).

    Source: compact_zone(), v5.10.
    """
    cc.free_pfn = pageblock_start_pfn(core, core.buddy.zone_end[cc.zone] - 1)
    control = MigrateControl(
        lambda page: compaction_alloc(core, cc),
        lambda page: compaction_free(core, cc, page),
        cc.mode,
        MR_COMPACTION,
        memalloc=cc.direct_compaction,
        moved=cc.moved,
    )
    stayed, last_migrated_pfn = 0, -1
    while (result := compact_finished(core, cc)) == COMPACT_CONTINUE:
        start_pfn = cc.migrate_pfn
        cc.rescan = last_migrated_pfn >= 0 and (
            pageblock_start_pfn(core, last_migrated_pfn) == pageblock_start_pfn(core, start_pfn)
        )
        if not isolate_migratepages(core, cc):
            continue
        last_migrated_pfn = start_pfn
        error = migrate_pages(core, cc.migratepages, control)
        cc.nr_migratepages = 0
        if error:
            putback_movable_pages(core, cc.migratepages)
            stayed += max(error, 0)
            if error == -ENOMEM and not compact_scanners_met(core, cc):
                result = COMPACT_CONTENDED
                break
            if cc.direct_compaction and cc.mode == MIGRATE_ASYNC:
                cc.migrate_pfn = block_end_pfn(cc.migrate_pfn - 1, cc.order)
                last_migrated_pfn = -1
    release_unused_freepages(core, cc)
    return result, stayed


def release_unused_freepages(core: Core, cc: CompactControl) -> None:
    """Free the targets that nobody needed. Source: compact_zone(), v5.10. Strays: the count has to be exact."""
    counted, there = cc.nr_freepages, core.count_on(cc.freepages)
    if counted > 0:
        free_pfn = release_freepages(core, cc.freepages)
        cc.nr_freepages = 0
        if not free_pfn:
            core.m.BUG("VM_BUG_ON free_pfn == 0", "compact_zone", "free pages were counted, none was on the list")
    if not core.is_empty(cc.freepages):
        core.m.BUG("VM_BUG_ON nr_freepages", "compact_zone", "more free pages are on the list than were counted")
    core.must_count(there, counted, "compact_zone")


def compact_finished(core: Core, cc: CompactControl) -> int:
    """Return COMPACT_CONTINUE, or COMPACT_COMPLETE when the scanners met or the range is done."""
    if compact_scanners_met(core, cc) or cc.migrate_pfn >= cc.end_pfn:
        return COMPACT_COMPLETE
    return COMPACT_CONTINUE


def compact_scanners_met(core: Core, cc: CompactControl) -> bool:
    """Return whether the free scanner is in the pageblock of the migrate scanner, or below. Source: v5.10."""
    order = core.buddy.pageblock_order
    return cc.free_pfn >> order <= cc.migrate_pfn >> order


def isolate_migratepages(core: Core, cc: CompactControl) -> bool:
    """Isolate from the first pageblock that is suitable. Returns whether a page is isolated.

    Source: isolate_migratepages(), v5.10. Strays: no skip hints; a block that the range ends in is scanned to
    there.
    """
    mode = ISOLATE_UNEVICTABLE | (0 if cc.mode == MIGRATE_SYNC else ISOLATE_ASYNC_MIGRATE)
    low_pfn = cc.migrate_pfn
    block_start = max(pageblock_start_pfn(core, low_pfn), core.buddy.zone_start[cc.zone])
    block_end = pageblock_end_pfn(core, low_pfn)
    while block_end <= cc.free_pfn and low_pfn < cc.end_pfn:
        page = pageblock_pfn_to_page(core, block_start, block_end, cc.zone)
        if page and suitable_migration_source(core, page):
            low_pfn = isolate_migratepages_block(core, cc, low_pfn, min(block_end, cc.end_pfn), mode)
            break
        low_pfn = block_end
        block_start = block_end
        block_end += core.buddy.pageblock_pages
    cc.migrate_pfn = low_pfn
    return cc.nr_migratepages > 0


def suitable_migration_source(core: Core, page: int) -> bool:
    """Return whether a pageblock is worth scanning: not the inside of a compound page as large as it.

    Source: suitable_migration_source(), pageblock_skip_persistent(), v5.10. Strays: a direct compactor takes
    blocks of every migrate type.
    """
    d = core.d
    if not d.PageCompound(page):
        return True
    return d.compound_order(d.compound_head(page)) < core.buddy.pageblock_order


def compaction_alloc(core: Core, cc: CompactControl) -> int:
    """Return a target from the free scanner's list, 0 when it finds none.

    Source: compaction_alloc(), v5.10.
    """
    if core.is_empty(cc.freepages):
        isolate_freepages(core, cc)
        if core.is_empty(cc.freepages):
            return 0
    freepage = core.d.core_page(core.lists.list_first(cc.freepages))
    core.d.core_unlink(freepage)
    cc.nr_freepages -= 1
    return freepage


def compaction_free(core: Core, cc: CompactControl, page: int) -> None:
    """Take a target back that was not used. Source: compaction_free(), v5.10."""
    core.link(page, cc.freepages)
    cc.nr_freepages += 1
