"""The corpus in memory: as few programs as reach everything, the rare ones first."""

from __future__ import annotations

from collections import Counter
from random import Random

from zsfuzz.engine.entries import Entries
from zsfuzz.engine.rng import Dice
from zsfuzz.program import ops
from zsfuzz.program.program import Header, Program


def of(steps: int, size: int = 1) -> Program:
    return Program(Header(), (ops.Malloc(0, size),) * steps)


def test_only_what_was_never_reached_is_new() -> None:
    entries = Entries()
    assert entries.add(of(4), (1, 2)) == [1, 2]
    assert entries.add(of(4), (2, 3)) == [3]
    assert entries.add(of(4), (1, 3)) == []
    assert (len(entries), entries.features_count) == (2, 3)


def test_a_far_shorter_program_takes_features_over_and_an_entry_without_any_is_dropped() -> None:
    entries = Entries()
    long, other, short = of(100), of(100, 2), of(60)
    entries.add(long, (1, 2))
    entries.add(other, (3,))
    entries.add(short, (1, 2))
    assert entries.programs == (other, short)
    assert entries.dropped == 1


def test_a_slightly_shorter_program_changes_nothing() -> None:
    entries = Entries()
    entries.add(of(100), (1, 2))
    entries.add(of(90), (1, 2))
    assert entries.programs == (of(100),)


def test_every_feature_keeps_an_entry_whatever_comes() -> None:
    entries, dice = Entries(), Dice(Random(1))
    features_of: dict[Program, tuple[int, ...]] = {}
    reached: set[int] = set()
    for number in range(400):
        program = of(dice.between(1, 60), number)
        features = tuple(sorted({dice.below(80) for _ in range(dice.between(1, 6))}))
        features_of[program] = features
        entries.add(program, features)
        reached.update(features)
    kept = {feature for program in entries.programs for feature in features_of[program]}
    assert kept == reached
    assert len(entries) <= len(reached)


def test_a_rare_feature_is_worked_on_and_not_for_ever() -> None:
    entries, dice = Entries(), Dice(Random(1))
    common, rare = of(4), of(4, 2)
    entries.add(common, (1,))
    entries.add(rare, (2,))
    for _ in range(20):
        entries.add(of(4, 3), (1,))
    first = Counter(entries.choose(dice) for _ in range(24))
    assert first[rare] > 20
    for _ in range(20):
        entries.add(of(4, 3), (2,))
    later = Counter(entries.choose(dice) for _ in range(400))
    assert later[common] > 100
