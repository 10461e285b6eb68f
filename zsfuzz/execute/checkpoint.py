"""Checkpoint: an execution between two steps, kept, so that programs that begin alike go on from there.

In:    an Execution that has done its first steps; later, a program with the same first steps.
Out:   Checkpoint, by take(); Execution.resume() goes on from it, and then gives the very result of a full run.
Never: a checkpoint while a lock or a mapping is held, or once the designs have parted; anything that a later
       run could change.
Next:  who decides where to keep one: zsfuzz/execute/prefixes.py; what a machine keeps of itself: snapshot() in
       zsfuzz/machine/machine.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zsfuzz.execute.contract import Contract
from zsfuzz.execute.features import Features
from zsfuzz.execute.side import SavedSide
from zsfuzz.oracle.expected import ExpectedDifferences
from zsfuzz.program.ops import Operation

if TYPE_CHECKING:
    from zsfuzz.execute.execution import Execution


@dataclass(frozen=True, slots=True)
class Counted:
    """What an execution has counted. placed_at: effective operations when placements were last compared."""

    effective: int
    no_ops: int
    placed_at: int
    checks: dict[str, int]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Both sides and everything that the execution knows after `steps`. Nothing in it is ever changed."""

    steps: tuple[Operation, ...]
    sides: tuple[SavedSide, SavedSide]
    contract: Contract
    expected: ExpectedDifferences
    features: Features
    counted: Counted

    def fits(self, steps: tuple[Operation, ...]) -> bool:
        """Return whether a program with these steps begins as this one did."""
        return steps[: len(self.steps)] == self.steps


def can_take(execution: Execution) -> bool:
    """Return whether the execution is at a point that can be kept."""
    return (
        execution.contract.mapped is None
        and not execution.judge.parted
        and all(side.machine.is_quiescent for side in execution.sides)
    )


def take(execution: Execution, steps: tuple[Operation, ...]) -> Checkpoint:
    """Return a checkpoint of an execution that has done just these steps. It goes on undisturbed."""
    reference, candidate = execution.sides
    return Checkpoint(
        steps,
        (reference.save(), candidate.save()),
        execution.contract.copy(),
        execution.expected.copy(),
        execution.features.copy(),
        execution.counted(),
    )
