"""Lowering: a program as the words of a batch, which crosses into C once.

In:    a Program.
Out:   bytes of 64-bit words, as zsfuzz/kernel/shim/driver.c reads them.
Never: what an operation means in a state: C decides that, by the rules of zsfuzz/execute/execution.py.
Next:  who sends it: zsfuzz/kernel/library.py.

Operations of the core that only the Python machine has (compact_zone, offline, online, contig, poison, scan and the
bystanders) are lowered to a word that is a no-op, and so they are on the model's side of such a run.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Any, Final

from zsfuzz.program import ops

NONE, MALLOC, FREE, MAP, UNMAP, WRITE, READ, COMPACT, SHRINK, ISOLATE, MIGRATE, PUTBACK = range(12)
RUN_WORK, FAIL, STATS, HUGE_CLASS_SIZE, CREATE_POOL, DESTROY_POOL, TRIM, GET, PUT, PARALLEL = range(12, 22)

CODES: Final[dict[int, type[ops.Operation]]] = {
    MALLOC: ops.Malloc,
    FREE: ops.Free,
    MAP: ops.Map,
    UNMAP: ops.Unmap,
    WRITE: ops.Write,
    READ: ops.Read,
    COMPACT: ops.Compact,
    SHRINK: ops.Shrink,
    ISOLATE: ops.Isolate,
    MIGRATE: ops.Migrate,
    PUTBACK: ops.Putback,
    RUN_WORK: ops.RunWork,
    FAIL: ops.Fail,
    STATS: ops.Stats,
    HUGE_CLASS_SIZE: ops.HugeClassSize,
    CREATE_POOL: ops.CreatePool,
    DESTROY_POOL: ops.DestroyPool,
    TRIM: ops.Trim,
    GET: ops.SpeculativeGet,
    PUT: ops.SpeculativePut,
}
"""Code of a word -> operation. What is not here is a no-op on kernel targets."""

# By value: an Enum member's hash is a Python function.
_MAP_MODES: Final = {mode.value: number << 8 for number, mode in enumerate(ops.MapMode)}
_MIGRATE_MODES: Final = {mode.value: number << 8 for number, mode in enumerate(ops.MigrateMode)}
_FAIL_OPERATIONS: Final = {
    ops.FailOperation.MALLOC.value: 0,
    ops.FailOperation.MIGRATE.value: 1 << 8,
    ops.FailOperation.CREATE_POOL.value: 2 << 8,
}
_FAIL_OTHER: Final = 3 << 8
_FAIL_WHATS: Final = {what.value: number << 16 for number, what in enumerate(ops.FailWhat)}
_HIGHEST: Final = 0xFFFFFFFF
_KERNEL_GFP: Final = ops.Gfp.KERNEL


def page_word(name: ops.PageName) -> int:
    """Return a page's name in one word."""
    if type(name) is ops.Component:
        return name.slot << 32 | name.index
    if type(name) is ops.IsolatedPage:
        return 1 << 62 | name.page_slot << 32
    assert type(name) is ops.Pfn
    return 2 << 62 | name.pfn


def _malloc(step: ops.Malloc) -> tuple[int, ...]:
    gfp = 0x100 if step.gfp is _KERNEL_GFP else 0
    return (MALLOC | gfp | step.pool << 16 | step.slot << 32, step.size)


def _migrate(step: ops.Migrate) -> tuple[int, ...]:
    names = [page_word(name) for name in step.pages]
    return (MIGRATE | _MIGRATE_MODES[step.mode._value_] | len(names) << 32, *names)


def _fail(step: ops.Fail) -> tuple[int, ...]:
    operation = _FAIL_OPERATIONS.get(step.operation._value_, _FAIL_OTHER)
    if step.operation is ops.FailOperation.CREATE_POOL and step.what is not ops.FailWhat.HANDLE:
        operation = _FAIL_OTHER  # what a pool is made of comes from allocations that the two machines count apart
    return (FAIL | operation | _FAIL_WHATS[step.what._value_] | step.ordinal << 32,)


_LOWER: Final[dict[type, Callable[[Any], tuple[int, ...]]]] = {
    ops.Malloc: _malloc,
    ops.Free: lambda step: (FREE | step.slot << 32,),
    ops.Map: lambda step: (MAP | _MAP_MODES[step.mode._value_] | step.slot << 32,),
    ops.Unmap: lambda step: (UNMAP | step.slot << 32,),
    ops.Write: lambda step: (WRITE | step.pattern << 8 | step.slot << 32, step.offset << 32 | step.length),
    ops.Read: lambda step: (READ | step.slot << 32, step.offset << 32 | step.length),
    ops.Compact: lambda step: (COMPACT | step.pool << 16,),
    ops.Shrink: lambda step: (SHRINK | (step.kind is ops.ShrinkKind.SCAN) << 8 | step.pool << 16,),
    ops.Isolate: lambda step: (ISOLATE | step.page_slot << 32, page_word(step.page)),
    ops.Migrate: _migrate,
    ops.Putback: lambda step: (PUTBACK | step.page_slot << 32,),
    ops.RunWork: lambda step: (RUN_WORK,),
    ops.Fail: _fail,
    ops.Stats: lambda step: (STATS | step.pool << 16,),
    ops.HugeClassSize: lambda step: (HUGE_CLASS_SIZE | step.pool << 16,),
    ops.CreatePool: lambda step: (CREATE_POOL | step.pool << 16,),
    ops.DestroyPool: lambda step: (DESTROY_POOL | step.pool << 16,),
    ops.Trim: lambda step: (TRIM,),
    ops.SpeculativeGet: lambda step: (GET | step.ref_slot << 32, page_word(step.page)),
    ops.SpeculativePut: lambda step: (PUT | step.ref_slot << 32,),
}
_NOTHING: Final = (NONE,)
_LOWER_ALL: Final = {kind: _LOWER.get(kind, lambda step: _NOTHING) for kind in ops.OPERATIONS}


def is_lowered(kind: type) -> bool:
    """Return whether kernel targets do an operation of this class."""
    return kind in _LOWER


def lower_steps(steps: Iterable[ops.Operation]) -> array[int]:
    """Return the words of some operations."""
    words: list[int] = []
    extend, lower = words.extend, _LOWER_ALL
    for step in steps:
        extend(lower[type(step)](step))
    return array("Q", words)


def lower_block(lanes: Iterable[Iterable[ops.Operation]]) -> array[int]:
    """Return the words of a parallel block."""
    lowered = [lower_steps(lane) for lane in lanes]
    words = array("Q", (PARALLEL | len(lowered) << 8, *map(len, lowered)))
    for lane in lowered:
        words.extend(lane)
    return words
