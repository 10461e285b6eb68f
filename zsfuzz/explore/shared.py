"""Shared: what the operations of a block have in common that lies outside of the arena.

In:    the lanes of a block.
Out:   SharedState: for each step of an operation, what it reads and writes of that.
Never: a word of the arena: those are recorded (zsfuzz/machine/recording.py).
Next:  who asks: zsfuzz/explore/side.py.

* Whether one call of zsmalloc's interface ended before another one of the same slot began is what linearizability is
  about: the first step of a call depends on the last steps of others.
* Some operations look at what the program knows, not the machine: whether a pool is empty, whether pages are isolated,
  whether bystanders came or went during a scan. All steps of both sorts count, which is more than necessary, and only
  where a block has both.
"""

from __future__ import annotations

from collections.abc import Hashable

from zsfuzz.machine.recording import Footprint, Recorder
from zsfuzz.program import ops
from zsfuzz.program.block import Block
from zsfuzz.program.ops import Operation

_KNOWLEDGE = (
    ("objects", (ops.DestroyPool,), (ops.Malloc, ops.Free)),
    ("isolated pages", (ops.Poison, ops.Offline), (ops.Isolate, ops.Migrate, ops.Putback)),
    ("bystanders", (ops.Scan,), (ops.Bystander, ops.DropBystander)),
)
"""(what is known, who looks at it, who changes it)."""


def _history_of(operation: Operation) -> Hashable:
    """Return the history that an operation is part of, None for none."""
    match operation:
        case (
            ops.Malloc(slot) | ops.Free(slot) | ops.Map(slot) | ops.Unmap(slot) | ops.Read(slot) | ops.Write(slot)
        ):  # fmt: skip
            return ("slot", slot)
        case ops.CreatePool(pool) | ops.DestroyPool(pool):
            return ("pool", pool)
        case _:
            return None


class SharedState:
    """Footprints outside of the arena, made once."""

    def __init__(self, block: Block, recorder: Recorder) -> None:
        histories = [{_history_of(step): None for step in lane} for lane in block.lanes]
        met = [history for lane in histories for history in lane if history is not None]
        common = {history for history in met if met.count(history) > 1}
        kinds = {type(step) for lane in block.lanes for step in lane}
        known = [each for each in _KNOWLEDGE if kinds & {*each[1]} and kinds & {*each[2]}]
        self._lanes: list[list[tuple[int, int, int]]] = []  # of each operation: reads, writes, its history
        self._ends: list[int] = []
        for lane, own in zip(block.lanes, histories, strict=True):
            self._lanes.append([])
            for step in lane:
                history = _history_of(step)
                self._lanes[-1].append(
                    (
                        sum(recorder.bit((what,)) for what, readers, _ in known if isinstance(step, readers)),
                        sum(recorder.bit((what,)) for what, _, writers in known if isinstance(step, writers)),
                        recorder.bit(history) if history in common else 0,
                    )
                )
            self._ends.append(sum(recorder.bit(history) for history in own if history in common))

    def touched(self, lane: int, operation: int, *, begins: bool, ends: bool) -> Footprint:
        """Return what one step of an operation touches. begins, ends: it is the first, the last one of it."""
        steps = self._lanes[lane]
        if operation >= len(steps):  # what the lane gives back at its end
            return Footprint(0, self._ends[lane] if ends else 0)
        reads, writes, history = steps[operation]
        last = operation == len(steps) - 1
        if begins:
            reads |= history
        if ends:
            writes |= self._ends[lane] if last else history
        return Footprint(reads & ~writes, writes)
