"""Frames: what must hold of the page allocator, of poisoned frames and of bystanders at every quiescent point.

In:    one side.
Out:   how many facts were checked, or a Violation; for the drain, what a memory error may not leave behind.
Never: what zsmalloc says of itself: that is zsfuzz/oracle/invariants.py, which calls this.
Next:  the allocator: zsfuzz/machine/buddy.py; bystanders: zsfuzz/machine/core/bystander.py.

These are facts about code that both sides run: a bug there makes no difference between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from zsfuzz.machine.core.bystander import PTE_PRESENT, record_around, records
from zsfuzz.machine.layout import (
    MIGRATE_ISOLATE,
    MIGRATE_TYPES,
    NR_FREE_PAGES,
    PG_FLAGS,
    PG_INDEX,
    PG_MAPCOUNT,
    PG_REFCOUNT,
    STRUCT_PAGE_SIZE,
    VMEMMAP_START,
    ZONE_NAMES,
    PG_hwpoison,
    PG_lru,
)
from zsfuzz.oracle.judge import Violation
from zsfuzz.program.ops import BystanderKind

if TYPE_CHECKING:
    from zsfuzz.oracle.view import SideView


def check_frames(side: SideView) -> int:
    """Check free lists, pageblocks, poisoned frames and bystanders. Returns how many facts held."""
    return _check_free_lists(side) + _check_poisoned(side) + _check_bystanders(side)


def _fail(side: SideView, rule: str, field: str, message: str) -> NoReturn:
    raise Violation("invariant", rule, (), field, side, f"{rule}: {message}")


def _check_free_lists(side: SideView) -> int:
    """I7: NR_FREE_PAGES is what the lists hold, and a block is on an isolated list exactly in an isolated pageblock.
    I10: no pageblock stays isolated.
    """
    buddy = side.machine.buddy
    facts = 0
    for zone in range(len(ZONE_NAMES)):
        total = 0
        for order in range(buddy.max_order):
            for migratetype in range(MIGRATE_TYPES):
                for pfn in buddy.free_blocks(zone, order, migratetype):
                    total += 1 << order
                    facts += 1
                    isolated = buddy.get_pageblock_migratetype(pfn) == MIGRATE_ISOLATE
                    if isolated != (migratetype == MIGRATE_ISOLATE):
                        _fail(side, "I7 free list of another pageblock type", "free list", f"block at pfn {pfn}")
        counted = buddy.zone_page_state(zone, NR_FREE_PAGES)
        if counted != total:
            field = f"nr_free_pages too {'high' if counted > total else 'low'}"
            _fail(side, "I7 NR_FREE_PAGES", field, f"{counted} counted, {total} on the lists of zone {zone}")
    for pfn in range(0, buddy.pages_count, buddy.pageblock_pages):
        facts += 1
        if buddy.get_pageblock_migratetype(pfn) == MIGRATE_ISOLATE and buddy.section_online(pfn):
            _fail(side, "I10 pageblock stays isolated", "pageblock", f"the pageblock at pfn {pfn} is isolated")
    return facts


def _check_poisoned(side: SideView) -> int:
    """I6: a poisoned frame is on no free list."""
    facts = 0
    for pfn in poisoned_pfns(side):
        facts += 1
        if side.machine.buddy.is_free_buddy_page(pfn):
            _fail(side, "I6 poisoned page is free", "free list", f"pfn {pfn} is poisoned and on a free list")
    return facts


def poisoned_pfns(side: SideView) -> list[int]:
    """Return the frames with a memory error."""
    return [pfn for pfn, flags in enumerate(side.machine.memory.page_words(PG_FLAGS)) if flags >> PG_hwpoison & 1]


def pinned_too_often(side: SideView) -> int:
    """Return the first poisoned frame that more than one reference keeps, -1 for none. For a drained side."""
    for pfn in poisoned_pfns(side):
        page = VMEMMAP_START + pfn * STRUCT_PAGE_SIZE
        if record_around(side.core, page) is None and side.machine.load32(page + PG_REFCOUNT) > 1:
            return pfn
    return -1


def _check_bystanders(side: SideView) -> int:
    """I10: an LRU page that is mapped is on the LRU, and its words say who maps it."""
    load, load32, facts = side.machine.load, side.machine.load32, 0
    for record in records(side.core):
        if record.kind is not BystanderKind.LRU or record.pte != PTE_PRESENT:
            continue
        page, slot = record.page, record.key - 1
        facts += 1
        on_lru, index, mapcount = load(page) >> PG_lru & 1, load(page + PG_INDEX), load32(page + PG_MAPCOUNT)
        if not on_lru or index != slot or mapcount:
            text = f"PG_lru {on_lru}, index {index}, _mapcount {mapcount} of bystander {slot}"
            _fail(side, "I10 mapped page is not on the LRU", "lru", text)
    return facts
