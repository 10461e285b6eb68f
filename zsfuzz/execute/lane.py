"""Lane: one lane of a parallel block on one side, operation by operation.

In:    planned operations; a side whose machine has lanes, or none for a run without others.
Out:   calls of zsmalloc's interface as they happened, and the outcome of everything, by (lane, operation).
Never: compares, judges, or touches what belongs to another lane.
Next:  what each operation stands for: zsfuzz/execute/block_plan.py; all lanes together: zsfuzz/execute/block_run.py.

The map contract holds for each lane by itself: while it holds a map it reads, writes and unmaps, and anything else is a
no-op. The same goes for speculative references: while it holds one, it takes and drops references. What a lane still
holds when it has no operation left it gives back.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from zsfuzz.execute.block_plan import BlockPlan, Planned
from zsfuzz.execute.contract import PATTERN_BYTES, Contract, pattern
from zsfuzz.execute.names import FAIL_OPERATION, OPERATION_NAMES
from zsfuzz.execute.operations import NO_OP
from zsfuzz.execute.side import GFP, MAP_MODE, Side
from zsfuzz.machine.core import bystander
from zsfuzz.oracle.linearize import Call
from zsfuzz.oracle.specification import (
    Action,
    Allocate,
    CreatePool,
    DestroyPool,
    Fetch,
    Release,
    Span,
    Store,
)
from zsfuzz.program import ops

T = TypeVar("T")


@dataclass(slots=True)
class Shared:
    """What the lanes of one run on one side have in common.

    contract: what is live on this side. outcomes: (lane, operation) -> outcome, of effective operations. order: those
    as they ended. clock counts beginnings and ends of calls.
    """

    side: Side
    plan: BlockPlan
    contract: Contract
    calls: list[Call] = field(default_factory=list)
    outcomes: dict[tuple[int, int], object] = field(default_factory=dict)
    order: list[tuple[int, int]] = field(default_factory=list)
    lanes: list[LaneRun] = field(default_factory=list)
    no_ops: int = 0
    bystander_changes: int = 0
    clock: int = 0

    def holds_pages(self) -> bool:
        """Return whether the program has isolated pages: some requests would wait for them."""
        left = any(slot not in self.plan.page_slots for slot in self.side.pages)
        return left or any(lane.side.pages for lane in self.lanes)

    def tick(self) -> int:
        """Return the next moment."""
        self.clock += 1
        return self.clock


@dataclass(slots=True)
class _Map:
    """A map that a lane holds. parts: what it did through it."""

    slot: int
    pool: int
    size: int
    address: int
    mode: ops.MapMode
    operation: int
    invoked: int
    parts: list[Store | Fetch] = field(default_factory=list)


class LaneRun:
    """One lane. number: of the lane; -1 for a run of all operations by one CPU."""

    def __init__(self, shared: Shared, number: int, ended: Callable[[LaneRun], None] | None = None) -> None:
        """ended: told after each operation."""
        self.shared, self.number = shared, number
        side = copy.copy(shared.side)
        side.core = shared.side.core.for_lane(number)
        side.pages = {
            slot: page for slot, page in shared.side.pages.items() if shared.plan.page_slots.get(slot, -1) == number
        }
        side.references = {}
        self.side = side
        shared.lanes.append(self)
        self.operation = 0
        self._mapped: _Map | None = None
        self._ended = ended
        self._armed: dict[tuple[str, str], int] = {}
        self._handlers: dict[type, Callable[[Any, Planned], object]] = {
            operation: getattr(self, f"_{name}") for operation, name in OPERATION_NAMES
        }

    @property
    def holds_map(self) -> bool:
        """Return whether the lane has an object mapped."""
        return self._mapped is not None

    # -- one operation after the other

    def run(self, begin: Callable[[int], None]) -> None:
        """Do all operations; what the lane then holds it has to give back. begin: told the number of each before it."""
        for index, planned in enumerate(self.shared.plan.lanes[self.number]):
            begin(index)
            self.perform(index, planned)

    def perform(self, index: int, planned: Planned) -> None:
        """Do one operation."""
        self.operation = index
        operation = planned.operation
        outcome: object = NO_OP
        if planned.allowed and not self._is_forbidden(type(operation)):
            outcome = self._handlers[type(operation)](operation, planned)
        if outcome is NO_OP:
            self.shared.no_ops += 1
        else:
            self.shared.outcomes[self.number, index] = outcome
            self.shared.order.append((self.number, index))
        if self._ended is not None:
            self._ended(self)

    def give_back(self) -> None:
        """Unmap and drop what the lane still holds."""
        self.unmap()
        for slot in list(self.side.references):
            self.side.speculative_put(slot)

    def unmap(self) -> None:
        """End the lane's map, if it holds one."""
        if self._mapped is not None:
            self._close(self._mapped)

    def _is_forbidden(self, kind: type) -> bool:
        if self._mapped is not None:
            return kind not in (ops.Read, ops.Write, ops.Unmap)
        if self.side.references:
            return kind not in (ops.SpeculativeGet, ops.SpeculativePut)
        return False

    def _call(
        self, invoked: int, slot: int, action: Action, *, succeeded: bool, excused: bool = False, operation: int = -1
    ) -> None:
        number = self.operation if operation < 0 else operation
        self.shared.calls.append(
            Call(self.number, number, invoked, self.shared.tick(), slot, action, succeeded, excused)
        )

    def _with_failures(self, kind: type, act: Callable[[], T]) -> T:
        """Arm what fails in this operation, and only in this one."""
        name = FAIL_OPERATION.get(kind)
        armed = self._armed
        wanted = [key for key in armed if key[0] == name]
        if name is None or not wanted:
            return act()
        failure = self.side.machine.failure
        for key in wanted:
            failure.arm(key[1], armed.pop(key))
        outcome = act()
        failure.disarm()
        return outcome

    def _refusals(self) -> int:
        """Return how many allocations were refused to this lane so far."""
        lanes = self.side.machine.lanes
        return lanes.current.refused if lanes is not None else 0

    # -- zsmalloc's users

    def _malloc(self, step: ops.Malloc, planned: Planned) -> object:
        shared, side = self.shared, self.side
        pool = side.pools.get(step.pool)
        if step.slot in shared.contract.objects or pool is None:
            return NO_OP
        invoked, before = shared.tick(), self._refusals()
        handle = self._with_failures(ops.Malloc, lambda: side.target.zs_malloc(pool, step.size, GFP[step.gfp]))
        if handle:
            side.handles[step.slot] = handle
            shared.contract.allocated(step.slot, step.pool, step.size)
        excused = self._refusals() > before
        self._call(invoked, step.slot, Allocate(step.pool, step.size), succeeded=bool(handle), excused=excused)
        return int(bool(handle))

    def _free(self, step: ops.Free, planned: Planned) -> object:
        objects = self.shared.contract.objects
        if step.slot not in objects:
            return NO_OP
        invoked = self.shared.tick()
        self.side.free(step.slot, objects[step.slot].pool)
        del objects[step.slot]  # not before: until then nobody destroys its pool
        self._call(invoked, step.slot, Release(), succeeded=True)
        return 0

    def _map(self, step: ops.Map, planned: Planned) -> object:
        return 0 if self._open(step.slot, step.mode) else NO_OP

    def _open(self, slot: int, mode: ops.MapMode) -> bool:
        content = self.shared.contract.objects.get(slot)
        if content is None:
            return False
        pool, size = content.pool, content.size
        invoked, side = self.shared.tick(), self.side
        address = side.target.zs_map_object(side.pools[pool], side.handles[slot], MAP_MODE[mode])
        self._mapped = _Map(slot, pool, size, address, mode, self.operation, invoked)
        return True

    def _close(self, mapped: _Map) -> None:
        self.side.unmap(mapped.slot, mapped.pool)
        self._mapped = None
        action = Span(tuple(mapped.parts), forget=mapped.mode is ops.MapMode.WO)
        self._call(mapped.invoked, mapped.slot, action, succeeded=True, operation=mapped.operation)

    def _unmap(self, step: ops.Unmap, planned: Planned) -> object:
        if self._mapped is None or self._mapped.slot != step.slot:
            return NO_OP
        self._close(self._mapped)
        return 0

    def _write(self, step: ops.Write, planned: Planned) -> object:
        return self._through_map(step.slot, ops.MapMode.RW, ops.MapMode.RO, lambda mapped: self._store(mapped, step))

    def _read(self, step: ops.Read, planned: Planned) -> object:
        return self._through_map(step.slot, ops.MapMode.RO, ops.MapMode.WO, lambda mapped: self._fetch(mapped, step))

    def _through_map(self, slot: int, mode: ops.MapMode, wrong: ops.MapMode, act: Callable[[_Map], object]) -> object:
        """Act through the lane's map of a slot, or through one for this operation alone."""
        own = self._mapped
        if own is not None:
            return act(own) if own.slot == slot and own.mode is not wrong else NO_OP
        if not self._open(slot, mode) or self._mapped is None:
            return NO_OP
        outcome = act(self._mapped)
        self._close(self._mapped)
        return outcome

    def _store(self, mapped: _Map, step: ops.Write) -> object:
        offset = min(step.offset, mapped.size)
        data = pattern(step.pattern)[offset : min(offset + step.length, mapped.size, PATTERN_BYTES)]
        if not data:
            return NO_OP
        self.side.write(mapped.address + offset, data)
        mapped.parts.append(Store(offset, data))
        return len(data)

    def _fetch(self, mapped: _Map, step: ops.Read) -> object:
        offset = min(step.offset, mapped.size)
        length = min(step.length, mapped.size - offset)
        if length <= 0:
            return NO_OP
        mapped.parts.append(Fetch(offset, self.side.read(mapped.address + offset, length)))
        return length

    # -- pools

    def _compact(self, step: ops.Compact, planned: Planned) -> object:
        return self._of_pool(step.pool, self.side.pool_compact)

    def _shrink(self, step: ops.Shrink, planned: Planned) -> object:
        return self._of_pool(
            step.pool, self.side.shrink_count if step.kind is ops.ShrinkKind.COUNT else self.side.shrink_scan
        )

    def _stats(self, step: ops.Stats, planned: Planned) -> object:
        return self._of_pool(step.pool, self.side.stats)

    def _huge_class_size(self, step: ops.HugeClassSize, planned: Planned) -> object:
        return self._of_pool(step.pool, self.side.huge_class_size)

    def _of_pool(self, pool: int, action: Callable[[int], object]) -> object:
        return action(pool) if pool in self.side.pools else NO_OP

    def _create_pool(self, step: ops.CreatePool, planned: Planned) -> object:
        if step.pool in self.side.pools:
            return NO_OP
        invoked, before = self.shared.tick(), self._refusals()
        made = self._with_failures(ops.CreatePool, lambda: self.side.create_pool(step.pool))
        if made:
            self.shared.contract.pools[step.pool] = None
        excused = self._refusals() > before
        self._call(invoked, step.pool, CreatePool(step.pool), succeeded=bool(made), excused=excused)
        return made

    def _destroy_pool(self, step: ops.DestroyPool, planned: Planned) -> object:
        if step.pool not in self.side.pools or self.shared.contract.objects_in(step.pool):
            return NO_OP
        invoked = self.shared.tick()
        del self.shared.contract.pools[step.pool]
        outcome = self.side.destroy_pool(step.pool)
        self._call(invoked, step.pool, DestroyPool(step.pool), succeeded=True)
        return outcome

    def _trim(self, step: ops.Trim, planned: Planned) -> object:
        return self.side.trim()

    # -- pages

    def _pages(self, planned: Planned) -> list[int]:
        """Return the pages that an operation names, as far as they exist and their section is online."""
        pages = []
        for name, page in planned.pages:
            found = self.side.pages.get(name.page_slot, 0) if isinstance(name, ops.IsolatedPage) else page
            if found and self.side.machine.buddy.section_online(self.side.pfn(found)):
                pages.append(found)
        return list(dict.fromkeys(pages))

    def _isolate(self, step: ops.Isolate, planned: Planned) -> object:
        pages = self._pages(planned)
        if not pages or step.page_slot in self.side.pages:
            return NO_OP
        return self.side.isolate(step.page_slot, pages[0])

    def _migrate(self, step: ops.Migrate, planned: Planned) -> object:
        pages = self._pages(planned)
        return self._with_failures(ops.Migrate, lambda: self.side.migrate(pages, step.mode)) if pages else NO_OP

    def _putback(self, step: ops.Putback, planned: Planned) -> object:
        return self.side.putback(step.page_slot) if step.page_slot in self.side.pages else NO_OP

    def _speculative_get(self, step: ops.SpeculativeGet, planned: Planned) -> object:
        if step.ref_slot in self.side.references or not planned.pages:
            return NO_OP
        page = planned.pages[0][1] or self.side.pages.get(getattr(planned.pages[0][0], "page_slot", -1), 0)
        return self.side.speculative_get(step.ref_slot, page) if page else NO_OP

    def _speculative_put(self, step: ops.SpeculativePut, planned: Planned) -> object:
        return self.side.speculative_put(step.ref_slot) if step.ref_slot in self.side.references else NO_OP

    def _poison(self, step: ops.Poison, planned: Planned) -> object:
        pages = self._pages(planned)
        if not pages or self.shared.holds_pages():
            return NO_OP
        return self._with_failures(ops.Poison, lambda: self.side.poison(pages[0], step.kind))

    # -- everything else is the core's

    def _in_range(self, kind: type, start: int, end: int, act: Callable[[int, int], object], align: int = 1) -> object:
        """Act on a range clipped to the memory and widened to whole sections or the like, if it is not empty."""
        count = self.side.machine.buddy.pages_count
        start, end = min(start, count), min(end, count)
        if start >= end:
            return NO_OP
        low, high = start // align * align, min(-(-end // align) * align, count)
        return self._with_failures(kind, lambda: act(low, high))

    def _scan(self, step: ops.Scan, planned: Planned) -> object:
        scanner, shared = step.scanner, self.shared
        before, changes = self._unmovable(), shared.bystander_changes
        self.side.unmovable = lambda: before if shared.bystander_changes == changes else frozenset()
        return self._in_range(ops.Scan, step.start, step.end, lambda low, high: self.side.scan(scanner, low, high))

    def _unmovable(self) -> frozenset[int]:
        """Return the pfns of bystanders that nobody can move, in one look."""
        with self._quietly():
            return bystander.unmovable_pfns(self.side.core)

    def _quietly(self) -> AbstractContextManager[None]:
        """Look at the machine, or do what is the program's own affair, in one step."""
        lanes = self.side.machine.lanes
        return lanes.quietly() if lanes is not None else nullcontext()

    def _compact_zone(self, step: ops.CompactZone, planned: Planned) -> object:
        mode = step.mode
        return self._in_range(
            ops.CompactZone, step.start, step.end, lambda low, high: self.side.compact_zone(low, high, mode)
        )

    def _contig(self, step: ops.Contig, planned: Planned) -> object:
        return self._in_range(ops.Contig, step.start, step.end, self.side.contig)

    def _offline(self, step: ops.Offline, planned: Planned) -> object:
        section = self.side.machine.geometry.section_pages
        if self.shared.holds_pages():
            return NO_OP
        return self._in_range(ops.Offline, step.start, step.end, self.side.offline, section)

    def _online(self, step: ops.Online, planned: Planned) -> object:
        section = self.side.machine.geometry.section_pages
        return self._in_range(ops.Online, step.start, step.end, self.side.online, section)

    def _run_work(self, step: ops.RunWork, planned: Planned) -> object:
        return self.side.run_work()

    # -- bystanders and failures

    def _bystander(self, step: ops.Bystander, planned: Planned) -> object:
        bystanders = self.shared.contract.bystanders
        if step.bystander_slot in bystanders:
            return NO_OP
        self.shared.bystander_changes += 1
        with self._quietly():
            outcome = self.side.add_bystander(step.bystander_slot, step.kind, step.order)
        if outcome != -1:
            bystanders[step.bystander_slot] = None
        return outcome

    def _drop_bystander(self, step: ops.DropBystander, planned: Planned) -> object:
        if step.bystander_slot not in self.shared.contract.bystanders:
            return NO_OP
        slot = step.bystander_slot
        del self.shared.contract.bystanders[slot]
        core = self.side.core
        # Whoever unmaps a page that is being migrated waits for the migration entry to go.
        core.m.spin_until(lambda: not bystander.is_migrating(core, slot), "migration entry")
        self.shared.bystander_changes += 1
        with self._quietly():
            return self.side.drop_bystander(slot)

    def _fail(self, step: ops.Fail, planned: Planned) -> object:
        self._armed[step.operation.value, step.what.value] = step.ordinal
        return 0
