"""Probes that take a reference by pfn and drop it: idle page tracking, and a speculative getter.

In:    a range of pfns.
Out:   1 for every pfn whose page could be had, 0 for every other.
Never: keeps a reference.
Next:  the rules by which references are counted: zsfuzz/machine/descriptor.py.

Source: mm/page_idle.c; page_cache_get_speculative(), try_get_compound_head(), mm/gup.c, v5.10.
"""

from __future__ import annotations

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.scanners.truth import Truth


def page_idle_get_page(core: Core, pfn: int) -> int:
    """Return the page of a pfn with a reference when it is on the LRU, else 0.

    The LRU test redirects, the get is raw, the put redirects. Source: page_idle_get_page(), v5.10. Strays:
    no.
    """
    d = core.d
    page = core.m.pfn_to_online_page(pfn)
    if not page or not d.PageLRU(page) or not d.get_page_unless_zero(page):
        return 0
    core.lock_lru()
    still_there = d.PageLRU(page)
    if not still_there:
        d.put_page(page)
    core.unlock_lru()
    return page if still_there else 0


def probe_page_idle(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Get and put every page that idle tracking would look at. Strays: there is no idle bit to read."""
    found = []
    for pfn in range(start, end):
        page = page_idle_get_page(core, pfn)
        if page:
            core.d.put_page(page)
        found.append(int(bool(page)))
    return tuple(found)


def speculative_get(core: Core, page: int) -> int:
    """Return the head of a page with a reference, or 0.

    0: the head has no references, or the page has another head by then. Source: try_get_compound_head(),
    mm/gup.c, v5.10, with the re-check of its caller. Strays: no.
    """
    d = core.d
    head = d.compound_head(page)
    if not d.get_page_unless_zero(head):
        return 0
    if d.compound_head(page) != head:
        d.put_page(head)
        return 0
    return head


def probe_speculative_get(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Get and put every page by its head."""
    found = []
    for pfn in range(start, end):
        page = core.m.pfn_to_online_page(pfn)
        head = speculative_get(core, page) if page else 0
        if head:
            core.d.put_page(head)
        found.append(int(bool(head)))
    return tuple(found)
