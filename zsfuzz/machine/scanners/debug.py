"""Probes of debugging aids: dump_page() and page_owner.

In:    a range of pfns.
Out:   (pages dumped, pages with references); the pfns that page_owner would print.
Never: prints.
Next:  dump_page() itself in zsfuzz/machine/core/debug.py.

Source: mm/debug.c, mm/page_owner.c, mm/page_ext.c, v5.10.
"""

from __future__ import annotations

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.cursor import Cursor
from zsfuzz.machine.core.debug import dump_page
from zsfuzz.machine.report import Report
from zsfuzz.machine.scanners.truth import Truth


def probe_dump_page(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Dump every online page."""
    dumped = used = 0
    for pfn in range(start, end):
        page = core.m.pfn_to_online_page(pfn)
        if page:
            dumped += 1
            used += dump_page(core, page).refcount > 0
    return dumped, used


def probe_page_owner(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Return the pfns that a reader of the page_owner file gets: the first pages of all allocations.

    Source: read_page_owner(), v5.10, which skips free blocks by their order and looks the rest up by the pfn
    of the page itself. Strays: what page_ext would record is told from the page: allocated if it has
    references, the order from a head in the memmap.
    """
    d, buddy = core.d, core.buddy
    found: list[int] = []
    cursor = Cursor(core, "read_page_owner", start, end)
    pfn = start
    while pfn < end:
        cursor.at(pfn)
        page = buddy.pfn_to_page(pfn)
        if d.PageBuddy(page):
            order = d.buddy_order(page)
            if order < buddy.max_order:
                cursor.jump(pfn, pfn + (1 << order))
                pfn += (1 << order) - 1
        elif lookup_page_ext(core, page) and d.page_ref_count(page):
            found.append(pfn)
        pfn += 1
    return tuple(found)


def lookup_page_ext(core: Core, page: int) -> bool:
    """Return whether the section of a page has page_ext. Errors: Report for a page outside the memmap.

    Source: lookup_page_ext(), v5.10: by page_to_pfn() of what it is given. Strays: no.
    """
    pfn = core.buddy.page_to_pfn(page)
    if pfn >= core.buddy.pages_count:
        raise Report("memory", "wild pfn", "page_ext", f"page_ext of pfn {pfn:#x}: outside every section")
    return core.buddy.section_online(pfn)
