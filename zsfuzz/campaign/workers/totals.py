"""Totals: the counts of all workers, as one campaign's.

In:    the newest record of each incarnation of each worker.
Out:   Totals: sums, and figures of each worker.
Never: files, processes.
Next:  who asks: zsfuzz/campaign/workers/supervisor.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zsfuzz.campaign.tally import Tally
from zsfuzz.campaign.workers.record import Record

NOT_SUMMED = ("entries", "features", "block_entries", "block_features")
"""Counts of an engine that several workers share, by and large: of them the largest is shown, not the sum."""


@dataclass(slots=True)
class WorkerFigures:
    """What one worker did, over all its incarnations. seed: of the first one. starts: how many incarnations."""

    worker: int
    seed: int
    starts: int = 0
    tally: Tally = field(default_factory=Tally)
    engine: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "worker": self.worker,
            "seed": self.seed,
            "starts": self.starts,
            "programs": self.tally.programs,
            "operations": self.tally.operations,
            "no_ops": self.tally.no_ops,
            "engine_statistics": {name: self.engine[name] for name in sorted(self.engine)},
        }


@dataclass(slots=True)
class Totals:
    """All workers together. hits: by the ids of findings, in the order in which they were seen."""

    tally: Tally = field(default_factory=Tally)
    hits: dict[str, int] = field(default_factory=dict)
    engine: dict[str, int] = field(default_factory=dict)
    workers: dict[int, WorkerFigures] = field(default_factory=dict)


def totals_of(records: Iterable[tuple[int, Record]], seed_of: Mapping[int, int]) -> Totals:
    """Return the sums. records: (number of the worker, record) of each incarnation, in the order of their starts.

    seed_of: the first seed of each worker.
    """
    totals = Totals()
    for number, record in records:
        worker = totals.workers.setdefault(number, WorkerFigures(number, seed_of.get(number, 0)))
        worker.starts += 1
        worker.tally.merge(record.tally)
        _add_engine(worker.engine, record.engine)
        totals.tally.merge(record.tally)
        for finding_id, hits in record.hits.items():
            totals.hits[finding_id] = totals.hits.get(finding_id, 0) + hits
    totals.workers = {number: totals.workers[number] for number in sorted(totals.workers)}
    for worker in totals.workers.values():
        _add_engine(totals.engine, worker.engine)
    return totals


def _add_engine(sums: dict[str, int], counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        known = sums.get(name, 0)
        sums[name] = max(known, count) if name in NOT_SUMMED else known + count
