"""Probe: one scanner by itself over a range of pfns.

In:    a member of Scanner; [start, end); the truth about each pfn.
Out:   what two designs have to agree on, as a flat tuple; a Report for a wrong answer or a broken cursor.
Never: leaves a trace: pages isolated are put back, free pages taken are freed, references dropped.
Next:  by family: zsfuzz/machine/scanners/isolation.py, unmovable.py, movable.py, kpage.py, references.py,
       debug.py.

I8 is watched by zsfuzz/machine/core/cursor.py inside each loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.scanners.debug import probe_dump_page, probe_page_owner
from zsfuzz.machine.scanners.isolation import probe_isolate_freepages, probe_isolate_migratepages
from zsfuzz.machine.scanners.kpage import probe_kpagecount, probe_kpageflags
from zsfuzz.machine.scanners.movable import (
    probe_do_migrate_range,
    probe_scan_movable,
    probe_scan_movable_or_mask,
)
from zsfuzz.machine.scanners.references import probe_page_idle, probe_speculative_get
from zsfuzz.machine.scanners.truth import Truth
from zsfuzz.machine.scanners.unmovable import (
    probe_has_unmovable,
    probe_has_unmovable_v6_1,
    probe_isolate_single_pageblock,
    probe_page_is_unmovable,
)
from zsfuzz.program.ops import Scanner

Probe = Callable[[Core, int, int, Truth], tuple[int | str, ...]]


def probe_both_has_unmovable(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """has_unmovable_pages() of v5.10, then of v6.1: the same skip with another counter."""
    return (
        *probe_has_unmovable(core, start, end, movable),
        *probe_has_unmovable_v6_1(core, start, end, movable),
    )


PROBES: Final[dict[Scanner, Probe]] = {
    Scanner.ISOLATE_MIGRATEPAGES: probe_isolate_migratepages,
    Scanner.ISOLATE_FREEPAGES: probe_isolate_freepages,
    Scanner.HAS_UNMOVABLE: probe_both_has_unmovable,
    Scanner.ISOLATE_SINGLE_PAGEBLOCK: probe_isolate_single_pageblock,
    Scanner.PAGE_IS_UNMOVABLE: probe_page_is_unmovable,
    Scanner.SCAN_MOVABLE: probe_scan_movable,
    Scanner.SCAN_MOVABLE_OR_MASK: probe_scan_movable_or_mask,
    Scanner.DO_MIGRATE_RANGE: probe_do_migrate_range,
    Scanner.KPAGEFLAGS: probe_kpageflags,
    Scanner.KPAGECOUNT: probe_kpagecount,
    Scanner.PAGE_IDLE: probe_page_idle,
    Scanner.DUMP_PAGE: probe_dump_page,
    Scanner.PAGE_OWNER: probe_page_owner,
    Scanner.SPECULATIVE_GET: probe_speculative_get,
}


def scan(core: Core, scanner: Scanner, start: int, end: int, movable: Truth) -> tuple[int | str, ...]:
    """Run one scanner over [start, end). Returns what two designs have to agree on.

    start < end, both inside the memory. movable: pfn -> would the page's owner let it go (free pages: True;
    None: nobody can say). Errors: Report for a wrong answer, a cursor that goes astray, a wild access.
    """
    return PROBES[scanner](core, start, end, movable)
