"""Block: lanes of operations that run at the same time, and the schedule that says who goes when.

In:    operations of zsfuzz/program/ops.py.
Out:   Block and Switch, frozen values. A block is the last thing that a program does.
Never: execution; a point's meaning is the machine's business.
Next:  zsfuzz/program/program.py; how a schedule is obeyed: zsfuzz/machine/lanes.py.

A lane is a CPU. Lane 0 begins. A lane goes on until it is switched away from, blocks or ends; where the schedule says
nothing about a lane that blocks or ends, the next one that can run follows, in cyclic order.

A switch is keyed by where its lane is: the operation, and how many points it has passed in that operation. So a
schedule survives edits: a dropped operation takes its own switches along, those of all others stay what they were,
and a switch whose point is never reached does nothing. The edits below are all that it takes to move one; none
checks a limit, and none but the last ones looks at what a point is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from zsfuzz.program.ops import MAX_LANES as MAX_LANES
from zsfuzz.program.ops import Operation

MIN_LANES = 2

HOLDS = ("nothing", "everything", "all but the newest")
"""What a switch may hold back, by the number in Switch.held."""

BLOCK_SWITCHES = ("store_buffers",)
"""Core switches that mean something in a block only."""

PORTFOLIO = ("random", "pct2", "random", "pct3", "random", "round-robin", "pos", "random", "pct2", "uniform")
"""Words for policies, in the shares in which a campaign deals them: the cheap ones more often. `stores` comes where
there are store buffers.
"""

Place = tuple[int, int, int]
"""Lane, operation, point: where a switch is."""


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

    @property
    def place(self) -> Place:
        """Return where it is: no two switches of a schedule are at one place."""
        return self.lane, self.operation, self.point


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


def with_each(block: Block, change: Callable[[Operation], Operation]) -> Block:
    """Return a block with every operation changed; the schedule stays."""
    return replace(block, lanes=tuple([tuple([change(step) for step in lane]) for lane in block.lanes]))


def block_of(lanes: Iterable[Sequence[Operation]], schedule: Iterable[Switch], chance: Chance | None = None) -> Block:
    """Return a block; the schedule is put in order, of two switches at one place the first stays."""
    kept: dict[Place, Switch] = {}
    for switch in schedule:
        kept.setdefault(switch.place, switch)
    return Block(tuple(map(tuple, lanes)), tuple(sorted(kept.values())), chance)


# -- operations


def without_operation(block: Block, lane: int, operation: int) -> Block:
    """Return a block without one operation: its switches go with it, those behind it move up."""
    lanes = [list(steps) for steps in block.lanes]
    del lanes[lane][operation]
    kept = [switch for switch in block.schedule if switch.place[:2] != (lane, operation)]
    return block_of(lanes, [_moved(switch, lane, operation, -1) for switch in kept], block.chance)


def with_operation(block: Block, lane: int, at: int, operation: Operation) -> Block:
    """Return a block with one operation more, before number `at` of a lane or at its end.

    It has no switch; those of the operations behind it stay with them, and what was at the lane's end stays there.
    """
    lanes = [list(steps) for steps in block.lanes]
    lanes[lane].insert(at, operation)
    return block_of(lanes, [_moved(switch, lane, at, 1) for switch in block.schedule], block.chance)


def replaced_operation(block: Block, lane: int, at: int, operation: Operation) -> Block:
    """Return a block with another operation in place of one; switches at that place stay."""
    lanes = [list(steps) for steps in block.lanes]
    lanes[lane][at] = operation
    return replace(block, lanes=tuple(map(tuple, lanes)))


def moved_operation(block: Block, lane: int, operation: int, to_lane: int, at: int) -> Block:
    """Return a block with one operation in another lane or at another place of its own, its switches with it.

    at: its number there, once it is gone from where it was. A switch of its that gave way to the lane in which it
    now is gives way to the lane from which it came: each goes on being a change from the one to the other.
    """
    step = block.lanes[lane][operation]
    taken = [
        Switch(to_lane, at, switch.point, lane if switch.to == to_lane else switch.to, switch.held)
        for switch in block.schedule
        if switch.place[:2] == (lane, operation)
    ]
    rest = with_operation(without_operation(block, lane, operation), to_lane, at, step)
    return block_of(rest.lanes, (*rest.schedule, *taken), block.chance)


def _moved(switch: Switch, lane: int, first: int, by: int) -> Switch:
    """Return a switch as it is when the operations of a lane from number `first` on have moved."""
    if switch.lane != lane or switch.operation < first:
        return switch
    return replace(switch, operation=switch.operation + by)


# -- lanes


def without_lane(block: Block, lane: int) -> Block:
    """Return a block without one lane: switches from and to it go, higher lanes are renumbered."""
    lanes = [steps for number, steps in enumerate(block.lanes) if number != lane]
    kept = [
        replace(switch, lane=switch.lane - (switch.lane > lane), to=switch.to - (switch.to > lane))
        for switch in block.schedule
        if lane not in (switch.lane, switch.to)
    ]
    return block_of(lanes, kept, _without_length(block.chance, lane))


def _without_length(chance: Chance | None, lane: int) -> Chance | None:
    """Return a chance that expects nothing any more of a lane."""
    if chance is None or not chance.lengths:
        return chance
    return replace(chance, lengths=chance.lengths[:lane] + chance.lengths[lane + 1 :])


def merged_lanes(block: Block, lane: int, into: int) -> Block:
    """Return a block in which lane `into` does what `lane` did as well, after its own operations.

    Switches between the two go; all others stay, one at the end of `into` before the operations that are new there.
    """
    first = len(block.lanes[into])
    lanes = [list(steps) for steps in block.lanes]
    lanes[into] += lanes[lane]
    kept = []
    for switch in block.schedule:
        if {switch.lane, switch.to} == {lane, into}:
            continue
        if switch.lane == lane:
            switch = replace(switch, lane=into, operation=switch.operation + first)
        kept.append(replace(switch, to=into) if switch.to == lane else switch)
    return without_lane(block_of(lanes, kept, block.chance), lane)


# -- switches


def with_switch(block: Block, switch: Switch) -> Block:
    """Return a block with one switch more, in place of one that is at the same place."""
    return block_of(block.lanes, (switch, *block.schedule), block.chance)


def without_switch(block: Block, index: int) -> Block:
    """Return a block without one switch of its schedule."""
    return replace(block, schedule=block.schedule[:index] + block.schedule[index + 1 :])


def shifted_switch(block: Block, index: int, operation: int, point: int) -> Block:
    """Return a block with one switch at another place of its lane, where it replaces what is there."""
    switch = replace(block.schedule[index], operation=operation, point=point)
    return with_switch(without_switch(block, index), switch)
