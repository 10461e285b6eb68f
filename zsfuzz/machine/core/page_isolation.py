"""Page isolation: may a pageblock be emptied, and keeping it from being used meanwhile.

In:    struct pages and pfn ranges; flags MEMORY_OFFLINE, REPORT_FAILURE.
Out:   the first unmovable page or 0; pageblocks set to MIGRATE_ISOLATE and back.
Never: moves a page.
Next:  the later forms in zsfuzz/machine/core/page_isolation_later.py; the oracle for wrong answers in
       zsfuzz/machine/scanners/truth.py.

Source: mm/page_isolation.c and has_unmovable_pages() of mm/page_alloc.c, v5.10. Strays: no CMA; NR_FREE_PAGES
counts isolated free pages, as the buddy allocator of this machine does.
"""

from __future__ import annotations

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.cursor import Cursor
from zsfuzz.machine.core.debug import dump_page
from zsfuzz.machine.core.words import MEMORY_OFFLINE, REPORT_FAILURE
from zsfuzz.machine.layout import EBUSY, MASK32, MASK64, MIGRATE_ISOLATE, STRUCT_PAGE_SIZE, ZONE_MOVABLE


def has_unmovable_pages(core: Core, zone: int, page: int, flags: int) -> int:
    """Return the first unmovable page from `page` to the end of its pageblock, 0 when there seems to be none.

    flags: MEMORY_OFFLINE or 0. Source: has_unmovable_pages(), v5.10. Strays: no.

    A compound page is skipped relative to its head: the rest of it is an unsigned int, the counter an
    unsigned long. With a head outside the memmap the distance is whatever its low 32 bits are.
    """
    d, buddy = core.d, core.buddy
    pfn = buddy.page_to_pfn(page)
    nr = min(buddy.pageblock_pages - pfn % buddy.pageblock_pages, buddy.pages_count - pfn)
    cursor = Cursor(core, "has_unmovable_pages", pfn, pfn + nr)
    iteration = 0
    while iteration < nr:
        cursor.at(pfn + iteration)
        page = buddy.pfn_to_page(pfn + iteration)
        if d.PageReserved(page):
            return page
        skip = 0
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
            cursor.jump(pfn + iteration, pfn + iteration + skip + 1)
        iteration = (iteration + skip + 1) & MASK64
    return 0


def skip_pages_to_end(core: Core, page: int, head: int) -> int:
    """Return compound_nr(head) - (page - head), truncated to an unsigned int as the kernel's variable is."""
    return (core.d.compound_nr(head) - (page - head) // STRUCT_PAGE_SIZE) & MASK32


def is_skipped_or_movable(core: Core, page: int, flags: int) -> bool:
    """Return whether a single page with references may stay or can be moved, by its own words."""
    d = core.d
    if flags & MEMORY_OFFLINE and (d.PageHWPoison(page) or d.PageOffline(page)):
        return True
    return d.page_has_movable_mapping(page) or d.PageLRU(page)


def is_migrate_isolate(core: Core, page: int) -> bool:
    """Return whether the pageblock of a page is MIGRATE_ISOLATE."""
    return core.buddy.get_pageblock_migratetype(core.buddy.page_to_pfn(page)) == MIGRATE_ISOLATE


def set_migratetype_isolate(core: Core, page: int, flags: int) -> int:
    """Set the pageblock of a page to MIGRATE_ISOLATE unless something in it is unmovable.

    Returns 0 or -EBUSY.

    Source: set_migratetype_isolate(), v5.10. Strays: no per-cpu lists to drain.
    """
    zone = core.d.page_zone(page)
    core.lock_zone(zone)
    if is_migrate_isolate(core, page):
        core.unlock_zone(zone)
        return -EBUSY
    unmovable = has_unmovable_pages(core, zone, page, flags)
    if not unmovable:
        isolate_pageblock(core, page)
    core.unlock_zone(zone)
    if not unmovable:
        return 0
    core.isolations.append((unmovable, -EBUSY))
    if flags & REPORT_FAILURE:
        dump_page(core, unmovable)
    return -EBUSY


def isolate_pageblock(core: Core, page: int) -> None:
    """Change the migrate type of a pageblock and move its free blocks to the isolated lists."""
    pfn = core.buddy.page_to_pfn(page)
    core.buddy.set_pageblock_migratetype(pfn, MIGRATE_ISOLATE)
    core.buddy.move_freepages_block(pfn, MIGRATE_ISOLATE)


def unset_migratetype_isolate(core: Core, page: int, migratetype: int) -> None:
    """Give a pageblock its migrate type back, and merge a large free block in it with its neighbour.

    Source: unset_migratetype_isolate(), v5.10. Strays: no.
    """
    buddy = core.buddy
    zone = core.d.page_zone(page)
    core.lock_zone(zone)
    if is_migrate_isolate(core, page):
        pfn = buddy.page_to_pfn(page)
        if may_merge_after(core, zone, page):
            order = buddy.take_free_block(pfn)
            buddy.set_pageblock_migratetype(pfn, migratetype)
            buddy.free_one_page(pfn, order)
        else:
            buddy.move_freepages_block(pfn, migratetype)
            buddy.set_pageblock_migratetype(pfn, migratetype)
    core.unlock_zone(zone)


def may_merge_after(core: Core, zone: int, page: int) -> bool:
    """Return whether a page starts a large free block whose buddy's pageblock is not isolated."""
    d, buddy = core.d, core.buddy
    if not d.PageBuddy(page):
        return False
    order = d.buddy_order(page)
    neighbour = buddy.page_to_pfn(page) ^ (1 << order)
    if not buddy.pageblock_order <= order < buddy.max_order - 1:
        return False
    if not buddy.zone_start[zone] <= neighbour < buddy.zone_end[zone]:
        return False
    return buddy.get_pageblock_migratetype(neighbour) != MIGRATE_ISOLATE


def start_isolate_page_range(core: Core, start: int, end: int, migratetype: int, flags: int) -> int:
    """Set every pageblock of a range to MIGRATE_ISOLATE. Returns 0, or -EBUSY with nothing changed.

    start, end: pfns, multiples of a pageblock. migratetype: what a failure sets back to. Source: v5.10.
    Strays: no.
    """
    step = core.buddy.pageblock_pages
    if start % step or end % step:
        core.m.BUG("BUG_ON !IS_ALIGNED", "start_isolate_page_range", "the range is no whole number of pageblocks")
    for pfn in range(start, end, step):
        page = core.first_valid_page(pfn, step)
        if page and set_migratetype_isolate(core, page, flags):
            undo_isolate_page_range(core, start, pfn, migratetype)
            return -EBUSY
    return 0


def undo_isolate_page_range(core: Core, start: int, end: int, migratetype: int) -> None:
    """Make isolated pageblocks usable again. Source: undo_isolate_page_range(), v5.10. Strays: no."""
    step = core.buddy.pageblock_pages
    for pfn in range(start, end, step):
        page = core.first_valid_page(pfn, step)
        if page and is_migrate_isolate(core, page):
            unset_migratetype_isolate(core, page, migratetype)


def test_pages_isolated(core: Core, start: int, end: int, flags: int) -> int:
    """Return 0 when every page of a range is free or may stay, and every pageblock isolated; else -EBUSY.

    Source: test_pages_isolated(), v5.10. Strays: no.
    """
    step = core.buddy.pageblock_pages
    for pfn in range(start, end, step):
        page = core.first_valid_page(pfn, step)
        if page and not is_migrate_isolate(core, page):
            return -EBUSY
    page = core.first_valid_page(start, end - start)
    if not page:
        return -EBUSY
    zone = core.d.page_zone(page)
    core.lock_zone(zone)
    pfn = test_page_isolated_in_pageblock(core, start, end, flags)
    core.unlock_zone(zone)
    return -EBUSY if pfn < end else 0


def test_page_isolated_in_pageblock(core: Core, start: int, end: int, flags: int) -> int:
    """Return the first pfn that is neither free nor may stay, `end` or more if there is none.

    Source: __test_page_isolated_in_pageblock(), v5.10. Strays: no.
    """
    d, pfn = core.d, start
    cursor = Cursor(core, "__test_page_isolated_in_pageblock", start, end)
    while pfn < end:
        cursor.at(pfn)
        page = core.buddy.pfn_to_page(pfn)
        if d.PageBuddy(page):
            cursor.jump(pfn, pfn + (1 << d.buddy_order(page)))
            pfn += 1 << d.buddy_order(page)
        elif flags & MEMORY_OFFLINE and d.PageHWPoison(page):
            pfn += 1
        elif flags & MEMORY_OFFLINE and d.PageOffline(page) and not d.page_count(page):
            pfn += 1
        else:
            break
    return pfn
