"""Frames: what must hold of the page allocator, of poisoned frames and of bystanders at every quiescent point.

In:    one side; the pages that zspages have.
Out:   how many facts were checked, or a Violation.
Never: what zsmalloc says of itself: that is zsfuzz/oracle/invariants.py, which calls this.
Next:  the allocator: zsfuzz/machine/buddy.py; bystanders: zsfuzz/machine/core/bystander.py.

These are facts about code that both sides run: a bug there makes no difference between them.
"""

from __future__ import annotations

from collections.abc import Container
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


def check_frames(side: SideView, zspage_pages: Container[int]) -> int:
    """Check free lists, pageblocks, poisoned frames and bystanders. Returns how many facts held."""
    return _check_free_lists(side) + _check_poisoned(side, zspage_pages) + _check_bystanders(side)


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


def _check_poisoned(side: SideView, zspage_pages: Container[int]) -> int:
    """I6: a poisoned frame is not free, and when nobody has it any more one reference keeps it from being used."""
    machine, buddy, facts = side.machine, side.machine.buddy, 0
    held = [page for page, _, _ in side.references.values()]
    for pfn, flags in enumerate(machine.memory.page_words(PG_FLAGS)):
        if not flags >> PG_hwpoison & 1:
            continue
        page = VMEMMAP_START + pfn * STRUCT_PAGE_SIZE
        facts += 1
        if buddy.is_free_buddy_page(pfn):
            _fail(side, "I6 poisoned page is free", "free list", f"pfn {pfn} is poisoned and on a free list")
        if page in zspage_pages or record_around(side.core, page) is not None or side.target.page_owner(page):
            continue
        count = machine.load32(page + PG_REFCOUNT)
        if count > 1 + held.count(page):
            _fail(side, "I6 reference count of a poisoned page", "_refcount too high", f"pfn {pfn} has {count}")
    return facts


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
