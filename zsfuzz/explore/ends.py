"""Ends: what an execution of a block comes to, as far as two designs have to agree about it.

In:    what the lanes did, and the order in which their calls can have happened.
Out:   EndState: outcomes of the interface, live objects with their known bytes, what is left after the drain.
Never: placements, statistics, outcomes of requests of the core: two designs legally differ there.
Next:  who compares the ends of two sides: zsfuzz/explore/explorer.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zsfuzz.execute.block_plan import BlockPlan
from zsfuzz.execute.block_run import BlockRun
from zsfuzz.oracle.linearize import Linearization
from zsfuzz.oracle.specification import Allocate, CreatePool, DestroyPool, Release, Span, State, Store, Stored
from zsfuzz.program import ops

POOL_REQUESTS = (ops.Compact, ops.Shrink, ops.HugeClassSize)
"""Operations on a whole pool whose outcome is a plain number."""

_NAMES = {Allocate: "malloc", Release: "free", CreatePool: "create_pool", DestroyPool: "destroy_pool", Span: "map"}


@dataclass(frozen=True, slots=True)
class EndState:
    """calls: (lane, operation, what, outcome). slots: (slot, pool, size, known bytes). drained: what is left."""

    calls: tuple[tuple[int, int, str, str], ...]
    slots: tuple[tuple[int, int, int, str], ...]
    drained: tuple[tuple[str, int], ...]

    @property
    def id(self) -> str:
        """Return 12 hexadecimal digits that stand for it."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()[:12]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"calls": [list(each) for each in self.calls], "slots": [list(each) for each in self.slots]} | {
            "drained": dict(self.drained)
        }


def end_state_of(
    plan: BlockPlan,
    run: BlockRun,
    found: Linearization,
    initial: Mapping[tuple[str, int], State],
    drained: Mapping[str, int],
) -> EndState:
    """Return the end of a run. initial: what each slot and pool held before; drained: the projection afterwards."""
    calls, known = [], {key: _mask(state) for key, state in initial.items()}
    for call in found.order:
        name, outcome = _NAMES[type(call.action)], str(int(call.succeeded))
        if isinstance(call.action, Allocate):
            known[call.partition] = bytes(call.action.size)
        elif isinstance(call.action, Span):
            outcome, known[call.partition] = _seen(call.action, known[call.partition])
        if call.lane < len(plan.lanes):
            calls.append((call.lane, call.operation, name, outcome))
    for (lane, number), value in run.outcomes.items():
        operation = plan.lanes[lane][number].operation
        if isinstance(operation, POOL_REQUESTS):
            calls.append((lane, number, type(operation).__name__.lower(), str(value)))
    slots = [
        (slot, state.pool, state.size, _masked(state.data, state.known).hex())
        for (sort, slot), state in (found.states or {}).items()
        if sort == "slot" and isinstance(state, Stored)
    ]
    return EndState(tuple(sorted(calls)), tuple(sorted(slots)), tuple(sorted(drained.items())))


def _mask(state: State) -> bytes:
    return (state.known or bytes(state.size)) if isinstance(state, Stored) else b""


def _masked(data: bytes, known: bytes) -> bytes:
    length = len(data)
    both = int.from_bytes(data, "little") & int.from_bytes(known[:length], "little")
    return both.to_bytes(length, "little")


def _seen(span: Span, known: bytes) -> tuple[str, bytes]:
    """Return the known bytes that were read through a map, as text, and which bytes are known after it."""
    known = bytes(len(known)) if span.forget else known
    seen = []
    for part in span.parts:
        end = part.offset + len(part.data)
        if isinstance(part, Store):
            known = known[: part.offset] + b"\xff" * len(part.data) + known[end:]
        else:
            seen.append(_masked(part.data, known[part.offset : end]).hex())
    return " ".join(seen), known
