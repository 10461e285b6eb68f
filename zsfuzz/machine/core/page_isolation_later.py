"""Page isolation as later kernels do it: three more ways of skipping a compound page.

In:    pfn ranges.
Out:   the first unmovable page, or whether one pageblock could be isolated.
Never: used by the core's own requests, which follow v5.10: these run as probes.
Next:  v5.10's own in zsfuzz/machine/core/page_isolation.py; the probes in
       zsfuzz/machine/scanners/unmovable.py.

    v6.1  has_unmovable_pages        pfn += nr - (page - head) - 1      relative to the head, 32 bits, 64-bit
    pfn v6.1  isolate_single_pageblock   pfn = head_pfn + nr                absolute v7.2  page_is_unmovable
    (pfn | (nr - 1)) + 1               or-mask, after nr was checked

Source: mm/page_isolation.c, v6.1; page_is_unmovable() as described for v7.2.
"""

from __future__ import annotations

from zsfuzz.machine.core.contig import alloc_contig_migrate_range
from zsfuzz.machine.core.control import compact_control, pageblock_end_pfn, pageblock_start_pfn
from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.cursor import Cursor
from zsfuzz.machine.core.page_alloc import split_free_page
from zsfuzz.machine.core.page_isolation import (
    is_migrate_isolate,
    is_skipped_or_movable,
    isolate_pageblock,
    skip_pages_to_end,
    unset_migratetype_isolate,
)
from zsfuzz.machine.core.words import MIGRATE_SYNC
from zsfuzz.machine.layout import EBUSY, MASK32, MASK64, ZONE_MOVABLE

# -- v6.1


def has_unmovable_pages_v6_1(core: Core, start_pfn: int, end_pfn: int, flags: int) -> int:
    """Return the first unmovable page of a range inside one pageblock, 0 when there seems to be none.

    Source: has_unmovable_pages(), mm/page_isolation.c, v6.1. Strays: no.
    """
    d, buddy = core.d, core.buddy
    zone = d.page_zone(buddy.pfn_to_page(start_pfn))
    if pageblock_start_pfn(core, start_pfn) != pageblock_start_pfn(core, end_pfn - 1):
        core.m.BUG("VM_BUG_ON range > pageblock", "has_unmovable_pages", "the range is in more than one pageblock")
    cursor = Cursor(core, "has_unmovable_pages", start_pfn, end_pfn)
    pfn = start_pfn
    while pfn < end_pfn:
        cursor.at(pfn)
        page = buddy.pfn_to_page(pfn)
        skip = 0
        if d.PageReserved(page):
            return page
        if zone != ZONE_MOVABLE:
            if core.PageHuge(page) or d.PageTransCompound(page):
                head = d.compound_head(page)
                if not d.PageLRU(head) and not d.page_has_movable_mapping(head):
                    return page
                skip = (skip_pages_to_end(core, page, head) - 1) & MASK32
            elif not d.page_ref_count(page):
                skip = (1 << d.buddy_order(page)) - 1 if d.PageBuddy(page) else 0
            elif not is_skipped_or_movable(core, page, flags):
                return page
        if skip:
            cursor.jump(pfn, pfn + skip + 1)
        pfn = (pfn + skip + 1) & MASK64
    return 0


def set_migratetype_isolate_v6_1(core: Core, page: int, flags: int, start_pfn: int, end_pfn: int) -> int:
    """Isolate the pageblock of a page when the part of it in [start_pfn, end_pfn) has nothing unmovable.

    Returns 0 or -EBUSY. Source: set_migratetype_isolate(), v6.1. Strays: no.
    """
    pfn, zone = core.buddy.page_to_pfn(page), core.d.page_zone(page)
    core.lock_zone(zone)
    busy = is_migrate_isolate(core, page)
    if not busy:
        end = min(pageblock_end_pfn(core, pfn), end_pfn)
        busy = bool(has_unmovable_pages_v6_1(core, max(pfn, start_pfn), end, flags))
    if not busy:
        isolate_pageblock(core, page)
    core.unlock_zone(zone)
    return -EBUSY if busy else 0


def isolate_single_pageblock(
    core: Core,
    boundary_pfn: int,
    flags: int,
    migratetype: int,
    *,
    isolate_before: bool,
    skip_isolation: bool = False,
) -> int:
    """Isolate the pageblock before or after a boundary, and cut or migrate what lies across the boundary.

    migratetype: what a failure sets back to. Returns 0 or -EBUSY. Source: isolate_single_pageblock(), v6.1.
    Strays: the block before the first or after the last pfn of the memory counts as not online.
    """
    buddy = core.buddy
    if boundary_pfn % buddy.pageblock_pages:
        core.m.BUG("VM_BUG_ON !pageblock_aligned", "isolate_single_pageblock", "the boundary is inside a pageblock")
    block = boundary_pfn - buddy.pageblock_pages if isolate_before else boundary_pfn
    block_page = buddy.pfn_to_page(block)
    zone = core.d.page_zone(block_page)
    start_pfn = max(block & ~((1 << (buddy.max_order - 1)) - 1), buddy.zone_start[zone])
    if not skip_isolation:
        end = block + buddy.pageblock_pages
        if set_migratetype_isolate_v6_1(core, block_page, flags, block, end):
            return -EBUSY
    elif not is_migrate_isolate(core, block_page):
        core.m.BUG("VM_BUG_ON !is_migrate_isolate", "isolate_single_pageblock", "the pageblock is not isolated")
    if not core.m.pfn_to_online_page(boundary_pfn if isolate_before else boundary_pfn - 1):
        return 0
    if split_at_boundary(core, start_pfn, boundary_pfn, flags):
        return 0
    if not skip_isolation:
        unset_migratetype_isolate(core, block_page, migratetype)
    return -EBUSY


def split_at_boundary(core: Core, start_pfn: int, boundary_pfn: int, flags: int) -> bool:
    """See to it that no free block and no compound page lies across a boundary.

    Returns whether that could be done.

    Source: the loop of isolate_single_pageblock(), v6.1. Strays: no.
    """
    d, buddy = core.d, core.buddy
    cursor = Cursor(core, "isolate_single_pageblock", start_pfn, boundary_pfn)
    pfn = start_pfn
    while pfn < boundary_pfn:
        page = core.first_valid_page(pfn, boundary_pfn - pfn)
        if not page:
            core.m.BUG("VM_BUG_ON !page", "isolate_single_pageblock", "no page before the boundary is online")
        if buddy.page_to_pfn(page) != pfn:
            cursor.give_up(buddy.page_to_pfn(page))
        pfn = buddy.page_to_pfn(page)
        cursor.at(pfn)
        if d.PageBuddy(page):
            order = d.buddy_order(page)
            cursor.jump(pfn, pfn + (1 << order))
            if pfn + (1 << order) > boundary_pfn:
                split_free_page(core, page, order, boundary_pfn - pfn)
            pfn += 1 << order
        elif d.PageCompound(page):
            after = pass_compound_page(core, cursor, page, boundary_pfn, flags)
            if after < 0:
                return False
            pfn = after
        else:
            pfn += 1
    return True


def pass_compound_page(core: Core, cursor: Cursor, page: int, boundary_pfn: int, flags: int) -> int:
    """Return the pfn after a compound page before a boundary, or where to look again once it was migrated.

    -1 when the page lies across the boundary and cannot be migrated. Source: isolate_single_pageblock(),
    v6.1.
    """
    d, buddy = core.d, core.buddy
    pfn = buddy.page_to_pfn(page)
    head = d.compound_head(page)
    head_pfn, nr_pages = buddy.page_to_pfn(head), d.compound_nr(head)
    if (head_pfn + nr_pages) & MASK64 <= boundary_pfn:
        cursor.jump(pfn, (head_pfn + nr_pages) & MASK64)
        return (head_pfn + nr_pages) & MASK64
    if not (core.PageHuge(page) or d.PageLRU(page) or d.page_has_movable_mapping(page)):
        return -1
    if not migrate_compound_page(core, page, head_pfn, nr_pages, flags):
        return -1
    return pass_freed_page(core, cursor, pfn, boundary_pfn)


def pass_freed_page(core: Core, cursor: Cursor, pfn: int, boundary_pfn: int) -> int:
    """Cut the free block around a pfn at a boundary.

    Returns the pfn after its first part, -1 when pfn is not free.

    Source: isolate_single_pageblock(), v6.1, which goes back to the first page of the block and comes by
    again.
    """
    d, buddy = core.d, core.buddy
    for order in range(buddy.max_order):
        first = buddy.pfn_to_page(pfn & ~((1 << order) - 1))
        if d.PageBuddy(first):
            first_pfn, free_order = buddy.page_to_pfn(first), d.buddy_order(first)
            after = min(first_pfn + (1 << free_order), boundary_pfn)
            if first_pfn + (1 << free_order) > boundary_pfn:
                split_free_page(core, first, free_order, boundary_pfn - first_pfn)
            cursor.give_up(after)
            return after
    return -1


def migrate_compound_page(core: Core, page: int, head_pfn: int, nr_pages: int, flags: int) -> bool:
    """Migrate a compound page whose head is at head_pfn. Returns whether it could be done.

    Errors: Report when head_pfn names no frame. Source: isolate_single_pageblock(), v6.1. Strays: no.
    """
    buddy = core.buddy
    cc = compact_control(core, core.d.page_zone(buddy.pfn_to_page(head_pfn)), MIGRATE_SYNC, alloc_contig=True)
    page_mt = buddy.get_pageblock_migratetype(buddy.page_to_pfn(page))
    isolates = not is_migrate_isolate(core, page)
    if isolates and set_migratetype_isolate_v6_1(core, page, flags, head_pfn, head_pfn + nr_pages):
        return False
    result = alloc_contig_migrate_range(core, cc, head_pfn, head_pfn + nr_pages)
    if isolates:
        unset_migratetype_isolate(core, page, page_mt)
    return result == 0


# -- v7.2


def has_unmovable_pages_v7_2(core: Core, start_pfn: int, end_pfn: int, flags: int) -> int:
    """Return the first unmovable page of a range, 0 when there seems to be none.

    Source: has_unmovable_pages(), mm/page_isolation.c, v7.2, which asks page_is_unmovable() how far to go.
    """
    buddy = core.buddy
    zone = core.d.page_zone(buddy.pfn_to_page(start_pfn))
    cursor = Cursor(core, "page_is_unmovable", start_pfn, end_pfn)
    pfn = start_pfn
    while pfn < end_pfn:
        cursor.at(pfn)
        page = buddy.pfn_to_page(pfn)
        unmovable, step = page_is_unmovable(core, zone, page, flags)
        if unmovable:
            return page
        if step != 1:
            cursor.jump(pfn, pfn + step)
        pfn += step
    return 0


def page_is_unmovable(core: Core, zone: int, page: int, flags: int) -> tuple[bool, int]:
    """Return whether a page is unmovable, and how many pfns the answer holds for.

    Source: page_is_unmovable(), v7.2: a compound page that is not on the LRU is unmovable; the step is an
    or-mask, taken only for a power of two. Strays: from the description, not from the source.
    """
    d = core.d
    if d.PageReserved(page):
        return True, 1
    if zone == ZONE_MOVABLE:
        return False, 1
    if core.PageHuge(page) or d.PageCompound(page):
        head = d.compound_head(page)
        if not d.PageLRU(head):
            return True, 1
        return False, or_mask_step(core, page, d.compound_nr(head))
    if not d.page_ref_count(page):
        return False, 1 << d.buddy_order(page) if d.PageBuddy(page) else 1
    return not is_skipped_or_movable(core, page, flags), 1


def or_mask_step(core: Core, page: int, nr_pages: int) -> int:
    """Return the pfns from a page to the end of an aligned block of nr_pages; 1 if no block is so large."""
    pfn = core.buddy.page_to_pfn(page)
    if not 1 <= nr_pages <= 1 << (core.buddy.max_order - 1) or nr_pages & (nr_pages - 1):
        return 1
    return (pfn | (nr_pages - 1)) + 1 - pfn
