"""Operations: what each operation of a program means in the present state, done on both sides.

In:    operations, two sides, the contract's dictionary.
Out:   outcomes that both sides agree on, NO_OP for what makes no sense now; a Violation where they do not agree.
Never: a check of a state: those are made between operations, by zsfuzz/execute/execution.py.
Next:  the actions in zsfuzz/execute/side.py; answers are held against the truth by zsfuzz/oracle/answers.py;
       what an operation means in a lane: zsfuzz/execute/lane.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from zsfuzz.execute.contract import PATTERN_BYTES, Contract, pattern
from zsfuzz.execute.names import OPERATION_NAMES
from zsfuzz.execute.side import Side
from zsfuzz.oracle.answers import check_compaction, check_malloc, check_page_values, pool_before
from zsfuzz.oracle.expected import ExpectedDifferences
from zsfuzz.oracle.judge import PAGE_VIEWS, Judge
from zsfuzz.program import ops

NO_OP: Final = object()


class Operations:
    """Every operation on both sides at once."""

    def __init__(self, sides: tuple[Side, Side]) -> None:
        self.reference, self.candidate = sides
        self.sides = sides
        self.contract = Contract(sides[0].machine.geometry.size_classes)
        self.expected = ExpectedDifferences()
        self.judge = Judge(self.reference, self.candidate, self.contract, self.expected)
        self._active = 0
        self._addresses = (0, 0)
        self._differing: tuple[str, str] | None = None
        self._counts = {"outcomes": 0, "counters": 0, "placements": 0, "full": 0, "invariants": 0, "drain": 0}
        self._handlers: dict[type, Callable[[Any], object]] = {
            operation: getattr(self, f"_{name}") for operation, name in OPERATION_NAMES
        }

    # -- both sides at once

    def _both(self, action: str, *arguments: Any) -> Any:
        """Return the outcome that both sides agree on. Errors: Violation when they do not."""
        return self._agreed(action, arguments, *self._each(action, *arguments))

    def _each(self, action: str, *arguments: Any) -> tuple[Any, Any]:
        """Return the outcomes of the two sides."""
        self._active = 0
        reference = getattr(self.reference, action)(*arguments)
        self._active = 1
        return reference, getattr(self.candidate, action)(*arguments)

    def _agreed(self, action: str, arguments: tuple[Any, ...], reference: Any, candidate: Any) -> Any:
        self._counts["outcomes"] += 1
        if reference != candidate:
            self._differing = (describe(action, reference), describe(action, candidate))
            self.judge.outcome(action, arguments, reference, candidate)
        return reference

    def _with_failures(self, operation: str, act: Callable[[], object]) -> object:
        wanted = {what: ordinal for (name, what), ordinal in self.contract.armed.items() if name == operation}
        for key in [key for key in self.contract.armed if key[0] == operation]:
            del self.contract.armed[key]
        for side in self.sides:
            for what, ordinal in wanted.items():
                side.machine.failure.arm(what, ordinal)
        outcome = act()
        for side in self.sides:
            side.machine.failure.disarm()
        return outcome

    def _page(self, name: ops.PageName) -> int:
        """Return the struct page address that a name stands for on both sides (the memmaps agree), 0 for none."""
        if isinstance(name, ops.Pfn):
            count = self.reference.machine.buddy.pages_count
            return self.reference.machine.buddy.pfn_to_page(name.pfn % count)
        if isinstance(name, ops.IsolatedPage):
            if name.page_slot not in self.contract.page_slots:
                return 0
            return self.reference.pages[name.page_slot]
        if name.slot not in self.contract.objects:
            return 0
        page: int = self._both("component_page", name.slot, name.index)
        return page

    def _is_online(self, page: int) -> bool:
        buddy = self.reference.machine.buddy
        return buddy.section_online(buddy.page_to_pfn(page))

    # -- objects

    def _malloc(self, step: ops.Malloc) -> object:
        if step.slot in self.contract.objects or step.pool not in self.contract.pools:
            return NO_OP
        arguments = (step.slot, step.pool, step.size, step.gfp)
        reference, candidate = self._each("malloc", *arguments)
        if reference or candidate:
            self.contract.allocated(step.slot, step.pool, step.size)
        outcome = self._agreed("malloc", arguments, reference, candidate)
        for side, answer in zip(self.sides, (reference, candidate), strict=True):
            check_malloc(side, step.size, step.gfp, bool(answer), side.machine.failure.armed)
        return outcome

    def _free(self, step: ops.Free) -> object:
        content = self.contract.objects.pop(step.slot, None)
        if content is None:
            return NO_OP
        return self._both("free", step.slot, content.pool)

    def _map(self, step: ops.Map) -> object:
        content = self.contract.objects.get(step.slot)
        if content is None:
            return NO_OP
        self._active = 0
        reference = self.reference.map(step.slot, content.pool, step.mode)
        self._active = 1
        self._addresses = (reference, self.candidate.map(step.slot, content.pool, step.mode))
        self.contract.mapped = step.slot
        self.contract.mapped_writable = step.mode is not ops.MapMode.RO
        self.contract.mapped_readable = step.mode is not ops.MapMode.WO
        if not self.contract.mapped_readable:
            content.forget()
        return 0

    def _unmap(self, step: ops.Unmap) -> object:
        if self.contract.mapped != step.slot or step.slot not in self.contract.objects:
            return NO_OP
        pool = self.contract.objects[step.slot].pool
        for number, side in enumerate(self.sides):
            self._active = number
            side.unmap(step.slot, pool)
        self.contract.mapped = None
        return 0

    def _write(self, step: ops.Write) -> object:
        content = self.contract.objects.get(step.slot)
        if content is None or self.contract.mapped not in (None, step.slot):
            return NO_OP
        if self.contract.mapped is not None and not self.contract.mapped_writable:
            return NO_OP
        offset = min(step.offset, content.size)
        data = pattern(step.pattern)[offset : min(offset + step.length, content.size, PATTERN_BYTES)]
        if not data:
            return NO_OP
        implicit = self.contract.mapped is None
        if implicit:
            self._map(ops.Map(step.slot, ops.MapMode.RW))
        for number, side in enumerate(self.sides):
            self._active = number
            side.write(self._addresses[number] + offset, data)
        content.write(offset, data)
        if implicit:
            self._unmap(ops.Unmap(step.slot))
        return len(data)

    def _read(self, step: ops.Read) -> object:
        content = self.contract.objects.get(step.slot)
        if content is None or self.contract.mapped not in (None, step.slot):
            return NO_OP
        if self.contract.mapped is not None and not self.contract.mapped_readable:
            return NO_OP
        offset = min(step.offset, content.size)
        length = min(step.length, content.size - offset)
        if length <= 0:
            return NO_OP
        implicit = self.contract.mapped is None
        if implicit:
            self._map(ops.Map(step.slot, ops.MapMode.RO))
        self.judge.contents(step.slot, content, offset, length, self._addresses)
        if implicit:
            self._unmap(ops.Unmap(step.slot))
        return length

    # -- pools

    def _compact(self, step: ops.Compact) -> object:
        return self._compacting("pool_compact", step.pool)

    def _shrink(self, step: ops.Shrink) -> object:
        if step.kind is ops.ShrinkKind.COUNT:
            return self._of_pool("shrink_count", step.pool)
        return self._compacting("shrink_scan", step.pool)

    def _compacting(self, action: str, pool: int) -> object:
        """Compact a pool on both sides, and hold what each of them says and leaves behind against its state before."""
        if pool not in self.contract.pools:
            return NO_OP
        before = [pool_before(side, pool) for side in self.sides]
        answers = self._each(action, pool)
        outcome = self._agreed(action, (pool,), *answers)
        if not self.judge.parted:
            classes = tuple(self.contract.classes_used(pool))
            for side, was, answer in zip(self.sides, before, answers, strict=True):
                check_compaction(side, pool, was, max(answer, 0), classes, bool(self.contract.page_slots))
        return outcome

    def _stats(self, step: ops.Stats) -> object:
        return self._of_pool("stats", step.pool)

    def _huge_class_size(self, step: ops.HugeClassSize) -> object:
        return self._of_pool("huge_class_size", step.pool)

    def _of_pool(self, action: str, pool: int) -> object:
        return self._both(action, pool) if pool in self.contract.pools else NO_OP

    def _create_pool(self, step: ops.CreatePool) -> object:
        if step.pool in self.contract.pools:
            return NO_OP
        outcome = self._both("create_pool", step.pool)
        if outcome:
            self.contract.pools[step.pool] = None
        return outcome

    def _destroy_pool(self, step: ops.DestroyPool) -> object:
        contract = self.contract
        if step.pool not in contract.pools or contract.objects_in(step.pool) or contract.page_slots:
            return NO_OP
        del contract.pools[step.pool]
        return self._both("destroy_pool", step.pool)

    def _trim(self, step: ops.Trim) -> object:
        return self._both("trim")

    def _run_work(self, step: ops.RunWork) -> object:
        return self._both("run_work")

    # -- pages

    def _isolate(self, step: ops.Isolate) -> object:
        if step.page_slot in self.contract.page_slots:
            return NO_OP
        page = self._page(step.page)
        if not page or not self._is_online(page):
            return NO_OP
        outcome = self._both("isolate", step.page_slot, page)
        if outcome == 0:
            self.contract.page_slots[step.page_slot] = None
        return outcome

    def _migrate(self, step: ops.Migrate) -> object:
        pages = list(dict.fromkeys(page for page in map(self._page, step.pages) if page))
        pages = [page for page in pages if self._is_online(page)]
        if not pages:
            return NO_OP
        outcome = self._both("migrate", pages, step.mode)
        self.contract.page_slots = dict.fromkeys(self.reference.pages)
        return outcome

    def _putback(self, step: ops.Putback) -> object:
        if step.page_slot not in self.contract.page_slots:
            return NO_OP
        del self.contract.page_slots[step.page_slot]
        return self._both("putback", step.page_slot)

    def _speculative_get(self, step: ops.SpeculativeGet) -> object:
        if step.ref_slot in self.contract.references:
            return NO_OP
        page = self._page(step.page)
        if not page:
            return NO_OP
        outcome = self._both("speculative_get", step.ref_slot, page)
        if outcome:
            self.contract.references[step.ref_slot] = None
        return outcome

    def _speculative_put(self, step: ops.SpeculativePut) -> object:
        if step.ref_slot not in self.contract.references:
            return NO_OP
        del self.contract.references[step.ref_slot]
        return self._both("speculative_put", step.ref_slot)

    def _poison(self, step: ops.Poison) -> object:
        page = self._page(step.page)
        if not page or not self._is_online(page) or self.contract.page_slots:
            return NO_OP
        return self._both("poison", page, step.kind)

    # -- ranges

    def _range(self, start: int, end: int, align: int = 1) -> tuple[int, int]:
        count = self.reference.machine.buddy.pages_count
        start, end = min(start, count), min(end, count)
        if start == end:  # nothing to widen
            return start, start
        return start // align * align, min(-(-end // align) * align, count)

    def _scan(self, step: ops.Scan) -> object:
        start, end = self._range(step.start, step.end)
        if start >= end:
            return NO_OP
        arguments = (step.scanner, start, end)
        answers = self._each("scan", *arguments)
        outcome = self._agreed("scan", arguments, *answers)
        if step.scanner.value in PAGE_VIEWS and not self.judge.parted:
            for side, values in zip(self.sides, answers, strict=True):
                check_page_values(side, step.scanner.value, start, values)
        return outcome

    def _compact_zone(self, step: ops.CompactZone) -> object:
        start, end = self._range(step.start, step.end)
        return self._both("compact_zone", start, end, step.mode) if start < end else NO_OP

    def _contig(self, step: ops.Contig) -> object:
        start, end = self._range(step.start, step.end)
        return self._both("contig", start, end) if start < end else NO_OP

    def _offline(self, step: ops.Offline) -> object:
        start, end = self._range(step.start, step.end, self.reference.machine.geometry.section_pages)
        if start >= end or self.contract.page_slots:
            return NO_OP
        return self._both("offline", start, end)

    def _online(self, step: ops.Online) -> object:
        start, end = self._range(step.start, step.end, self.reference.machine.geometry.section_pages)
        return self._both("online", start, end) if start < end else NO_OP

    # -- bystanders and failures

    def _bystander(self, step: ops.Bystander) -> object:
        if step.bystander_slot in self.contract.bystanders:
            return NO_OP
        outcome = self._both("add_bystander", step.bystander_slot, step.kind, step.order)
        if outcome != -1:
            self.contract.bystanders[step.bystander_slot] = None
        return outcome

    def _drop_bystander(self, step: ops.DropBystander) -> object:
        if step.bystander_slot not in self.contract.bystanders:
            return NO_OP
        del self.contract.bystanders[step.bystander_slot]
        return self._both("drop_bystander", step.bystander_slot)

    def _fail(self, step: ops.Fail) -> object:
        self.contract.armed[(step.operation.value, step.what.value)] = step.ordinal
        return 0


def describe(action: str, outcome: object) -> str:
    """Return an outcome for people. The placement of a new object is taken apart."""
    match action, outcome:
        case "malloc", (_, int(placement)):
            return f"pfn {placement >> 32} object {placement & 0xFFFFFFFF}"
    return str(outcome)
