"""Mutation: every mutant is well-formed, near its parent, and every kind of change happens."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from zsfuzz.engine.blocks import mutated_block
from zsfuzz.engine.deck import Deck
from zsfuzz.engine.generate import generate_program
from zsfuzz.engine.mutate import Mutator, with_geometry
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.rng import Dice
from zsfuzz.engine.tweak import Bounds, tweaked
from zsfuzz.machine.geometry import GEOMETRIES
from zsfuzz.program import ops
from zsfuzz.program.block import Block, Switch
from zsfuzz.program.limits import FIELDS, check_program
from zsfuzz.program.program import Header, Program

EMPTY = Program(Header(), ())
EXAMPLES: dict[type[ops.Operation], ops.Operation] = {
    ops.Malloc: ops.Malloc(0, 3256),
    ops.Free: ops.Free(0),
    ops.Map: ops.Map(0, ops.MapMode.RO),
    ops.Unmap: ops.Unmap(0),
    ops.Write: ops.Write(0, 1, 2, 3),
    ops.Read: ops.Read(0, 1, 2),
    ops.Compact: ops.Compact(),
    ops.Shrink: ops.Shrink(ops.ShrinkKind.SCAN),
    ops.Isolate: ops.Isolate(0, ops.Component(0, 1)),
    ops.Migrate: ops.Migrate((ops.IsolatedPage(0), ops.Pfn(7)), ops.MigrateMode.SYNC),
    ops.Putback: ops.Putback(0),
    ops.RunWork: ops.RunWork(),
    ops.CompactZone: ops.CompactZone(0, 16, ops.MigrateMode.ASYNC),
    ops.Offline: ops.Offline(0, 32),
    ops.Online: ops.Online(0, 32),
    ops.Contig: ops.Contig(8, 9),
    ops.Poison: ops.Poison(ops.Pfn(3), ops.PoisonKind.HARD),
    ops.Scan: ops.Scan(ops.Scanner.KPAGECOUNT, 4, 5),
    ops.SpeculativeGet: ops.SpeculativeGet(0, ops.IsolatedPage(1)),
    ops.SpeculativePut: ops.SpeculativePut(0),
    ops.Bystander: ops.Bystander(0, ops.BystanderKind.LRU, 0),
    ops.DropBystander: ops.DropBystander(0),
    ops.Fail: ops.Fail(ops.FailOperation.MALLOC, ops.FailWhat.PAGE, 0),
    ops.Stats: ops.Stats(),
    ops.HugeClassSize: ops.HugeClassSize(),
    ops.CreatePool: ops.CreatePool(1),
    ops.DestroyPool: ops.DestroyPool(1),
    ops.Trim: ops.Trim(),
}


def mutator_of(dice: Dice, settings: GenerateSettings | None = None, max_steps: int = 400) -> tuple[Mutator, Deck]:
    deck = Deck(dice, settings or GenerateSettings())
    return Mutator(dice, deck, max_steps), deck


def programs_of(dice: Dice, deck: Deck, count: int) -> list[Program]:
    return [generate_program(dice, deck.deal(), 100) for _ in range(count)]


def test_every_mutant_is_well_formed_and_within_the_longest_length() -> None:
    dice = Dice(Random(3))
    mutator, deck = mutator_of(dice, max_steps=150)
    program, other = programs_of(dice, deck, 2)
    for _ in range(600):
        mutant = mutator.mutate(program, other)
        check_program(mutant)
        assert len(mutant.steps) <= 150
        assert mutant.header in deck.headers
        program, other = mutant, program


def test_the_empty_program_grows() -> None:
    mutator, _ = mutator_of(Dice(Random(1)))
    assert any(mutator.mutate(EMPTY, EMPTY).steps for _ in range(5))


def test_most_mutants_differ_from_their_parent_and_keep_most_of_it() -> None:
    dice = Dice(Random(5))
    mutator, deck = mutator_of(dice)
    program, other = programs_of(dice, deck, 2)
    kept = same = 0
    for _ in range(200):
        mutant = mutator.mutate(program, other)
        same += mutant == program
        kept += sum(step in mutant.steps for step in program.steps) > len(program.steps) // 2
    assert same < 10
    assert kept > 150


def test_crossing_brings_in_steps_of_the_other_program() -> None:
    dice = Dice(Random(5))
    mutator, _ = mutator_of(dice)
    mark = ops.Malloc(0, 777)
    crossed = [mutator.mutate(Program(Header(), (ops.RunWork(),)), Program(Header(), (mark,))) for _ in range(200)]
    assert sum(any(isinstance(s, ops.Malloc) and s.size == 777 for s in each.steps) for each in crossed) > 20


def test_a_header_changes_rarely() -> None:
    dice = Dice(Random(5))
    mutator, deck = mutator_of(dice)
    (program,) = programs_of(dice, deck, 1)
    changed = sum(mutator.mutate(program, program).header != program.header for _ in range(1000))
    assert 5 < changed < 100


def test_a_geometry_that_is_asked_for_stays() -> None:
    dice = Dice(Random(5))
    mutator, deck = mutator_of(dice, GenerateSettings(geometry="small"))
    (program,) = programs_of(dice, deck, 1)
    for _ in range(500):
        program = mutator.mutate(program, program)
        assert program.header.geometry == "small"


def test_the_block_of_a_program_stays_with_its_mutants() -> None:
    """Until mutations of blocks exist; its sizes follow the geometry."""
    dice = Dice(Random(5))
    mutator, deck = mutator_of(dice)
    block = Block(((ops.Malloc(1, 3256), ops.Free(0)), (ops.Trim(),)), (Switch(0, 1, 2, 1),))
    small = replace(block, lanes=((ops.Malloc(1, 808), ops.Free(0)), (ops.Trim(),)))
    (other,) = programs_of(dice, deck, 1)
    for geometry in ("linux-5.10", "small"):
        program = with_geometry(Program(Header("linux-5.10"), (ops.Malloc(0, 3256),), block), geometry)
        assert program.block == (small if geometry == "small" else block)
        for _ in range(300):
            mutant = mutator.mutate(program, other)
            assert mutant.block is not None
            assert mutant.block.schedule == block.schedule
            if mutant.header.geometry == geometry:
                assert mutant.block == program.block


def test_switches_at_the_end_of_a_lane_stay_there_when_they_are_shifted() -> None:
    """An end has one point; what is kept has to be well-formed."""
    dice = Dice(Random(6))
    block = Block(((ops.Trim(),), (ops.Trim(), ops.Trim())), (Switch(0, 1, 0, 1), Switch(1, 2, 0, 0)))
    program = Program(Header(), (), block)
    for _ in range(300):
        check_program(mutated_block(dice, program, program, (20, 40)))


def test_another_geometry_scales_what_is_asked_for() -> None:
    """class 3264 of 4096-byte pages and class 816 of 1024-byte pages: 4 pages, 5 objects"""
    sizes = [0, 1, 3256, 4096, 4097]
    program = Program(Header("linux-5.10"), tuple(ops.Malloc(slot, size) for slot, size in enumerate(sizes)))
    small = with_geometry(program, "small")
    assert small.header.geometry == "small"
    assert [step.size for step in small.steps if isinstance(step, ops.Malloc)] == [0, 1, 808, 1024, 1025]
    assert with_geometry(small, "small") is small


def test_the_examples_cover_every_operation() -> None:
    assert set(EXAMPLES) == set(ops.OPERATIONS)


@pytest.mark.parametrize("operation", EXAMPLES.values(), ids=lambda operation: type(operation).__name__)
def test_a_tweak_changes_each_argument_sooner_or_later(operation: ops.Operation) -> None:
    dice = Dice(Random(2))
    changed = set()
    for name in GEOMETRIES:
        bounds = Bounds.of(Header(name))
        for _ in range(120):
            other = tweaked(dice, operation, bounds)
            assert type(other) is type(operation)
            check_program(Program(Header(), (other,)))
            for field, _kind in FIELDS[type(operation)]:
                if getattr(other, field) != getattr(operation, field):
                    changed.add(field)
    assert changed == {field for field, _ in FIELDS[type(operation)]}


def test_a_tweaked_range_never_ends_before_it_starts() -> None:
    dice = Dice(Random(2))
    step: ops.Operation = ops.Scan(ops.Scanner.HAS_UNMOVABLE, 10, 20)
    for _ in range(300):
        step = tweaked(dice, step, Bounds.of(Header()))
        assert isinstance(step, ops.Scan)
        assert step.start <= step.end


def test_a_tweaked_list_of_pages_stays_short_and_never_becomes_empty() -> None:
    dice = Dice(Random(2))
    step: ops.Operation = ops.Migrate((ops.Pfn(1),), ops.MigrateMode.SYNC)
    lengths = set()
    for _ in range(800):
        step = tweaked(dice, step, Bounds.of(Header()))
        assert isinstance(step, ops.Migrate)
        lengths.add(len(step.pages))
    assert min(lengths) == 1
    assert 4 <= max(lengths) <= 16
