"""Programs that end in a block, for tests, written as people write them.

In:    steps and lanes, one operation a line.
Out:   block(), run_lanes(), clean_lanes(), found_in_lanes().
Never: an assertion of its own but that something, or nothing, was found.
Next:  sequential ones in tests/execute/programs.py.
"""

from __future__ import annotations

from dataclasses import replace

from tests.execute.programs import program
from zsfuzz.execute.result import RunResult
from zsfuzz.execute.runner import Runner
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.block import Block, Chance
from zsfuzz.program.program import Program


def block(
    steps: str, *lanes: str, schedule: str = "", header: tuple[str, ...] = (), geometry: str = "linux-5.10"
) -> Program:
    """Return a program. lanes: the operations of each, with `;` or new lines between them."""
    lines = ["parallel {"]
    for lane in lanes:
        lines += ["lane {", *(each.strip() for each in lane.replace(";", "\n").splitlines() if each.strip()), "}"]
    if schedule:
        lines.append(f"schedule {schedule}")
    return program("\n".join([steps, *lines, "}"]), *header, geometry=geometry)


def block_of_program(made: Program) -> Block:
    """Return the block, which is there."""
    assert made.block is not None
    return made.block


def with_chance(made: Program, policy: str, seed: int, leader: int = 1) -> Program:
    """Return a program whose schedule is still to be made."""
    return replace(made, block=replace(block_of_program(made), schedule=(), chance=Chance(policy, seed, (), leader)))


def clean_lanes(made: Program, runner: Runner | None = None) -> RunResult:
    """Run, and insist on no finding."""
    result = (runner or Runner()).run(made)
    assert not result.findings, result.findings[0].message
    return result


def found_in_lanes(made: Program, *faults: str) -> Finding:
    """Run with faults planted, and insist on a finding that the sound pair does not have."""
    clean_lanes(made)
    result = Runner(faults=faults).run(made)
    assert result.findings, "nothing was found"
    return result.findings[0]
