"""Sums over the runs of a campaign.

In:    RunResults, in the order in which they were run.
Out:   Tally, and sorted plain data of it: equal for equal seeds.
Never: time.
Next:  zsfuzz/campaign/loop.py adds, zsfuzz/report/summary.py prints; those of several processes are summed in
       zsfuzz/campaign/workers/totals.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

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

    def merge(self, other: Tally) -> None:
        """Count everything that another tally counted. Every field is a number or counts by name."""
        for name in _FIELDS:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, name, mine + theirs)

    def as_plain(self) -> dict[str, Any]:
        """Return numbers and dictionaries only, for a file."""
        values = {name: getattr(self, name) for name in _FIELDS}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values.items()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Tally:
        """Return the tally that as_plain() described; a field that it lacks is 0."""
        tally = cls()
        for name in _FIELDS:
            value = plain.get(name, 0)
            setattr(tally, name, Counter(value or {}) if isinstance(getattr(tally, name), Counter) else value)
        return tally


_FIELDS = tuple(field.name for field in fields(Tally))


def by_name(counts: Counter[str]) -> dict[str, int]:
    """Return counts in the order of their names."""
    return {name: counts[name] for name in sorted(counts)}
