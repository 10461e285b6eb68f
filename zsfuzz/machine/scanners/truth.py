"""Truth: is a scanner's answer wrong?

In:    what a scanner said of a range; what the owner of each page would say.
Out:   nothing, or a Report: "nothing unmovable" though there is, or a refusal of a page that could be moved.
Never: judges what a scanner cannot see by design, or what nobody can say.
Next:  the scanners that are held against it: zsfuzz/machine/scanners/unmovable.py,
       zsfuzz/machine/scanners/movable.py.

Not judged, since the kernel's scanners do not look there either:
* in ZONE_MOVABLE everything but reserved pages (has_unmovable_pages() stops after that test);
* frames of a larger block that is no compound page, without a reference of their own;
* poisoned pages, pages of offline sections, and pages that their owner left while somebody had a reference.

Beside other lanes a page may change its owner between the answer and the question. Then only "nothing unmovable" is
judged, and only by bystanders that were there all the time: zsfuzz/execute/side.py.
"""

from __future__ import annotations

from collections.abc import Callable

from zsfuzz.machine.core.bystander import record_around
from zsfuzz.machine.core.core import Core
from zsfuzz.machine.layout import (
    PAGE_MAPPING_MOVABLE,
    PG_MAPPING,
    PG_REFCOUNT,
    STRUCT_PAGE_SIZE,
    VMEMMAP_START,
    ZONE_MOVABLE,
    PG_hwpoison,
    PG_reserved,
)
from zsfuzz.machine.report import Report
from zsfuzz.program.ops import BystanderKind

Truth = Callable[[int], bool | None]
"""pfn -> would the page's owner let it go? Free pages: True. None: nobody can say."""


def can_move(core: Core, pfn: int, movable: Truth) -> bool | None:
    """Return what is true of a pfn, None for what is not to be judged."""
    if not core.buddy.section_online(pfn):
        return None
    if core.buddy.is_free_buddy_page(pfn):
        return True
    page, load = VMEMMAP_START + pfn * STRUCT_PAGE_SIZE, core.m.load
    if load(page) >> PG_hwpoison & 1 or load(page + PG_MAPPING) == PAGE_MAPPING_MOVABLE:
        return None
    if not core.m.load32(page + PG_REFCOUNT) and is_inner_frame(core, page):
        return None
    return movable(pfn)


def is_inner_frame(core: Core, page: int) -> bool:
    """Return whether a page is of a larger block of somebody's, not compound, and not its first."""
    record = record_around(core, page)
    return record is not None and record.kind is BystanderKind.UNMOVABLE and record.page != page


def is_seen_in_zone(core: Core, pfn: int) -> bool:
    """Return whether a scanner for unmovable pages looks at more than PG_reserved here."""
    if core.buddy.zone_of_pfn(pfn) != ZONE_MOVABLE:
        return True
    return bool(core.m.load(VMEMMAP_START + pfn * STRUCT_PAGE_SIZE) >> PG_reserved & 1)


def judge_unmovable(core: Core, scanner: str, start: int, end: int, found: int, movable: Truth) -> None:
    """Hold "the first unmovable page of [start, end) is `found`" (-1: there is none) against the truth.

    Errors: Report "wrong answer".
    """
    if found >= 0:
        if core.alone and can_move(core, found, movable):
            text = f"{scanner}() calls pfn {found} unmovable, but its owner would let it go"
            raise Report("progress", "wrong answer: movable page refused", scanner, text)
        return
    for pfn in range(start, end):
        if is_seen_in_zone(core, pfn) and can_move(core, pfn, movable) is False:
            text = f"{scanner}() sees nothing unmovable in [{start}, {end}), but pfn {pfn} is"
            raise Report("progress", "wrong answer: nothing unmovable", scanner, text)


def judge_first_movable(core: Core, scanner: str, start: int, stop: int, movable: Truth) -> None:
    """Hold "no page in [start, stop) can be moved" against the truth; free pages do not count.

    Errors: Report "wrong answer".
    """
    for pfn in range(start, stop):
        if not core.buddy.is_free_buddy_page(pfn) and can_move(core, pfn, movable):
            text = f"{scanner}() goes past pfn {pfn}, whose owner would let it go"
            raise Report("progress", "wrong answer: movable page passed over", scanner, text)
