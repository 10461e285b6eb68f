"""The migrate scanner: isolates what can be migrated, upwards.

In:    a CompactControl, a range inside one pageblock (or several).
Out:   pages on cc.migratepages; the first pfn that was not scanned.
Never: moves a page.
Next:  who moves them: zsfuzz/machine/core/compaction.py, zsfuzz/machine/core/contig.py.

Source: isolate_migratepages_block(), isolate_migratepages_range(), mm/compaction.c, v5.10. Strays: no skip
hints, no too_many_isolated(), no signals.

How it skips: by a free block's order; by a compound page's own order, which is 0 for a tail, so that a tail
is looked at and not offered. With cc.alloc_contig the compound test is left out.
"""

from __future__ import annotations

from zsfuzz.machine.core.control import (
    CompactControl,
    block_end_pfn,
    pageblock_end_pfn,
    pageblock_pfn_to_page,
    pageblock_start_pfn,
)
from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.cursor import Cursor
from zsfuzz.machine.core.lru import isolate_lru_page_locked, mod_node_page_state
from zsfuzz.machine.core.movable import isolate_movable_page, putback_movable_pages
from zsfuzz.machine.core.words import ISOLATE_UNEVICTABLE, MIGRATE_ASYNC

NAME = "isolate_migratepages_block"


class MigrateScanner:
    """isolate_migratepages_block() with its local variables as attributes."""

    __slots__ = (
        "cc",
        "core",
        "cursor",
        "end",
        "locked",
        "low_pfn",
        "mode",
        "next_skip_pfn",
        "nr_isolated",
        "skips",
    )

    def __init__(self, core: Core, cc: CompactControl, low_pfn: int, end_pfn: int, mode: int) -> None:
        self.core, self.cc, self.mode = core, cc, mode
        self.low_pfn, self.end = low_pfn, end_pfn
        self.nr_isolated = 0
        self.locked = False
        self.skips = cc.direct_compaction and cc.mode == MIGRATE_ASYNC  # skip_on_failure
        self.next_skip_pfn = block_end_pfn(low_pfn, cc.order) if self.skips else 0
        self.cursor = Cursor(core, NAME, low_pfn, end_pfn)

    def isolate_migratepages_block(self) -> int:
        """Scan. Returns the first pfn that was not scanned."""
        while self.low_pfn < self.end:
            if self.skips and self.low_pfn >= self.next_skip_pfn:
                if self.nr_isolated:
                    break
                self.next_skip_pfn = block_end_pfn(self.low_pfn, self.cc.order)
            if not self.low_pfn % self.core.cluster_max:
                self.unlock()
            self.cc.total_migrate_scanned += 1
            self.cursor.at(self.low_pfn)
            page = self.core.buddy.pfn_to_page(self.low_pfn)
            if self.core.d.PageBuddy(page):
                self.skip_free_block(page)
            elif not self.isolate_page(page):
                self.isolate_fail()
            elif self.is_enough():
                self.low_pfn += 1
                break
            self.low_pfn += 1
        self.unlock()
        self.core.must_count(self.core.count_on(self.cc.migratepages), self.cc.nr_migratepages, NAME)
        return min(self.low_pfn, self.end)

    def is_enough(self) -> bool:
        """Return whether a cluster of pages is isolated."""
        cc = self.cc
        return cc.nr_migratepages >= self.core.cluster_max and not cc.rescan and not cc.contended

    def skip_free_block(self, page: int) -> None:
        """Go to the last page of a free block, by the order that its first page records."""
        order = self.core.d.buddy_order(page)
        if 0 < order < self.core.buddy.max_order:
            self.skip(1 << order)

    def skip(self, pages_count: int) -> None:
        """Go to the last page of a block of that many pages."""
        self.cursor.jump(self.low_pfn, self.low_pfn + pages_count)
        self.low_pfn += pages_count - 1

    def isolate_page(self, page: int) -> bool:
        """Isolate one page that is not free. Returns whether it is on cc.migratepages now."""
        d = self.core.d
        if d.PageCompound(page) and not self.cc.alloc_contig:
            order = d.compound_order(page)
            if order < self.core.buddy.max_order:
                self.skip(1 << order)
            return False
        if not d.PageLRU(page):
            return self.isolate_non_lru_page(page)
        if not d.page_mapping(page) and d.page_count(page) > d.page_mapcount(page):
            return False
        return self.isolate_lru_page(page)

    def isolate_non_lru_page(self, page: int) -> bool:
        """Ask the owner of a movable page."""
        d = self.core.d
        if not d.page_has_movable_mapping(page):
            return False
        if d.PageIsolated(page):
            self.core.must_be_listed(page)
            return False
        self.unlock()
        if isolate_movable_page(self.core, page, self.mode):
            return False
        self.isolate_success(page)
        return True

    def isolate_lru_page(self, page: int) -> bool:
        """Take a page off the LRU under lru_lock."""
        core, d = self.core, self.core.d
        if not self.locked:
            self.lock()
            if not d.PageLRU(page):
                return False
            if d.PageCompound(page) and not self.cc.alloc_contig:
                self.skip(d.compound_nr(page))
                return False
        if isolate_lru_page_locked(core, page, self.mode):
            return False
        if d.PageCompound(page):
            self.skip(d.compound_nr(page))
        mod_node_page_state(core, page, d.thp_nr_pages(page))
        self.isolate_success(page)
        return True

    def isolate_success(self, page: int) -> None:
        """Put an isolated page onto the list and count it."""
        self.core.link(page, self.cc.migratepages)
        pages_count = self.core.d.compound_nr(page)
        self.cc.nr_migratepages += pages_count
        self.cc.total_isolated += pages_count
        self.nr_isolated += pages_count

    def isolate_fail(self) -> None:
        """A direct compactor gives the whole block of cc.order up, and what it isolated there back."""
        if not self.skips:
            return
        if self.nr_isolated:
            self.unlock()
            putback_movable_pages(self.core, self.cc.migratepages)
            self.cc.nr_migratepages = 0
            self.nr_isolated = 0
        if self.low_pfn < self.next_skip_pfn:
            self.cursor.give_up(self.next_skip_pfn)
            self.low_pfn = self.next_skip_pfn - 1
            self.next_skip_pfn += 1 << self.cc.order

    def lock(self) -> None:
        """compact_lock_irqsave(): an async compactor notes that the lock was contended."""
        if self.cc.mode == MIGRATE_ASYNC and not self.cc.contended:
            if self.core.trylock_lru():
                self.locked = True
                return
            self.cc.contended = True
        self.core.lock_lru()
        self.locked = True

    def unlock(self) -> None:
        """Drop lru_lock if it is held."""
        if self.locked:
            self.core.unlock_lru()
            self.locked = False


def isolate_migratepages_block(core: Core, cc: CompactControl, low_pfn: int, end_pfn: int, mode: int) -> int:
    """Isolate what can be migrated in [low_pfn, end_pfn). Returns the first pfn that was not scanned.

    end_pfn: inside the same pageblock. mode: isolate_mode_t. Source: v5.10.
    """
    return MigrateScanner(core, cc, low_pfn, end_pfn, mode).isolate_migratepages_block()


def isolate_migratepages_range(core: Core, cc: CompactControl, start_pfn: int, end_pfn: int) -> int:
    """Isolate block by block until a cluster is full. Returns the first pfn that was not scanned.

    Source: isolate_migratepages_range(), v5.10, for alloc_contig_range(). Strays: no.
    """
    pfn = start_pfn
    block_start = max(pageblock_start_pfn(core, pfn), core.buddy.zone_start[cc.zone])
    block_end = pageblock_end_pfn(core, pfn)
    while pfn < end_pfn:
        block_end = min(block_end, end_pfn)
        if pageblock_pfn_to_page(core, block_start, block_end, cc.zone):
            pfn = isolate_migratepages_block(core, cc, pfn, block_end, ISOLATE_UNEVICTABLE)
            if cc.nr_migratepages >= core.cluster_max:
                break
        pfn = block_end
        block_start = block_end
        block_end += core.buddy.pageblock_pages
    return pfn
