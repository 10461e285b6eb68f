"""The free scanner: takes free pages as targets of migration, downwards block by block.

In:    a CompactControl, ranges inside one pageblock.
Out:   pages with one reference each on a list; what is left of them goes back to the buddy allocator.
Never: touches a page that is not free.
Next:  zsfuzz/machine/core/compaction.py and zsfuzz/machine/core/contig.py, which want the pages.

Source: isolate_freepages_block(), isolate_freepages_range(), isolate_freepages(), split_map_pages(),
release_freepages(), mm/compaction.c, v5.10. Strays: no watermarks, no search of the free lists, no skip
hints.
"""

from __future__ import annotations

from zsfuzz.machine.core.control import (
    CompactControl,
    pageblock_end_pfn,
    pageblock_pfn_to_page,
    pageblock_start_pfn,
)
from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.cursor import Cursor
from zsfuzz.machine.core.words import MIGRATE_ASYNC
from zsfuzz.machine.layout import MIGRATE_MOVABLE, PG_PRIVATE, STRUCT_PAGE_SIZE

NAME = "isolate_freepages_block"


class FreeScanner:
    """isolate_freepages_block() with its local variables as attributes."""

    __slots__ = ("cc", "core", "cursor", "end", "head", "locked", "pfn", "strict", "stride", "total_isolated")

    def __init__(
        self,
        core: Core,
        cc: CompactControl,
        start_pfn: int,
        end_pfn: int,
        head: int,
        stride: int,
        strict: bool,
    ) -> None:
        self.core, self.cc, self.head = core, cc, head
        self.pfn, self.end = start_pfn, end_pfn
        self.stride = 1 if strict else stride
        self.strict = strict
        self.locked = False
        self.total_isolated = 0
        self.cursor = Cursor(core, NAME, start_pfn, end_pfn)

    def isolate_freepages_block(self) -> tuple[int, int]:
        """Scan. Returns (pages isolated, first pfn that was not scanned)."""
        while self.pfn < self.end:
            if not self.pfn % self.core.cluster_max:
                self.unlock()
            self.cc.total_free_scanned += 1
            self.cursor.at(self.pfn)
            page = self.core.buddy.pfn_to_page(self.pfn)
            if self.isolate_free_block(page):
                if not self.strict and self.cc.nr_migratepages <= self.cc.nr_freepages:
                    self.pfn += 1
                    break
            elif self.strict:
                break
            self.pfn += self.stride
            if self.stride > 1:
                self.cursor.give_up(self.pfn)
        self.unlock()
        self.pfn = min(self.pfn, self.end)
        if self.strict and self.pfn < self.end:
            self.total_isolated = 0
        return self.total_isolated, self.pfn

    def isolate_free_block(self, page: int) -> bool:
        """Take the free block that starts at a page, and go to its last page.

        Returns False for any other page.
        """
        d = self.core.d
        if d.PageCompound(page):
            order = d.compound_order(page)
            if order < self.core.buddy.max_order:
                self.skip(1 << order)
            return False
        if not d.PageBuddy(page):
            return False
        if not self.locked:
            self.core.lock_zone(self.cc.zone)
            self.locked = True
            if not d.PageBuddy(page):
                return False
        order = d.buddy_order(page)
        self.skip(1 << order)
        isolate_free_page(self.core, page)
        self.core.m.store(page + PG_PRIVATE, order)
        self.total_isolated += 1 << order
        self.cc.nr_freepages += 1 << order
        self.core.link_tail(page, self.head)
        return True

    def skip(self, pages_count: int) -> None:
        """Go to the last page of a block of that many pages."""
        self.cursor.jump(self.pfn, self.pfn + pages_count)
        self.pfn += pages_count - 1

    def unlock(self) -> None:
        """Drop zone->lock if it is held."""
        if self.locked:
            self.core.unlock_zone(self.cc.zone)
            self.locked = False


def isolate_free_page(core: Core, page: int) -> None:
    """Unlink a free block. Source: __isolate_free_page(), mm/page_alloc.c, v5.10. Strays: no watermarks."""
    core.buddy.take_free_block(core.buddy.checked_pfn(page, "__isolate_free_page"))


def isolate_freepages_block(
    core: Core, cc: CompactControl, start_pfn: int, end_pfn: int, head: int, stride: int, strict: bool
) -> tuple[int, int]:
    """Take the free blocks in [start_pfn, end_pfn). Returns (pages isolated, first pfn that was not scanned).

    strict: stop at the first page that is not free, and say 0. Source: isolate_freepages_block(), v5.10.
    """
    return FreeScanner(core, cc, start_pfn, end_pfn, head, stride, strict).isolate_freepages_block()


def split_map_pages(core: Core, head: int) -> int:
    """Make every page of the blocks of a list a page of its own, with one reference.

    Returns how many there are.

    The pages end up in descending order. Source: split_map_pages(), v5.10. Strays: v5.10 does not look for
    PG_hwpoison here and would hand a poisoned page out; it stays out of the list, and of the buddy allocator.
    """
    m, buddy = core.m, core.buddy
    split: list[int] = []
    for page in core.each_page(head):
        order = m.load(page + PG_PRIVATE)
        core.d.core_unlink(page)
        buddy.prep_taken(buddy.page_to_pfn(page), order)
        members = range(page, page + (STRUCT_PAGE_SIZE << order), STRUCT_PAGE_SIZE)
        split += [member for member in members if not core.d.PageHWPoison(member)]
    for page in split:
        core.link(page, head)
    return len(split)


def release_freepages(core: Core, head: int) -> int:
    """Free every page of a list.

    Returns the highest pfn, 0 for an empty list. Source: release_freepages(), v5.10.
    """
    high_pfn = 0
    for page in core.each_page(head):
        core.d.core_unlink(page)
        core.d.free_page(page)
        high_pfn = max(high_pfn, core.buddy.page_to_pfn(page))
    return high_pfn


def isolate_freepages_range(core: Core, cc: CompactControl, start_pfn: int, end_pfn: int) -> int:
    """Take a whole range out of the buddy allocator, as single pages with one reference.

    Returns the pfn after the last page taken, which may lie beyond end_pfn; 0 when a page was not free, and
    then nothing is taken. Source: isolate_freepages_range(), v5.10. Strays: a page taken is not left on a
    list.
    """
    pfn, head = start_pfn, cc.freepages
    block_start = max(pageblock_start_pfn(core, pfn), core.buddy.zone_start[cc.zone])
    block_end = pageblock_end_pfn(core, pfn)
    while pfn < end_pfn:
        block_end = min(block_end, end_pfn)
        if pfn >= block_end:
            block_start = pageblock_start_pfn(core, pfn)
            block_end = min(pageblock_end_pfn(core, pfn), end_pfn)
        if not pageblock_pfn_to_page(core, block_start, block_end, cc.zone):
            break
        isolated, _ = isolate_freepages_block(core, cc, pfn, block_end, head, 0, True)
        if not isolated:
            break
        pfn += isolated
        block_start = block_end
        block_end += core.buddy.pageblock_pages
    split_map_pages(core, head)
    if pfn < end_pfn:
        release_freepages(core, head)
        return 0
    for page in core.each_page(head):
        core.d.core_unlink(page)
    return pfn


# -- the free scanner of compaction


def isolate_freepages(core: Core, cc: CompactControl) -> None:
    """Take free pages from the blocks below the free scanner until there are as many as pages to migrate.

    Source: isolate_freepages(), v5.10. Strays: no search of the free lists first, no skip hints.
    """
    buddy = core.buddy
    isolate_start = cc.free_pfn
    block_start = pageblock_start_pfn(core, isolate_start)
    block_end = min(block_start + buddy.pageblock_pages, buddy.zone_end[cc.zone])
    low_pfn = pageblock_end_pfn(core, cc.migrate_pfn)
    stride = core.cluster_max if cc.mode == MIGRATE_ASYNC else 1
    while block_start >= low_pfn:
        page = pageblock_pfn_to_page(core, block_start, block_end, cc.zone)
        if page and suitable_migration_target(core, cc, page):
            isolated, isolate_start = isolate_freepages_block(
                core, cc, isolate_start, block_end, cc.freepages, stride, False
            )
            if cc.nr_freepages >= cc.nr_migratepages:
                if isolate_start >= block_end:
                    isolate_start = block_start - buddy.pageblock_pages
                break
            if isolate_start < block_end:
                break
            stride = 1 if isolated else min(core.cluster_max, stride << 1)
        block_end = block_start
        block_start -= buddy.pageblock_pages
        isolate_start = block_start
    cc.free_pfn = isolate_start
    cc.nr_freepages = split_map_pages(core, cc.freepages)


def suitable_migration_target(core: Core, cc: CompactControl, page: int) -> bool:
    """Return whether a pageblock may take pages: it is movable, and no large free block itself.

    Source: suitable_migration_target(), v5.10. Strays: only a direct compactor spares large free blocks; in a
    memory as small as this one there is often nothing else above.
    """
    d, buddy = core.d, core.buddy
    if cc.direct_compaction and d.PageBuddy(page) and d.buddy_order(page) >= buddy.pageblock_order:
        return False
    return buddy.get_pageblock_migratetype(buddy.page_to_pfn(page)) == MIGRATE_MOVABLE
