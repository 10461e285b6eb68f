"""Probes of memory offline: what scan_movable_pages() finds, and what do_migrate_range() would take.

In:    a range of pfns; the truth.
Out:   (result, pfn found) or (result, pfns taken); what was taken is put back.
Never: moves a page.
Next:  the functions in zsfuzz/machine/core/memory_hotplug.py; the oracle in zsfuzz/machine/scanners/truth.py.
"""

from __future__ import annotations

from collections.abc import Callable

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.memory_hotplug import (
    first_pfn_outside_compound,
    isolate_migrate_range,
    scan_movable_pages,
    scan_movable_pages_or_mask,
)
from zsfuzz.machine.core.movable import putback_movable_pages
from zsfuzz.machine.scanners.truth import Truth, judge_first_movable

ScanMovable = Callable[[Core, int, int], tuple[int, int]]


def probe_scan_movable(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Return (result, pfn) of v5.10's scan."""
    return _scan(core, start, end, movable, scan_movable_pages)


def probe_scan_movable_or_mask(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Return (result, pfn) of v7.2's scan."""
    return _scan(core, start, end, movable, scan_movable_pages_or_mask)


def _scan(core: Core, start: int, end: int, movable: Truth, scan: ScanMovable) -> tuple[int, ...]:
    result, pfn = scan(core, start, end)
    judge_first_movable(core, "scan_movable_pages", start, pfn, movable)
    return result, pfn


def probe_do_migrate_range(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Isolate as do_migrate_range() does, and put back.

    Returns (result of the last isolation, pfns isolated).

    The range begins after a real compound page that `start` is a tail of: do_migrate_range() is never called
    so.
    """
    result = isolate_migrate_range(core, first_pfn_outside_compound(core, start, end), end)
    pfns = [core.buddy.page_to_pfn(page) for page in core.pages_on(core.source)]
    putback_movable_pages(core, core.source)
    return (result, *pfns)
