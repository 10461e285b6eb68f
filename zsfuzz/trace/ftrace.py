"""A capture of zsmalloc by ftrace, made into a program.

In:    lines of ftrace text, one after the other; zsfuzz/trace/lines.py says which.
Out:   TraceImport: a program for the geometry linux-5.10 and an account of every line.
Never: a file (zsfuzz/trace/files.py opens them), an exception for a bad line, a guess that is not counted.
Next:  returns find their calls in zsfuzz/trace/calls.py, handles their slots in zsfuzz/trace/slots.py; the
       memory is sized in zsfuzz/trace/sizing.py, the account is zsfuzz/trace/account.py.

What becomes of an event:

    malloc .. malloc_ret   At the return: Malloc and a Write of up to 16 bytes. The slot is the lowest free.
    free                   Free of the slot that has the handle.
    migrate                Migrate of one page. The event names a struct page, but not whose page it is.
                           The rule: p is the number of the struct page, n the number of live handles; the
                           page is component p % 4 of the zspage of the live slot that has p % n live slots
                           below it. Neighbours in the memmap become neighbours in slot order.
    compact                Compact.

A call counts where it begins, except malloc, which counts where it is known to have succeeded. The Write
tells slots apart: the first 16 bytes for one malloc, the last 16 for the next, the pattern made of the
malloc's number and its slot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from zsfuzz.policy.size_class import ZS_MAX_PAGES_PER_ZSPAGE, size_class_table
from zsfuzz.program.limits import MAX_POOL, MAX_STEPS
from zsfuzz.program.ops import Compact, Component, CreatePool, Free, Malloc, Migrate, Operation, Write
from zsfuzz.program.program import Header, Program
from zsfuzz.trace import lines as said
from zsfuzz.trace.account import TraceCounts, TraceImport
from zsfuzz.trace.calls import OpenCalls
from zsfuzz.trace.sizing import MemoryBound
from zsfuzz.trace.slots import LiveSlots

GEOMETRY = "linux-5.10"
"""The class table of 6.1 is the same; later kernels have another one, and their captures another geometry."""

PAGE_SIZE = 4096
WRITE_BYTES = 16

_PATTERNS = 251  # a prime below 256: slots and numbers that advance together do not repeat a pattern soon
_ERRORS_FROM = (1 << 64) - 4095  # IS_ERR_VALUE() of include/linux/err.h
_STRUCT_PAGE_BYTES = 64
_MEMMAP_ALIGNMENT = 1 << 30  # KASLR moves the memmap by multiples of this; the rest is the page's number
_STEPS_PER_EVENT = 4  # the most that one event may become
_MAX_FURTHER_POOLS = 1 << 12
_MAX_EXAMPLES = 5


def import_ftrace(lines: Iterable[str]) -> TraceImport:
    """Make a program of a capture.

    lines: text lines in the order of the trace file; read once, none is kept.
    Errors: none of its own; an error of `lines` passes through. Memory grows with the steps made, which
    zsfuzz/program/limits.py bounds, and with nothing else.
    Source: zs_malloc(), zs_free(), zs_page_migrate(), zs_compact() of mm/zsmalloc.c, v6.1.
    """
    importer = _Importer()
    for line in lines:
        importer.line(line)
    return importer.finish()


@dataclass(frozen=True, slots=True)
class _Object:
    slot: int
    pool: int
    class_index: int  # -1 for a size that no class serves


class _Importer:
    """What has to be known between two lines."""

    def __init__(self) -> None:
        self._counts = TraceCounts()
        self._examples: list[tuple[int, str]] = []
        self._steps: list[Operation] = []
        self._calls = OpenCalls()
        self._slots = LiveSlots()
        self._objects: dict[int, _Object] = {}
        self._pools: dict[int, int] = {}
        self._further_pools: set[int] = set()
        self._bound = MemoryBound(size_class_table(PAGE_SIZE))

    def line(self, text: str) -> None:
        self._counts.lines += 1
        match said.parse_line(text):
            case None:
                pass
            case said.MallocCall() as call:
                self._calls.enter(call)
            case said.MallocReturn(task, handle):
                ended = self._calls.leave(task, said.MallocCall)
                if ended is not None and self._has_room():
                    self._malloc(ended, handle)
            case said.FreeCall(_, pool, handle):
                if self._has_room():
                    self._free(pool, handle)
            case said.MigrateCall() as call:
                self._calls.enter(call)
                if self._has_room():
                    self._migrate(call)
            case said.MigrateReturn(task, ret):
                if self._calls.leave(task, said.MigrateCall) is not None and ret != 0:
                    self._counts.migrate_failed += 1
            case said.CompactCall() as call:
                self._calls.enter(call)
                if self._has_room():
                    self._compact(call)
            case said.CompactReturn(task, _):
                self._calls.leave(task, said.CompactCall)
            case said.Lost() | said.BufferHeader() | said.OtherEvent() | said.Malformed() as remark:
                self._note(remark)
            case never:
                assert_never(never)

    def finish(self) -> TraceImport:
        self._calls.give_up()
        memory = self._bound.memory()
        counts = self._counts
        counts.unmatched_calls = self._calls.unmatched_calls
        counts.unmatched_returns = self._calls.unmatched_returns
        counts.pools = len(self._pools)
        counts.further_pools = len(self._further_pools)
        counts.live_at_end = self._slots.live_count
        counts.needed_pages = memory.needed_pages
        header = Header(GEOMETRY, normal_pages=memory.normal_pages, movable_pages=memory.movable_pages)
        programs = (Program(header, tuple(self._steps)),) if self._steps else ()
        return TraceImport(programs, counts, tuple(self._examples), memory.short)

    def _note(self, remark: said.Lost | said.BufferHeader | said.OtherEvent | said.Malformed) -> None:
        counts = self._counts
        match remark:
            case said.Lost(events):
                counts.lost_marks += 1
                counts.lost_events += events
            case said.BufferHeader(overwritten):
                counts.overwritten += overwritten
            case said.OtherEvent():
                counts.other_events += 1
            case said.Malformed(reason):
                counts.malformed += 1
                if len(self._examples) < _MAX_EXAMPLES:
                    self._examples.append((counts.lines, reason))
            case never:
                assert_never(never)

    def _has_room(self) -> bool:
        if len(self._steps) + _STEPS_PER_EVENT <= MAX_STEPS:
            return True
        self._counts.beyond_limit += 1
        return False

    def _pool(self, address: int) -> int | None:
        """Return the number of a pool, by first appearance; None, counted, for one too many."""
        number = self._pools.get(address)
        if number is None:
            number = len(self._pools)
            if number > MAX_POOL:
                self._counts.further_pool_events += 1
                if len(self._further_pools) < _MAX_FURTHER_POOLS:
                    self._further_pools.add(address)
                return None
            self._pools[address] = number
            if number:
                self._steps.append(CreatePool(number))
        return number

    def _malloc(self, call: said.MallocCall, handle: int) -> None:
        if handle == 0 or handle >= _ERRORS_FROM:
            self._counts.malloc_failed += 1
            return
        pool = self._pool(call.pool)
        if pool is None:
            return
        if handle in self._objects:
            self._counts.free_missing += 1
            self._release(handle)
        counts = self._counts
        slot = self._slots.take()
        self._steps.append(Malloc(slot, call.size, call.gfp, pool))
        class_index = -1
        if 1 <= call.size <= PAGE_SIZE:
            class_index = self._bound.malloc(pool, call.size, call.gfp)
            self._steps.append(_write(slot, call.size, counts.malloc))
        else:
            counts.malloc_odd_size += 1
        self._objects[handle] = _Object(slot, pool, class_index)
        counts.malloc += 1
        counts.peak_live = max(counts.peak_live, self._slots.live_count)

    def _free(self, pool_address: int, handle: int) -> None:
        if handle in self._objects:
            self._counts.free += 1
            self._release(handle)
        elif self._pool(pool_address) is not None:
            self._counts.free_unknown += 1

    def _release(self, handle: int) -> None:
        freed = self._objects.pop(handle)
        self._slots.release(freed.slot)
        if freed.class_index >= 0:
            self._bound.free(freed.pool, freed.class_index)
        self._steps.append(Free(freed.slot))

    def _migrate(self, call: said.MigrateCall) -> None:
        live = self._slots.live_count
        if not live:
            self._counts.migrate_homeless += 1
            return
        page_number = call.old_page % _MEMMAP_ALIGNMENT // _STRUCT_PAGE_BYTES
        slot = self._slots.kth(page_number % live)
        page = Component(slot, page_number % ZS_MAX_PAGES_PER_ZSPAGE)
        self._steps.append(Migrate((page,), call.mode))
        self._counts.migrate += 1
        self._counts.approximated += 1

    def _compact(self, call: said.CompactCall) -> None:
        pool = self._pool(call.pool)
        if pool is not None:
            self._steps.append(Compact(pool))
            self._counts.compact += 1


def _write(slot: int, size: int, number: int) -> Write:
    length = min(WRITE_BYTES, size)
    offset = size - length if number % 2 else 0
    return Write(slot, offset, length, (number + 31 * slot) % _PATTERNS)
