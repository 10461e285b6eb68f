"""Buddy: the page allocator, with zones, orders, pageblocks, migrate types and its sanity checks.

In:    orders and gfp masks; struct page addresses.
Out:   struct page addresses; a Report for a page that comes back dirty or twice ("bad page").
Never: asks who owned a page.
Next:  the descriptor rules by which a page loses its last reference: zsfuzz/machine/descriptor.py.

Source: mm/page_alloc.c, v5.10 (__rmqueue, __free_one_page, free_pages_prepare, check_new_page, move_freepages_block).
Strays: no per-cpu lists, no watermarks, no reserves; a fallback steals the largest free block of the other migrate
type and takes over its pageblocks only when the block is at least a pageblock.

All state is in the arena: a free block's links in page->lru, its order in page->private, zone records in the heap.
"""

from __future__ import annotations

from typing import Final, NoReturn

from zsfuzz.machine.failure import FailureInjection
from zsfuzz.machine.geometry import Geometry
from zsfuzz.machine.layout import (
    COMPOUND_PAGE_DTOR,
    GFP_HIGHMEM,
    GFP_MOVABLE,
    LIST_POISON1,
    LIST_POISON2,
    MASK32,
    MIGRATE_ISOLATE,
    MIGRATE_MOVABLE,
    MIGRATE_RECLAIMABLE,
    MIGRATE_TYPES,
    MIGRATE_UNMOVABLE,
    NR_FREE_PAGES,
    NR_VM_ZONE_STAT_ITEMS,
    PAGE_FLAGS_CHECK_AT_FREE,
    PAGE_FLAGS_CHECK_AT_PREP,
    PAGE_MAPPING_FLAGS,
    STRUCT_PAGE_SIZE,
    TAIL_MAPPING,
    VMEMMAP_START,
    VMSTAT_NAMES,
    ZONE_MOVABLE,
    ZONE_NORMAL,
    ZONES_PGSHIFT,
    PG_head,
    PG_hwpoison,
    PG_isolated,
    PT_buddy,
)
from zsfuzz.machine.memory import Memory
from zsfuzz.machine.report import Report
from zsfuzz.machine.slab import Slab

_FALLBACKS: Final = {
    MIGRATE_UNMOVABLE: (MIGRATE_RECLAIMABLE, MIGRATE_MOVABLE),
    MIGRATE_MOVABLE: (MIGRATE_RECLAIMABLE, MIGRATE_UNMOVABLE),
    MIGRATE_RECLAIMABLE: (MIGRATE_UNMOVABLE, MIGRATE_MOVABLE),
}
_FREE_TYPE: Final = MASK32 & ~PT_buddy  # page_type of a free block's first page
_NO_TYPE: Final = MASK32  # _mapcount == -1

# struct page, word offsets
_FLAGS, _LRU, _LRU_PREV, _MAPPING, _INDEX, _PRIVATE, _MAPCOUNT_REF, _MEMCG = range(8)


class Buddy:
    """The page allocator of one machine. Pages are struct page addresses; a pfn is said where it is one."""

    def __init__(
        self,
        memory: Memory,
        slab: Slab,
        failure: FailureInjection,
        geometry: Geometry,
        zone_pages: tuple[int, int],
    ) -> None:
        self._memory = memory
        self._memmap_word = memory.memmap_word
        self._words = memory.words
        self._halves = memory.halves
        self._failure = failure
        self.geometry = geometry
        self.max_order = geometry.max_order
        self.pageblock_order = geometry.pageblock_order
        self.pageblock_pages = 1 << geometry.pageblock_order
        self.zone_start = (0, zone_pages[0])
        self.zone_end = (zone_pages[0], sum(zone_pages))
        self.pages_count = sum(zone_pages)
        blocks = -(-self.pages_count // self.pageblock_pages)
        sections = -(-self.pages_count // geometry.section_pages)
        self._heads = slab.core_alloc(2 * self.max_order * MIGRATE_TYPES * 2)
        self._heads_word = memory.word_index(self._heads)
        self._vmstat = memory.word_index(slab.core_alloc(2 * NR_VM_ZONE_STAT_ITEMS))
        self._block_type = memory.word_index(slab.core_alloc(blocks))
        self._block_skip = memory.word_index(slab.core_alloc(blocks))
        self._online = memory.word_index(slab.core_alloc(sections))
        self._sections_count = sections
        for list_number in range(2 * self.max_order * MIGRATE_TYPES):
            head = self._heads + list_number * 16
            self._words[memory.word_index(head)] = head
            self._words[memory.word_index(head) + 1] = head
        self._boot(blocks)

    def _boot(self, blocks: int) -> None:
        for block in range(blocks):
            self._words[self._block_type + block] = MIGRATE_MOVABLE
        for section in range(self._sections_count):
            self._words[self._online + section] = 1
        for zone in (ZONE_NORMAL, ZONE_MOVABLE):
            for pfn in range(self.zone_start[zone], self.zone_end[zone]):
                page = self._page_word(pfn)
                self._words[page + _FLAGS] = zone << ZONES_PGSHIFT
                self._words[page + _LRU] = LIST_POISON1
                self._words[page + _LRU_PREV] = LIST_POISON2
                self._words[page + _MAPCOUNT_REF] = _NO_TYPE
            self._free_range(zone, self.zone_start[zone], self.zone_end[zone])

    def _free_range(self, zone: int, start: int, end: int) -> None:
        """Put frames into the free lists in the largest aligned blocks, lowest pfn first out."""
        blocks = []
        pfn = start
        while pfn < end:
            order = self.max_order - 1
            while pfn & ((1 << order) - 1) or pfn + (1 << order) > end:
                order -= 1
            blocks.append((pfn, order))
            pfn += 1 << order
        for pfn, order in reversed(blocks):
            self._add_to_free_list(zone, pfn, order, self.get_pageblock_migratetype(pfn))
            self._words[self._vmstat + zone * NR_VM_ZONE_STAT_ITEMS + NR_FREE_PAGES] += 1 << order

    # -- names of places

    def _page_word(self, pfn: int) -> int:
        return self._memmap_word + (pfn << 3)

    def pfn_to_page(self, pfn: int) -> int:
        """Return the struct page address of a frame. Errors: Report for a pfn outside the memmap."""
        if not 0 <= pfn < self.pages_count:
            raise Report("memory", "wild pfn", "", f"pfn_to_page({pfn:#x}): outside the memmap")
        return VMEMMAP_START + pfn * STRUCT_PAGE_SIZE

    def page_to_pfn(self, page: int) -> int:
        """Return (page - vmemmap) / 64, whatever that gives for an address outside the memmap (64-bit wrap)."""
        return ((page - VMEMMAP_START) // STRUCT_PAGE_SIZE) & ((1 << 64) - 1)

    def checked_pfn(self, page: int, verb: str) -> int:
        """Return the pfn of a struct page. Errors: Report for an address outside the memmap."""
        pfn = (page - VMEMMAP_START) // STRUCT_PAGE_SIZE
        if not 0 <= pfn < self.pages_count or (page - VMEMMAP_START) % STRUCT_PAGE_SIZE:
            raise Report(
                "memory",
                "no struct page",
                verb,
                f"{verb} of {self._memory.describe(page)}: not a struct page",
            )
        return pfn

    def zone_of_pfn(self, pfn: int) -> int:
        """Return ZONE_NORMAL or ZONE_MOVABLE."""
        return ZONE_MOVABLE if pfn >= self.zone_start[ZONE_MOVABLE] else ZONE_NORMAL

    def get_pageblock_migratetype(self, pfn: int) -> int:
        """Return the migrate type of the pageblock around a pfn."""
        return self._words[self._block_type + (pfn >> self.pageblock_order)]

    def set_pageblock_migratetype(self, pfn: int, migratetype: int) -> None:
        """Set the migrate type of the pageblock around a pfn."""
        self._words[self._block_type + (pfn >> self.pageblock_order)] = migratetype

    def get_pageblock_skip(self, pfn: int) -> bool:
        """Return compaction's skip hint of the pageblock around a pfn."""
        return bool(self._words[self._block_skip + (pfn >> self.pageblock_order)])

    def set_pageblock_skip(self, pfn: int, skip: bool) -> None:
        """Set or clear compaction's skip hint."""
        self._words[self._block_skip + (pfn >> self.pageblock_order)] = int(skip)

    def section_online(self, pfn: int) -> bool:
        """Return whether the section around a pfn is online."""
        return bool(self._words[self._online + pfn // self.geometry.section_pages])

    @property
    def all_online(self) -> bool:
        """Return whether no section is offline."""
        return all(self._words[self._online : self._online + self._sections_count])

    def set_section_online(self, pfn: int, online: bool) -> None:
        """Mark the section around a pfn online or offline."""
        self._words[self._online + pfn // self.geometry.section_pages] = int(online)

    # -- vmstat

    def zone_page_state(self, zone: int, item: int) -> int:
        """Return a per-zone counter (two's complement, 64 bits)."""
        return self._words[self._vmstat + zone * NR_VM_ZONE_STAT_ITEMS + item]

    def vmstat(self) -> list[int]:
        """Return every per-zone counter, NR_VM_ZONE_STAT_ITEMS for each zone."""
        values: list[int] = self._words[self._vmstat : self._vmstat + 2 * NR_VM_ZONE_STAT_ITEMS].tolist()
        return values

    def mod_zone_page_state(self, zone: int, item: int, delta: int) -> None:
        """Add to a per-zone counter. Errors: Report when it would go below zero."""
        at = self._vmstat + zone * NR_VM_ZONE_STAT_ITEMS + item
        value = self._words[at] + delta
        if value < 0:
            name = VMSTAT_NAMES[item]
            raise Report("invariant", "I7 zone counter below zero", name, f"{name} of zone {zone} would be {value}")
        self._words[at] = value

    # -- free lists (links in page->lru, trusted code)

    def _head(self, zone: int, order: int, migratetype: int) -> int:
        return self._heads + ((zone * self.max_order + order) * MIGRATE_TYPES + migratetype) * 16

    def _add_to_free_list(self, zone: int, pfn: int, order: int, migratetype: int) -> None:
        words, index = self._words, self._memory.word_index
        page = self._memmap_word + (pfn << 3)
        node = VMEMMAP_START + pfn * STRUCT_PAGE_SIZE + 8
        number = (zone * self.max_order + order) * MIGRATE_TYPES + migratetype
        head, head_word = self._heads + number * 16, self._heads_word + number * 2
        first = words[head_word]
        words[index(first) + 1] = node
        words[page + _LRU], words[page + _LRU_PREV] = first, head
        words[head_word] = node
        words[page + _PRIVATE] = order
        self._halves[(page + _MAPCOUNT_REF) * 2] = _FREE_TYPE

    def _del_from_free_list(self, pfn: int) -> None:
        words, index = self._words, self._memory.word_index
        page = self._memmap_word + (pfn << 3)
        after, before = words[page + _LRU], words[page + _LRU_PREV]
        words[index(before)] = after
        words[index(after) + 1] = before
        words[page + _LRU], words[page + _LRU_PREV] = LIST_POISON1, LIST_POISON2
        words[page + _PRIVATE] = 0
        self._halves[(page + _MAPCOUNT_REF) * 2] = _NO_TYPE

    def _first_free(self, zone: int, order: int, migratetype: int) -> int:
        """Return the pfn of the first free block of a list, -1 if it is empty."""
        number = (zone * self.max_order + order) * MIGRATE_TYPES + migratetype
        first = self._words[self._heads_word + number * 2]
        return -1 if first == self._heads + number * 16 else (first - VMEMMAP_START) // STRUCT_PAGE_SIZE

    def free_blocks(self, zone: int, order: int, migratetype: int) -> list[int]:
        """Return the pfns of a free list in its order."""
        head = self._head(zone, order, migratetype)
        pfns, node = [], self._words[self._memory.word_index(head)]
        while node != head:
            pfns.append((node - VMEMMAP_START) // STRUCT_PAGE_SIZE)
            node = self._words[self._memory.word_index(node)]
        return pfns

    def is_buddy(self, pfn: int) -> bool:
        """Return whether a pfn is the first of a free block (raw page_type)."""
        return self._halves[(self._page_word(pfn) + _MAPCOUNT_REF) * 2] == _FREE_TYPE

    def buddy_order(self, pfn: int) -> int:
        """Return the order that a free block's first page records."""
        return self._words[self._page_word(pfn) + _PRIVATE]

    def is_free_buddy_page(self, pfn: int) -> bool:
        """Return whether a pfn lies in a free block of any order."""
        return self.free_block_of(pfn) >= 0

    def free_block_of(self, pfn: int) -> int:
        """Return the first pfn of the free block around a pfn, -1 if it is not free."""
        for order in range(self.max_order):
            first = pfn & ~((1 << order) - 1)
            if self.is_buddy(first) and self.buddy_order(first) >= order:
                return first
        return -1

    # -- allocation

    def alloc_page(self, gfp: int) -> int:
        """Return one page with _refcount 1, or 0. Source: alloc_pages(), order 0."""
        return self.alloc_pages(gfp, 0)

    def alloc_pages(self, gfp: int, order: int, *, compound: bool = False) -> int:
        """Return the first page of 2**order frames, or 0 when there are none or the failure is injected."""
        if self._failure.armed and self._failure.hits("page"):
            return 0
        movable = gfp & GFP_MOVABLE
        zones = (ZONE_MOVABLE, ZONE_NORMAL) if movable and gfp & GFP_HIGHMEM else (ZONE_NORMAL,)
        migratetype = MIGRATE_MOVABLE if movable else MIGRATE_UNMOVABLE
        zones = zones if self.zone_end[ZONE_MOVABLE] > self.zone_start[ZONE_MOVABLE] else (ZONE_NORMAL,)
        for zone in zones:
            while (pfn := self._rmqueue(zone, order, migratetype)) >= 0:
                if self._prep_new_pages(pfn, order, compound):
                    return VMEMMAP_START + pfn * STRUCT_PAGE_SIZE
        return 0

    def _rmqueue(self, zone: int, order: int, migratetype: int) -> int:
        for current in range(order, self.max_order):
            pfn = self._first_free(zone, current, migratetype)
            if pfn >= 0:
                return self._take(zone, pfn, current, order, migratetype)
        for fallback in _FALLBACKS[migratetype]:
            for current in range(self.max_order - 1, order - 1, -1):
                pfn = self._first_free(zone, current, fallback)
                if pfn >= 0:
                    return self._steal(zone, pfn, current, order, migratetype)
        return -1

    def _steal(self, zone: int, pfn: int, current: int, order: int, migratetype: int) -> int:
        owner = self.get_pageblock_migratetype(pfn)
        if current >= self.pageblock_order:
            for block in range(pfn, pfn + (1 << current), self.pageblock_pages):
                self.set_pageblock_migratetype(block, migratetype)
            owner = migratetype
        return self._take(zone, pfn, current, order, owner)

    def _take(self, zone: int, pfn: int, current: int, order: int, migratetype: int) -> int:
        """Unlink a block and give the halves that are not needed back to the lists."""
        self._del_from_free_list(pfn)
        while current > order:
            current -= 1
            self._add_to_free_list(zone, pfn + (1 << current), current, migratetype)
        self._words[self._vmstat + zone * NR_VM_ZONE_STAT_ITEMS + NR_FREE_PAGES] -= 1 << order
        return pfn

    def _prep_new_pages(self, first: int, order: int, compound: bool) -> bool:
        """Check and initialise a block. Returns False when a poisoned page makes it unusable: it is dropped."""
        pfns = range(first, first + (1 << order))
        for pfn in pfns:
            if self._check_new_page(pfn):
                return False
        for pfn in pfns:
            self._words[self._page_word(pfn) + _PRIVATE] = 0
            self._memory.frame_allocated(pfn)
        self._halves[(self._page_word(first) + _MAPCOUNT_REF) * 2 + 1] = 1
        if compound:
            self._prep_compound_page(first, order)
        return True

    def _check_new_page(self, pfn: int) -> bool:
        """Return whether a page is poisoned. Errors: Report for one that is dirty (check_new_page_bad)."""
        page = self._page_word(pfn)
        flags = self._words[page + _FLAGS]
        if flags >> PG_hwpoison & 1:
            return True
        if (
            flags & PAGE_FLAGS_CHECK_AT_PREP
            or self._words[page + _MAPPING]
            or self._words[page + _MEMCG]
            or self._words[page + _MAPCOUNT_REF] != _NO_TYPE
        ):
            self._bad_page(pfn, PAGE_FLAGS_CHECK_AT_PREP, "alloc")
        return False

    def _prep_compound_page(self, first: int, order: int) -> None:
        words = self._words
        head = self._page_word(first)
        words[head + _FLAGS] |= 1 << PG_head
        for pfn in range(first + 1, first + (1 << order)):
            page = self._page_word(pfn)
            words[page + _MAPPING] = TAIL_MAPPING
            words[page + _LRU] = VMEMMAP_START + first * STRUCT_PAGE_SIZE | 1
        second = self._page_word(first + 1)
        words[second + _LRU_PREV] = COMPOUND_PAGE_DTOR | order << 8 | MASK32 << 32  # compound_mapcount -1
        words[second + _MAPPING] = 1 << order  # compound_nr

    # -- free

    def _bad_page(self, pfn: int, flags: int, when: str) -> NoReturn:
        page = self._page_word(pfn)
        reason, words = "unexpected flags", self._words
        if self._halves[(page + _MAPCOUNT_REF) * 2] != _NO_TYPE:
            reason = "nonzero mapcount"
        elif words[page + _MAPPING]:
            reason = "non-NULL mapping"
        elif self._halves[(page + _MAPCOUNT_REF) * 2 + 1]:
            reason = "nonzero _refcount"
        elif words[page + _MEMCG]:
            reason = "page still charged to cgroup"
        text = f"bad page at {when}: pfn {pfn}: {reason}, flags {words[page + _FLAGS] & flags:#x}"
        raise Report("invariant", f"I6 bad page at {when}", reason, text)

    def free_pages_prepare(self, page: int, order: int) -> bool:
        """Return whether a block may go to the free lists; a poisoned page may not.

        Errors: Report for PageTail, a dirty page, an isolated page (I10) or stale private data (I6).
        Source: mm/page_alloc.c free_pages_prepare(), free_tail_pages_check(), v5.10. Strays: I6 and I10 are ours.
        """
        first = self.checked_pfn(page, "free_pages_prepare")
        words = self._words
        head = self._page_word(first)
        if words[head + _LRU] & 1:
            raise Report("bug", "VM_BUG_ON PageTail", "compound_head", f"free of pfn {first}, which is a tail page")
        if words[head + _FLAGS] >> PG_hwpoison & 1 and not order:
            return False
        if self._memory.frame_is_free(first):
            raise Report("memory", "double free page", "", f"pfn {first} is free already")
        for offset in range(1, 1 << order):
            self._free_tail_page(first, first + offset)
        if words[head + _MAPPING] & PAGE_MAPPING_FLAGS:
            words[head + _MAPPING] = 0
        words[head + _FLAGS] &= ~(1 << PG_head)
        self._check_free_page(first)
        return True

    def _free_tail_page(self, first: int, pfn: int) -> None:
        page = self._page_word(pfn)
        if self._words[self._page_word(first) + _FLAGS] >> PG_head & 1:
            if self._words[page + _LRU] != (VMEMMAP_START + first * STRUCT_PAGE_SIZE) | 1:
                raise Report("invariant", "I6 bad page at free", "compound_head", f"tail pfn {pfn} lost its head")
            self._words[page + _LRU], self._words[page + _LRU_PREV] = LIST_POISON1, LIST_POISON2
            self._words[page + _MAPPING] = 0
        self._check_free_page(pfn)

    def _check_free_page(self, pfn: int) -> None:
        words, page = self._words, self._page_word(pfn)
        flags = words[page + _FLAGS]
        if (
            words[page + _MAPCOUNT_REF] != _NO_TYPE
            or words[page + _MAPPING]
            or words[page + _MEMCG]
            or flags & PAGE_FLAGS_CHECK_AT_FREE
        ):
            self._bad_page(pfn, PAGE_FLAGS_CHECK_AT_FREE, "free")
        if flags >> PG_isolated & 1:
            raise Report("invariant", "I10 isolated page freed", "PG_isolated", f"pfn {pfn} is freed while isolated")
        if words[page + _PRIVATE]:
            raise Report("invariant", "I6 bad page at free", "private", f"pfn {pfn} is freed with private set")
        words[page + _FLAGS] = flags & ~PAGE_FLAGS_CHECK_AT_PREP

    def free_unref_page(self, page: int, order: int = 0) -> None:
        """Free a block whose _refcount is zero. Source: free_unref_page(), __free_pages_ok(), v5.10."""
        if not self.free_pages_prepare(page, order):
            return
        first = self.checked_pfn(page, "free")
        for pfn in range(first, first + (1 << order)):
            self._memory.frame_freed(pfn)
        self.free_one_page(first, order)

    def free_one_page(self, pfn: int, order: int) -> None:
        """Merge a block with its free buddies and put it on the list of its pageblock's migrate type."""
        zone = self.zone_of_pfn(pfn)
        self._words[self._vmstat + zone * NR_VM_ZONE_STAT_ITEMS + NR_FREE_PAGES] += 1 << order
        halves, memmap = self._halves, self._memmap_word
        while order < self.max_order - 1:
            buddy = pfn ^ (1 << order)
            if not buddy < self.pages_count or halves[(memmap + (buddy << 3) + _MAPCOUNT_REF) * 2] != _FREE_TYPE:
                break
            if not self._mergeable(zone, pfn, buddy, order):
                break
            self._del_from_free_list(buddy)
            pfn &= buddy
            order += 1
        self._add_to_free_list(zone, pfn, order, self.get_pageblock_migratetype(pfn))

    def _mergeable(self, zone: int, pfn: int, buddy: int, order: int) -> bool:
        if not self.zone_start[zone] <= buddy or buddy + (1 << order) > self.zone_end[zone]:
            return False
        if self.buddy_order(buddy) != order:
            return False
        if order >= self.pageblock_order:
            mine, other = self.get_pageblock_migratetype(pfn), self.get_pageblock_migratetype(buddy)
            return mine == other or MIGRATE_ISOLATE not in (mine, other)
        return True

    # -- for page isolation, compaction, offline and memory failure

    def take_free_block(self, pfn: int) -> int:
        """Unlink the free block that starts at pfn and return its order. Source: __isolate_free_page(), v5.10.

        Strays: the block's pageblocks keep their migrate type.
        """
        order = self.buddy_order(pfn)
        self._del_from_free_list(pfn)
        self.mod_zone_page_state(self.zone_of_pfn(pfn), NR_FREE_PAGES, -(1 << order))
        return order

    def prep_taken(self, first: int, order: int) -> None:
        """Make every page of a taken block an order-0 page with _refcount 1 (post_alloc_hook, split_page)."""
        for pfn in range(first, first + (1 << order)):
            self._check_new_page(pfn)
            self._words[self._page_word(pfn) + _PRIVATE] = 0
            self._halves[(self._page_word(pfn) + _MAPCOUNT_REF) * 2 + 1] = 1
            self._memory.frame_allocated(pfn)

    def split_free_block(self, pfn: int) -> None:
        """Cut the free block around pfn in halves until pfn starts an order-0 free block."""
        first = self.free_block_of(pfn)
        zone, order = self.zone_of_pfn(pfn), self.buddy_order(first)
        migratetype = self.get_pageblock_migratetype(first)
        self._del_from_free_list(first)
        while order:
            order -= 1
            half = first + (1 << order)
            low, high = first, half
            first = high if pfn >= half else low
            self._add_to_free_list(zone, low if first == high else high, order, migratetype)
        self._add_to_free_list(zone, pfn, 0, migratetype)

    def move_freepages_block(self, pfn: int, migratetype: int) -> int:
        """Move the free blocks that start in a pageblock to another type's lists; return their pages."""
        start = pfn & ~(self.pageblock_pages - 1)
        end, moved, zone = start + self.pageblock_pages, 0, self.zone_of_pfn(pfn)
        current = start
        while current < min(end, self.pages_count):
            if not self.is_buddy(current):
                current += 1
                continue
            order = self.buddy_order(current)
            self._del_from_free_list(current)
            self._add_to_free_list(zone, current, order, migratetype)
            moved += 1 << order
            current += 1 << order
        return moved
