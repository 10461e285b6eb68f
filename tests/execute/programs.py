"""Programs for tests, written as people write them."""

from __future__ import annotations

from zsfuzz.execute.result import RunResult
from zsfuzz.execute.runner import Runner
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.program import Program
from zsfuzz.program.text import parse_program


def program(steps: str, *header: str, geometry: str = "linux-5.10") -> Program:
    """Return a program from its steps, one a line."""
    lines = [line.strip() for line in steps.strip().splitlines()]
    return parse_program("\n".join(["zsfuzz 2", f"geometry {geometry}", *header, "---", *lines]) + "\n")


def run(
    steps: str,
    *header: str,
    candidate: str = "candidate",
    geometry: str = "linux-5.10",
    faults: tuple[str, ...] = (),
) -> RunResult:
    """Run reference against a candidate with everything checked after every step."""
    return Runner("reference", candidate, faults).run(program(steps, *header, geometry=geometry), cadence=1)


def clean(steps: str, *header: str, **how: str) -> RunResult:
    """Run, and insist on no finding."""
    result = run(steps, *header, **how)  # type: ignore[arg-type]
    assert not result.findings, result.findings[0].message
    return result


def found(steps: str, *header: str, **how: object) -> Finding:
    """Run, and insist on a finding."""
    result = run(steps, *header, **how)  # type: ignore[arg-type]
    assert result.findings, "nothing was found"
    return result.findings[0]
