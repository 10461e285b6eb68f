"""Observation: the projections of a target's state that two targets must agree on.

In:    two sides at a quiescent point.
Out:   nothing, or a Violation naming the datum.
Never: an address of a zspage or a handle: those belong to each side alone.
Next:  where pages may look different to a scanner: zsfuzz/oracle/expected.py.

Cheap things are compared after every step (counters), placements when an object may have moved, everything at the
cadence. The order of the comparisons is from the foundation up, so that one bug shows under one name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zsfuzz.machine.layout import (
    MIGRATE_TYPES,
    NR_VM_ZONE_STAT_ITEMS,
    PG_COMPOUND_HEAD,
    STRUCT_PAGE_SIZE,
    VMSTAT_NAMES,
    ZONE_NAMES,
)
from zsfuzz.machine.scanners.kpage import kpagecount, kpageflags
from zsfuzz.oracle.signature import counter_change, direction
from zsfuzz.policy.size_class import NR_ZS_FULLNESS
from zsfuzz.target.protocol import ZS_MM_RO

if TYPE_CHECKING:
    from zsfuzz.oracle.judge import Judge
    from zsfuzz.oracle.view import SideView


_PAGES_AT_ONCE = 16
_LOW_BIT = bytes(value & 1 for value in range(256))


def compare_counters(judge: Judge) -> None:
    """Compare every zone counter."""
    reference, candidate = judge.reference.machine.buddy.vmstat(), judge.candidate.machine.buddy.vmstat()
    if reference == candidate or judge.parts():
        return
    for item, name in enumerate(VMSTAT_NAMES):
        left, right = reference[item::NR_VM_ZONE_STAT_ITEMS], candidate[item::NR_VM_ZONE_STAT_ITEMS]
        if left != right:
            judge.diverged("zone counter", (), counter_change(name, left, right), left, right)


def compare_placements(judge: Judge) -> None:
    """Compare where every live object is."""
    left, right = judge.reference, judge.candidate
    reference = [left.target.placement(handle) for handle in left.handles.values()]
    candidate = [right.target.placement(handle) for handle in right.handles.values()]
    if reference == candidate or judge.parts():
        return
    for slot, one, other in zip(left.handles, reference, candidate, strict=True):
        if one != other:
            judge.place_diverged(f"h{slot}", one, other)


def compare_everything(judge: Judge) -> None:
    """Compare the whole observation."""
    compare_counters(judge)
    if judge.parted:
        return
    compare_placements(judge)
    for pool in judge.reference.pools:
        _compare_pool(judge, pool)
    _compare_work(judge)
    _compare_contents(judge)
    _compare_free_lists(judge)
    _compare_page_views(judge)


def _compare_pool(judge: Judge, number: int) -> None:
    sides = (judge.reference, judge.candidate)
    pools = [side.pools[number] for side in sides]
    targets = [side.target for side in sides]
    for name in ("zs_get_total_pages", "zs_pool_stats", "isolated_zspages"):
        values = [getattr(target, name)(pool) for target, pool in zip(targets, pools, strict=True)]
        if values[0] != values[1]:
            judge.diverged("pool statistics", (), direction(name, *values), values[0], values[1])
    for index in judge.contract.classes_used(number):
        one, other = (target.class_row(pool, index) for target, pool in zip(targets, pools, strict=True))
        if one != other:
            for field in one.__slots__:
                values = [getattr(one, field), getattr(other, field)]
                if values[0] != values[1]:
                    judge.diverged("class statistics", (), direction(field, *values), one, other)
        if one.obj_allocated:
            _compare_class(judge, number, index)


def _compare_class(judge: Judge, number: int, class_index: int) -> None:
    for group in range(NR_ZS_FULLNESS):
        lists = []
        for side in (judge.reference, judge.candidate):
            members = side.target.fullness_list(side.pools[number], class_index, group)
            lists.append([side.target.zspage_view(zspage) for zspage in members])
        if [view.pages for view in lists[0]] != [view.pages for view in lists[1]]:
            pages = [[_pfns(judge.reference, view.pages) for view in views] for views in lists]
            field = "order" if sorted(pages[0]) == sorted(pages[1]) else "members"
            judge.diverged("fullness list", (), field, pages[0], pages[1])
        for one, other in zip(lists[0], lists[1], strict=True):
            for field in ("fullness", "inuse", "isolated", "offsets", "free_indices"):
                if getattr(one, field) != getattr(other, field):
                    judge.diverged("zspage", (), field, getattr(one, field), getattr(other, field))


def _pfns(side: SideView, pages: tuple[int, ...]) -> list[int]:
    return [side.machine.buddy.page_to_pfn(page) for page in pages]


def _compare_work(judge: Judge) -> None:
    """Compare how many pools wait for the worker."""
    reference, candidate = (len(side.machine.pending_work()) for side in (judge.reference, judge.candidate))
    if reference != candidate:
        judge.diverged("deferred work", (), direction("pending", reference, candidate), reference, candidate)


def _compare_contents(judge: Judge) -> None:
    """Map, read and unmap every object, as a user would; then take back what that left in the copy buffers.

    Else the next write-only mapping across a page border would show whether anybody had looked.
    """
    sides = (judge.reference, judge.candidate)
    saved = [side.machine.memory.save_heap(side.machine.slab.heap_top) for side in sides]
    for slot, content in judge.contract.objects.items():
        addresses = [
            side.target.zs_map_object(side.pools[content.pool], side.handles[slot], ZS_MM_RO) for side in sides
        ]
        judge.contents(slot, content, 0, content.size, (addresses[0], addresses[1]))
        for side in sides:
            side.target.zs_unmap_object(side.pools[content.pool], side.handles[slot])
    for side, heap in zip(sides, saved, strict=True):
        side.machine.memory.put_back_heap(heap)


def _compare_free_lists(judge: Judge) -> None:
    buddies = [side.machine.buddy for side in (judge.reference, judge.candidate)]
    for zone in range(len(ZONE_NAMES)):
        for order in range(buddies[0].max_order):
            for migratetype in range(MIGRATE_TYPES):
                lists = [buddy.free_blocks(zone, order, migratetype) for buddy in buddies]
                if lists[0] != lists[1]:
                    judge.diverged("free list", (), "order", lists[0], lists[1])


def _compare_page_views(judge: Judge) -> None:
    """Compare what scanners read of each pfn. Equal struct pages that are no tails look equal by construction."""
    sides = (judge.reference, judge.candidate)
    reference, candidate = (side.machine.memory.memmap() for side in sides)
    step = STRUCT_PAGE_SIZE * _PAGES_AT_ONCE
    for start in range(0, len(reference), step):
        tails = any(reference[start + PG_COMPOUND_HEAD : start + step : STRUCT_PAGE_SIZE].translate(_LOW_BIT))
        if tails or reference[start : start + step] != candidate[start : start + step]:
            for at in range(start, min(start + step, len(reference)), STRUCT_PAGE_SIZE):
                end = at + STRUCT_PAGE_SIZE
                if reference[at:end] != candidate[at:end] or reference[at + PG_COMPOUND_HEAD] & 1:
                    _compare_page_view(judge, at // STRUCT_PAGE_SIZE)


def _compare_page_view(judge: Judge, pfn: int) -> None:
    for name, view in (("kpageflags", kpageflags), ("kpagecount", kpagecount)):
        reference, candidate = view(judge.reference.machine, pfn), view(judge.candidate.machine, pfn)
        if reference != candidate:
            judge.page_views(name, pfn, (reference,), (candidate,))
