"""A parallel block as a list of plain values, both ways.

In:    a Block, or whatever a file holds in its place.
Out:   raw_block(), unpack_block().
Never: limits (zsfuzz/program/limits.py), msgpack itself (zsfuzz/program/packed.py).
Next:  a step in zsfuzz/program/packedstep.py; the layout in docs/program-format.md.

    [127, [lane, ...], [run, ...]]         a lane is a list of steps; a fourth entry is the chance, if there is one
    run = [lane, operation, point, to, point, to, ...]
    chance = [policy, seed, leader, length of lane 0, ...]

A run holds switches of one operation, in the order of their points: most schedules have many in few operations.
`to` has what is held back above its lowest 3 bits: 8 * held + lane. Runs are short, as any list of a file is: msgpack
makes room for what a list declares before it has read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, TypeGuard

from zsfuzz.program.block import Block, Chance, Switch, block_of
from zsfuzz.program.limits import MAX_MIGRATE_PAGES, BlockChecker, Malformed, StepChecker, shown
from zsfuzz.program.ops import Operation
from zsfuzz.program.packedstep import raw_step, unpack_step

BLOCK_OPCODE = 127
_LANE_BITS = 3
_RUN_SWITCHES = (MAX_MIGRATE_PAGES - 2) // 2  # the longest list that a file may have is that of a migrate's pages


def is_block(raw: object) -> TypeGuard[list[Any]]:
    """Return whether a part of a file is to be a block."""
    return type(raw) is list and len(raw) > 0 and type(raw[0]) is int and raw[0] == BLOCK_OPCODE


def raw_block(block: Block) -> list[object]:
    """Return the block as a list."""
    lanes = [[raw_step(operation) for operation in lane] for lane in block.lanes]
    raw: list[object] = [BLOCK_OPCODE, lanes, list(_raw_runs(block.schedule))]
    if (chance := block.chance) is not None:
        raw.append([chance.policy, chance.seed, chance.leader, *chance.lengths])
    return raw


def _raw_runs(schedule: Iterable[Switch]) -> Iterator[list[int]]:
    for (lane, operation), switches in groupby(schedule, lambda switch: switch.place[:2]):
        pairs = [(switch.point, switch.held << _LANE_BITS | switch.to) for switch in switches]
        for start in range(0, len(pairs), _RUN_SWITCHES):
            run = [lane, operation]
            for pair in pairs[start : start + _RUN_SWITCHES]:
                run += pair
            yield run


def unpack_block(raw: list[Any], steps: StepChecker) -> Block:
    """Return the block of what is_block(). steps: the program's checker.

    Errors: Malformed for what is none after all, or is beyond a limit.
    """
    if len(raw) not in (3, 4):
        raise Malformed(f"a block takes 2 or 3 arguments, lanes, schedule, perhaps a chance, not {len(raw) - 1}")
    checker = BlockChecker(steps)
    lanes = [_lane(lane, checker) for lane in _list(raw[1], "the lanes of a block")]
    schedule: list[Switch] = []
    for run in _list(raw[2], "the schedule of a block"):
        for switch in _switches(_list(run, "a run of switches")):
            checker.switch(switch)
            schedule.append(switch)
    checker.end(schedule)
    return block_of(lanes, schedule, _chance(raw[3], checker) if len(raw) == 4 else None)


def _chance(raw: object, checker: BlockChecker) -> Chance:
    parts = _list(raw, "the chance of a block")
    if len(parts) < 3:
        raise Malformed("the chance of a block is a list [policy, seed, leader, length, ...]")
    policy, seed, leader, *lengths = parts
    chance = Chance(policy, seed, tuple(lengths), leader)
    checker.chance(chance)
    return chance


def _lane(raw: object, checker: BlockChecker) -> list[Operation]:
    checker.lane()
    lane = []
    for raw_operation in _list(raw, "a lane"):
        operation = unpack_step(raw_operation)
        checker.add(operation)
        lane.append(operation)
    return lane


def _switches(run: list[Any]) -> Iterator[Switch]:
    """Yield what a run says. The checker sees every number but this sum."""
    if len(run) < 4 or len(run) % 2:
        raise Malformed("a run of switches is a list [lane, operation, point, to, ...], of point and to at least one")
    lane, operation, *pairs = run
    for at in range(0, len(pairs), 2):
        point, to = pairs[at : at + 2]
        if type(to) is not int or to < 0:
            raise Malformed(f"where a switch goes must be a whole number, 8 * held + lane, not {shown(to)}")
        yield Switch(lane, operation, point, to & (1 << _LANE_BITS) - 1, to >> _LANE_BITS)


def _list(raw: object, noun: str) -> list[Any]:
    if type(raw) is not list:
        raise Malformed(f"{noun} must be a list, not {shown(raw)}")
    return raw
