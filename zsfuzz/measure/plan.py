"""The plan of a bench: which faults, which engines, which seeds, in which order.

In:    the catalogue; ids, a sample's size and seed.
Out:   Plan and its cells. The same arguments give the same plan everywhere.
Never: a run.
Next:  zsfuzz/measure/bench.py runs it; which faults are hard: zsfuzz/measure/hardness.py.

Cells are ordered seed by seed: a bench that is stopped early has seen every fault with its first seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from zsfuzz.errors import UsageError
from zsfuzz.measure.cell import CellKey
from zsfuzz.measure.hardness import is_hard
from zsfuzz.target.fault import Fault
from zsfuzz.target.registry import fault_named, faults


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. seeds: how many, from 0. budget: seconds of processor time for each cell."""

    faults: tuple[Fault, ...]
    engines: tuple[str, ...]
    seeds: int
    budget: float
    blind: bool = False

    def cells(self) -> list[CellKey]:
        """Return every cell in the order in which they are run."""
        return [
            CellKey(fault.id, engine, seed, self.blind)
            for seed in range(self.seeds)
            for fault in self.faults
            for engine in self.engines
        ]


def chosen_faults(ids: Sequence[str], sample: int | None, sample_seed: int, *, shared: bool) -> tuple[Fault, ...]:
    """Return the faults to measure: those named, or the whole catalogue, or a sample of either.

    shared: those of both sides instead of those of one. A concurrent fault is left out unless it is named: no
    sequential program shows it. Errors: UsageError for an unknown id, or one of the wrong sort.
    """
    if ids:
        chosen = [fault_named(each) for each in dict.fromkeys(ids)]
        for fault in chosen:
            if fault.shared != shared:
                raise UsageError(
                    f"fault {fault.id} is {'of both sides' if fault.shared else 'of one side'}; "
                    f"{'add' if fault.shared else 'leave out'} --both-sides"
                )
    else:
        chosen = [each for each in faults().values() if each.shared == shared and not each.concurrent]
    return tuple(chosen) if sample is None else stratified(chosen, sample, Random(sample_seed))


def stratum(fault: Fault) -> tuple[str, str, bool]:
    """Return what a sample keeps the proportions of."""
    return fault.target, fault.kind, is_hard(fault.id)


def stratified(chosen: Sequence[Fault], wanted: int, rng: Random) -> tuple[Fault, ...]:
    """Return `wanted` faults, or all, in catalogue order: of each stratum its share, one at least while they last.

    Shares are rounded down; what is left over goes to the largest remainders, larger strata first.
    """
    groups: dict[tuple[str, str, bool], list[Fault]] = {}
    for fault in chosen:
        groups.setdefault(stratum(fault), []).append(fault)
    wanted = min(wanted, len(chosen))
    counts = dict.fromkeys(groups, 0)
    for name in sorted(groups, key=lambda each: -len(groups[each]))[:wanted]:
        counts[name] = 1
    while sum(counts.values()) < wanted:
        open_groups = [each for each in groups if counts[each] < len(groups[each])]
        counts[max(open_groups, key=lambda each: len(groups[each]) * wanted / len(chosen) - counts[each])] += 1
    taken = {fault.id for name, group in groups.items() for fault in rng.sample(group, counts[name])}
    return tuple(fault for fault in chosen if fault.id in taken)
