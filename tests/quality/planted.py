"""Planted faults for the quality tests: which there are, and what generated programs show of them.

In:    the two catalogues of faults.
Out:   SEQUENTIAL, showing(), signatures().
Never: a clock: how much is run is said in programs.
Next:  tests/quality/test_faults_are_found.py, tests/quality/test_signatures.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.execute.runner import Runner
from zsfuzz.oracle.finding import Finding
from zsfuzz.target.fault import Fault
from zsfuzz.target.registry import faults

SEQUENTIAL: Final = tuple(fault for fault in faults().values() if not fault.concurrent)
"""Faults that show without an interleaving, in the order of the catalogues."""


def is_expected(fault: Fault, finding: Finding) -> bool:
    """Return whether a finding is of a sort that a fault's entry in the catalogue names."""
    for oracle in fault.oracle.split(", "):
        kind, _, rule = oracle.partition(" ")
        if finding.kind == kind and finding.rule.startswith(rule):
            return True
    return False


def showing(fault_id: str, *, seed: int, steps: int, programs: int) -> Iterator[Finding]:
    """Yield what a campaign would report for each of so many generated programs that meets a fault.

    steps: typical length of a program. Each finding is that of the second run, which checks everything after every
    step.
    """
    engine = RandomEngine(Random(seed), GenerateSettings(steps=steps))
    runner = Runner(faults=(fault_id,))
    for _ in range(programs):
        program = engine.next_program()
        if runner.run(program).findings:
            again = runner.run(program, cadence=1).findings
            assert again, f"{fault_id}: what was found was gone when everything was checked after every step"
            yield again[0]


def signatures(findings: Iterator[Finding], most: int) -> dict[str, int]:
    """Return how often each signature occurs among the first findings, the most common one first."""
    counts: dict[str, int] = {}
    for _, finding in zip(range(most), findings, strict=False):
        counts[finding.signature] = counts.get(finding.signature, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
