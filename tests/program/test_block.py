"""Edits of a block: what becomes of the schedule, and that no edit makes a block malformed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.program.strategies import blocks
from zsfuzz.program import ops
from zsfuzz.program.block import (
    Block,
    Chance,
    Switch,
    block_of,
    merged_lanes,
    moved_operation,
    replaced_operation,
    shifted_switch,
    with_each,
    with_operation,
    with_switch,
    without_lane,
    without_operation,
    without_switch,
)
from zsfuzz.program.limits import check_program
from zsfuzz.program.program import Header, Program


def free(slot: int) -> ops.Operation:
    return ops.Free(slot)


BLOCK = Block(
    ((free(0), free(1), free(2)), (free(10), free(11)), (free(20),)),
    (
        Switch(0, 0, 3, 1),
        Switch(0, 1, 4, 2, held=1),
        Switch(0, 2, 5, 1),
        Switch(0, 3, 0, 1),
        Switch(1, 0, 6, 0),
        Switch(1, 1, 7, 2),
        Switch(2, 1, 0, 0),
    ),
)
"""Frees of slot `10 * lane + operation`; points 3 to 7, so that a switch is known by its point."""


def of_points(block: Block, *points: int) -> list[Switch]:
    """The switches with these points."""
    return [switch for switch in block.schedule if switch.point in points]


def slots(block: Block) -> list[list[int]]:
    return [[step.slot for step in lane if isinstance(step, ops.Free)] for lane in block.lanes]


def well_formed(block: Block) -> None:
    check_program(Program(Header(), (), block))


def test_the_sample_is_well_formed() -> None:
    well_formed(BLOCK)


def test_a_dropped_operation_takes_its_switches_along_and_no_other() -> None:
    """[0 1 2] -> [0 2]: the switch in 1 goes, those in 2 and at the end stay with what they were at."""
    after = without_operation(BLOCK, 0, 1)
    assert slots(after) == [[0, 2], [10, 11], [20]]
    assert after.schedule == (
        Switch(0, 0, 3, 1),
        Switch(0, 1, 5, 1),
        Switch(0, 2, 0, 1),
        *BLOCK.schedule[4:],
    )


def test_the_last_operation_of_a_lane_may_be_dropped() -> None:
    after = without_operation(BLOCK, 2, 0)
    assert slots(after) == [[0, 1, 2], [10, 11], []]
    assert after.schedule == (*BLOCK.schedule[:6], Switch(2, 0, 0, 0))


@pytest.mark.parametrize("at", range(4))
def test_an_operation_that_is_put_in_leaves_every_switch_with_its_operation(at: int) -> None:
    after = with_operation(BLOCK, 0, at, free(99))
    assert slots(after)[0] == [*range(at), 99, *range(at, 3)]
    assert of_points(after, 3) == [Switch(0, 0 + (at <= 0), 3, 1)]
    assert of_points(after, 4) == [Switch(0, 1 + (at <= 1), 4, 2, held=1)]
    assert of_points(after, 5) == [Switch(0, 2 + (at <= 2), 5, 1)]
    assert Switch(0, 4, 0, 1) in after.schedule, "the lane's end"
    assert after.schedule[4:] == BLOCK.schedule[4:]


def test_another_operation_keeps_the_switches_of_its_place() -> None:
    after = replaced_operation(BLOCK, 0, 1, free(99))
    assert slots(after) == [[0, 99, 2], [10, 11], [20]]
    assert after.schedule == BLOCK.schedule


def test_an_operation_moves_to_another_lane_with_its_switches() -> None:
    """The switch from 0 to 2 goes with it to lane 2, where it gives way to 0: the two stay the two."""
    after = moved_operation(BLOCK, 0, 1, 2, 0)
    assert slots(after) == [[0, 2], [10, 11], [1, 20]]
    assert of_points(after, 4) == [Switch(2, 0, 4, 0, held=1)]
    assert of_points(after, 5) == [Switch(0, 1, 5, 1)]
    assert Switch(2, 2, 0, 0) in after.schedule
    assert len(after.schedule) == len(BLOCK.schedule)


def test_an_operation_moves_to_a_third_lane_and_gives_way_to_whom_it_did() -> None:
    assert of_points(moved_operation(BLOCK, 0, 1, 1, 2), 4) == [Switch(1, 2, 4, 2, held=1)]


def test_an_operation_moves_within_its_lane() -> None:
    after = moved_operation(BLOCK, 0, 0, 0, 2)
    assert slots(after) == [[1, 2, 0], [10, 11], [20]]
    assert of_points(after, 3, 4, 5) == [
        Switch(0, 0, 4, 2, held=1),
        Switch(0, 1, 5, 1),
        Switch(0, 2, 3, 1),
    ]
    assert moved_operation(after, 0, 2, 0, 0) == BLOCK


def test_a_dropped_lane_takes_along_what_comes_from_it_and_what_goes_to_it() -> None:
    after = without_lane(BLOCK, 1)
    assert slots(after) == [[0, 1, 2], [20]]
    assert after.schedule == (Switch(0, 1, 4, 1, held=1), Switch(1, 1, 0, 0))


def test_the_lane_that_begins_may_be_dropped() -> None:
    after = without_lane(BLOCK, 0)
    assert slots(after) == [[10, 11], [20]]
    assert after.schedule == (Switch(0, 1, 7, 1),)


def test_a_lane_is_joined_to_another_one() -> None:
    """Lane 2 goes on behind lane 0: what was between the two goes, what was between others stays."""
    after = merged_lanes(BLOCK, 2, 0)
    assert slots(after) == [[0, 1, 2, 20], [10, 11]]
    assert after.schedule == (
        Switch(0, 0, 3, 1),
        Switch(0, 2, 5, 1),
        Switch(0, 3, 0, 1),
        Switch(1, 0, 6, 0),
        Switch(1, 1, 7, 0),
    )


def test_a_lower_lane_is_joined_to_a_higher_one() -> None:
    after = merged_lanes(BLOCK, 0, 2)
    assert slots(after) == [[10, 11], [20, 0, 1, 2]]
    assert after.schedule == (
        Switch(0, 0, 6, 1),
        Switch(0, 1, 7, 1),
        Switch(1, 1, 3, 0),
        Switch(1, 3, 5, 0),
        Switch(1, 4, 0, 0),
    )


def test_a_switch_is_put_in_at_its_place_or_replaces_what_is_there() -> None:
    assert with_switch(BLOCK, Switch(1, 0, 2, 2)).schedule[4] == Switch(1, 0, 2, 2)
    replaced = with_switch(BLOCK, Switch(1, 0, 6, 2, held=1))
    assert replaced.schedule == (*BLOCK.schedule[:4], Switch(1, 0, 6, 2, held=1), *BLOCK.schedule[5:])


def test_a_switch_is_dropped() -> None:
    assert without_switch(BLOCK, 4).schedule == BLOCK.schedule[:4] + BLOCK.schedule[5:]


def test_a_shifted_switch_finds_its_order_and_replaces_what_is_there() -> None:
    assert shifted_switch(BLOCK, 0, 2, 4).schedule[:3] == (*BLOCK.schedule[1:2], Switch(0, 2, 4, 1), BLOCK.schedule[2])
    onto = shifted_switch(BLOCK, 0, 1, 4)
    assert of_points(onto, 3, 4) == [Switch(0, 1, 4, 1)]
    assert len(onto.schedule) == len(BLOCK.schedule) - 1


def test_of_switches_at_one_place_the_first_stays() -> None:
    block = block_of([(), ()], [Switch(1, 0, 0, 0), Switch(0, 0, 0, 1, held=1), Switch(0, 0, 0, 1)])
    assert block.schedule == (Switch(0, 0, 0, 1, held=1), Switch(1, 0, 0, 0))


def test_edits_keep_what_makes_the_schedule() -> None:
    """And its lengths follow the lanes."""
    chance = Chance("pct3", 17, (30, 20, 10))
    block = replace(BLOCK, chance=chance)
    assert without_operation(block, 0, 1).chance == chance
    assert with_operation(block, 0, 1, free(9)).chance == chance
    assert moved_operation(block, 0, 1, 2, 0).chance == chance
    assert replaced_operation(block, 0, 1, free(9)).chance == chance
    assert without_switch(with_switch(block, Switch(1, 0, 2, 2)), 0).chance == chance
    assert shifted_switch(block, 0, 1, 1).chance == chance
    assert without_lane(block, 1).chance == Chance("pct3", 17, (30, 10))
    assert merged_lanes(block, 2, 0).chance == Chance("pct3", 17, (30, 20))
    assert without_lane(replace(BLOCK, chance=Chance("pos", 1)), 1).chance == Chance("pos", 1)


def test_every_operation_changes_and_the_schedule_stays() -> None:
    after = with_each(BLOCK, lambda step: ops.Trim() if step == free(11) else step)
    assert after == replaced_operation(BLOCK, 1, 1, ops.Trim())
    assert after.schedule == BLOCK.schedule


def test_a_program_counts_and_yields_the_operations_of_its_block_after_its_steps() -> None:
    program = Program(Header(), (ops.Trim(),), BLOCK)
    assert program.operations_count == 7
    assert list(program.operations) == [ops.Trim(), *(step for lane in BLOCK.lanes for step in lane)]
    assert list(Program(Header(), (ops.Trim(),)).operations) == [ops.Trim()]
    assert Program(Header(), (ops.Trim(),)).operations_count == 1


@given(blocks(), st.data())
def test_no_edit_makes_a_block_malformed(block: Block, data: st.DataObject) -> None:
    def below(count: int) -> int:
        assume(count > 0)
        return data.draw(st.integers(0, count - 1))

    lane, other = below(len(block.lanes)), below(len(block.lanes))
    match below(8):
        case 0:
            well_formed(without_operation(block, lane, below(len(block.lanes[lane]))))
        case 1:
            well_formed(with_operation(block, lane, below(len(block.lanes[lane]) + 1), ops.Trim()))
        case 2:
            operation = below(len(block.lanes[lane]))
            room = len(block.lanes[other]) - (lane == other)
            well_formed(moved_operation(block, lane, operation, other, below(room + 1)))
        case 3:
            assume(len(block.lanes) > 2)
            well_formed(without_lane(block, lane))
        case 4:
            assume(len(block.lanes) > 2 and lane != other)
            well_formed(merged_lanes(block, lane, other))
        case 5:
            well_formed(without_switch(block, below(len(block.schedule))))
        case 6:
            index = below(len(block.schedule))
            operation = below(len(block.lanes[block.schedule[index].lane]))
            well_formed(shifted_switch(block, index, operation, below(50)))
        case _:
            assume(lane != other)
            well_formed(with_switch(block, Switch(lane, len(block.lanes[lane]), 0, other)))


@given(blocks(), st.data())
def test_what_is_put_in_and_dropped_again_leaves_the_block_as_it_was(block: Block, data: st.DataObject) -> None:
    lane = data.draw(st.integers(0, len(block.lanes) - 1))
    at = data.draw(st.integers(0, len(block.lanes[lane])))
    assert without_operation(with_operation(block, lane, at, ops.Trim()), lane, at) == block
