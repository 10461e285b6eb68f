"""Probes that ask whether a range could be emptied.

In:    a range of pfns; the truth.
Out:   for each pageblock the pfn called unmovable, -1 for none; or the results of isolating the first and
       last block.
Never: leaves a pageblock isolated.
Next:  the functions: zsfuzz/machine/core/page_isolation.py, zsfuzz/machine/core/page_isolation_later.py; the
       oracle: zsfuzz/machine/scanners/truth.py.
"""

from __future__ import annotations

from collections.abc import Callable

from zsfuzz.machine.core.control import pageblock_end_pfn, pageblock_start_pfn
from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.page_isolation import has_unmovable_pages, unset_migratetype_isolate
from zsfuzz.machine.core.page_isolation_later import (
    has_unmovable_pages_v6_1,
    has_unmovable_pages_v7_2,
    isolate_single_pageblock,
)
from zsfuzz.machine.report import Report
from zsfuzz.machine.scanners.truth import Truth, can_move, judge_unmovable

SINGLE = "isolate_single_pageblock"


def pieces(core: Core, start: int, end: int) -> list[tuple[int, int]]:
    """Cut a range at pageblocks and zones; offline pageblocks are left out."""
    found = []
    pfn = start
    while pfn < end:
        zone_end = core.buddy.zone_end[core.buddy.zone_of_pfn(pfn)]
        stop = min(pageblock_end_pfn(core, pfn), zone_end)
        if core.m.pfn_to_online_page(pfn):
            found.append((pfn, stop))
        pfn = stop
    return found


def probe_has_unmovable(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Run v5.10's has_unmovable_pages() from each pageblock's first pfn in the range to its end."""

    def scan(first: int, stop: int) -> int:
        page = core.buddy.pfn_to_page(first)
        return has_unmovable_pages(core, core.d.page_zone(page), page, 0)

    return _probe(core, "has_unmovable_pages", pieces(core, start, end), scan, movable)


def probe_has_unmovable_v6_1(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Run v6.1's has_unmovable_pages() on the part of each pageblock that is in the range."""
    parts = [(first, min(stop, end)) for first, stop in pieces(core, start, end)]
    return _probe(
        core,
        "has_unmovable_pages",
        parts,
        lambda first, stop: has_unmovable_pages_v6_1(core, first, stop, 0),
        movable,
    )


def probe_page_is_unmovable(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Run v7.2's page_is_unmovable() over the part of each pageblock that is in the range."""
    parts = [(first, min(stop, end)) for first, stop in pieces(core, start, end)]
    return _probe(
        core,
        "page_is_unmovable",
        parts,
        lambda first, stop: has_unmovable_pages_v7_2(core, first, stop, 0),
        movable,
    )


def _probe(
    core: Core, name: str, parts: list[tuple[int, int]], scan: Callable[[int, int], int], movable: Truth
) -> tuple[int, ...]:
    answers = []
    for first, stop in parts:
        page = scan(first, stop)
        found = core.buddy.page_to_pfn(page) if page else -1
        judge_unmovable(core, name, first, stop, found, movable)
        answers.append(found)
    return tuple(answers)


def probe_isolate_single_pageblock(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Isolate the first and last pageblock of a range as v6.1 does for a range; then undo it.

    Returns the results of the two calls, 0 or -EBUSY; one only when the first fails, none when an end is
    offline. What of the range is not in the zone of `start` is left out.
    """
    buddy = core.buddy
    zone = buddy.zone_of_pfn(start)
    first = max(pageblock_start_pfn(core, start), buddy.zone_start[zone])
    boundary = min(pageblock_end_pfn(core, min(end, buddy.zone_end[zone]) - 1), buddy.zone_end[zone])
    last = boundary - buddy.pageblock_pages
    if last < first or not core.m.pfn_to_online_page(first) or not core.m.pfn_to_online_page(last):
        return ()
    types = buddy.get_pageblock_migratetype(first), buddy.get_pageblock_migratetype(last)
    result = isolate_single_pageblock(core, first, 0, types[0], isolate_before=False)
    _judge_block(core, first, first, result, movable)
    if result:
        return (result,)
    again = isolate_single_pageblock(core, boundary, 0, types[1], isolate_before=True, skip_isolation=last == first)
    _judge_block(core, last, boundary, again, movable)
    if not again and last != first:
        unset_migratetype_isolate(core, buddy.pfn_to_page(last), types[1])
    unset_migratetype_isolate(core, buddy.pfn_to_page(first), types[0])
    return result, again


def _judge_block(core: Core, block: int, boundary: int, result: int, movable: Truth) -> None:
    """0: nothing in the block is unmovable.

    -EBUSY: wrong when all of it, and all before the boundary, can move.
    """
    buddy = core.buddy
    end = block + buddy.pageblock_pages
    if not result:
        judge_unmovable(core, SINGLE, block, end, -1, movable)
        return
    start = max(block & ~((1 << (buddy.max_order - 1)) - 1), buddy.zone_start[buddy.zone_of_pfn(block)])
    if core.alone and all(can_move(core, pfn, movable) for pfn in (*range(start, boundary), *range(block, end))):
        text = f"{SINGLE}() cannot isolate [{block}, {end}), though every page there and before it can move"
        raise Report("progress", "wrong answer: movable page refused", SINGLE, text)
