"""Answers: what zsmalloc and /proc have to say, held against the truth on each side by itself.

In:    what one side answered, and its state before and after.
Out:   nothing, or a Violation.
Never: the other side: two wrong answers may well agree.
Next:  who asks: zsfuzz/execute/execution.py; the scanners' other answers: zsfuzz/machine/scanners/truth.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from zsfuzz.machine.core.bystander import PTE_PRESENT, record_around
from zsfuzz.machine.layout import (
    KPF_BUDDY,
    KPF_HWPOISON,
    KPF_LRU,
    KPF_MMAP,
    KPF_NOPAGE,
    NR_FREE_PAGES,
    STRUCT_PAGE_SIZE,
    VMEMMAP_START,
    ZONE_MOVABLE,
    ZONE_NORMAL,
    PG_hwpoison,
)
from zsfuzz.oracle.judge import Violation
from zsfuzz.program.ops import BystanderKind, Gfp

if TYPE_CHECKING:
    from zsfuzz.oracle.view import SideView

PLENTY_PAGES: Final = 16
"""With so many free pages an allocation has no reason to fail: the longest chain, and room for poisoned blocks."""


def check_malloc(side: SideView, size: int, gfp: Gfp, served: bool, failing: bool) -> None:
    """zs_malloc() serves 1 to PAGE_SIZE bytes while there is memory, and nothing else. failing: a failure was armed."""
    fits = 0 < size <= side.machine.page_size
    if served and not fits:
        raise _breach(side, "malloc serves an impossible size", "handle", f"malloc({size}) gave a handle")
    if served or not fits or failing:
        return
    buddy = side.machine.buddy
    anywhere = gfp is not Gfp.KERNEL and "no_compaction" not in side.machine.switches
    zones = (ZONE_NORMAL, ZONE_MOVABLE) if anywhere else (ZONE_NORMAL,)
    free = max(buddy.zone_page_state(zone, NR_FREE_PAGES) for zone in zones)
    if free >= PLENTY_PAGES:
        raise _breach(side, "malloc refused", "handle", f"malloc({size}) fails with {free} pages free")


@dataclass(frozen=True, slots=True)
class PoolBefore:
    """A pool before it is compacted. pages, compacted: of the pool. waiting: whether the worker is queued for any."""

    pages: int
    compacted: int
    waiting: bool


def pool_before(side: SideView, number: int) -> PoolBefore:
    """Return what compaction is held against."""
    pool = side.pools[number]
    return PoolBefore(
        side.target.zs_get_total_pages(pool), side.target.zs_pool_stats(pool), side.machine.has_pending_work
    )


def check_compaction(
    side: SideView, number: int, before: PoolBefore, freed: int, classes: Sequence[int], isolated: bool
) -> None:
    """zs_compact() returns the pages it freed, adds them to pages_compacted, and leaves nothing that it could free.

    classes: raw indices of the pool's classes in use. isolated: whether the core has pages, whose zspages compaction
    leaves alone. In one lane no page lock is taken, so that no freeing is put off.
    """
    pool, target = side.pools[number], side.target
    pages, compacted = target.zs_get_total_pages(pool), target.zs_pool_stats(pool)
    if before.pages - pages != freed:
        text = f"compaction returns {freed}, the pool had {before.pages} pages and has {pages}"
        raise _breach(side, "compaction's count", "pages", text)
    if compacted - before.compacted != freed:
        text = f"compaction returns {freed}, pages_compacted was {before.compacted} and is {compacted}"
        raise _breach(side, "compaction's count", "pages_compacted", text)
    if isolated or before.waiting:
        return
    for index in classes:
        row = target.class_row(pool, index)
        if row.freeable:
            text = f"class {index} is compacted and could still free {row.freeable} pages"
            raise Violation("progress", "compaction stops early", (), "freeable", side, text)


def check_page_values(side: SideView, name: str, start: int, values: Sequence[int]) -> None:
    """Hold what /proc shows of some pfns against what is there. name: kpageflags or kpagecount."""
    for pfn, value in enumerate(values, start):
        if wrong := _wrong_flags(side, pfn, value) if name == "kpageflags" else _wrong_count(side, pfn, value):
            text = f"{name} of pfn {pfn} is {value:#x}: {wrong}"
            raise Violation("progress", "wrong answer: page value", (name,), wrong, side, text)


def _wrong_flags(side: SideView, pfn: int, value: int) -> str:
    """Return what is wrong in the flags shown of a pfn, "" for nothing."""
    machine, page = side.machine, VMEMMAP_START + pfn * STRUCT_PAGE_SIZE
    if not machine.buddy.section_online(pfn):
        return "" if value == 1 << KPF_NOPAGE else "an offline page is shown"
    if (value >> KPF_HWPOISON & 1) != (machine.load(page) >> PG_hwpoison & 1):
        return "HWPOISON"
    if machine.buddy.is_free_buddy_page(pfn) != bool(value >> KPF_BUDDY & 1):
        return "BUDDY"
    record = record_around(side.core, page)
    if record is not None and record.kind is BystanderKind.LRU and record.pte == PTE_PRESENT:
        return "" if value >> KPF_LRU & 1 and value >> KPF_MMAP & 1 else "LRU or MMAP"
    shown = _shown(side, page)
    return "" if shown is None or value & shown[1] == shown[1] else "what the design shows"


def _wrong_count(side: SideView, pfn: int, value: int) -> str:
    """Return what is wrong in the map count shown of a pfn, "" for nothing."""
    page = VMEMMAP_START + pfn * STRUCT_PAGE_SIZE
    if not side.machine.buddy.section_online(pfn) or side.machine.buddy.is_free_buddy_page(pfn):
        return "a free or offline page is mapped" if value else ""
    record = record_around(side.core, page)
    if record is not None and record.kind is BystanderKind.LRU and record.pte == PTE_PRESENT:
        return "" if value == 1 else "a page mapped once"
    shown = _shown(side, page)
    return "" if shown is None or value == shown[0] else "what the design shows"


def _shown(side: SideView, page: int) -> tuple[int, int] | None:
    """Return (kpagecount, kpageflags) that a zspage's page shows by its design's own word, None for other pages."""
    zspage = side.target.page_owner(page)
    if not zspage:
        return None
    view = side.target.zspage_view(zspage)
    if page not in view.pages:
        return None
    shown = side.target.shown_to_scanners(view, view.pages.index(page))
    return shown.kpagecount, shown.kpageflags


def _breach(side: SideView, rule: str, field: str, text: str) -> Violation:
    return Violation("contract", rule, (), field, side, text)
