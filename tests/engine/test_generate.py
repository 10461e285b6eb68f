"""Generation: well-formed programs of the published mix, in which the shapes of known bugs occur."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from enum import Enum
from random import Random

import pytest

from tests.engine.tiny import TinyState, effective_kinds
from zsfuzz.engine.choose import CHOOSERS
from zsfuzz.engine.deck import SIZE, Deck
from zsfuzz.engine.generate import StepWriter, generate_addition, generate_program
from zsfuzz.engine.idioms import IDIOMS
from zsfuzz.engine.profile import CORE_WEIGHTS, IDIOM_WEIGHTS, OTHER_WEIGHTS, GenerateSettings, draw_profile
from zsfuzz.engine.rng import Dice
from zsfuzz.engine.vocabulary import CORE_KINDS
from zsfuzz.errors import UsageError
from zsfuzz.machine.geometry import GEOMETRIES, geometry
from zsfuzz.program import ops
from zsfuzz.program.block import BLOCK_SWITCHES
from zsfuzz.program.limits import check_program
from zsfuzz.program.program import SWITCHES, Header, Program

COUNT = 400


def generated(count: int = COUNT, seed: int = 1, settings: GenerateSettings | None = None) -> list[Program]:
    dice = Dice(Random(seed))
    settings = settings or GenerateSettings()
    deck = Deck(dice, settings)
    return [generate_program(dice, deck.deal(), settings.steps) for _ in range(count)]


@pytest.fixture(scope="module")
def programs() -> list[Program]:
    return generated()


def all_steps(programs: list[Program]) -> list[ops.Operation]:
    return [step for program in programs for step in program.steps]


def test_every_program_is_well_formed(programs: list[Program]) -> None:
    for program in programs:
        check_program(program)


def test_a_quarter_of_the_effective_operations_are_of_the_published_mix(programs: list[Program]) -> None:
    counts: Counter[type] = Counter()
    for program in programs:
        counts += effective_kinds(program)
    share = sum(counts[kind] for kind in CORE_KINDS) / sum(counts.values())
    assert 0.28 <= share <= 0.45
    assert all(counts[kind] > 0.005 * sum(counts.values()) for kind in CORE_KINDS)


def test_most_operations_are_effective_and_a_few_are_nonsense(programs: list[Program]) -> None:
    effective = sum(sum(effective_kinds(program).values()) for program in programs)
    assert 0.92 <= effective / len(all_steps(programs)) <= 0.99


def test_lengths_vary_around_the_setting(programs: list[Program]) -> None:
    lengths = [len(program.steps) for program in programs]
    assert 85 <= sum(lengths) / len(lengths) <= 125
    assert min(lengths) < 20
    assert max(lengths) > 180
    short = [len(program.steps) for program in generated(50, settings=GenerateSettings(steps=10))]
    assert sum(short) / len(short) < 30


def test_every_operation_and_every_word_of_every_enumeration_occurs(programs: list[Program]) -> None:
    steps = all_steps(programs)
    assert {type(step) for step in steps} == set(ops.OPERATIONS)
    for operation in ops.OPERATIONS:
        for field in fields(operation):
            values = {getattr(step, field.name) for step in steps if type(step) is operation}
            words = next((type(value) for value in values if isinstance(value, Enum)), None)
            if words is not None:
                assert values == set(words), f"{operation.__name__}.{field.name}"


def test_headers_are_plain_mostly_and_few_at_a_time() -> None:
    """A runner keeps a machine for each."""
    dice = Dice(Random(1))
    deck = Deck(dice, GenerateSettings())
    headers = [deck.deal() for _ in range(200)]
    assert set(headers) <= set(deck.headers)
    assert len(deck.headers) == SIZE
    plain = Counter(header.geometry for header in headers if header == Header(header.geometry))
    assert 130 <= sum(plain.values()) <= 170
    assert plain["small"] > plain["linux-5.10"] > 10


def test_a_long_campaign_meets_every_switch_and_other_memories() -> None:
    deck = Deck(Dice(Random(1)), GenerateSettings())
    headers = [deck.deal() for _ in range(20_000)]
    switches = Counter(switch for header in headers for switch in header.switches)
    assert set(switches) == set(SWITCHES) - set(BLOCK_SWITCHES)
    assert switches["no_compaction"] == min(switches.values()) < 1000
    assert {header.normal_pages for header in headers} == {0, 32, 64, 96, 128}
    assert len(set(headers)) < 120


@pytest.mark.parametrize("seed", range(6))
def test_every_short_campaign_meets_the_three_switches_that_matter(seed: int) -> None:
    deck = Deck(Dice(Random(seed)), GenerateSettings())
    met = {switch for _ in range(100) for switch in deck.deal().switches}
    assert met >= {"batched_migration", "heap_above_memmap", "no_quarantine"}


def test_a_header_that_left_the_deck_is_fitted_to_its_geometry() -> None:
    deck = Deck(Dice(Random(1)), GenerateSettings())
    for header in deck.headers:
        assert deck.fit(header) is header
    for name in GEOMETRIES:
        fitted = deck.fit(Header(name, 320, 320))
        assert fitted in deck.headers
        assert (fitted.geometry, fitted.switches) == (name, ())


@pytest.mark.parametrize("name", list(GEOMETRIES))
def test_a_geometry_that_is_asked_for_is_the_only_one(name: str) -> None:
    settings = GenerateSettings(geometry=name)
    assert {program.header.geometry for program in generated(300, settings=settings)} == {name}


@pytest.mark.parametrize(
    "settings", [{"geometry": "big"}, {"steps": 0}, {"steps": 500}], ids=["geometry", "steps", "max_steps"]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, int | str]) -> None:
    with pytest.raises(UsageError):
        GenerateSettings(**settings)  # type: ignore[arg-type]


def test_sizes_favour_chains_of_pages_and_reach_the_edges() -> None:
    steps = all_steps(generated(300, settings=GenerateSettings(geometry="linux-5.10")))
    sizes = Counter(step.size for step in steps if isinstance(step, ops.Malloc))
    assert {0, 1, 3256, 3257, 4088, 4096, 4097} <= set(sizes)
    classes = geometry("linux-5.10").size_classes
    chained = sum(
        count for size, count in sizes.items() if 0 < size <= 4096 and classes.class_for(size + 8).pages_per_zspage > 1
    )
    huge = sum(count for size, count in sizes.items() if 3257 <= size <= 4096)
    tiny = sum(count for size, count in sizes.items() if 0 < size <= 128)
    total = sum(sizes.values())
    assert chained > 0.45 * total
    assert 0.05 * total < huge < 0.3 * total
    assert tiny < 0.1 * total


def test_programs_draw_different_kinds_of_operations(programs: list[Program]) -> None:
    """Swarm: no kind but malloc and free is in all long programs, and no two programs need to agree."""
    long = [frozenset(type(step) for step in program.steps) for program in programs if len(program.steps) >= 80]
    for kind in ops.OPERATIONS:
        if kind not in (ops.Malloc, ops.Free):
            assert sum(kind in kinds for kinds in long) < 0.97 * len(long), kind
    assert len(set(long)) > 0.9 * len(long)


def test_most_programs_begin_with_bystanders(programs: list[Program]) -> None:
    share = sum(isinstance(program.steps[0], ops.Bystander) for program in programs) / COUNT
    assert 0.7 <= share <= 0.9


def test_the_tables_name_exactly_what_exists() -> None:
    assert {name for name, _ in (*CORE_WEIGHTS, *OTHER_WEIGHTS)} == set(CHOOSERS)
    assert {name for name, _ in IDIOM_WEIGHTS} == set(IDIOMS)


@pytest.mark.parametrize("name", list(IDIOMS))
def test_every_idiom_acts_on_an_empty_machine(name: str) -> None:
    """By itself, an idiom emits mostly effective steps, whatever it draws (here no malloc ever fails)."""
    dice = Dice(Random(4))
    steps = effective = 0
    for _ in range(40):
        writer = StepWriter(dice, draw_profile(dice, Header("small"), 100))
        IDIOMS[name](writer)
        program = Program(writer.profile.header, tuple(writer.steps))
        check_program(program)
        steps += len(program.steps)
        effective += sum(effective_kinds(program).values())
    assert effective > 0.75 * steps


def shape_two_pages_of_one_zspage(program: Program) -> bool:
    state = TinyState(program)
    for step in program.steps:
        state.step(step)
        if any(len(zspage.isolated) >= 2 for zspage, _ in state.isolated.values()):
            return True
    return False


def shape_last_free_then_release_then_worker(program: Program) -> bool:
    """isolate; free the last object; migrate or put back; run_work"""
    state = TinyState(program)
    released = False
    for step in program.steps:
        dead = any(not zspage.members for zspage, _ in state.isolated.values())
        released |= dead and isinstance(step, ops.Putback | ops.Migrate)
        if released and isinstance(step, ops.RunWork):
            return True
        state.step(step)
    return False


def shape_reference_across_free(program: Program) -> bool:
    state = TinyState(program)
    watched = None
    for step in program.steps:
        if isinstance(step, ops.SpeculativeGet) and isinstance(step.page, ops.Component):
            watched = state.live.get(step.page.slot)
        state.step(step)
        if watched is not None and not watched.members and isinstance(step, ops.SpeculativePut):
            return True
    return False


def shape_failing_page_of_a_chain(program: Program) -> bool:
    for fail, malloc in zip(program.steps, program.steps[1:], strict=False):
        if isinstance(fail, ops.Fail) and isinstance(malloc, ops.Malloc):
            if fail.operation is ops.FailOperation.MALLOC and fail.ordinal > 0:
                return True
    return False


def shape_poisoned_then_freed_then_migrated(program: Program) -> bool:
    kinds = [type(step) for step in program.steps]
    if ops.Poison not in kinds:
        return False
    after = kinds[kinds.index(ops.Poison) :]
    return ops.Free in after and ops.Migrate in after


def shape_pool_destroyed(program: Program) -> bool:
    return effective_kinds(program)[ops.DestroyPool] > 0


def shape_scan_with_zspage_and_unmovable_neighbour(program: Program) -> bool:
    state = TinyState(program)
    unmovable = False
    for step in program.steps:
        state.step(step)
        unmovable |= isinstance(step, ops.Bystander) and step.kind is ops.BystanderKind.UNMOVABLE
        if unmovable and state.live and isinstance(step, ops.Scan) and step.scanner is ops.Scanner.HAS_UNMOVABLE:
            return True
    return False


@pytest.mark.parametrize(
    ("shape", "least"),
    [
        (shape_two_pages_of_one_zspage, 0.35),
        (shape_last_free_then_release_then_worker, 0.12),
        (shape_reference_across_free, 0.12),
        (shape_failing_page_of_a_chain, 0.08),
        (shape_poisoned_then_freed_then_migrated, 0.2),
        (shape_pool_destroyed, 0.12),
        (shape_scan_with_zspage_and_unmovable_neighbour, 0.12),
    ],
)
def test_the_shape_of_a_known_bug_is_common(
    programs: list[Program], shape: Callable[[Program], bool], least: float
) -> None:
    share = sum(map(shape, programs)) / COUNT
    assert share >= least, f"{share:.3f} of the programs"


def test_an_addition_continues_what_the_prefix_left_open() -> None:
    """Behind `map h0`, new steps begin with what the map contract allows."""
    program = Program(generated(1)[0].header, (ops.Malloc(0, 100), ops.Map(0, ops.MapMode.RW)))
    allowed = 0
    for seed in range(50):
        first = generate_addition(Dice(Random(seed)), program.header, program.steps, 1)[0]
        allowed += isinstance(first, ops.Read | ops.Write | ops.Unmap) and first.slot == 0
    assert allowed > 40
