"""alloc_contig_range(): emptying a range of frames and keeping it.

In:    a pfn range inside one zone.
Out:   0 with every page of the range allocated, or -EBUSY, -ENOMEM, -EINVAL with nothing kept.
Never: a look at a page but through the descriptor rules.
Next:  the scanners zsfuzz/machine/core/migratepages.py and zsfuzz/machine/core/freepages.py.

Source: alloc_contig_range(), __alloc_contig_migrate_range(), mm/page_alloc.c, v5.10. Strays: no clean page
cache to drop; a range in two zones is refused (the kernel's callers have to see to that).
"""

from __future__ import annotations

from typing import Final

from zsfuzz.machine.core.control import CompactControl, compact_control
from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.freepages import isolate_freepages_range
from zsfuzz.machine.core.migrate import migrate_pages
from zsfuzz.machine.core.migratepages import isolate_migratepages_range
from zsfuzz.machine.core.movable import putback_movable_pages
from zsfuzz.machine.core.move import MigrateControl
from zsfuzz.machine.core.page_alloc import alloc_migration_target, free_contig_range
from zsfuzz.machine.core.page_isolation import (
    start_isolate_page_range,
    test_pages_isolated,
    undo_isolate_page_range,
)
from zsfuzz.machine.core.words import MIGRATE_SYNC, MR_CONTIG_RANGE
from zsfuzz.machine.layout import EBUSY, EINVAL, MIGRATE_MOVABLE

__all__ = ["alloc_contig_migrate_range", "alloc_contig_range", "free_contig_range"]

MAX_TRIES: Final = 5


def alloc_contig_migrate_range(core: Core, cc: CompactControl, start: int, end: int) -> int:
    """Migrate everything out of a range. Returns 0, or -EBUSY, -ENOMEM with what was isolated put back.

    0 does not say that the range is free: what could not be isolated is still there. Source:
    __alloc_contig_migrate_range(), v5.10. Strays: no.
    """
    control = MigrateControl(lambda page: alloc_migration_target(core, page), None, cc.mode, MR_CONTIG_RANGE)
    pfn, tries, result = start, 0, 0
    while pfn < end or not core.is_empty(cc.migratepages):
        if core.is_empty(cc.migratepages):
            cc.nr_migratepages = 0
            pfn = isolate_migratepages_range(core, cc, pfn, end)
            tries = 0
        else:
            tries += 1
            if tries == MAX_TRIES:
                result = result if result < 0 else -EBUSY
                break
        result = migrate_pages(core, cc.migratepages, control)
    if result < 0:
        putback_movable_pages(core, cc.migratepages)
        return result
    return 0


def alloc_contig_range(core: Core, start: int, end: int, migratetype: int = MIGRATE_MOVABLE) -> int:
    """Allocate every page of [start, end). Returns 0, -EBUSY, -ENOMEM or -EINVAL.

    migratetype: what the pageblocks are set to afterwards. The pages have one reference each and go back
    through free_contig_range(). Source: alloc_contig_range(), v5.10.
    """
    buddy = core.buddy
    zone = buddy.zone_of_pfn(start)
    outer_start, outer_end = max_align(core, start, end)
    if outer_start < buddy.zone_start[zone] or outer_end > buddy.zone_end[zone]:
        return -EINVAL
    result = start_isolate_page_range(core, outer_start, outer_end, migratetype, 0)
    if result:
        return result
    cc = compact_control(core, zone, MIGRATE_SYNC, alloc_contig=True)
    result = alloc_contig_migrate_range(core, cc, start, end)
    if not result or result == -EBUSY:
        result = take_isolated_range(core, cc, start, end)
    undo_isolate_page_range(core, outer_start, outer_end, migratetype)
    return result


def max_align(core: Core, start: int, end: int) -> tuple[int, int]:
    """Widen a range to whole largest blocks. Source: pfn_max_align_down(), pfn_max_align_up(), v5.10."""
    step = max(1 << (core.buddy.max_order - 1), core.buddy.pageblock_pages)
    return start & ~(step - 1), -(-end // step) * step


def take_isolated_range(core: Core, cc: CompactControl, start: int, end: int) -> int:
    """Take [start, end) out of the free lists, and give back what the blocks around it have more.

    Returns 0, or -EBUSY when a page is in use. Source: alloc_contig_range(), v5.10. Strays: no.
    """
    outer_start = free_block_before(core, start)
    if test_pages_isolated(core, outer_start, end, 0):
        return -EBUSY
    outer_end = isolate_freepages_range(core, cc, outer_start, end)
    if not outer_end:
        return -EBUSY
    if start != outer_start:
        free_contig_range(core, outer_start, start - outer_start)
    if end != outer_end:
        free_contig_range(core, end, outer_end - end)
    return 0


def free_block_before(core: Core, start: int) -> int:
    """Return the first pfn of the free block that reaches `start` from below; `start` when there is none."""
    d, buddy = core.d, core.buddy
    outer_start, order = start, 0
    while not d.PageBuddy(buddy.pfn_to_page(outer_start)):
        order += 1
        if order >= buddy.max_order:
            return start
        outer_start &= -1 << order
    if outer_start != start:
        order = d.buddy_order(buddy.pfn_to_page(outer_start))
        if outer_start + (1 << order) <= start:
            return start
    return outer_start
