"""Sums over the runs of a campaign.

In:    RunResults, in the order in which they were run.
Out:   Tally, and sorted plain data of it: equal for equal seeds.
Never: time.
Next:  zsfuzz/campaign/loop.py adds, zsfuzz/report/summary.py prints.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from zsfuzz.execute.result import RunResult


@dataclass(slots=True)
class Tally:
    """What the programs of an engine did. The runs that confirm a finding are not counted in here.

    programs: how many ran. operations: effective ones, counted once for both targets. no_ops: the others.
    concurrent_cases: programs whose parallel block ran.
    """

    programs: int = 0
    operations: int = 0
    no_ops: int = 0
    concurrent_cases: int = 0
    expected: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    parted: Counter[str] = field(default_factory=Counter)

    def add(self, result: RunResult) -> None:
        """Count one run."""
        self.programs += 1
        self.operations += result.operations
        self.no_ops += result.no_ops
        self.concurrent_cases += result.schedule is not None
        self.expected.update(result.expected)
        self.checks.update(result.checks)
        if result.parted:
            self.parted[result.parted] += 1


def by_name(counts: Counter[str]) -> dict[str, int]:
    """Return counts in the order of their names."""
    return {name: counts[name] for name in sorted(counts)}
