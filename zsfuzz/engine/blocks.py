"""Blocks: programs that end in lanes, made from nothing or by changing one.

In:    dice, a header; a program with a block.
Out:   generate_parallel(), reblocked(), mutated_block().
Never: execution; a schedule of its own: a fresh block has a Chance, a mutant the schedule of its parent, changed.
Next:  the shapes in zsfuzz/engine/lane_idioms.py; who asks: zsfuzz/engine/parallel_engine.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from zsfuzz.engine.choose import CHOOSERS
from zsfuzz.engine.generate import StepWriter
from zsfuzz.engine.lane_idioms import LANE_IDIOMS, NEED_BARRIERS, Lane, settle
from zsfuzz.engine.profile import draw_profile
from zsfuzz.engine.rng import Dice
from zsfuzz.program.block import MAX_LANES, PORTFOLIO, Block, Chance, Switch, without_operation
from zsfuzz.program.ops import Operation
from zsfuzz.program.program import Header, Program

LANE_OPERATIONS = 5
"""Operations of a lane that is filled up."""

STEPS_BEFORE = 14
"""Typical steps before a block: enough for a few zspages, few enough that lanes meet."""


def draw_chance(dice: Dice, header: Header, lengths: tuple[int, ...] = ()) -> Chance:
    """Return a policy with a seed; the candidate leads three times in four."""
    buffered = "store_buffers" in header.switches and dice.percent(60)
    policy = "stores" if buffered else dice.pick(PORTFOLIO)
    return Chance(policy, dice.below(1 << 30), lengths, int(not dice.percent(25)))


def generate_parallel(dice: Dice, header: Header) -> Program:
    """Return a new program that ends in a block."""
    writer = StepWriter(dice, draw_profile(dice, header, STEPS_BEFORE))
    for _ in range(min(writer.profile.bystanders, dice.below(4))):
        writer.emit(writer.choose.bystander())
    for _ in range(dice.below(STEPS_BEFORE)):
        writer.write()
    settle(writer)
    lanes = _idiom(dice, header)(writer) if dice.percent(80) else [[] for _ in range(dice.between(2, MAX_LANES))]
    return Program(header, tuple(writer.steps), _block(writer, lanes))


def _idiom(dice: Dice, header: Header) -> Callable[[StepWriter], list[Lane]]:
    if "store_buffers" in header.switches and dice.percent(50):
        return dice.pick(NEED_BARRIERS)
    return dice.pick(LANE_IDIOMS)


def reblocked(dice: Dice, program: Program) -> Program:
    """Return a program with the same steps and other lanes behind them: its run goes on from where they lead."""
    writer = StepWriter(dice, draw_profile(dice, program.header, STEPS_BEFORE))
    for step in program.steps:
        writer.sketch.apply(step)
    before = len(writer.steps)
    lanes = _idiom(dice, program.header)(writer)
    added = tuple(writer.steps[before:])
    return replace(program, steps=program.steps + added, block=_block(writer, lanes))


def _block(writer: StepWriter, lanes: list[Lane]) -> Block:
    """Return a block of these lanes, filled up with ordinary operations here and there."""
    dice = writer.dice
    if dice.percent(35) and len(lanes) < MAX_LANES:
        lanes.append([])
    for lane in lanes:
        while len(lane) < LANE_OPERATIONS and (not lane or dice.percent(40)):
            lane.insert(dice.below(len(lane) + 1), _ordinary(writer))
    order: list[tuple[Operation, ...]] = []
    left = [tuple(lane) for lane in lanes]
    while left:
        order.append(dice.take(left))
    return Block(tuple(order), (), draw_chance(dice, writer.profile.header))


def _ordinary(writer: StepWriter) -> Operation:
    """Return an operation for a lane; what it does to the state is not followed: lanes run in any order."""
    profile, dice = writer.profile, writer.dice
    kinds = profile.core_kinds if dice.percent(45) else profile.kinds
    return CHOOSERS[dice.pick(kinds)](writer.choose)


def rescheduled(dice: Dice, program: Program, lengths: tuple[int, ...] = ()) -> Program:
    """Return a program with the same operations whose schedule is made anew."""
    if program.block is None:
        return program
    return replace(program, block=Block(program.block.lanes, (), draw_chance(dice, program.header, lengths)))


def mutated_block(dice: Dice, program: Program, other: Program, lengths: tuple[int, ...]) -> Program:
    """Return a program whose lanes or schedule differ a little. lengths: points of each lane when it ran."""
    block = program.block
    if block is None:
        return program
    form = dice.below(10)
    if form < 3:
        return replace(program, block=_mutated_schedule(dice, block, lengths))
    if form < 5:
        return rescheduled(dice, program, lengths)
    if form < 6 and block.operations_count > 2:
        lane = dice.pick([number for number, steps in enumerate(block.lanes) if steps])
        return replace(program, block=without_operation(block, lane, dice.below(len(block.lanes[lane]))))
    if form < 7 and other.block is not None:
        return replace(program, block=_spliced(dice, program.header, block, other.block))
    return replace(program, block=_with_addition(dice, program, block))


def _mutated_schedule(dice: Dice, block: Block, lengths: tuple[int, ...]) -> Block:
    """Move, drop or add a few switches."""
    switches = {(each.lane, each.operation, each.point): each for each in block.schedule}
    for _ in range(dice.few(4)):
        if switches and dice.percent(60):
            key = dice.pick(sorted(switches))
            gone = switches.pop(key)
            if dice.percent(70):
                shifted = max(0, gone.point + dice.between(-8, 8))
                point = 0 if gone.operation == len(block.lanes[gone.lane]) else shifted
                switches[key[0], key[1], point] = replace(gone, point=point)
            continue
        lane = dice.below(len(block.lanes))
        if not block.lanes[lane]:
            continue
        operation = dice.below(len(block.lanes[lane]))
        most = max(2, (lengths[lane] if lane < len(lengths) else 100) // len(block.lanes[lane]))
        point = dice.below(most)
        to = (lane + 1 + dice.below(len(block.lanes) - 1)) % len(block.lanes)
        switches[lane, operation, point] = Switch(lane, operation, point, to, dice.pick((0, 0, 1, 2)))
    return Block(block.lanes, tuple(sorted(switches.values())))


def _spliced(dice: Dice, header: Header, block: Block, other: Block) -> Block:
    """Put a lane of another block in the place of one."""
    lanes = list(block.lanes)
    lanes[dice.below(len(lanes))] = dice.pick(other.lanes)
    return Block(tuple(lanes), (), draw_chance(dice, header))


def _with_addition(dice: Dice, program: Program, block: Block) -> Block:
    """Put a new operation somewhere; the schedule of the others stays."""
    writer = StepWriter(dice, draw_profile(dice, program.header, STEPS_BEFORE))
    for step in program.steps:
        writer.sketch.apply(step)
    lane = dice.below(len(block.lanes))
    steps = block.lanes[lane]
    if len(steps) >= 2 * LANE_OPERATIONS:
        return block
    at = dice.below(len(steps) + 1)
    lanes = list(block.lanes)
    lanes[lane] = (*steps[:at], _ordinary(writer), *steps[at:])
    moved = tuple(
        sorted(
            replace(each, operation=each.operation + 1) if each.lane == lane and each.operation >= at else each
            for each in block.schedule
        )
    )
    return Block(tuple(lanes), moved)
