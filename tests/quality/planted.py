"""Planted faults for the quality tests: which there are, and what generated programs show of them.

In:    the catalogues of faults.
Out:   SEQUENTIAL, KEPT, showing(), signatures().
Never: a clock: how much is run is said in programs.
Next:  tests/quality/test_faults_are_found.py, tests/quality/test_signatures.py, tests/quality/test_triggers.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from candidate import rare_faults as candidate_faults
from reference import rare_faults as reference_faults
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.execute.runner import Runner
from zsfuzz.oracle.finding import Finding
from zsfuzz.target.registry import faults

KEPT: Final = (
    *reference_faults.RARE_FAULTS,
    *candidate_faults.RARE_FAULTS,
    *(fault for fault in faults().values() if fault.shared and not fault.concurrent),
)
"""Faults that tests replay a kept program of: to search for all of them takes too long for a test."""

SEQUENTIAL: Final = tuple(fault for fault in faults().values() if not fault.concurrent and fault not in KEPT)
"""The other faults that show without an interleaving, in the order of the catalogues: tests search for these."""


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
