"""The engine `hypothesis`: asked for programs, shrinks each new finding once, and goes on."""

from __future__ import annotations

from random import Random

from tests.engine.tiny import no_bug, run_tiny
from zsfuzz.engine.base import Engine
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.execute.result import RunResult
from zsfuzz.oracle.finding import Finding
from zsfuzz.program import ops
from zsfuzz.program.program import Program
from zsfuzz.strategies.hypothesis_engine import HypothesisEngine


def two_bugs(program: Program) -> RunResult:
    """A compaction with a page isolated, and a trim after pool 1 was made."""
    isolated = made = False
    for index, step in enumerate(program.steps):
        isolated |= isinstance(step, ops.Isolate)
        made |= isinstance(step, ops.CreatePool) and step.pool == 1
        rule = "compact" if isolated and isinstance(step, ops.Compact) else "trim"
        if rule == "compact" or (made and isinstance(step, ops.Trim)):
            return RunResult((Finding("bug", rule, (), "", "candidate", index, rule),), index, 0, (), {}, {})
    return RunResult((), len(program.steps), 0, (len(program.steps),), {}, {})


def test_it_is_an_engine_whose_programs_follow_from_its_seed() -> None:
    def first(seed: int) -> list[Program]:
        engine: Engine = HypothesisEngine(Random(seed))
        programs = []
        for _ in range(25):
            programs.append(engine.next_program())
            engine.feedback(programs[-1], run_tiny(programs[-1], no_bug))
        return programs

    assert first(1) == first(1) != first(2)


def test_programs_use_what_is_there() -> None:
    engine = HypothesisEngine(Random(1))
    operations = no_ops = 0
    for _ in range(60):
        program = engine.next_program()
        result = run_tiny(program, no_bug)
        operations, no_ops = operations + result.operations, no_ops + result.no_ops
        engine.feedback(program, result)
    assert operations > 1000
    assert operations > 6 * no_ops


def test_each_finding_is_shrunk_once_and_the_run_goes_on() -> None:
    engine = HypothesisEngine(Random(3), GenerateSettings(steps=30))
    shortest: dict[str, int] = {}
    programs = 0
    while engine.statistics()["shrunk"] < 2 and programs < 5_000:
        program = engine.next_program()
        programs += 1
        result = two_bugs(program)
        for finding in result.findings:
            shortest[finding.signature] = min(len(program.steps), shortest.get(finding.signature, 1000))
        engine.feedback(program, result)
    assert sorted(signature.split("/")[1] for signature in shortest) == ["compact", "trim"]
    assert max(shortest.values()) <= 12
    hits = 0
    for _ in range(60):
        program = engine.next_program()
        result = two_bugs(program)
        hits += len(result.findings)
        engine.feedback(program, result)
    assert hits > 10
    assert engine.statistics()["shrunk"] == 2, "what is known raises no more"
