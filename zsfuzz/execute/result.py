"""What one run of one program gave.

In:    counters and findings of zsfuzz/execute/runner.py.
Out:   RunResult, the rows that a trace shows, and who may watch a run.
Never: references into a machine: a result outlives the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from zsfuzz.machine.lanes import Observer as LaneObserver
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.block import Switch
from zsfuzz.program.ops import Operation

FEATURE_KIND_SHIFT = 48
"""A state feature, shifted right by this, is the number in OPERATIONS of the operation that it is about."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The verdict on one program.

    findings: empty, or the first thing that went wrong (a run stops there).
    operations: effective ones, counted once, not per target. no_ops: steps that made no sense in their state.
    features: sorted state features of the run (what the coverage engine feeds on).
    expected: uses of each expected difference. checks: how many checks of each sort ran.
    parted: id of the expected difference after which the designs may legally go on differently, or "".
    schedule: of the program's block, as the leading side made it; None when no block was run. lengths: points that each
    lane passed there, for the next policy.
    """

    findings: tuple[Finding, ...]
    operations: int
    no_ops: int
    features: tuple[int, ...]
    expected: Mapping[str, int]
    checks: Mapping[str, int]
    parted: str = ""
    schedule: tuple[Switch, ...] | None = None
    lengths: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PageRow:
    """One pfn of one target, for people: who has it and in what state."""

    pfn: int
    zone: str
    owner: str  # "free/ORDER", "zspage CLASS_SIZE#N", "bystander KIND", "offline", "other"
    index: int  # position in the zspage's chain, -1 if none
    locked: bool
    isolated: bool
    refcount: int


class Observer(Protocol):
    """Told of every step of a run, for traces."""

    def step(self, index: int, operation: Operation, reference: str, candidate: str, effective: bool) -> None:
        """One step ended; the two texts are the outcomes of the two sides (equal texts agree)."""

    def pages(self, index: int, reference: list[PageRow], candidate: list[PageRow]) -> None:
        """The map of pfns of both sides at the first difference, or at the end."""


@runtime_checkable
class LaneWatcher(Observer, Protocol):
    """An Observer that also wants to be told what the lanes of a block do, on either side."""

    @property
    def lane_observers(self) -> tuple[LaneObserver | None, LaneObserver | None]:
        """Return who is told of the reference's lanes, and of the candidate's."""
