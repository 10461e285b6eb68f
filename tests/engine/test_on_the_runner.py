"""What engines assume about execution, held against the real runner on one target twice."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.engine.vocabulary import BLOCKED_BY_ISOLATION, BLOCKED_BY_REFERENCE, CORE_KINDS
from zsfuzz.execute.execution import ACROSS_REFERENCES
from zsfuzz.execute.result import PageRow
from zsfuzz.execute.runner import Runner
from zsfuzz.minimize.minimizer import minimize
from zsfuzz.program import ops
from zsfuzz.program.program import Header, Program


class Counts:
    """An observer that counts steps by class."""

    def __init__(self) -> None:
        self.effective: Counter[type] = Counter()
        self.no_ops: Counter[type] = Counter()

    def step(self, index: int, operation: ops.Operation, reference: str, candidate: str, effective: bool) -> None:
        (self.effective if effective else self.no_ops)[type(operation)] += 1

    def pages(self, index: int, reference: list[PageRow], candidate: list[PageRow]) -> None:
        pass


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner("reference", "reference")


def test_generated_programs_act_and_keep_the_published_mix(runner: Runner) -> None:
    counts = Counts()
    engine = RandomEngine(Random(1))
    for _ in range(40):
        assert runner.run(engine.next_program(), observer=counts).findings == ()
    effective, no_ops = sum(counts.effective.values()), sum(counts.no_ops.values())
    assert effective > 0.92 * (effective + no_ops)
    assert sum(counts.effective[kind] for kind in CORE_KINDS) >= 0.27 * effective


def test_the_kinds_that_a_reference_blocks_are_the_executors() -> None:
    assert BLOCKED_BY_REFERENCE == ACROSS_REFERENCES


EXAMPLES: tuple[ops.Operation, ...] = (
    ops.Offline(0, 32),
    ops.Poison(ops.Pfn(3), ops.PoisonKind.SOFT),
    ops.DestroyPool(1),
    ops.CreatePool(2),
    ops.Contig(0, 8),
    ops.CompactZone(0, 32, ops.MigrateMode.ASYNC),
)


@pytest.mark.parametrize("operation", EXAMPLES, ids=lambda operation: type(operation).__name__)
def test_the_kinds_that_an_isolated_page_blocks_are_the_executors(runner: Runner, operation: ops.Operation) -> None:
    steps = (ops.CreatePool(1), ops.Malloc(0, 800), ops.Isolate(0, ops.Component(0, 0)), operation)
    result = runner.run(Program(Header("small"), steps))
    assert result.no_ops == (type(operation) in BLOCKED_BY_ISOLATION)


def test_a_planted_fault_is_found_and_shrinks_to_its_reproducer() -> None:
    """An empty zspage that is put back is forgotten: malloc, isolate, free, putback; no work is queued."""
    faulty = Runner("reference", "reference", faults=("A04",))
    engine = RandomEngine(Random(1))
    found = next(
        program for program in (engine.next_program() for _ in range(100)) if faulty.run(program, cadence=1).findings
    )
    signature = faulty.run(found, cadence=1).findings[0].signature

    def interesting(program: Program) -> bool:
        findings = faulty.run(program, cadence=1).findings
        return bool(findings) and findings[0].signature == signature

    result = minimize(found, interesting)
    assert result.program == Program(
        Header(),
        (
            ops.Malloc(0, 1),
            ops.Isolate(0, ops.Component(0, 0)),
            ops.Free(0),
            ops.Putback(0),
        ),
    )
