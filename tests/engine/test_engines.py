"""The engines: the same programs for the same seed, and feedback that pays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from tests.engine.tiny import Bug, CombinationLock, no_bug, run_tiny
from zsfuzz.engine.base import Engine
from zsfuzz.engine.coverage_engine import CoverageEngine
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.execute.result import RunResult
from zsfuzz.oracle.finding import Finding
from zsfuzz.program import ops
from zsfuzz.program.block import Block, Switch
from zsfuzz.program.program import Header, Program
from zsfuzz.program.text import format_program

DIGESTS = {
    "random": "913794277e8d82ec",
    "coverage": "38e9fab3965f08ac",
}
"""Of the first 150 programs of seed 7, as text without the version in its first line: a new field or a new version
of the format changes nothing. They change with every change of generation, on all Pythons alike.
"""


def make(name: str, seed: int) -> Engine:
    if name == "random":
        return RandomEngine(Random(seed))
    return CoverageEngine(Random(seed))


def result_of(features: tuple[int, ...], finding: bool = False) -> RunResult:
    found = (Finding("bug", "rule", (), "", "candidate", 0, "message"),) if finding else ()
    return RunResult(found, 1, 0, features, {}, {})


def programs_of(engine: Engine, count: int, bug: Callable[[], Bug] = lambda: no_bug) -> list[Program]:
    programs = []
    for _ in range(count):
        program = engine.next_program()
        programs.append(program)
        engine.feedback(program, run_tiny(program, bug()))
    return programs


def programs_until_found(engine: Engine, bug: Callable[[], Bug], limit: int) -> int:
    for count in range(1, limit + 1):
        program = engine.next_program()
        result = run_tiny(program, bug())
        if result.findings:
            return count
        engine.feedback(program, result)
    return limit


@pytest.mark.parametrize("name", list(DIGESTS))
def test_a_seed_gives_the_same_programs_on_every_python(name: str) -> None:
    """If generation was changed on purpose, put the new digest in, once 3.11, 3.12 and 3.13 agree on it."""
    texts = [format_program(program).partition("\n")[2] for program in programs_of(make(name, 7), 150)]
    assert hashlib.sha256("".join(texts).encode()).hexdigest()[:16] == DIGESTS[name]


@pytest.mark.parametrize("name", list(DIGESTS))
def test_another_seed_gives_other_programs(name: str) -> None:
    assert programs_of(make(name, 1), 3) != programs_of(make(name, 2), 3)


def test_feedback_opens_what_blind_search_does_not() -> None:
    """Six operations in one order, four of them rare, while one zspage is dead and isolated."""
    limit = 2000
    blind = [programs_until_found(RandomEngine(Random(seed)), CombinationLock, limit) for seed in range(3)]
    fed = [programs_until_found(CoverageEngine(Random(seed)), CombinationLock, limit) for seed in range(3)]
    assert max(fed) < limit, f"fed {fed}, blind {blind}"
    assert blind == [limit] * 3, f"fed {fed}, blind {blind}"


def test_the_coverage_engine_sees_more_features_than_the_random_one() -> None:
    def features(name: str) -> int:
        engine = make(name, 3)
        seen: set[int] = set()
        for _ in range(300):
            program = engine.next_program()
            result = run_tiny(program, CombinationLock())
            engine.feedback(program, result)
            seen.update(result.features)
        return len(seen)

    assert features("coverage") > features("random")


def test_seeds_run_first_in_their_order_and_stripped_of_what_they_were_kept_for() -> None:
    header = Header("small", 64, 60000, ("no_quarantine",), "reference", "candidate", ("H05",), "clean")
    seeds = [Program(header, (ops.RunWork(),)), Program(Header(), (ops.Trim(),))]
    engine = CoverageEngine(Random(1), seeds=seeds)
    assert engine.next_program() == Program(Header("small", 64, 0, ("no_quarantine",)), (ops.RunWork(),))
    assert engine.next_program() == seeds[1]
    assert engine.statistics()["seeds"] == 2


def test_a_long_seed_is_cut_and_put_under_the_geometry_that_is_asked_for() -> None:
    seed = Program(Header("linux-5.10"), (ops.Malloc(0, 3256),) * 1000)
    engine = CoverageEngine(Random(1), GenerateSettings(geometry="small", max_steps=200), [seed])
    first = engine.next_program()
    assert first.header.geometry == "small"
    assert first.steps == (ops.Malloc(0, 808),) * 200


def test_a_seed_keeps_its_block() -> None:
    block = Block(((ops.Trim(),), (ops.Malloc(0, 3256),)), (Switch(0, 0, 1, 1),))
    seed = Program(Header(verdict="clean"), (ops.RunWork(),), block)
    engine = CoverageEngine(Random(1), seeds=[seed])
    assert engine.next_program() == replace(seed, header=Header())
    engine = CoverageEngine(Random(1), GenerateSettings(geometry="small"), [seed])
    scaled = replace(block, lanes=((ops.Trim(),), (ops.Malloc(0, 808),)))
    assert engine.next_program() == Program(Header("small"), seed.steps, scaled)


def test_only_programs_with_something_new_are_kept_and_seeds_are_not_kept_again() -> None:
    kept: list[Program] = []
    seed = Program(Header(), (ops.Trim(),))
    engine = CoverageEngine(Random(1), seeds=[seed], keep=kept.append)
    engine.feedback(engine.next_program(), result_of((1, 2)))
    assert (kept, engine.statistics()["entries"], engine.statistics()["features"]) == ([], 1, 2)
    engine.feedback(engine.next_program(), result_of((2,)))
    assert kept == []
    third = engine.next_program()
    engine.feedback(third, result_of((2, 3)))
    assert kept == [third]
    assert (engine.statistics()["entries"], engine.statistics()["features"]) == (2, 3)


def test_a_program_that_ends_in_a_finding_is_no_entry() -> None:
    engine = CoverageEngine(Random(1))
    engine.feedback(engine.next_program(), result_of((1, 2), finding=True))
    assert engine.statistics()["entries"] == 0
    assert engine.statistics()["features"] == 0


def test_a_shorter_mutant_that_reaches_the_same_takes_its_parents_place() -> None:
    engine = CoverageEngine(Random(1), seeds=[Program(Header(), (ops.Stats(),) * 40)])
    engine.feedback(engine.next_program(), result_of((1,)))
    shortest = 40
    for _ in range(200):
        program = engine.next_program()
        engine.feedback(program, result_of((1,)))
        shortest = min(shortest, len(engine.corpus()[0].steps))
    assert len(engine.corpus()) == 1
    assert shortest < 20


def test_feedback_may_come_late_and_out_of_order() -> None:
    engine = CoverageEngine(Random(1))
    programs = [engine.next_program() for _ in range(8)]
    for number, program in enumerate(reversed(programs)):
        engine.feedback(program, result_of((number,)))
    assert list(engine.corpus()) == programs[::-1]


def test_feedback_for_a_foreign_program_is_taken() -> None:
    """Another worker's program, say."""
    engine = CoverageEngine(Random(1))
    program = Program(Header(), (ops.Trim(),))
    engine.feedback(program, result_of((5,)))
    assert engine.corpus() == (program,)


def test_the_random_engine_counts_and_learns_nothing() -> None:
    fed, unfed = RandomEngine(Random(4)), RandomEngine(Random(4))
    programs = []
    for number in range(5):
        program = fed.next_program()
        fed.feedback(program, result_of((number,)))
        programs.append(program)
    assert programs == [unfed.next_program() for _ in range(5)]
    assert fed.statistics() == {"generated": 5}


def test_both_engines_are_engines() -> None:
    engines: list[Engine] = [RandomEngine(Random(1)), CoverageEngine(Random(1))]
    assert [engine.name for engine in engines] == ["random", "coverage"]
