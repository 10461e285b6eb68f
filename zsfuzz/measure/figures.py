"""Figures of a bench: times to the first finding, per fault and per engine, and their ratios.

In:    CellResults.
Out:   FaultFigures and Summary, plain data and lines of a table.
Never: a run; a mean of times that hides those that found nothing: what was missed counts at the budget.
Next:  zsfuzz/report/columns.py lays the table out; who prints: zsfuzz/cli/faults_bench.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from zsfuzz.measure.cell import DIVERGENCE, FOUND, MISSED, CellResult
from zsfuzz.measure.plan import Plan

BLIND_ENGINE: Final = "random"
EASY_SECONDS: Final = 1.0
"""A fault that the blind engine finds within this time says nothing of an engine: it is left out of the ratios."""


@dataclass(frozen=True, slots=True)
class Quartiles:
    """Lower quartile, median, upper quartile."""

    low: float
    median: float
    high: float


def quartiles(values: Sequence[float]) -> Quartiles:
    """Return the quartiles, interpolated; of one value, that value. Errors: ValueError for none."""
    if not values:
        raise ValueError("quartiles of nothing")
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Quartiles(low, median, high)


@dataclass(frozen=True, slots=True)
class FaultFigures:
    """One fault, one engine. expected: how many of the finds were by an oracle that the catalogue names."""

    fault: str
    engine: str
    runs: int
    found: int
    expected: int
    seconds: Quartiles
    programs: Quartiles
    oracles: tuple[str, ...]


def fault_figures(results: Sequence[CellResult]) -> list[FaultFigures]:
    """Return one entry for each fault and engine, in the order in which they first come."""
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for result in results:
        groups.setdefault((result.key.fault, result.key.engine), []).append(result)
    figures = []
    for (fault, engine), cells in groups.items():
        found = [each for each in cells if each.found]
        figures.append(
            FaultFigures(
                fault,
                engine,
                len(cells),
                len(found),
                sum(each.expected for each in found),
                quartiles([each.seconds if each.found else each.budget for each in cells]),
                quartiles([each.programs for each in cells]),
                tuple(dict.fromkeys(each.oracle for each in found)),
            )
        )
    return figures


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """One engine over all faults. always, ever: faults found with every seed, with any. median_seconds: of the faults'
    medians, over the faults that count. times_random: how many times longer the blind engine takes, median of the
    faults that count; None without it.
    """

    engine: str
    faults: int
    always: int
    ever: int
    median_seconds: float | None
    times_random: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole bench. easy: ids of the faults that are left out of medians over faults and of ratios."""

    budget: float
    seeds: int
    faults: tuple[FaultFigures, ...]
    engines: tuple[EngineFigures, ...]
    easy: tuple[str, ...]
    crashed: tuple[CellResult, ...]
    foreign: int

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "budget": self.budget,
            "seeds": self.seeds,
            "clock": "processor seconds",
            "faults": [asdict(each) for each in self.faults],
            "engines": [asdict(each) for each in self.engines],
            "easy": list(self.easy),
            "crashed": [each.as_json() for each in self.crashed],
            "foreign_findings": self.foreign,
        }


def summary(plan: Plan, results: Sequence[CellResult]) -> Summary:
    """Return the figures of a bench."""
    figures = fault_figures(results)
    of_random = {each.fault: each.seconds.median for each in figures if each.engine == BLIND_ENGINE}
    easy = tuple(fault for fault, median in of_random.items() if median <= EASY_SECONDS)
    engines = [
        _engine(engine, [each for each in figures if each.engine == engine], of_random, easy) for engine in plan.engines
    ]
    return Summary(
        plan.budget,
        plan.seeds,
        tuple(figures),
        tuple(engines),
        easy,
        tuple(each for each in results if each.status not in (FOUND, MISSED)),
        sum(each.foreign for each in results),
    )


def _engine(
    engine: str, figures: Sequence[FaultFigures], of_random: dict[str, float], easy: tuple[str, ...]
) -> EngineFigures:
    counting = [each for each in figures if each.fault not in easy]
    medians = [each.seconds.median for each in counting]
    ratios = [of_random[each.fault] / max(each.seconds.median, 1e-3) for each in counting if each.fault in of_random]
    return EngineFigures(
        engine,
        len(figures),
        sum(each.found == each.runs for each in figures),
        sum(each.found > 0 for each in figures),
        statistics.median(medians) if medians else None,
        statistics.median(ratios) if ratios else None,
    )


def fault_rows(figures: Sequence[FaultFigures]) -> list[tuple[str, ...]]:
    """Return the rows of a table, head first."""
    head = ("fault", "engine", "found", "expected", "seconds (quartiles)", "programs (quartiles)", "found by")
    return [head, *(_fault_row(each) for each in figures)]


def _fault_row(each: FaultFigures) -> tuple[str, ...]:
    return (
        each.fault,
        each.engine,
        f"{each.found}/{each.runs}",
        f"{each.expected}/{each.found}",
        f"{each.seconds.median:.2f} ({each.seconds.low:.2f}-{each.seconds.high:.2f})",
        f"{each.programs.median:.0f} ({each.programs.low:.0f}-{each.programs.high:.0f})",
        "; ".join(each.oracles) or "-",
    )


def engine_rows(whole: Summary) -> list[tuple[str, ...]]:
    """Return the rows of the table of engines, head first."""
    head = ("engine", "faults", "always", "ever", "median s", "times faster than random")
    return [head, *(_engine_row(each) for each in whole.engines)]


def _engine_row(each: EngineFigures) -> tuple[str, ...]:
    return (
        each.engine,
        str(each.faults),
        str(each.always),
        str(each.ever),
        "-" if each.median_seconds is None else f"{each.median_seconds:.2f}",
        "-" if each.times_random is None else f"{each.times_random:.1f}",
    )


def share_found(results: Sequence[CellResult]) -> tuple[list[str], list[str]]:
    """Return (ids found with at least one seed, ids not found) in order; for faults of both sides."""
    found = {each.key.fault for each in results if each.found and not each.oracle.startswith(DIVERGENCE + " ")}
    ids = list(dict.fromkeys(each.key.fault for each in results))
    return [each for each in ids if each in found], [each for each in ids if each not in found]
