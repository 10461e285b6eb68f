"""Verdicts on programs that are kept.

In:    programs, a stand-in runner.
Out:   what they give beside what they are kept for, and how often both sides are compared.
Never: a machine.
Next:  zsfuzz/campaign/verdict.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.campaign.fakes import FakeRunner, finding_at, sizes
from zsfuzz.campaign.fault import ProgramFault
from zsfuzz.campaign.verdict import CLEAN, careful_cadence, judge
from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.program.ops import Trim
from zsfuzz.program.program import Header, Program

PAIR = ("reference", "candidate")
SIGNATURE = finding_at(0).signature


def kept(program: Program, verdict: str | None) -> Program:
    return replace(program, header=replace(program.header, verdict=verdict))


@pytest.mark.parametrize(
    ("program", "verdict", "gives", "as_kept"),
    [
        (sizes(32), None, CLEAN, True),
        (sizes(32), CLEAN, CLEAN, True),
        (sizes(32), SIGNATURE, CLEAN, False),
        (sizes(5000), None, SIGNATURE, False),
        (sizes(5000), CLEAN, SIGNATURE, False),
        (sizes(5000), SIGNATURE, SIGNATURE, True),
        (sizes(13), SIGNATURE, finding_at(0, "I7").signature, False),
    ],
)
def test_what_a_program_gives_is_held_against_what_it_is_kept_for(
    program: Program, verdict: str | None, gives: str, as_kept: bool
) -> None:
    judged = judge(kept(program, verdict), FakeRunner(), PAIR, "a.zst")
    assert (judged.gives, judged.as_kept) == (gives, as_kept)


def test_a_program_of_usual_size_is_compared_after_every_step() -> None:
    runner = FakeRunner()
    judge(sizes(*range(400)), runner, PAIR, "a.zst")
    assert [cadence for _, cadence in runner.calls] == [1]


@pytest.mark.parametrize(
    ("steps", "movable_pages", "comparisons"),
    [(250_000, 27_648, 2), (100_000, 0, 195), (2_000, 60_000, 2_000)],
)
def test_a_huge_program_is_compared_as_often_as_its_memory_allows(
    steps: int, movable_pages: int, comparisons: int
) -> None:
    program = Program(Header(movable_pages=movable_pages), (Trim(),) * steps)
    assert steps // careful_cadence(program) == pytest.approx(comparisons, rel=0.01)


def test_the_cadence_can_be_named() -> None:
    runner = FakeRunner()
    judge(sizes(1, 2, 3), runner, PAIR, "a.zst", cadence=2)
    assert [cadence for _, cadence in runner.calls] == [2]


@pytest.mark.parametrize("error", [ValueError("boom"), HarnessError("boom"), RecursionError("boom")])
def test_whatever_else_a_run_raises_is_a_fault_that_names_the_file(error: Exception) -> None:
    def rule(program: Program) -> None:
        raise error

    with pytest.raises(ProgramFault, match=r"boom; the program that caused it is in a\.zst"):
        judge(sizes(1), FakeRunner(rule), PAIR, "a.zst")


def test_an_unknown_geometry_is_the_users_mistake_and_names_the_file() -> None:
    with pytest.raises(UsageError, match=r"^a\.zst: unknown geometry 'round'"):
        judge(Program(Header(geometry="round"), ()), FakeRunner(), PAIR, "a.zst")
