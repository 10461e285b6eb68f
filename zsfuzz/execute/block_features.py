"""Block features: what was new about how lanes met, as small numbers for the coverage engine.

In:    a plan and what one side did with it.
Out:   integers: which operation gave way to which, inside or between operations, and how each ended beside the others.
Never: addresses, slots, Python's hash().
Next:  the features of single steps in zsfuzz/execute/features.py.
"""

from __future__ import annotations

from typing import Final

from zsfuzz.execute.block_plan import BlockPlan
from zsfuzz.execute.block_run import BlockRun
from zsfuzz.execute.features import class_of
from zsfuzz.program.ops import OPERATIONS

_NUMBER: Final = {operation: number for number, operation in enumerate(OPERATIONS)}
_WHY: Final = {"preempted": 0, "blocked": 1, "ended": 2, "yields": 3}
_MET, _OUTCOME = 1 << 44, 1 << 45


def features_of(plan: BlockPlan, run: BlockRun, side: int) -> set[int]:
    """Return the features of one side's run. side: 0 the reference, 1 the candidate."""
    found = set()
    where = [0] * len(plan.lanes)
    for taken in run.taken:
        where[taken.lane] = taken.operation
        depth = min(taken.point.bit_length(), 9)
        one = _kind(plan, taken.lane, taken.operation)
        other = _kind(plan, taken.to, where[taken.to])
        found.add(_MET | (((one * 40 + other) * 10 + depth) * 4 + _WHY[taken.why]) * 2 + side)
    kinds = sorted({_kind(plan, lane, 0) for lane in range(len(plan.lanes))})
    for (lane, operation), outcome in run.outcomes.items():
        beside = kinds[operation % len(kinds)]
        found.add(_OUTCOME | ((_kind(plan, lane, operation) * 40 + beside) * 64 + class_of(outcome)) * 2 + side)
    return found


def _kind(plan: BlockPlan, lane: int, operation: int) -> int:
    """Return a number for an operation, 39 behind the last one."""
    steps = plan.lanes[lane]
    return _NUMBER[type(steps[operation].operation)] if operation < len(steps) else 39
