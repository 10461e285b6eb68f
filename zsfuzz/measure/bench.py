"""The bench: every cell of a plan, some at a time, each kept as it ends.

In:    a plan; a store; how many workers at once; a watch for progress.
Out:   CellResults in the order of the plan. A run that was killed goes on where it was.
Never: a cell in this process: one that goes wrong takes nothing with it.
Next:  the figures made of them: zsfuzz/measure/figures.py; the picture: zsfuzz/measure/survival.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zsfuzz.measure.cell import HUNG, CellKey, CellResult, cell_of_json
from zsfuzz.measure.plan import Plan
from zsfuzz.measure.processes import run_jobs, wall_limit
from zsfuzz.measure.store import Store


@dataclass(frozen=True, slots=True)
class BenchProgress:
    """Where a bench is. kept: cells that were there already. last: the cell that ended last."""

    done: int
    total: int
    kept: int
    found: int
    last: CellResult | None


def run_bench(plan: Plan, store: Store, at_once: int, watch: Callable[[BenchProgress], None]) -> list[CellResult]:
    """Run what is not in the store yet, and return all. Errors: HarnessError for a worker without a result."""
    cells = plan.cells()
    results: dict[CellKey, CellResult] = {}
    for key in cells:
        document = store.load(key.name, plan.budget)
        if document is not None:
            results[key] = cell_of_json(document)
    kept = len(results)
    missing = [key for key in cells if key not in results]

    def show(last: CellResult | None) -> None:
        found = sum(each.found for each in results.values())
        watch(BenchProgress(len(results), len(cells), kept, found, last))

    show(None)
    jobs = [{"cell": key_as_json(key), "budget": plan.budget} for key in missing]
    for number, document in run_jobs(jobs, at_once, wall_limit(plan.budget)):
        key = missing[number]
        if document is None:
            result = CellResult(key, plan.budget, HUNG, plan.budget, 0, reason="ended by the clock on the wall")
        else:
            result = cell_of_json(document)
        store.save(key.name, result.as_json())
        results[key] = result
        show(result)
    return [results[key] for key in cells]


def key_as_json(key: CellKey) -> dict[str, object]:
    """Return a key as plain data."""
    return {"fault": key.fault, "engine": key.engine, "seed": key.seed, "blind": key.blind}
