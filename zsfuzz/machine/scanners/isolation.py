"""Probes of compaction's two scanners.

In:    a range of pfns.
Out:   pfns isolated and where each scan stopped, for each pageblock; everything is put back or freed again.
Never: moves a page.
Next:  zsfuzz/machine/core/migratepages.py, zsfuzz/machine/core/freepages.py.
"""

from __future__ import annotations

from zsfuzz.machine.core.compaction import DIRECT_ORDER
from zsfuzz.machine.core.control import CompactControl, compact_control
from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.freepages import isolate_freepages_block, release_freepages, split_map_pages
from zsfuzz.machine.core.migratepages import isolate_migratepages_block
from zsfuzz.machine.core.movable import putback_movable_pages
from zsfuzz.machine.core.words import ISOLATE_UNEVICTABLE, MIGRATE_ASYNC, MIGRATE_SYNC
from zsfuzz.machine.scanners.truth import Truth
from zsfuzz.machine.scanners.unmovable import pieces

ALL_PAGES = 1 << 30  # more than there are: the free scanner does not stop for having enough


def probe_isolate_migratepages(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Isolate and put back three times: as compaction, as direct async compaction, as alloc_contig_range().

    Returns, for each call, (pfn where it stopped, how many pages, their pfns in list order).
    """
    found: list[int] = []
    for first, stop in pieces(core, start, end):
        zone = core.buddy.zone_of_pfn(first)
        for cc in (
            compact_control(core, zone, MIGRATE_SYNC),
            compact_control(core, zone, MIGRATE_ASYNC, order=DIRECT_ORDER, direct_compaction=True),
            compact_control(core, zone, MIGRATE_SYNC, alloc_contig=True),
        ):
            found += _isolate_migratepages(core, cc, first, min(stop, end))
    return tuple(found)


def _isolate_migratepages(core: Core, cc: CompactControl, pfn: int, end: int) -> list[int]:
    found: list[int] = []
    while pfn < end:
        pfn = isolate_migratepages_block(core, cc, pfn, end, ISOLATE_UNEVICTABLE)
        pages = core.pages_on(cc.migratepages)
        found += [pfn, len(pages), *(core.buddy.page_to_pfn(page) for page in pages)]
        putback_movable_pages(core, cc.migratepages)
        cc.nr_migratepages = 0
    return found


def probe_isolate_freepages(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Take the free pages of each pageblock and free them again, first loosely, then strictly.

    Returns, for each call, (pages taken, pfn where it stopped).
    """
    found: list[int] = []
    for first, stop in pieces(core, start, end):
        for strict in (False, True):
            cc = compact_control(core, core.buddy.zone_of_pfn(first), MIGRATE_SYNC)
            cc.nr_migratepages = ALL_PAGES
            found += isolate_freepages_block(core, cc, first, min(stop, end), cc.freepages, 1, strict)
            split_map_pages(core, cc.freepages)
            release_freepages(core, cc.freepages)
    return tuple(found)
