"""CompactControl: what one compaction knows, and the arithmetic of blocks.

In:    a zone, a mode, a range.
Out:   struct compact_control as a value on the stack of one operation; its lists are the core's, in the
       arena.
Never: outlives an operation.
Next:  the migrate scanner in zsfuzz/machine/core/migratepages.py, the free scanner in
       zsfuzz/machine/core/freepages.py, both at work in zsfuzz/machine/core/compaction.py.

Source: struct compact_control, mm/internal.h, v5.10. Strays: skip hints, cached positions and the search of
the free lists are always off, as the kernel has it for /proc/sys/vm/compact_memory and alloc_contig_range().
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zsfuzz.machine.core.core import Core


@dataclass(slots=True)
class CompactControl:
    """One compaction.

    zone: number. order: the order that a direct compactor is after, -1 for all. alloc_contig: compound pages
    are offered too. migrate_pfn, free_pfn, end_pfn: where the scanners are, and where the migrate scanner
    stops. total_isolated: pages isolated in all, those put back included. moved: (old, new) struct pages.
    """

    zone: int
    mode: int
    migratepages: int
    freepages: int
    order: int = -1
    direct_compaction: bool = False
    alloc_contig: bool = False
    rescan: bool = False
    contended: bool = False
    migrate_pfn: int = 0
    free_pfn: int = 0
    end_pfn: int = 0
    nr_migratepages: int = 0
    total_isolated: int = 0
    nr_freepages: int = 0
    total_migrate_scanned: int = 0
    total_free_scanned: int = 0
    moved: list[tuple[int, int]] = field(default_factory=list)


def compact_control(
    core: Core,
    zone: int,
    mode: int,
    *,
    order: int = -1,
    direct_compaction: bool = False,
    alloc_contig: bool = False,
) -> CompactControl:
    """Return a compact_control on the core's lists."""
    return CompactControl(
        zone,
        mode,
        core.migratepages,
        core.freepages,
        order=order,
        direct_compaction=direct_compaction,
        alloc_contig=alloc_contig,
    )


def block_start_pfn(pfn: int, order: int) -> int:
    """Round down to a block."""
    return pfn & ~((1 << order) - 1)


def block_end_pfn(pfn: int, order: int) -> int:
    """Return the start of the next block."""
    return block_start_pfn(pfn, order) + (1 << order)


def pageblock_start_pfn(core: Core, pfn: int) -> int:
    """Round down to a pageblock."""
    return block_start_pfn(pfn, core.buddy.pageblock_order)


def pageblock_end_pfn(core: Core, pfn: int) -> int:
    """Return the start of the next pageblock."""
    return block_end_pfn(pfn, core.buddy.pageblock_order)


def pageblock_pfn_to_page(core: Core, start_pfn: int, end_pfn: int, zone: int) -> int:
    """Return the first struct page of a part of a pageblock that is online and in a zone, else 0.

    Source: __pageblock_pfn_to_page(), mm/page_alloc.c, v5.10. Strays: no.
    """
    if end_pfn > core.buddy.pages_count:
        return 0
    start_page = core.m.pfn_to_online_page(start_pfn)
    if not start_page or core.d.page_zone(start_page) != zone:
        return 0
    return start_page if core.d.page_zone(core.buddy.pfn_to_page(end_pfn - 1)) == zone else 0
