"""Programs whose schedule is still to be made, as a file may hold them."""

from __future__ import annotations

import pytest

from zsfuzz.errors import UsageError
from zsfuzz.execute.runner import Runner
from zsfuzz.program import ops
from zsfuzz.program.block import Block, Chance
from zsfuzz.program.program import Header, Program, with_schedule
from zsfuzz.program.text import format_program, parse_program

LANES = ((ops.Malloc(1, 64), ops.Free(1)), (ops.Compact(), ops.Malloc(2, 64)))


def program_of(policy: str) -> Program:
    return Program(Header("small"), (ops.Malloc(0, 64),), Block(LANES, (), Chance(policy, 7)))


def test_a_policy_that_does_not_exist_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="unknown policy 'best'; use one of random, pct2"):
        Runner().run(program_of("best"))


def test_the_schedule_that_came_of_a_chance_gives_the_same_run() -> None:
    """What was kept as a chance is read back and runs as it did; so does what was made of it."""
    program = program_of("round-robin")
    runner = Runner()
    result = runner.run(program)
    assert result.schedule
    again = runner.run(parse_program(format_program(program)))
    assert (again.schedule, again.findings, again.features) == (result.schedule, result.findings, result.features)
    settled = with_schedule(program, result.schedule)
    assert settled.block == Block(LANES, result.schedule)
    kept = parse_program(format_program(settled))
    assert kept == settled
    assert runner.run(kept).schedule == result.schedule
