"""Blocks of the engines: well-formed, effective, deterministic, and every idiom among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from zsfuzz.engine import blocks
from zsfuzz.engine.blocks import (
    LANE_OPERATIONS,
    STEPS_BEFORE,
    draw_chance,
    generate_parallel,
    mutated_block,
    reblocked,
    rescheduled,
)
from zsfuzz.engine.generate import StepWriter
from zsfuzz.engine.lane_idioms import LANE_IDIOMS, NEED_BARRIERS, Lane, settle
from zsfuzz.engine.parallel_engine import FAMILY, ParallelEngine
from zsfuzz.engine.profile import GenerateSettings, draw_profile
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.engine.rng import Dice
from zsfuzz.execute.runner import Runner
from zsfuzz.machine.policies import check_policy
from zsfuzz.program.block import MAX_LANES, MIN_LANES, PORTFOLIO, Block, Switch
from zsfuzz.program.limits import check_program
from zsfuzz.program.program import Header, Program, with_schedule

PLAIN, BUFFERED = Header("small"), Header("small", switches=("store_buffers",))
Idiom = Callable[[StepWriter], list[Lane]]


def block_of(program: Program) -> Block:
    assert program.block is not None
    return program.block


def scheduled(dice: Dice, program: Program) -> Program:
    """A program as it is kept: with a schedule that a run could have made."""
    lanes = block_of(program).lanes
    places = {
        (lane, dice.below(len(lanes[lane])), dice.below(90))
        for lane in [dice.below(len(lanes)) for _ in range(dice.below(9))]
        if lanes[lane]
    }
    places |= {(lane, len(lanes[lane]), 0) for lane in range(len(lanes)) if dice.percent(20)}
    count = len(lanes)
    switches = [Switch(*place, (place[0] + 1 + dice.below(count - 1)) % count, dice.below(3)) for place in places]
    return with_schedule(program, tuple(sorted(switches)))


def test_five_hundred_generated_and_mutated_blocks_are_well_formed() -> None:
    dice = Dice(Random(1))
    kept = [generate_parallel(dice, header) for header in (PLAIN, BUFFERED, Header(), Header("small", 32, 64))]
    for program in kept:
        check_program(program)
    for number in range(500):
        parent, other = dice.pick(kept), dice.pick(kept)
        if block_of(parent).chance is not None and dice.percent(70):
            parent = scheduled(dice, parent)
            check_program(parent)
        lengths = tuple(30 * len(lane) for lane in block_of(parent).lanes) if dice.percent(80) else ()
        make: list[Callable[[], Program]] = [
            partial(generate_parallel, dice, PLAIN if number % 4 else BUFFERED),
            partial(reblocked, dice, parent),
            partial(rescheduled, dice, parent, lengths),
            partial(mutated_block, dice, parent, other, lengths),
        ]
        program = make[min(3, number % 6)]()
        check_program(program)
        kept[dice.below(len(kept))] = program
        if len(kept) < 40:
            kept.append(program)


def test_a_block_has_few_lanes_of_few_operations() -> None:
    dice = Dice(Random(2))
    made = [block_of(generate_parallel(dice, PLAIN)) for _ in range(200)]
    assert {len(block.lanes) for block in made} == set(range(MIN_LANES, MAX_LANES + 1))
    assert all(1 <= len(lane) <= LANE_OPERATIONS + 2 for block in made for lane in block.lanes)
    assert all(block.chance is not None and not block.schedule for block in made)


def test_a_fresh_block_gets_a_policy_that_exists_in_the_shares_of_the_portfolio() -> None:
    dice = Dice(Random(3))
    plain = Counter(draw_chance(dice, PLAIN).policy for _ in range(1000))
    assert set(plain) == set(PORTFOLIO)
    for policy, count in plain.items():
        check_policy(policy)
        assert abs(count - 100 * PORTFOLIO.count(policy)) < 60
    buffered = [draw_chance(dice, BUFFERED) for _ in range(300)]
    assert 130 < sum(chance.policy == "stores" for chance in buffered) < 230
    assert 30 < sum(chance.leader == 0 for chance in buffered) < 120


def test_the_same_seed_gives_the_same_programs() -> None:
    def programs() -> list[Program]:
        dice = Dice(Random(7))
        made = [generate_parallel(dice, BUFFERED) for _ in range(20)]
        made += [reblocked(dice, each) for each in made[:10]]
        return made + [mutated_block(dice, each, made[0], (50, 50)) for each in made]

    assert programs() == programs()


# -- idioms


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner()


@pytest.mark.parametrize("idiom", LANE_IDIOMS, ids=lambda idiom: idiom.__name__)
def test_an_idiom_makes_lanes_that_act_on_a_sound_pair(idiom: Idiom, runner: Runner) -> None:
    """At least two lanes; most of what they do is no no-op."""
    effective = no_ops = 0
    for seed in range(12):
        dice = Dice(Random(seed))
        writer = StepWriter(dice, draw_profile(dice, PLAIN, STEPS_BEFORE))
        settle(writer)
        lanes = idiom(writer)
        assert MIN_LANES <= len(lanes) <= MAX_LANES and all(lanes)
        block = Block(tuple(map(tuple, lanes)), (), draw_chance(dice, PLAIN))
        program = Program(PLAIN, tuple(writer.steps), block)
        check_program(program)
        result = runner.run(program)
        assert not result.findings, result.findings[0].message
        before = runner.run(Program(PLAIN, program.steps))
        effective += result.operations - before.operations
        no_ops += result.no_ops - before.no_ops
    assert effective > no_ops


@pytest.mark.parametrize("header", [PLAIN, BUFFERED], ids=["plain", "buffered"])
def test_every_idiom_is_picked(header: Header, monkeypatch: pytest.MonkeyPatch) -> None:
    picked: Counter[str] = Counter()

    def counted(idiom: Idiom) -> Idiom:
        def call(writer: StepWriter) -> list[Lane]:
            picked[idiom.__name__] += 1
            return idiom(writer)

        return call

    monkeypatch.setattr(blocks, "LANE_IDIOMS", tuple(map(counted, LANE_IDIOMS)))
    monkeypatch.setattr(blocks, "NEED_BARRIERS", tuple(map(counted, NEED_BARRIERS)))
    dice = Dice(Random(5))
    program = generate_parallel(dice, header)
    for _ in range(150):
        generate_parallel(dice, header)
        reblocked(dice, program)
    assert set(picked) == {idiom.__name__ for idiom in LANE_IDIOMS}
    rare, often = min(picked.values()), sum(picked[idiom.__name__] for idiom in NEED_BARRIERS)
    assert rare >= 3
    assert header is PLAIN or often > sum(picked.values()) / 2


# -- mutation


def test_a_reblocked_program_keeps_its_steps() -> None:
    dice = Dice(Random(8))
    for _ in range(30):
        program = generate_parallel(dice, PLAIN)
        other = reblocked(dice, program)
        assert other.steps[: len(program.steps)] == program.steps
        assert other.block != program.block


def test_a_rescheduled_program_keeps_its_operations() -> None:
    dice = Dice(Random(9))
    program = scheduled(dice, generate_parallel(dice, PLAIN))
    other = rescheduled(dice, program, (10, 20))
    assert (other.header, other.steps, block_of(other).lanes) == (
        program.header,
        program.steps,
        block_of(program).lanes,
    )
    chance = block_of(other).chance
    assert chance is not None and chance.lengths == (10, 20) and not block_of(other).schedule


def test_every_form_of_mutation_is_made() -> None:
    """Of the schedule alone, of an operation, of a whole lane; and none changes the steps."""
    dice = Dice(Random(10))
    forms: Counter[str] = Counter()
    programs = [scheduled(dice, generate_parallel(dice, PLAIN)) for _ in range(20)]
    for _ in range(300):
        parent = dice.pick(programs)
        child = mutated_block(dice, parent, dice.pick(programs), (60,) * 4)
        assert child.steps == parent.steps
        before, after = block_of(parent), block_of(child)
        if after.chance is not None:
            forms["lane" if after.lanes != before.lanes else "new schedule"] += 1
        elif after.operations_count != before.operations_count:
            forms["dropped" if after.operations_count < before.operations_count else "added"] += 1
        else:
            forms["schedule" if after.schedule != before.schedule else "same"] += 1
    assert min(forms[form] for form in ("lane", "new schedule", "dropped", "added", "schedule")) > 10
    assert forms["same"] < 60


# -- the engine around


def parallel(percent: int, *, learns: bool = True, seed: int = 1) -> ParallelEngine:
    settings = GenerateSettings(steps=30, geometry="small")
    return ParallelEngine(RandomEngine(Random(seed), settings), Random(seed), settings, percent, learns=learns)


@pytest.mark.parametrize("percent", [0, 100])
def test_none_or_all_programs_have_a_block(percent: int) -> None:
    engine = parallel(percent)
    programs = [engine.next_program() for _ in range(60)]
    assert all((program.block is not None) == bool(percent) for program in programs)
    assert engine.statistics()["blocks"] == (60 if percent else 0)


def test_between_them_families_come_whose_steps_are_the_same() -> None:
    """A family comes as one: its runs go on from the checkpoint behind the steps."""
    engine = parallel(30, learns=False)
    made = [(engine.next_program(), engine._left) for _ in range(300)]
    starts = [number for number, (_, left) in enumerate(made) if left == FAMILY - 1]
    assert len(starts) > 5 and any(program.block is None for program, _ in made)
    for start in starts[:-1]:
        first, *others = [program for program, _ in made[start : start + FAMILY]]
        assert all(each.block is not None and each.steps[: len(first.steps)] == first.steps for each in others)
        assert {each.header for each in others} == {first.header}
        assert len({each.block for each in (first, *others)}) == FAMILY


def test_what_reached_something_new_is_kept_with_the_schedule_that_was_made(runner: Runner) -> None:
    kept: list[Program] = []
    settings = GenerateSettings(steps=30, geometry="small")
    inner = RandomEngine(Random(1), settings)
    engine = ParallelEngine(inner, Random(1), settings, 100, learns=True, keep=kept.append)
    for _ in range(25):
        program = engine.next_program()
        result = runner.run(program)
        assert not result.findings, result.findings[0].message
        engine.feedback(program, result)
    assert kept and engine.statistics()["block_entries"] == len(kept)
    for each in kept:
        check_program(each)
        assert block_of(each).chance is None
        assert runner.run(each).schedule == block_of(each).schedule
