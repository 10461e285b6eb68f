"""Model: a Python target's run of a program, written down in the records of a kernel's run.

In:    a Side (a Python target on its machine); a program.
Out:   the stream that zsfuzz/kernel/shim/driver.c would write; Violation or Report for what the model does wrong.
Never: a comparison.
Next:  what a record is: zsfuzz/kernel/records.py; who compares: zsfuzz/kernel/compare.py.

Which operations make sense in a state is decided by the rules of zsfuzz/execute/execution.py, as the driver does.
Operations that kernel targets do not have are no-ops here too.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, Final

from zsfuzz.execute.contract import PATTERN_BYTES, Contract, pattern
from zsfuzz.execute.drain import drain
from zsfuzz.execute.names import FAIL_OPERATION
from zsfuzz.execute.side import Side
from zsfuzz.kernel import lower, records
from zsfuzz.machine.layout import MIGRATE_TYPES, NR_PAGEFLAGS, PG_FLAGS, PG_INDEX, PG_MAPCOUNT, PG_MAPPING, PG_PRIVATE
from zsfuzz.oracle.invariants import check_invariants
from zsfuzz.oracle.judge import Violation
from zsfuzz.policy.size_class import NR_ZS_FULLNESS, ZS_HANDLE_SIZE
from zsfuzz.program import ops
from zsfuzz.target.protocol import ZS_MM_RO, ZspageView

_NO_OP: Final = None
_MASK: Final = (1 << 64) - 1
_OBJECTS_A_STEP: Final = 64  # OBJECTS_A_STEP of zsfuzz/execute/execution.py
_MOVING: Final = (ops.Compact, ops.Shrink, ops.Migrate, ops.Trim)
_INTERFACE: Final = (
    ops.Malloc, ops.Free, ops.Map, ops.Unmap, ops.Write, ops.Read, ops.CreatePool, ops.DestroyPool,
)  # fmt: skip
_CODES: Final = {operation: code for code, operation in lower.CODES.items()}

Outcome = tuple[int, ...]


class Model:
    """One run on one Python side. step: where it is. in_full: records of the state too, not of the interface alone."""

    def __init__(self, side: Side, *, in_full: bool, cadence: int, audit: bool = True) -> None:
        self.side, self.contract = side, Contract(side.machine.geometry.size_classes)
        self.stream = array("Q")
        self.step = self.effective = self.no_ops = self.checks = 0
        self._in_full, self._cadence, self._audit = in_full, cadence, audit
        self._placed_at = 0
        self._address = 0
        self._used: dict[int, dict[int, None]] = {0: {}}
        self._handlers: dict[type, Callable[[Any], Outcome | None]] = {
            operation: getattr(self, "_" + operation.__name__.lower()) for operation in lower.CODES.values()
        }

    def run(self, steps: tuple[ops.Operation, ...], *, before_block: bool = False) -> None:
        """Run every step, then drain. Errors: Violation and Report; what was done so far is in the stream.

        before_block: a kernel goes on with lanes here, so that the state at the end is nothing to compare.
        """
        for index, step in enumerate(steps):
            self.step = index
            self._perform(step)
            if self._cadence and (index + 1) % self._cadence == 0 and (before_block or index + 1 < len(steps)):
                self._look()
        self.step = len(steps)
        if self.contract.mapped is not None:
            self._unmap(ops.Unmap(self.contract.mapped))
        if not before_block:
            self._look()
        drain(self.side, self.contract)
        values = self.side.machine.buddy.vmstat()
        self._emit(records.DRAINED, (values[0], values[3]))

    def _look(self) -> None:
        if self.contract.mapped is not None:
            return
        if self._audit:
            self.checks += check_invariants(self.side, self.contract)
        if self._in_full:
            self._observe()

    def _emit(self, kind: int, words: tuple[int, ...] | list[int]) -> None:
        self.stream.append(kind << 56 | self.step << 32 | len(words))
        self.stream.extend(words)

    # -- one step

    def _perform(self, step: ops.Operation) -> None:
        kind = type(step)
        self.side.isolations.clear()
        handler = self._handlers.get(kind)
        outcome = _NO_OP if handler is None or self._is_forbidden(kind) else self._with_failures(kind, handler, step)
        if outcome is _NO_OP:
            self.no_ops += 1
            return
        self.effective += 1
        if self._in_full or kind in _INTERFACE:
            self._emit(records.STEP, (_CODES[kind], *(word & _MASK for word in outcome)))
        if self._in_full:
            self._after(kind)
        held = self.side.machine.locks.held
        if self.contract.mapped is None and held:
            raise Violation("invariant", "I5 lock held at quiescence", (), held[0][0], self.side, f"holds {held[0][0]}")

    def _after(self, kind: type) -> None:
        values = self.side.machine.buddy.vmstat()
        self._emit(records.COUNTERS, (values[0], values[1], values[3], values[4]))
        if kind not in _MOVING or len(self.side.handles) > (self.effective - self._placed_at) * _OBJECTS_A_STEP:
            return
        self._placed_at = self.effective
        words: list[int] = []
        for slot, handle in sorted(self.side.handles.items()):
            words += (slot, self.side.target.placement(handle))
        self._emit(records.PLACES, words)

    def _is_forbidden(self, kind: type) -> bool:
        contract = self.contract
        if contract.mapped is not None:
            return kind not in (ops.Read, ops.Write, ops.Unmap)
        if not contract.references:
            return False
        if kind is ops.Migrate:
            return ("migrate", "page") in contract.armed
        return kind in (ops.CreatePool, ops.DestroyPool)

    def _with_failures(
        self, kind: type, handler: Callable[[Any], Outcome | None], step: ops.Operation
    ) -> Outcome | None:
        armed = self.contract.armed
        operation = FAIL_OPERATION.get(kind) if armed else None
        if operation is None:
            return handler(step)
        failure = self.side.machine.failure
        for key in [key for key in armed if key[0] == operation]:
            failure.arm(key[1], armed.pop(key))
        outcome = handler(step)
        failure.disarm()
        return outcome

    def _page(self, name: ops.PageName) -> int:
        side = self.side
        if isinstance(name, ops.Pfn):
            return side.machine.buddy.pfn_to_page(name.pfn % side.machine.buddy.pages_count)
        if isinstance(name, ops.IsolatedPage):
            return side.pages.get(name.page_slot, 0)
        return side.component_page(name.slot, name.index) if name.slot in side.handles else 0

    # -- objects

    def _malloc(self, step: ops.Malloc) -> Outcome | None:
        if step.slot in self.contract.objects or step.pool not in self.contract.pools:
            return _NO_OP
        outcome = self.side.malloc(step.slot, step.pool, step.size, step.gfp)
        if not isinstance(outcome, tuple):
            values = self.side.machine.buddy.vmstat()
            return (0, 0) if self._in_full else (0, 0, values[0], values[3])
        self.contract.allocated(step.slot, step.pool, step.size)
        size_class = self.side.machine.geometry.size_classes.class_for(step.size + ZS_HANDLE_SIZE)
        self._used.setdefault(step.pool, {})[size_class.index] = None
        placement = outcome[1]
        assert isinstance(placement, int)
        return (1, placement) if self._in_full else (1,)

    def _free(self, step: ops.Free) -> Outcome | None:
        content = self.contract.objects.pop(step.slot, None)
        if content is None:
            return _NO_OP
        self.side.free(step.slot, content.pool)
        return (0,)

    def _map(self, step: ops.Map) -> Outcome | None:
        content = self.contract.objects.get(step.slot)
        if content is None:
            return _NO_OP
        self._address = self.side.map(step.slot, content.pool, step.mode)
        self.contract.mapped = step.slot
        self.contract.mapped_writable = step.mode is not ops.MapMode.RO
        self.contract.mapped_readable = step.mode is not ops.MapMode.WO
        if not self.contract.mapped_readable:
            content.forget()
        return (0,)

    def _unmap(self, step: ops.Unmap) -> Outcome | None:
        if self.contract.mapped != step.slot:
            return _NO_OP
        self.side.unmap(step.slot, self.contract.objects[step.slot].pool)
        self.contract.mapped = None
        return (0,)

    def _write(self, step: ops.Write) -> Outcome | None:
        contract, content = self.contract, self.contract.objects.get(step.slot)
        if content is None or contract.mapped not in (None, step.slot):
            return _NO_OP
        if contract.mapped is not None and not contract.mapped_writable:
            return _NO_OP
        offset = min(step.offset, content.size)
        data = pattern(step.pattern)[offset : min(offset + step.length, content.size, PATTERN_BYTES)]
        if not data:
            return _NO_OP
        implicit = contract.mapped is None
        if implicit:
            self._map(ops.Map(step.slot, ops.MapMode.RW))
        self.side.write(self._address + offset, data)
        content.write(offset, data)
        if implicit:
            self._unmap(ops.Unmap(step.slot))
        return (len(data),)

    def _read(self, step: ops.Read) -> Outcome | None:
        contract, content = self.contract, self.contract.objects.get(step.slot)
        if content is None or contract.mapped not in (None, step.slot):
            return _NO_OP
        if contract.mapped is not None and not contract.mapped_readable:
            return _NO_OP
        offset = min(step.offset, content.size)
        length = min(step.length, content.size - offset)
        if length <= 0:
            return _NO_OP
        implicit = contract.mapped is None
        if implicit:
            self._map(ops.Map(step.slot, ops.MapMode.RO))
        data = self.side.read(self._address + offset, length)
        self._check(step.slot, offset, data)
        if implicit:
            self._unmap(ops.Unmap(step.slot))
        return (length, *_words_of(data)) if self._in_full else (length,)

    def _check(self, slot: int, offset: int, data: bytes) -> None:
        content = self.contract.objects[slot]
        wrong = content.difference(offset, data)
        if wrong >= 0:
            text = f"h{slot} byte {wrong} of {content.size} is not what was written"
            raise Violation("contract", "object content", (), "bytes", self.side, text)

    # -- pools

    def _compact(self, step: ops.Compact) -> Outcome | None:
        return self._of_pool(self.side.pool_compact, step.pool)

    def _shrink(self, step: ops.Shrink) -> Outcome | None:
        counts = step.kind is ops.ShrinkKind.COUNT
        return self._of_pool(self.side.shrink_count if counts else self.side.shrink_scan, step.pool)

    def _hugeclasssize(self, step: ops.HugeClassSize) -> Outcome | None:
        return self._of_pool(self.side.huge_class_size, step.pool)

    def _of_pool(self, action: Callable[[int], Any], pool: int) -> Outcome | None:
        return (action(pool),) if pool in self.contract.pools else _NO_OP

    def _stats(self, step: ops.Stats) -> Outcome | None:
        if step.pool not in self.contract.pools:
            return _NO_OP
        outcome = self.side.stats(step.pool)
        assert isinstance(outcome, tuple)
        pages, compacted, rows = outcome
        assert isinstance(pages, int)
        assert isinstance(compacted, int)
        assert isinstance(rows, tuple)
        table = [tuple(getattr(row, name) for name in row.__slots__) for row in rows]
        words = [word for row in table for word in row]
        totals = [sum(row[column] for row in table) for column in (2, 3, 4, 5, 6, 8)]
        return (pages, compacted, *words, *totals)

    def _createpool(self, step: ops.CreatePool) -> Outcome | None:
        if step.pool in self.contract.pools:
            return _NO_OP
        outcome = self.side.create_pool(step.pool)
        assert isinstance(outcome, int)
        if outcome:
            self.contract.pools[step.pool] = None
            self._used[step.pool] = {}
        return (outcome,)

    def _destroypool(self, step: ops.DestroyPool) -> Outcome | None:
        contract = self.contract
        if step.pool not in contract.pools or contract.objects_in(step.pool) or self.side.pages:
            return _NO_OP
        del contract.pools[step.pool]
        self.side.destroy_pool(step.pool)
        return (0,)

    def _trim(self, step: ops.Trim) -> Outcome | None:
        return _one(self.side.trim())

    def _runwork(self, step: ops.RunWork) -> Outcome | None:
        return _one(self.side.run_work())

    # -- pages

    def _isolate(self, step: ops.Isolate) -> Outcome | None:
        if step.page_slot in self.side.pages:
            return _NO_OP
        page = self._page(step.page)
        return _one(self.side.isolate(step.page_slot, page)) if page else _NO_OP

    def _migrate(self, step: ops.Migrate) -> Outcome | None:
        pages = list(dict.fromkeys(page for page in map(self._page, step.pages) if page))
        if not pages:
            return _NO_OP
        outcome = self.side.migrate(pages, step.mode)
        assert isinstance(outcome, tuple)
        result, refused = outcome
        assert isinstance(result, int)
        assert isinstance(refused, int)
        return (result, refused)

    def _putback(self, step: ops.Putback) -> Outcome | None:
        return _one(self.side.putback(step.page_slot)) if step.page_slot in self.side.pages else _NO_OP

    def _speculativeget(self, step: ops.SpeculativeGet) -> Outcome | None:
        if step.ref_slot in self.contract.references:
            return _NO_OP
        page = self._page(step.page)
        if not page:
            return _NO_OP
        outcome = _one(self.side.speculative_get(step.ref_slot, page))
        if outcome[0]:
            self.contract.references[step.ref_slot] = None
        return outcome

    def _speculativeput(self, step: ops.SpeculativePut) -> Outcome | None:
        if step.ref_slot not in self.contract.references:
            return _NO_OP
        del self.contract.references[step.ref_slot]
        return _one(self.side.speculative_put(step.ref_slot))

    def _fail(self, step: ops.Fail) -> Outcome | None:
        if step.operation is not ops.FailOperation.CREATE_POOL or step.what is ops.FailWhat.HANDLE:
            self.contract.armed[(step.operation.value, step.what.value)] = step.ordinal
        return (0,)

    # -- the observation

    def _observe(self) -> None:
        target, pending = self.side.target, len(self.side.machine.pending_work())
        for number, pool in self.side.pools.items():
            figures = (target.zs_get_total_pages(pool), target.zs_pool_stats(pool), target.isolated_zspages(pool))
            self._emit(records.POOL, (number, *figures, pending))
            for index in sorted(self._used.get(number, ())):
                self._observe_class(number, pool, index)
        self._observe_free_lists()
        self._observe_pages()
        self._observe_objects()

    def _observe_class(self, number: int, pool: int, index: int) -> None:
        target = self.side.target
        row = target.class_row(pool, index)
        lists = [target.fullness_list(pool, index, group) for group in range(NR_ZS_FULLNESS)]
        groups = (row.almost_empty, row.almost_full, len(lists[3]))
        self._emit(records.CLASS, (number << 32 | index, row.obj_allocated, row.obj_used, *groups))
        if not row.obj_allocated:
            return
        for group, members in enumerate(lists):
            if members:
                words = [number << 48 | group << 32 | index]
                for zspage in members:
                    words += self._zspage_words(target.zspage_view(zspage))
                self._emit(records.ZSPAGE, words)

    def _zspage_words(self, view: ZspageView) -> list[int]:
        page_to_pfn = self.side.machine.buddy.page_to_pfn
        pages = [
            page_to_pfn(page) << 32 | offset & 0xFFFFFFFF for page, offset in zip(view.pages, view.offsets, strict=True)
        ]
        head = view.fullness << 48 | view.isolated << 32 | view.inuse
        return [head, len(pages) << 32 | len(view.free_indices), *pages, *view.free_indices]

    def _observe_free_lists(self) -> None:
        buddy, words = self.side.machine.buddy, []
        for zone in range(2):
            for order in range(buddy.max_order):
                for migratetype in range(MIGRATE_TYPES):
                    if blocks := buddy.free_blocks(zone, order, migratetype):
                        words.append(zone << 48 | order << 40 | migratetype << 32 | 0xFFFFFFFF)
                        words += blocks
        self._emit(records.FREE_LISTS, words)

    def _observe_pages(self) -> None:
        read = self.side.machine.memory.page_words
        columns = [read(at) for at in (PG_FLAGS, PG_MAPCOUNT, PG_MAPPING, PG_PRIVATE, PG_INDEX)]
        words: list[int] = []
        for pfn, (flags, counts, mapping, private, index) in enumerate(zip(*columns, strict=True)):
            if counts >> 32:
                words.append(pfn << 32 | flags & ((1 << NR_PAGEFLAGS) - 1))
                words.append((counts & 0xFFFFFFFF) << 32 | counts >> 32)
                words.append(mapping & 3 | (mapping > 3) << 2 | (private != 0) << 3 | (index != 0) << 4)
        self._emit(records.PAGES, words)

    def _observe_objects(self) -> None:
        """Map, read and unmap every object; then take back what that left in the copy buffer, as the driver, which
        reads the frames, leaves nothing there.
        """
        side = self.side
        saved = side.machine.memory.save_heap(side.machine.slab.heap_top)
        for slot in sorted(side.handles):
            content = self.contract.objects[slot]
            pool, handle = side.pools[content.pool], side.handles[slot]
            data = side.read(side.target.zs_map_object(pool, handle, ZS_MM_RO), content.size)
            side.target.zs_unmap_object(pool, handle)
            self._check(slot, 0, data)
            self._emit(records.OBJECT, (slot, *_words_of(data)))
        side.machine.memory.put_back_heap(saved)


def _one(outcome: Any) -> Outcome:
    assert isinstance(outcome, int)
    return (outcome,)


def _words_of(data: bytes) -> list[int]:
    padded = data + bytes(-len(data) % 8)
    return memoryview(padded).cast("Q").tolist()
