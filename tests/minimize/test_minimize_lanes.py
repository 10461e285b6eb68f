"""Minimizing a block: what is left of a planted bug of lanes is all needed, and its switches are as late as can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from tests.execute.blocks import block, block_of_program, with_chance
from zsfuzz.execute.runner import Runner
from zsfuzz.minimize.minimizer import MinimizeResult, minimize
from zsfuzz.program import ops
from zsfuzz.program.block import (
    Block,
    Switch,
    merged_lanes,
    without_lane,
    without_operation,
    without_switch,
)
from zsfuzz.program.limits import check_program
from zsfuzz.program.program import Header, Program, with_schedule

STRADDLING = "\n".join(f"h{slot} = malloc 3000" for slot in range(6))
POOL = "create_pool z1\nh0 = malloc 3000 z1\np0 = isolate h0.0\nfree h0"


RESCHEDULES = 8


@dataclass(frozen=True, slots=True)
class Case:
    """A program that shows a planted fault under some schedules. lanes, operations: of the smallest block."""

    fault: str
    made: Program
    lanes: int
    operations: int


CASES = (
    Case(
        "L-area",
        block(STRADDLING, "stats\nwrite h1 0+3000 1\nread h1 0+3000", "compact\nwrite h2 0+3000 2", "run_work"),
        2,
        2,
    ),
    Case("L-wake", block(POOL, "run_work\ndestroy_pool z1", "putback p0\nstats z2", "run_work\nstats z2"), 2, 2),
    Case(
        "L-trypin",
        block(
            f"{STRADDLING}\nfree h0\nfree h2",
            "map h1 rw\nwrite h1 0+3000 7\nunmap h1\nread h1 0+100",
            "stats z3\ncompact",
            "run_work\nread h3 0+8",
        ),
        2,
        2,
    ),
)


class Kept:
    """The start of a minimization: a program with a schedule that shows the fault, and what has to stay."""

    def __init__(self, case: Case) -> None:
        self.runner = Runner(faults=(case.fault,))
        self.start, self.signature = self._search(case.made)

    def _search(self, made: Program, tries: int = 60) -> tuple[Program, str]:
        for number in range(tries):
            tried = with_chance(made, ("random", "pct2", "pct3")[number % 3], number)
            result = self.runner.run(tried)
            if result.findings and result.schedule is not None:
                return with_schedule(tried, result.schedule), result.findings[0].signature
        raise AssertionError("no schedule showed the fault")

    def interesting(self, program: Program) -> bool:
        """The same signature."""
        check_program(program)
        findings = self.runner.run(program).findings
        return bool(findings) and findings[0].signature == self.signature

    def reschedule(self, program: Program) -> Program | None:
        """Another schedule, as `zsfuzz minimize` looks for one."""
        for number in range(RESCHEDULES):
            tried = with_chance(program, ("random", "pct2")[number % 2], number)
            result = self.runner.run(tried)
            if result.findings and result.findings[0].signature == self.signature and result.schedule is not None:
                return with_schedule(tried, result.schedule)
        return None


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.fault)
def minimized(request: pytest.FixtureRequest) -> tuple[Case, Kept, MinimizeResult]:
    case: Case = request.param
    kept = Kept(case)
    return case, kept, minimize(kept.start, kept.interesting, budget=3000, reschedule=kept.reschedule)


Minimized = tuple[Case, Kept, MinimizeResult]


def smaller(made: Block) -> dict[str, list[Block]]:
    """Return every block that is smaller by one thing."""
    lanes = range(len(made.lanes))
    return {
        "switch": [without_switch(made, index) for index in range(len(made.schedule))],
        "operation": [
            without_operation(made, lane, number) for lane in lanes for number in range(len(made.lanes[lane]))
        ],
        "lane": [without_lane(made, lane) for lane in lanes if len(made.lanes) > 2]
        + [merged_lanes(made, lane, other) for lane in lanes for other in lanes if lane != other and len(lanes) > 2],
    }


def test_nothing_that_is_left_can_go(minimized: Minimized) -> None:
    """No switch, no operation under the schedule that is left or under another, no lane, and no step before."""
    _, kept, result = minimized
    left = result.program
    assert result.complete and kept.interesting(left)
    for what, blocks in smaller(block_of_program(left)).items():
        for each in blocks:
            tried = replace(left, block=each)
            assert not kept.interesting(tried), what
            assert what == "switch" or kept.reschedule(tried) is None, what
    for number in range(len(left.steps)):
        steps = left.steps[:number] + left.steps[number + 1 :]
        assert not kept.interesting(replace(left, steps=steps)), number


def test_it_is_as_small_as_a_person_would_write_it(minimized: Minimized) -> None:
    case, kept, result = minimized
    left, start = block_of_program(result.program), block_of_program(kept.start)
    assert len(left.lanes) == case.lanes and left.operations_count == case.operations
    assert len(left.schedule) <= 3 <= len(start.schedule) + 2
    assert left.operations_count < start.operations_count


def test_lanes_are_needed(minimized: Minimized) -> None:
    _, kept, result = minimized
    made = block_of_program(result.program)
    for order in (made.lanes, tuple(reversed(made.lanes))):
        steps = result.program.steps + tuple(step for lane in order for step in lane)
        assert not kept.interesting(replace(result.program, steps=steps, block=None))


def test_no_switch_could_come_one_point_later(minimized: Minimized) -> None:
    _, kept, result = minimized
    made = block_of_program(result.program)
    for index, switch in enumerate(made.schedule):
        if switch.operation == len(made.lanes[switch.lane]):
            continue
        later = replace(switch, point=switch.point + 1)
        schedule = (*made.schedule[:index], later, *made.schedule[index + 1 :])
        if len({each.place for each in schedule}) == len(schedule):
            assert not kept.interesting(replace(result.program, block=replace(made, schedule=tuple(sorted(schedule)))))


# -- single passes, on predicates that need no machine

LANES = ((ops.Trim(), ops.RunWork()), (ops.Compact(),), (ops.RunWork(),))


def shrink(start: Block, interesting: Callable[[Block], bool]) -> tuple[Block, MinimizeResult]:
    """Minimize a block by a predicate on blocks."""

    def of_program(program: Program) -> bool:
        check_program(program)
        return program.block is not None and interesting(program.block)

    result = minimize(Program(Header(), (), start), of_program, budget=20_000)
    return block_of_program(result.program), result


def test_a_switch_that_may_be_anywhere_goes_and_the_search_ends() -> None:
    """It is not needed once the other one has moved: it must not be put later and later for ever."""

    def interesting(made: Block) -> bool:
        """Switch 0 at one of points 40 to 50; before that it takes the second one, behind them it does nothing."""
        first = [each for each in made.schedule if each.place[:2] == (0, 0) and made.lanes[0] and each.point <= 50]
        return bool(first) and (first[0].point >= 40 or len(made.schedule) == 2)

    left, result = shrink(Block(LANES, (Switch(0, 0, 3, 1), Switch(1, 0, 5, 0))), interesting)
    assert [each.lane for each in left.schedule] == [0] and left.schedule[0].point == 50
    assert result.complete and result.executions < 200


def test_switches_become_few_and_late() -> None:
    """What counts is one switch of lane 0 to lane 1 between points 10 and 300 of its first operation."""
    many = tuple(Switch(lane, 0, point, (lane + 1) % 3) for lane in range(3) for point in range(0, 60, 3))

    def interesting(made: Block) -> bool:
        return any(each.place[:2] == (0, 0) and each.to == 1 and 10 <= each.point <= 300 for each in made.schedule)

    left, result = shrink(Block(LANES, many), interesting)
    assert left.schedule == (Switch(0, 0, 300, 1),)
    assert len(left.lanes) == 2 and left.operations_count == 1
    assert result.complete


def test_stores_are_held_back_only_where_that_matters() -> None:
    start = Block(LANES, (Switch(0, 0, 3, 1, 2), Switch(1, 0, 2, 0, 1)))

    def interesting(made: Block) -> bool:
        return len(made.schedule) == 2 and any(each.held == 1 for each in made.schedule)

    left, _ = shrink(start, interesting)
    assert sorted(each.held for each in left.schedule) == [0, 1]


def test_a_switch_outlives_its_operation_before_the_next_one() -> None:
    """
    lane 0  trim ..> | run_work        only the switch before run_work counts, and trim is not needed:
    lane 0         > | run_work        what is left has it at the beginning of run_work, or later in it
    """

    def interesting(made: Block) -> bool:
        """Lane 0 gives way somewhere before its run_work is through."""
        if ops.RunWork() not in made.lanes[0]:
            return False
        places = [each.place for each in made.schedule if each.lane == 0]
        return any((0, made.lanes[0].index(ops.RunWork()) - 1, 0) <= place for place in places)

    left, _ = shrink(Block(LANES, (Switch(0, 0, 3, 1),)), interesting)
    assert left.lanes[0] == (ops.RunWork(),) and len(left.schedule) == 1


def test_two_lanes_that_one_can_do_become_one() -> None:
    """Compact and run_work in one lane; a second lane has to stay."""

    def interesting(made: Block) -> bool:
        kinds = {type(step) for lane in made.lanes for step in lane}
        return {ops.Compact, ops.RunWork} <= kinds

    left, _ = shrink(Block(LANES, ()), interesting)
    assert len(left.lanes) == 2 and left.operations_count == 2


def test_a_block_that_needs_no_lanes_becomes_steps() -> None:
    start = Program(Header(), (ops.Malloc(0, 9),), Block(LANES, (Switch(0, 0, 3, 1),)))

    def interesting(program: Program) -> bool:
        return ops.Compact() in program.operations and ops.Malloc in map(type, program.operations)

    result = minimize(start, interesting)
    assert result.program.block is None
    assert [type(step) for step in result.program.steps] == [ops.Malloc, ops.Compact]
