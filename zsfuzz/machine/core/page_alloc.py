"""Page allocation as the core asks for it: targets of migration, blocks cut up or taken away.

In:    pages and pfns of the buddy allocator.
Out:   pages taken, freed, cut.
Never: knows what the pages are for.
Next:  the buddy allocator itself in zsfuzz/machine/buddy.py.

Source: mm/page_alloc.c, v5.10 and (split_free_page) v6.1. zone->lock is taken where the kernel takes it.
"""

from __future__ import annotations

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.words import GFP_MIGRATION_TARGET
from zsfuzz.machine.layout import ENOENT, GFP_HIGHMEM, STRUCT_PAGE_SIZE, ZONE_MOVABLE


def alloc_migration_target(core: Core, page: int) -> int:
    """Return a fresh page that `page` may move to, 0 without memory.

    A page of ZONE_MOVABLE may go to either zone, any other stays in ZONE_NORMAL. Source:
    alloc_migration_target(), mm/migrate.c, v5.10. Strays: a huge page gets the order that its head records.
    """
    d = core.d
    core.PageHuge(page)
    gfp, order = GFP_MIGRATION_TARGET, 0
    huge = d.PageTransHuge(page)
    if huge:
        order = d.compound_order(page)
    if d.page_zone(page) == ZONE_MOVABLE:
        gfp |= GFP_HIGHMEM
    return core.buddy.alloc_pages(gfp, order, compound=huge)


def free_pages(core: Core, page: int, order: int) -> None:
    """Free a block that is no compound page.

    When somebody has a reference on its first page, the rest is freed.

    Source: __free_pages(), v5.10. Strays: no.
    """
    if core.d.put_page_testzero(page):
        core.buddy.free_unref_page(page, order)
        return
    while order:
        order -= 1
        core.buddy.free_unref_page(page + (STRUCT_PAGE_SIZE << order), order)


def take_page_off_buddy(core: Core, page: int) -> bool:
    """Take one free page out of the buddy allocator, its block cut up. Returns False when it is not free.

    Source: take_page_off_buddy(), v5.10. Strays: no.
    """
    buddy, zone = core.buddy, core.d.page_zone(page)
    pfn = buddy.page_to_pfn(page)
    core.lock_zone(zone)
    is_free = buddy.is_free_buddy_page(pfn)
    if is_free:
        buddy.split_free_block(pfn)
        buddy.take_free_block(pfn)
    core.unlock_zone(zone)
    return is_free


def split_free_page(core: Core, page: int, order: int, split_pfn_offset: int) -> int:
    """Cut a free block in two at an offset, so that each side lies on its own pageblock's free list.

    Returns 0, or -ENOENT when the block is not free any more. Source: split_free_page(), mm/page_alloc.c,
    v6.1. Strays: no.
    """
    buddy, zone = core.buddy, core.d.page_zone(page)
    first = buddy.page_to_pfn(page)
    core.lock_zone(zone)
    if not buddy.is_buddy(first) or buddy.buddy_order(first) != order:
        core.unlock_zone(zone)
        return -ENOENT
    buddy.take_free_block(first)
    pfn, left, end = first, split_pfn_offset, first + (1 << order)
    while pfn < end:
        aligned = (pfn & -pfn).bit_length() - 1 if pfn else order
        piece = min(aligned, left.bit_length() - 1)
        buddy.free_one_page(pfn, piece)
        pfn += 1 << piece
        left -= 1 << piece
        if not left:
            left = end - pfn
    core.unlock_zone(zone)
    return 0


def free_contig_range(core: Core, pfn: int, pages_count: int) -> None:
    """Free single pages of a range. Errors: Report when one of them has more than one reference.

    Source: free_contig_range(), v5.10. Strays: beside other lanes the warning is not given, a scanner may have a
    reference for an instant; a reference that stays is found at the join.
    """
    d, still_used = core.d, 0
    for number in range(pfn, pfn + pages_count):
        page = core.buddy.pfn_to_page(number)
        still_used += d.page_count(page) != 1
        d.free_page(page)
    if still_used and core.alone:
        core.m.BUG("WARN_ON page_count != 1", "free_contig_range", f"{still_used} pages are still in use")
