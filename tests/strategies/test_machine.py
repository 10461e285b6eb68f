"""The state machine over any pair: clean on the built-in one, and it fires on a planted fault."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from zsfuzz.errors import UsageError
from zsfuzz.machine.report import Report
from zsfuzz.oracle.judge import Violation
from zsfuzz.program.ops import OPERATIONS
from zsfuzz.program.program import Header
from zsfuzz.strategies.machine import PairMachine, state_machine
from zsfuzz.strategies.rules import KINDS, usual_weights


def run(machine: type[PairMachine], examples: int, phases: tuple[Phase, ...] = (Phase.generate,)) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            derandomize=True,
            phases=phases,
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_every_operation_has_a_rule_and_a_weight() -> None:
    assert sorted(KINDS) == sorted(kind.__name__ for kind in OPERATIONS)
    assert sorted(kind for kind, _ in usual_weights()) == sorted(KINDS)
    assert min(weight for _, weight in usual_weights()) >= 1


def test_the_built_in_pair_is_clean() -> None:
    counted: list[bool] = []

    class Counting(state_machine(headers=(Header("small"),))):  # type: ignore[misc]
        def performed(self, operation: object, effective: bool) -> None:
            counted.append(effective)

    run(Counting, 12)
    assert sum(counted) > 0.8 * len(counted) > 200


def test_a_planted_fault_fails_the_test_of_a_user() -> None:
    machine = state_machine("reference", "reference", faults=("A04",), headers=(Header("small"),))
    with pytest.raises((Violation, Report)):
        run(machine, 60)


def test_an_unknown_target_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="unknown target 'nobody'"):
        state_machine(candidate="nobody")
