"""Block plan: what each operation of a parallel block stands for, decided before any lane runs, for both sides alike.

In:    a block; what the program holds when it begins.
Out:   BlockPlan: which operations make sense in a lane, and the pages they name.
Never: touches a machine but to look up pages; decides what only a run can tell (a slot whose malloc failed).
Next:  who runs it: zsfuzz/execute/lane.py; the rules in words: docs/program-format.md.

zsmalloc's users do not free what another CPU uses, and pages that somebody isolated are his. So a slot belongs to one
lane as soon as a lane allocates or frees it; the same holds for pools, isolated pages and bystanders. What belongs to
another lane is a no-op. Slots that no lane allocates or frees may be mapped, read and written by all.

Pages are looked up once, when the block begins: a lane that migrates a page of an object which another lane frees
meanwhile has a page that was that object's, as a PFN scanner would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zsfuzz.program import ops
from zsfuzz.program.block import Block
from zsfuzz.program.ops import Operation

OF_ONE_CALLER = (ops.Scanner.DO_MIGRATE_RANGE, ops.Scanner.ISOLATE_SINGLE_PAGEBLOCK)
"""Scanners whose caller has the range for itself: beside other lanes they come with offline and contig."""

USER_OF_SLOT = (ops.Malloc, ops.Free, ops.Map, ops.Unmap, ops.Read, ops.Write)
USER_OF_POOL = (ops.Malloc, ops.Compact, ops.Stats, ops.HugeClassSize, ops.CreatePool, ops.DestroyPool)
USER_OF_PAGE_SLOT = (ops.Isolate, ops.Putback)
USER_OF_BYSTANDER = (ops.Bystander, ops.DropBystander)


@dataclass(frozen=True, slots=True)
class Planned:
    """One operation. pages: the pages it names, with the struct page each one is (0: an isolated page of its own lane,
    to be looked up when it runs). allowed: it may take effect in its lane.
    """

    operation: Operation
    pages: tuple[tuple[ops.PageName, int], ...]
    allowed: bool


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """lanes: as the block has them. page_slots: which lane has an isolated page."""

    lanes: tuple[tuple[Planned, ...], ...]
    page_slots: Mapping[int, int]


def plan_block(block: Block, isolated: Mapping[int, int], find_page: Callable[[ops.PageName], int]) -> BlockPlan:
    """Return the plan. isolated: page slot -> page, of what is isolated now. find_page: 0 for a name of nothing."""
    owners = _Owners(block)
    waits = _safe_destroyers(block, isolated, owners)
    lanes = []
    for number, lane in enumerate(block.lanes):
        planned = []
        for index, operation in enumerate(lane):
            named = [(name, find_page(name)) for name in _names(operation, number, owners)]
            pages = tuple(each for each in named if each[1] or isinstance(each[0], ops.IsolatedPage))
            allowed = owners.allow(number, operation)
            if isinstance(operation, ops.DestroyPool):
                allowed = allowed and (number, index) in waits
            planned.append(Planned(operation, pages, allowed))
        lanes.append(tuple(planned))
    return BlockPlan(tuple(lanes), owners.page_slots)


def _names(operation: Operation, lane: int, owners: _Owners) -> tuple[ops.PageName, ...]:
    """Return the pages that an operation names; isolated pages of another lane left out."""
    match operation:
        case ops.Isolate(_, page) | ops.Poison(page, _) | ops.SpeculativeGet(_, page):
            names: tuple[ops.PageName, ...] = (page,)
        case ops.Migrate(pages, _):
            names = pages
        case _:
            return ()
    mine = owners.page_slots
    return tuple(
        name for name in names if not isinstance(name, ops.IsolatedPage) or mine.get(name.page_slot, lane) == lane
    )


class _Owners:
    """Which lane has what: the first one that claims it."""

    def __init__(self, block: Block) -> None:
        self.slots: dict[int, int] = {}
        self.pools: dict[int, int] = {}
        self.page_slots: dict[int, int] = {}
        self.bystanders: dict[int, int] = {}
        for number, lane in enumerate(block.lanes):
            for operation in lane:
                self._claim(number, operation)

    def _claim(self, lane: int, operation: Operation) -> None:
        match operation:
            case ops.Malloc(slot) | ops.Free(slot):
                self.slots.setdefault(slot, lane)
            case ops.CreatePool(pool) | ops.DestroyPool(pool):
                self.pools.setdefault(pool, lane)
            case ops.Isolate(page_slot) | ops.Putback(page_slot):
                self.page_slots.setdefault(page_slot, lane)
            case ops.Migrate(pages):
                for page in pages:
                    if isinstance(page, ops.IsolatedPage):
                        self.page_slots.setdefault(page.page_slot, lane)
            case ops.Bystander(slot) | ops.DropBystander(slot):
                self.bystanders.setdefault(slot, lane)
            case _:
                pass

    def allow(self, lane: int, operation: Operation) -> bool:
        """Return whether what an operation uses may be used by a lane."""
        if isinstance(operation, ops.Trim) and self.pools:
            return False  # it looks at every pool
        if isinstance(operation, ops.Scan) and operation.scanner in OF_ONE_CALLER:
            return False
        if isinstance(operation, USER_OF_SLOT) and self.slots.get(operation.slot, lane) != lane:
            return False
        if isinstance(operation, USER_OF_POOL) and self.pools.get(operation.pool, lane) != lane:
            return False
        if isinstance(operation, USER_OF_PAGE_SLOT) and self.page_slots.get(operation.page_slot, lane) != lane:
            return False
        if isinstance(operation, USER_OF_BYSTANDER):
            return self.bystanders.get(operation.bystander_slot, lane) == lane
        return True


def _safe_destroyers(block: Block, isolated: Mapping[int, int], owners: _Owners) -> set[tuple[int, int]]:
    """Return (lane, operation) of each DestroyPool that waits for nothing the program itself would keep.

    zs_destroy_pool() waits for isolated pages. Each page that the program isolates by name has to be given back by
    another lane, which waits for no pool before.
    """
    slots = dict.fromkeys(isolated)
    for lane in block.lanes:
        slots.update(dict.fromkeys(each.page_slot for each in lane if isinstance(each, ops.Isolate)))
    given_back = {slot: _given_back_by(block, slot, owners.page_slots.get(slot, -1)) for slot in slots}
    safe = set()
    for number, lane in enumerate(block.lanes):
        for index, operation in enumerate(lane):
            if isinstance(operation, ops.DestroyPool) and all(by not in (-1, number) for by in given_back.values()):
                safe.add((number, index))
    return safe


def _given_back_by(block: Block, page_slot: int, owner: int) -> int:
    """Return the lane that certainly gives a page back, -1 for none."""
    if owner < 0:
        return -1
    back = False
    for operation in reversed(block.lanes[owner]):
        match operation:
            case ops.Putback(slot) if slot == page_slot:
                back = True
            case ops.Migrate(pages) if ops.IsolatedPage(page_slot) in pages:
                back = True
            case ops.Isolate(slot) if slot == page_slot and not back:
                return -1
            case ops.DestroyPool() | ops.Map() | ops.SpeculativeGet() if back:
                return -1  # it waits itself, or holds what forbids to give back
            case _:
                pass
    return owner if back else -1
