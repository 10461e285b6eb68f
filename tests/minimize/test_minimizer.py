"""The minimizer by itself: known smallest programs are reached, and every end leaves a good one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from tests.engine.tiny import Bug, CombinationLock, putback_of_the_dead, run_tiny
from zsfuzz.engine.deck import Deck
from zsfuzz.engine.generate import generate_program
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.rng import Dice
from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.minimize.minimizer import MinimizeProgress, MinimizeResult, minimize
from zsfuzz.minimize.order import cost
from zsfuzz.minimize.search import Search, smallest
from zsfuzz.program import ops
from zsfuzz.program.block import Block, Switch, without_switch
from zsfuzz.program.limits import check_program
from zsfuzz.program.program import Header, Program

Step = ops.Operation


def gives(bug: Callable[[], Bug], rule: str) -> Callable[[Program], bool]:
    def interesting(program: Program) -> bool:
        findings = run_tiny(program, bug()).findings
        return bool(findings) and findings[0].rule == rule

    return interesting


DEAD = gives(lambda: putback_of_the_dead, "dead-putback")
OPEN = gives(CombinationLock, "lock-open")


def long_programs(interesting: Callable[[Program], bool], count: int, seed: int) -> list[Program]:
    """Return generated programs that the predicate accepts."""
    dice = Dice(Random(seed))
    deck = Deck(dice, GenerateSettings())
    found: list[Program] = []
    for _ in range(5000):
        program = generate_program(dice, deck.deal(), 100)
        if interesting(program):
            found.append(program)
        if len(found) == count:
            return found
    raise AssertionError(f"only {len(found)} of {count} programs were interesting")


def steps_of(result: MinimizeResult) -> list[Step]:
    return list(result.program.steps)


@pytest.mark.parametrize("number", range(8))
def test_a_long_random_program_shrinks_to_the_four_steps_of_the_bug(number: int) -> None:
    """The smallest class with four pages in 4096-byte pages is that of 153-byte requests."""
    program = long_programs(DEAD, 8, seed=1)[number]
    result = minimize(program, DEAD)
    assert result.program == Program(
        Header(),
        (ops.Malloc(0, 153), ops.Isolate(0, ops.Component(0, 0)), ops.Free(0), ops.Putback(0)),
    )
    assert result.complete
    assert result.steps_before == len(program.steps)
    assert result.steps_after == 4
    assert result.executions < 1000


def lock_program() -> Program:
    """A combination in the middle of noise."""
    program = generate_program(Dice(Random(12)), Header("small"), 40)
    noise = [step for step in program.steps if not isinstance(step, ops.Map | ops.SpeculativeGet)]
    combination: list[Step] = [
        ops.Malloc(60, 600, ops.Gfp.KERNEL),
        ops.Isolate(14, ops.Component(60, 2)),
        ops.Free(60),
        ops.Contig(70, 100),
        ops.Bystander(15, ops.BystanderKind.RESERVED, 3),
        ops.Trim(),
        ops.Shrink(ops.ShrinkKind.SCAN),
        ops.CreatePool(3),
        ops.Compact(2),
        ops.Putback(14),
    ]
    header = Header("small", 64, 96, ("batched_migration", "no_quarantine"), verdict="clean", faults=("H05",))
    return Program(header, (*noise, *combination, *noise))


def test_arguments_slots_and_header_become_as_plain_as_the_bug_allows() -> None:
    result = minimize(lock_program(), OPEN)
    assert steps_of(result) == [
        ops.Malloc(0, 25),  # of class 48, the smallest with more than one page
        ops.Isolate(0, ops.Component(0, 0)),
        ops.Free(0),
        ops.Contig(0, 0),
        ops.Trim(),
        ops.Shrink(ops.ShrinkKind.COUNT),
        ops.CreatePool(0),
        ops.Putback(0),
    ]
    assert result.program.header == Header(verdict="clean", faults=("H05",))


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_predicate_wants_of_a_random_program_is_all_that_is_left(seed: int) -> None:
    dice = Dice(Random(seed))
    program = generate_program(dice, Deck(dice, GenerateSettings()).deal(), 60)
    wanted = {type(dice.pick(program.steps)) for _ in range(3)}

    def interesting(program: Program) -> bool:
        return wanted <= {type(step) for step in program.steps}

    result = minimize(program, interesting)
    assert sorted(type(step).__name__ for step in result.program.steps) == sorted(kind.__name__ for kind in wanted)
    assert result.program.header == Header()


def test_an_imported_trace_of_twenty_thousand_steps_is_no_trouble() -> None:
    """Thousands of slots; what matters is one pair of steps in the middle."""
    steps: list[Step] = []
    for slot in range(10_000):
        steps += [ops.Malloc(slot, slot % 4000 + 1), ops.Free(slot)]
    result = minimize(
        Program(Header(), tuple(steps)),
        lambda program: {ops.Malloc(6000, 2001), ops.Free(6000)} <= set(program.steps),
    )
    assert steps_of(result) == [ops.Malloc(6000, 2001), ops.Free(6000)]
    assert result.executions < 250


def test_minimizing_again_changes_nothing() -> None:
    once = minimize(lock_program(), OPEN).program
    again = minimize(once, OPEN)
    assert again.program == once


def test_the_same_start_gives_the_same_result_after_the_same_executions() -> None:
    assert minimize(lock_program(), OPEN) == minimize(lock_program(), OPEN)


def test_every_program_that_is_tried_is_well_formed_and_tried_once() -> None:
    tried: list[Program] = []

    def interesting(program: Program) -> bool:
        check_program(program)
        tried.append(program)
        return OPEN(program)

    result = minimize(lock_program(), interesting)
    assert len(tried) == result.executions
    assert len(set(tried)) == len(tried)
    assert result.repeats > 0


def test_progress_is_told_after_every_execution_and_only_goes_down() -> None:
    seen: list[MinimizeProgress] = []
    result = minimize(lock_program(), OPEN, progress=seen.append)
    assert [each.executions for each in seen] == sorted(each.executions for each in seen)
    assert {each.executions for each in seen} == set(range(1, result.executions + 1))
    steps = [each.steps for each in seen]
    assert steps == sorted(steps, reverse=True)
    assert {"start", "steps", "arguments", "numbering", "header"} <= {each.phase for each in seen}


@pytest.mark.parametrize("budget", [1, 2, 10, 60])
def test_a_budget_is_kept_and_the_best_program_so_far_is_good(budget: int) -> None:
    result = minimize(lock_program(), OPEN, budget=budget)
    assert result.executions == budget
    assert (result.exhausted, result.interrupted, result.complete) == (True, False, False)
    assert OPEN(result.program)
    assert result.steps_after <= result.steps_before


@pytest.mark.parametrize("at", [1, 5, 40])
def test_an_interrupt_keeps_the_best_so_far(at: int) -> None:
    executions = 0

    def interesting(program: Program) -> bool:
        nonlocal executions
        executions += 1
        if executions == at:
            raise KeyboardInterrupt
        return OPEN(program)

    result = minimize(lock_program(), interesting)
    assert (result.interrupted, result.exhausted, result.complete) == (True, False, False)
    assert OPEN(result.program)


def test_an_error_of_the_predicate_comes_through() -> None:
    def interesting(program: Program) -> bool:
        raise RuntimeError("target fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        minimize(lock_program(), interesting)


def test_a_start_that_is_not_interesting_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="does not show"):
        minimize(Program(Header(), ()), OPEN)


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        minimize(lock_program(), OPEN, budget=0)


def shrink(interesting: Callable[[Program], bool], *steps: Step, header: Header | None = None) -> list[Step]:
    return steps_of(minimize(Program(header or Header(), steps), interesting))


def has(kind: type[Step], check: Callable[[ops.Operation], bool] = lambda step: True) -> Callable[[Program], bool]:
    return lambda program: any(type(step) is kind and check(step) for step in program.steps)


def test_what_opens_and_what_closes_go_together() -> None:
    """One without the other is not interesting; both are not needed."""

    def interesting(program: Program) -> bool:
        balance = sum(isinstance(step, ops.Map) for step in program.steps)
        balance -= sum(isinstance(step, ops.Unmap) for step in program.steps)
        return balance == 0 and has(ops.Trim)(program)

    left = shrink(interesting, ops.Map(0, ops.MapMode.RO), ops.Trim(), ops.Unmap(0))
    assert left == [ops.Trim()]


def test_an_isolation_moves_into_the_request_that_uses_it() -> None:
    def interesting(program: Program) -> bool:
        """A migrate of component 2, by any name."""
        names: dict[int, ops.PageName] = {}
        for step in program.steps:
            if isinstance(step, ops.Isolate):
                names[step.page_slot] = step.page
            elif isinstance(step, ops.Migrate):
                pages = [names.get(p.page_slot) if isinstance(p, ops.IsolatedPage) else p for p in step.pages]
                if ops.Component(0, 2) in pages:
                    return True
        return False

    left = shrink(
        interesting,
        ops.Isolate(3, ops.Component(0, 2)),
        ops.Migrate((ops.IsolatedPage(1), ops.IsolatedPage(3)), ops.MigrateMode.SYNC),
    )
    assert left == [ops.Migrate((ops.Component(0, 2),), ops.MigrateMode.ASYNC)]


def test_a_range_narrows_to_the_pfn_that_matters() -> None:
    def interesting(program: Program) -> bool:
        return any(isinstance(s, ops.Scan) and s.start <= 37 < s.end for s in program.steps)

    left = shrink(interesting, ops.Scan(ops.Scanner.KPAGEFLAGS, 0, 256))
    assert left == [ops.Scan(ops.Scanner.ISOLATE_MIGRATEPAGES, 37, 38)]


def test_a_range_that_need_not_be_there_moves_to_zero() -> None:
    assert shrink(has(ops.Contig), ops.Contig(20, 90)) == [ops.Contig(0, 0)]


def test_a_pfn_gives_way_to_a_component_where_that_does_as_well() -> None:
    steps = ops.Malloc(4, 100), ops.Poison(ops.Pfn(99), ops.PoisonKind.HARD)

    def interesting(program: Program) -> bool:
        return has(ops.Malloc)(program) and has(ops.Poison)(program)

    assert shrink(interesting, *steps) == [
        ops.Malloc(0, 0),
        ops.Poison(ops.Component(0, 0), ops.PoisonKind.SOFT),
    ]


def test_slots_whose_lives_do_not_overlap_become_one() -> None:
    """Two objects of 500 bytes, one after the other."""

    def interesting(program: Program) -> bool:
        frees = 0
        live: set[int] = set()
        for step in program.steps:
            if isinstance(step, ops.Malloc) and step.slot not in live and step.size == 500:
                live.add(step.slot)
            elif isinstance(step, ops.Free) and step.slot in live:
                live.remove(step.slot)
                frees += 1
        return frees == 2

    left = shrink(interesting, ops.Malloc(9, 500), ops.Free(9), ops.Malloc(4, 500), ops.Free(4))
    assert left == [ops.Malloc(0, 500), ops.Free(0), ops.Malloc(0, 500), ops.Free(0)]


def test_slots_that_must_differ_are_numbered_by_appearance() -> None:
    def interesting(program: Program) -> bool:
        return len({step.slot for step in program.steps if isinstance(step, ops.Malloc)}) == 3

    left = shrink(interesting, *[ops.Malloc(slot, 0) for slot in (40, 7, 12)])
    assert left == [ops.Malloc(0, 0), ops.Malloc(1, 0), ops.Malloc(2, 0)]


def test_a_geometry_that_matters_stays() -> None:
    header = Header("small", 64, 96, ("no_compaction", "no_quarantine"))

    def interesting(program: Program) -> bool:
        small = program.header.geometry == "small" and program.header.movable_pages == 96
        return small and "no_compaction" in program.header.switches

    result = minimize(Program(header, (ops.Trim(),)), interesting)
    assert result.program == Program(Header("small", 0, 96, ("no_compaction",)), ())


def test_a_memory_that_must_be_small_becomes_as_small_as_it_may() -> None:
    def interesting(program: Program) -> bool:
        return 40 <= program.header.normal_pages <= 100

    result = minimize(Program(Header(normal_pages=96), ()), interesting)
    assert result.program.header.normal_pages == 64


@pytest.mark.parametrize("target", [0, 1, 2, 77, 999, 1000])
def test_smallest_finds_the_edge_in_few_calls(target: int) -> None:
    calls: list[int] = []

    def works(value: int) -> bool:
        calls.append(value)
        return value >= target

    assert smallest(0, 1000, works) == target
    assert len(calls) <= (3 if target == 1000 else 12)
    assert 1000 not in calls


def test_smallest_looks_once_into_a_gap() -> None:
    """What works need not be all above an edge: sizes of four-page classes lie here and there."""
    assert smallest(0, 1000, lambda value: 480 <= value <= 520 or value == 1000) == 480


def test_a_proposal_that_is_not_simpler_is_a_fault_of_ours() -> None:
    start = Program(Header(), (ops.Malloc(0, 1),))
    search = Search(start, lambda program: True, None, None)
    with pytest.raises(HarnessError, match="not simpler"):
        search.attempt(Program(Header(), (ops.Malloc(0, 2),)))


def test_the_order_puts_length_first_then_header_then_arguments_then_slots() -> None:
    programs = [
        Program(Header("small"), ()),
        Program(Header(), (ops.Malloc(0, 1),)),
        Program(Header(), (ops.Malloc(9, 1),)),
        Program(Header(), (ops.Malloc(0, 2),)),
        Program(Header(switches=("no_quarantine",)), (ops.Malloc(0, 1),)),
        Program(Header("small"), (ops.Malloc(0, 1),)),
        Program(Header(), (ops.Malloc(0, 1), ops.Trim())),
    ]
    costs = [cost(program) for program in programs]
    assert costs == sorted(costs)
    assert len(set(costs)) == len(costs)


LANES = ((ops.Free(8), ops.Malloc(5, 808)), (ops.Migrate((ops.Component(8, 1),), ops.MigrateMode.SYNC),))
BLOCK = Block(LANES, (Switch(0, 0, 3, 1), Switch(1, 0, 2, 0)))


def frees_in_its_block(program: Program) -> bool:
    """Return whether a block frees in its first lane what a step has made, and the schedule is the sample's."""
    made = {step.slot for step in program.steps if isinstance(step, ops.Malloc)}
    block = program.block
    return (
        block is not None
        and block.schedule == BLOCK.schedule
        and block.lanes[0][0] in [ops.Free(slot) for slot in made]
    )


def test_the_steps_before_a_block_shrink_and_the_block_stays() -> None:
    """Slots are numbered through both; an operation without a switch goes, those whose switches count stay."""
    steps = (ops.Malloc(7, 64), ops.Trim(), ops.Malloc(8, 64), ops.RunWork())
    result = minimize(Program(Header("small"), steps, BLOCK), frees_in_its_block)
    migrate = ops.Migrate((ops.Component(0, 1),), ops.MigrateMode.SYNC)
    lanes = ((ops.Free(0),), (migrate,))
    assert result.program == Program(Header(), (ops.Malloc(0, 0),), Block(lanes, BLOCK.schedule))
    assert (result.steps_before, result.steps_after) == (7, 3)


def test_the_order_counts_a_block_by_operations_then_lanes_then_switches_and_late_ones_are_simpler() -> None:
    trim, header = ops.Trim(), Header()
    late, early = Switch(0, 1, 0, 1), Switch(0, 0, 4, 1)
    programs = [
        Program(header, (trim,) * 3),
        Program(header, (), Block(((trim, trim), (trim,)))),
        Program(header, (), Block(((trim, trim), (trim,)), (late,))),
        Program(header, (), Block(((trim, trim), (trim,)), (replace(early, point=5),))),
        Program(header, (), Block(((trim, trim), (trim,)), (early,))),
        Program(header, (), Block(((trim, trim), (trim,)), (replace(early, held=1),))),
        Program(header, (), Block(((trim, trim), (trim,)), (early, late))),
        Program(header, (), Block(((trim, trim), (trim,), ()))),
        Program(header, (trim,), Block(((trim, trim), (trim,)))),
    ]
    costs = [cost(program) for program in programs]
    assert costs == sorted(costs)
    assert len(set(costs)) == len(costs)


def test_operations_of_other_classes_at_one_place_can_be_compared() -> None:
    one = Program(Header(), (), Block(((ops.Compact(), ops.Isolate(0, ops.Pfn(1))), ())))
    other = Program(Header(), (), Block(((ops.Isolate(0, ops.Pfn(1)), ops.Compact()), ())))
    assert (cost(one) < cost(other)) != (cost(other) < cost(one))


def test_a_program_with_fewer_switches_is_taken() -> None:
    search = Search(Program(Header(), (), BLOCK), lambda program: True, None, None)
    assert search.attempt(Program(Header(), (), without_switch(BLOCK, 0)))
