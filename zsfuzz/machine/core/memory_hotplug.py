"""Memory hotplug: taking whole sections offline and bringing them back.

In:    a pfn range of whole sections.
Out:   0 or -errno for each section; sections marked offline, their frames out of the buddy allocator.
Never: gives up a page that somebody uses.
Next:  page isolation in zsfuzz/machine/core/page_isolation.py; v7.2's way of scanning is here too, for the
       probe in zsfuzz/machine/scanners/movable.py.

Source: mm/memory_hotplug.c, v5.10. Strays, all because nobody else runs meanwhile:
* offline_pages() of the kernel tries until a signal comes. Here it tries STALLED_ROUNDS times without
  progress, lets the deferred work run once in between, and then ends as if by a signal (-EINTR); a page that
  the scan offers and that never moves though there was memory is a livelock.
* A poisoned page whose owner has let go of it is not offered. v5.10 offers it for ever, since its mapping
  keeps PAGE_MAPPING_MOVABLE.
* online_pages() leaves poisoned pages where they are; v5.10 forgets the poison with the old struct pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.cursor import Cursor, block_end, real_head
from zsfuzz.machine.core.debug import dump_page
from zsfuzz.machine.core.lru import mod_node_page_state, try_to_unmap
from zsfuzz.machine.core.migrate import migrate_pages
from zsfuzz.machine.core.movable import isolate_page_of_any_sort, putback_movable_pages
from zsfuzz.machine.core.move import MigrateControl
from zsfuzz.machine.core.page_alloc import alloc_migration_target
from zsfuzz.machine.core.page_isolation import (
    start_isolate_page_range,
    test_pages_isolated,
    undo_isolate_page_range,
)
from zsfuzz.machine.core.words import (
    EINTR,
    MEMORY_OFFLINE,
    MIGRATE_SYNC,
    MR_MEMORY_HOTPLUG,
    REPORT_FAILURE,
)
from zsfuzz.machine.layout import EBUSY, EINVAL, ENOENT, ENOMEM, MIGRATE_MOVABLE, STRUCT_PAGE_SIZE
from zsfuzz.machine.report import Report

STALLED_ROUNDS: Final = 3


# -- looking for what can be moved


def scan_movable_pages(core: Core, start: int, end: int) -> tuple[int, int]:
    """Find the first page that can be moved.

    Returns (0, pfn), (-ENOENT, end) or (-EBUSY, pfn of an unmovable page).

    Source: scan_movable_pages(), v5.10: hugetlb pages, of which there are none, would be skipped relative to
    their head. Strays: see above.
    """
    d = core.d
    cursor = Cursor(core, "scan_movable_pages", start, end)
    for pfn in range(start, end):
        cursor.at(pfn)
        page = core.buddy.pfn_to_page(pfn)
        if is_offered(core, page):
            return 0, pfn
        if d.PageOffline(page) and d.page_count(page):
            return -EBUSY, pfn
        core.PageHuge(page)
    return -ENOENT, end


def scan_movable_pages_or_mask(core: Core, start: int, end: int) -> tuple[int, int]:
    """Find the first page that can be moved, as v7.2 does. Returns as scan_movable_pages() does.

    Source: scan_movable_pages(), v7.2: `pfn |= nr_pages - 1` after nr_pages was found to be a power of two in
    range. Strays: v7.2 skips hugetlb folios so; here it is every compound page, since there are no hugetlb
    pages.
    """
    d = core.d
    cursor = Cursor(core, "scan_movable_pages", start, end)
    pfn, largest = start, 1 << (core.buddy.max_order - 1)
    while pfn < end:
        cursor.at(pfn)
        page = core.buddy.pfn_to_page(pfn)
        if is_offered(core, page):
            return 0, pfn
        if d.PageOffline(page) and d.page_count(page):
            return -EBUSY, pfn
        if core.PageHuge(page) or d.PageCompound(page):
            nr_pages = d.compound_nr(d.compound_head(page))
            if 1 < nr_pages <= largest and not nr_pages & (nr_pages - 1):
                cursor.jump(pfn, (pfn | (nr_pages - 1)) + 1)
                pfn |= nr_pages - 1
        pfn += 1
    return -ENOENT, end


def is_offered(core: Core, page: int) -> bool:
    """Return whether a page is on the LRU or movable; a poisoned one only while it has an owner."""
    d = core.d
    if d.PageLRU(page):
        return True
    if not d.page_has_movable_mapping(page):
        return False
    return not d.PageHWPoison(page) or bool(d.page_mapping(page))


# -- moving it


def do_migrate_range(core: Core, start: int, end: int) -> int:
    """Migrate what can be migrated in a range. Returns migrate_pages()'s result, or the last isolation's.

    Source: do_migrate_range(), v5.10. Strays: no.
    """
    result = isolate_migrate_range(core, start, end)
    if core.is_empty(core.source):
        return result
    control = MigrateControl(lambda page: alloc_migration_target(core, page), None, MIGRATE_SYNC, MR_MEMORY_HOTPLUG)
    result = migrate_pages(core, core.source, control)
    if result:
        for page in core.each_page(core.source):
            dump_page(core, page)
        putback_movable_pages(core, core.source)
    return result


def isolate_migrate_range(core: Core, start: int, end: int) -> int:
    """Put what can be isolated in a range onto core.source. Returns the last isolation's result, 0 or -EBUSY.

    A huge page is skipped absolutely, by the pfn of its head. Source: the loop of do_migrate_range(), v5.10.
    """
    d, result, pfn = core.d, 0, start
    cursor = Cursor(core, "do_migrate_range", start, end)
    while pfn < end:
        cursor.at(pfn)
        page = core.buddy.pfn_to_page(pfn)
        head = d.compound_head(page)
        core.PageHuge(page)
        if d.PageTransHuge(page):
            last = core.buddy.page_to_pfn(head) + d.thp_nr_pages(page) - 1
            cursor.jump(pfn, last + 1)
            pfn = last
        if d.PageHWPoison(page):
            leave_poisoned_page(core, page)
        elif d.get_page_unless_zero(page):
            result = isolate_page_of_any_sort(core, page)
            if result:
                dump_page(core, page)
            else:
                add_isolated_page(core, page)
            d.put_page(page)
        pfn += 1
    return result


def add_isolated_page(core: Core, page: int) -> None:
    """Link an isolated page, and count it unless it is no LRU page. Source: do_migrate_range(), v5.10."""
    core.link_tail(page, core.source)
    if not core.d.page_has_movable_mapping(page):
        mod_node_page_state(core, page, 1)


def leave_poisoned_page(core: Core, page: int) -> None:
    """Leave a poisoned page where it is; unmap it at most. Source: do_migrate_range(), v5.10.

    Strays: only an anonymous page is unmapped. v5.10 asks page_mapped() alone, which a zsmalloc page answers
    with the offset of its first object, and goes on to walk the reverse mapping of that page.
    """
    d = core.d
    if d.PageLRU(page):
        core.m.BUG("WARN_ON PageLRU", "do_migrate_range", "a poisoned page is on the LRU")
    if d.PageAnon(page) and d.page_mapped(page):
        try_to_unmap(core, page, poisoned=True)


# -- offline


def offline_pages(
    core: Core, start: int, end: int, movable: Callable[[int], bool | None] | None = None
) -> tuple[int, ...]:
    """Take every section of [start, end) offline, one by one, as writing to their `state` files does.

    start, end: widened to whole sections. movable: the truth about a pfn; with it, a page that is left though
    it could be moved is a livelock too. Returns 0 or -errno for each section: -EINVAL offline already, -EBUSY
    something is unmovable, -EINTR given up.
    """
    return tuple(offline_section(core, first, last, movable) for first, last in sections(core, start, end))


def sections(core: Core, start: int, end: int) -> list[tuple[int, int]]:
    """Return the sections around a range, as (first pfn, pfn after)."""
    step = core.buddy.geometry.section_pages
    first, last = start // step * step, min(-(-end // step) * step, core.buddy.pages_count)
    return [(pfn, min(pfn + step, last)) for pfn in range(first, last, step)]


def offline_section(core: Core, start: int, end: int, movable: Callable[[int], bool | None] | None) -> int:
    """Take one section offline. Returns 0 or -errno. Source: offline_pages(), v5.10. Strays: see above."""
    core.mem_hotplug_begin()
    result = offline_section_locked(core, start, end, movable)
    core.mem_hotplug_done()
    return result


def offline_section_locked(core: Core, start: int, end: int, movable: Callable[[int], bool | None] | None) -> int:
    """What offline_pages() does under mem_hotplug_lock."""
    zone = core.buddy.zone_of_pfn(start)
    if not core.buddy.section_online(start) or core.buddy.zone_end[zone] < end:
        return -EINVAL
    result = start_isolate_page_range(core, start, end, MIGRATE_MOVABLE, MEMORY_OFFLINE | REPORT_FAILURE)
    if result:
        return result
    result = empty_section(core, start, end, movable)
    if result:
        undo_isolate_page_range(core, start, end, MIGRATE_MOVABLE)
        return result
    offline_isolated_pages(core, start, end)
    return 0


def empty_section(core: Core, start: int, end: int, movable: Callable[[int], bool | None] | None) -> int:
    """Migrate until a section is empty. Returns 0, -EBUSY, or -EINTR when that goes on for ever.

    Source: the two loops of offline_pages(), v5.10.
    """
    stalled, used = 0, used_pages(core, start, end)
    while True:
        core.m.relax()  # cond_resched()
        scan, pfn = scan_movable_pages(core, start, end)
        error = 0
        if not scan:
            error = do_migrate_range(core, pfn, end)
        elif scan != -ENOENT:
            return scan
        elif not test_pages_isolated(core, start, end, MEMORY_OFFLINE):
            return 0
        left = used_pages(core, start, end)
        stalled = 0 if left < used else stalled + 1
        used = left
        if stalled == STALLED_ROUNDS:
            core.m.run_work()
        elif stalled > STALLED_ROUNDS:
            report_livelock(core, start, end, scan, pfn, error, movable)
            return -EINTR


def used_pages(core: Core, start: int, end: int) -> int:
    """Return how many pages of a range are not free."""
    return sum(not core.buddy.is_free_buddy_page(pfn) for pfn in range(start, end))


def report_livelock(
    core: Core,
    start: int,
    end: int,
    scan: int,
    pfn: int,
    error: int,
    movable: Callable[[int], bool | None] | None,
) -> None:
    """Raise a Report when there is no reason why a section does not get empty.

    Reasons are: no memory to move pages to; a poisoned page that is in use (it is offered and never moved); a
    page with no owner who could let it go.
    """
    if error == -ENOMEM or not core.alone:
        return  # beside other lanes: one of them may hold what is left
    d, pages = core.d, core.buddy.pfn_to_page
    if not scan and not d.PageHWPoison(pages(pfn)):
        raise Report("progress", "livelock", "offline_pages", f"pfn {pfn} is offered for ever and never moves")
    for left in range(start, end):
        if core.buddy.is_free_buddy_page(left) or d.PageHWPoison(pages(left)):
            continue
        if movable is not None and movable(left):
            text = f"pfn {left} is movable, is never offered, and keeps its section online for ever"
            raise Report("progress", "wrong answer: movable page passed over", "scan_movable_pages", text)


def offline_isolated_pages(core: Core, start: int, end: int) -> None:
    """Take the free blocks of a section out of the buddy allocator.

    Source: __offline_isolated_pages(), v5.10.
    """
    d, buddy, pfn = core.d, core.buddy, start
    zone = d.page_zone(buddy.pfn_to_page(start))
    buddy.set_section_online(start, False)
    core.lock_zone(zone)
    while pfn < end:
        page = buddy.pfn_to_page(pfn)
        if not d.PageBuddy(page) and d.PageHWPoison(page):
            pfn += 1
            continue
        if d.page_count(page):
            core.m.BUG("BUG_ON page_count", "__offline_isolated_pages", f"pfn {pfn} goes offline while in use")
        if not d.PageBuddy(page):
            core.m.BUG("BUG_ON !PageBuddy", "__offline_isolated_pages", f"pfn {pfn} goes offline, but is not free")
        pfn += 1 << buddy.take_free_block(pfn)
    core.unlock_zone(zone)


# -- online


def online_pages(core: Core, start: int, end: int) -> tuple[int, ...]:
    """Bring every section of [start, end) online. Returns 0, or -EINVAL when it is online, for each section.

    start, end: widened to whole sections.
    """
    return tuple(online_section(core, first, last) for first, last in sections(core, start, end))


def online_section(core: Core, start: int, end: int) -> int:
    """Bring one section online: its frames become free and movable. Source: online_pages(), v5.10."""
    core.mem_hotplug_begin()
    result = online_section_locked(core, start, end)
    core.mem_hotplug_done()
    return result


def online_section_locked(core: Core, start: int, end: int) -> int:
    """What online_pages() does under mem_hotplug_lock."""
    buddy = core.buddy
    if buddy.section_online(start):
        return -EINVAL
    for pfn in range(start, end, buddy.pageblock_pages):
        buddy.set_pageblock_migratetype(pfn, MIGRATE_MOVABLE)
    buddy.set_section_online(start, True)
    zone = buddy.zone_of_pfn(start)
    core.lock_zone(zone)
    pfn = start
    while pfn < end:
        if core.d.PageHWPoison(buddy.pfn_to_page(pfn)):
            pfn += 1
            continue
        order = largest_healthy_order(core, pfn, end)
        buddy.free_one_page(pfn, order)
        pfn += 1 << order
    core.unlock_zone(zone)
    return 0


def largest_healthy_order(core: Core, pfn: int, end: int) -> int:
    """Return the order of the largest aligned block at pfn that ends by `end` and holds no poison."""
    order = 0
    while order < core.buddy.max_order - 1:
        size = 2 << order
        if pfn % size or pfn + size > end:
            break
        pages = range(
            core.buddy.pfn_to_page(pfn),
            core.buddy.pfn_to_page(pfn) + size * STRUCT_PAGE_SIZE,
            STRUCT_PAGE_SIZE,
        )
        if any(core.d.PageHWPoison(page) for page in pages):
            break
        order += 1
    return order


def first_pfn_outside_compound(core: Core, pfn: int, end: int) -> int:
    """Return pfn, or where the real compound page ends that pfn is a tail of.

    do_migrate_range() is called with the pfn that the scan found, which is never such a tail.
    """
    head = real_head(core, pfn)
    return pfn if head in (-1, pfn) else min(block_end(core, pfn), end)
