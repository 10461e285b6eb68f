"""Work: what was done in a measured stretch of time, counted in the same way on every side.

In:    operations as they take effect, results of runs.
Out:   Mix, WorkNotDone.
Never: a clock.
Next:  the published mix itself in zsfuzz/engine/vocabulary.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from zsfuzz.engine.vocabulary import CORE_KINDS
from zsfuzz.execute.result import PageRow, RunResult
from zsfuzz.program.ops import OPERATIONS, Operation

CORE_SHARE_LEAST = 0.25
"""The published mix: at least this share of the effective operations is of the kinds of CORE_KINDS."""

CORE_NAMES = tuple(kind.__name__ for kind in OPERATIONS if kind in CORE_KINDS)


class WorkNotDone(Exception):
    """A benchmark did not do what its figure would claim. The figure is not printed."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Effective operations by the name of their kind."""

    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Return all of them."""
        return sum(self.counts.values())

    @property
    def core_share(self) -> float:
        """Return the share of the published mix's kinds, 0..1."""
        return sum(self.counts.get(name, 0) for name in CORE_NAMES) / self.total if self.total else 0.0

    def share(self, name: str) -> float:
        """Return the share of one kind, 0..1."""
        return self.counts.get(name, 0) / self.total if self.total else 0.0

    def distance(self, other: Mix) -> float:
        """Return the share of operations that would have to be of another kind to make both equal, 0..1."""
        return sum(abs(self.share(kind.__name__) - other.share(kind.__name__)) for kind in OPERATIONS) / 2


def mix_of(counts: Mapping[type[Operation], int]) -> Mix:
    """Return a mix from counts by class, in the order of the union."""
    return Mix({kind.__name__: counts[kind] for kind in OPERATIONS if counts.get(kind)})


class KindCounter:
    """An observer of one run that counts effective operations by kind."""

    def __init__(self) -> None:
        self.counts: Counter[type[Operation]] = Counter()
        self._counted = -1

    def step(self, index: int, operation: Operation, reference: str, candidate: str, effective: bool) -> None:
        """Count one step, once: a step on which the sides differ as expected is told of twice."""
        if effective and index != self._counted:
            self._counted = index
            self.counts[type(operation)] += 1

    def pages(self, index: int, reference: list[PageRow], candidate: list[PageRow]) -> None:
        """Nothing is counted here."""


def must(holds: bool, claim: str) -> None:
    """Errors: WorkNotDone when a claim about the work does not hold."""
    if not holds:
        raise WorkNotDone(claim)


def check_result(result: RunResult, what: str) -> None:
    """Errors: WorkNotDone when a run found something, did nothing, or was not checked."""
    for finding in result.findings:
        raise WorkNotDone(f"{what}: a finding stopped a run: {finding.signature}: {finding.message}")
    checks = result.checks
    must(checks["counters"] == result.operations, f"{what}: not every operation was compared")
    must(checks["drain"] == 1, f"{what}: a run was not drained")
    must(bool(result.parted) or checks["full"] > 0, f"{what}: a run ended without a full comparison")


def check_mixes(mixes: Mapping[str, Mix], core_least: float, most_distance: float) -> None:
    """Errors: WorkNotDone when one of two mixes is not the published one, or they are not comparable.

    core_least: share of the published mix's kinds. most_distance: see Mix.distance().
    """
    for name, mix in mixes.items():
        share = mix.core_share
        must(share >= core_least, f"{name}: core operations are {share:.1%}, below the published mix")
    one, other = mixes.values()
    distance = one.distance(other)
    must(
        distance <= most_distance,
        f"{' and '.join(mixes)}: the mixes differ by {distance:.1%}, more than {most_distance:.0%}",
    )
