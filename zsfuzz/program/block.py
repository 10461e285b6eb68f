"""Block: lanes of operations that run at the same time, and the schedule that says who goes when.

In:    operations of zsfuzz/program/ops.py.
Out:   Block and Switch, frozen values. A block is the last thing that a program does.
Never: execution; a point's meaning is the machine's business.
Next:  zsfuzz/program/program.py; how a schedule is obeyed: zsfuzz/machine/lanes.py.

A lane is a CPU. Lane 0 begins. A lane goes on until it is switched away from, blocks or ends; where the schedule says
nothing about a lane that blocks or ends, the next one that can run follows, in cyclic order.

A switch is keyed by where its lane is: the operation, and how many points it has passed in that operation. So a
schedule survives edits: a dropped operation takes its own switches along, those of all others stay what they were,
and a switch whose point is never reached does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from zsfuzz.program.ops import Operation

MIN_LANES = 2
MAX_LANES = 4

BLOCK_SWITCHES = ("store_buffers",)
"""Core switches that mean something in a block only."""


@dataclass(frozen=True, slots=True, order=True)
class Switch:
    """Before point `point` of its operation number `operation`, `lane` gives way to lane `to`.

    operation: from 0; the number of operations stands for the lane's end. point: from 0, counted in each operation
    anew. held: with the core switch store_buffers, how much of what the lane stored since its last barrier stays
    unseen by others until it runs again: 0 nothing, 1 all of it, 2 all but the newest store.
    """

    lane: int
    operation: int
    point: int
    to: int
    held: int = 0


@dataclass(frozen=True, slots=True)
class Chance:
    """A schedule that is still to be made. policy: a word of zsfuzz/machine/policies.py; seed: of its random choices;
    lengths: points that each lane is expected to pass. leader: the side that the policy drives, 0 the reference, 1 the
    candidate; the other side then gets the schedule that came of it.
    """

    policy: str
    seed: int
    lengths: tuple[int, ...] = ()
    leader: int = 1


@dataclass(frozen=True, slots=True)
class Block:
    """What runs at the same time. lanes: MIN_LANES..MAX_LANES of them, each any number of operations.

    schedule: sorted, at most one switch for each place. chance: makes the schedule when the block runs; a program that
    is kept has the schedule instead, so files know nothing of it.
    """

    lanes: tuple[tuple[Operation, ...], ...]
    schedule: tuple[Switch, ...] = ()
    chance: Chance | None = None

    @property
    def operations_count(self) -> int:
        """Return the operations of all lanes."""
        return sum(len(lane) for lane in self.lanes)


def without_operation(block: Block, lane: int, operation: int) -> Block:
    """Return a block without one operation: its switches go with it, those behind it move up."""
    lanes = tuple(
        steps[:operation] + steps[operation + 1 :] if number == lane else steps
        for number, steps in enumerate(block.lanes)
    )
    kept = []
    for switch in block.schedule:
        if switch.lane == lane and switch.operation == operation:
            continue
        behind = switch.lane == lane and switch.operation > operation
        number = switch.operation - 1 if behind else switch.operation
        kept.append(Switch(switch.lane, number, switch.point, switch.to, switch.held))
    return Block(lanes, tuple(sorted(kept)))


def without_lane(block: Block, lane: int) -> Block:
    """Return a block without one lane: switches from and to it go, higher lanes are renumbered."""
    lanes = tuple(steps for number, steps in enumerate(block.lanes) if number != lane)
    kept = [
        Switch(
            switch.lane - (switch.lane > lane),
            switch.operation,
            switch.point,
            switch.to - (switch.to > lane),
            switch.held,
        )
        for switch in block.schedule
        if lane not in (switch.lane, switch.to)
    ]
    return Block(lanes, tuple(sorted(kept)))
