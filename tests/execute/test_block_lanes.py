"""Lanes of a block: each keeps the map contract and its references by itself, and gives back what it holds."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from tests.execute.blocks import block, block_of_program
from zsfuzz.engine.blocks import generate_parallel
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.engine.rng import Dice
from zsfuzz.execute.block_judge import replay_of
from zsfuzz.execute.block_plan import plan_block
from zsfuzz.execute.block_run import BlockExecution, BlockRun
from zsfuzz.execute.execution import Execution
from zsfuzz.execute.runner import PairKey, Runner, machine_config
from zsfuzz.machine.lanes import Policy
from zsfuzz.machine.policies import MAKERS, make_policy
from zsfuzz.oracle.specification import Allocate, Fetch, Release, Span, Store
from zsfuzz.program.program import Header, Program


class Bench:
    """A program's sides right before its block, to run the block on one of them again and again."""

    def __init__(self, made: Program) -> None:
        self.block = block_of_program(made)
        runner = Runner()
        sides = runner._sides(runner._key(made))
        for side in sides:
            side.reset()
        self.execution = Execution(Program(made.header, made.steps), sides, 64, None)
        for step in made.steps:
            self.execution.perform(step)
        self.execution._settle()
        self.plan = plan_block(self.block, sides[0].pages, self.execution._page)
        self.sides = sides
        self._saved = [side.save() for side in sides]

    def run(self, number: int, policy: Policy) -> tuple[BlockRun, bytes]:
        """Return the run on one side, and the arena after it."""
        side = self.sides[number]
        side.load(self._saved[number])
        run = BlockExecution(side, self.plan, self.execution.contract.copy()).run(policy)
        return run, bytes(side.machine.memory.arena)


def outcomes(*lanes: str, steps: str = "h0 = malloc 3000\nh1 = malloc 3000") -> list[list[object]]:
    """Run lanes one after the other on the candidate. Returns what each operation gave, None for a no-op."""
    made = block(steps, *lanes)
    run, _ = Bench(made).run(1, replay_of(()))
    return [
        [run.outcomes.get((number, operation)) for operation in range(len(lane))]
        for number, lane in enumerate(block_of_program(made).lanes)
    ]


# -- the map contract


def test_while_a_lane_holds_a_map_it_reads_writes_and_unmaps_only() -> None:
    held = "map h0 rw\nstats\nfree h1\ncompact\nread h0 0+8\nwrite h0 0+8 1\nmap h1 ro\nread h1 0+8\nunmap h1\nunmap h0"
    assert outcomes(held, "stats")[0] == [0, None, None, None, 8, 8, None, None, None, 0]


def test_a_map_of_one_lane_forbids_nothing_to_another() -> None:
    """
    lane 0  map h0, hold |                        | unmap
    lane 1               | stats, compact, h1 ... |
    """
    made = block("h0 = malloc 3000\nh1 = malloc 3000", "map h0 rw\nunmap h0", "compact\nfree h1\nrun_work")
    run, _ = Bench(made).run(1, replay_of(block_of_program(block("", "stats", "stats", schedule="0.1+0>1")).schedule))
    assert list(run.order) == [(0, 0), (1, 0), (1, 1), (1, 2), (0, 1)]


def test_a_mode_forbids_the_other_access() -> None:
    assert outcomes("map h0 ro\nread h0 0+8\nwrite h0 0+8 1\nunmap h0", "stats")[0] == [0, 8, None, 0]
    assert outcomes("map h0 wo\nread h0 0+8\nwrite h0 0+8 1\nunmap h0", "stats")[0] == [0, None, 8, 0]


def test_accesses_are_clipped_to_the_object_and_nothing_is_a_no_op() -> None:
    lane = "read h0 2990+100\nread h0 3000+1\nwrite h0 2999+50 1\nwrite h0 4000+1 1\nread h7 0+8\nunmap h0\nfree h7"
    assert outcomes(lane, "stats")[0] == [10, None, 1, None, None, None, None]


# -- speculative references


def test_while_a_lane_holds_a_reference_it_takes_and_drops_references_only() -> None:
    lane = (
        "r0 = speculative_get h0.0\nstats\nread h0 0+8\nr0 = speculative_get h0.1\nr1 = speculative_get h0.0\n"
        "speculative_put r0\nstats\nspeculative_put r1\nspeculative_put r1\nstats"
    )
    assert [each is not None for each in outcomes(lane, "stats")[0]] == [
        *(True, False, False, False, True),
        *(True, False, True, False, True),
    ]


# -- what a lane holds at its end


@pytest.mark.parametrize("held", ["map h0 rw", "map h0 wo", "r0 = speculative_get h0.0\nr3 = speculative_get h1.0"])
def test_a_lane_gives_back_what_it_holds_at_its_end(held: str) -> None:
    made = block("h0 = malloc 3000\nh1 = malloc 3000", held, "stats")
    bench = Bench(made)
    for number in range(2):
        run, _ = bench.run(number, replay_of(()))
        side = bench.sides[number]
        assert not side.machine.locks.held and not side.references
        assert run.checks["joins"] == 1
    assert not Runner().run(made).findings


def test_an_isolated_page_stays_isolated_after_the_block_and_is_put_back_at_the_end() -> None:
    made = block("h0 = malloc 3000", "p1 = isolate h0.0", "stats")
    bench = Bench(made)
    run, _ = bench.run(1, replay_of(()))
    assert list(bench.sides[1].pages) == [1] == list(run.contract.page_slots)
    assert not Runner().run(made).findings


# -- failures


def test_an_armed_failure_is_of_its_lane_and_of_one_operation() -> None:
    """Lane 1 allocates while lane 0 is in the middle of the allocation that fails; the next one does not fail."""
    made = block("", "fail malloc page 0\nh0 = malloc 100\nh1 = malloc 100", "h2 = malloc 3000\nh3 = malloc 1000")
    bench = Bench(made)
    for point in range(12):
        schedule = block_of_program(block("", "stats\nstats", "stats", schedule=f"0.1+{point}>1")).schedule
        run, _ = bench.run(1, replay_of(schedule))
        assert [run.outcomes[0, 1], run.outcomes[0, 2], run.outcomes[1, 0], run.outcomes[1, 1]] == [0, 1, 1, 1]


# -- calls


def test_calls_of_the_interface_are_told_as_they_were() -> None:
    made = block(
        "",
        "h0 = malloc 40\nmap h0 rw\nwrite h0 0+2 1\nread h0 1+1\nunmap h0\nfree h0",
        "h1 = malloc 5000\nh2 = malloc 8",
    )
    run, _ = Bench(made).run(1, replay_of(()))
    shown = [(call.lane, call.operation, type(call.action), call.succeeded) for call in run.calls]
    assert shown == [
        (0, 0, Allocate, True),
        (0, 1, Span, True),
        (0, 5, Release, True),
        (1, 0, Allocate, False),
        (1, 1, Allocate, True),
        (2, 2, Span, True),  # every live object is read back at the join
    ]
    span = run.calls[1].action
    assert isinstance(span, Span) and [type(part) for part in span.parts] == [Store, Fetch]
    assert all(call.invoked < call.returned for call in run.calls)
    assert isinstance(run.calls[-1].action, Span) and isinstance(run.calls[-1].action.parts[0], Fetch)


# -- replay


def generated(seed: int, count: int, switches: Sequence[str] = ()) -> list[Program]:
    dice = Dice(Random(seed))
    header = Header("small", switches=tuple(switches))
    return [generate_parallel(dice, header) for _ in range(count)]


@pytest.mark.parametrize("policy", MAKERS)
def test_a_replay_of_what_was_made_is_the_same_run_on_both_allocators(policy: str) -> None:
    """The same arena to the last byte, the same switches, calls, outcomes and counts."""
    preempted = 0
    for made in [*generated(1, 2), *generated(2, 1, ("store_buffers",))]:
        bench = Bench(made)
        lanes = bench.block.lanes
        for number in range(2):
            for seed in range(2):
                lengths = [60 * len(lane) for lane in lanes]
                run, arena = bench.run(number, make_policy(policy, Random(seed), lengths))
                again, same = bench.run(number, replay_of(run.schedule))
                assert replace(again, contract=run.contract) == run and same == arena
                preempted += run.preemptions
    assert preempted > 10


def test_a_machine_made_for_lanes_gives_the_results_of_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """For sequential programs, but for the number of lock acquisitions."""

    def on_lanes(self: Runner, program: Program) -> PairKey:
        return machine_config(program), (), True

    plain, laned = Runner(), Runner()
    monkeypatch.setattr(laned, "_key", on_lanes.__get__(laned))
    engine = RandomEngine(Random(4), GenerateSettings(geometry="small", steps=40))
    for _ in range(30):
        program = engine.next_program()
        results = [runner.run(program) for runner in (plain, laned)]
        checks = [{name: count for name, count in each.checks.items() if name != "locks"} for each in results]
        assert checks[0] == checks[1]
        for field in ("findings", "operations", "no_ops", "features", "expected", "parted"):
            assert getattr(results[0], field) == getattr(results[1], field), field
    assert all(side.machine.lanes is not None for pair in laned._pairs.values() for side in pair)
    assert all(side.machine.lanes is None for pair in plain._pairs.values() for side in pair)


def test_a_machine_that_a_runner_drops_is_freed() -> None:
    runner = Runner()
    made = block("h0 = malloc 100", "stats", "stats")
    runner.run(made)
    gone = [weakref.ref(side) for pair in runner._pairs.values() for side in pair]
    for pages in range(1, 8):
        runner.run(block("", "stats", "stats", header=(f"memory normal={64 * pages} movable=64",), geometry="small"))
    gc.collect()
    assert [each() for each in gone] == [None, None]
