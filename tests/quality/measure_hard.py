"""Measure which faults are hard: write zsfuzz/measure/hard.json again.

In:    every sequential fault; the engine `random`, the seeds and the budget of zsfuzz/measure/hardness.py.
Out:   zsfuzz/measure/hard.json: how often each fault was found. Faults of both sides are found by any oracle but a
       divergence.
Never: an engine that learns: hard means that blind search does not meet it.
Next:  who reads it: zsfuzz/measure/hardness.py.

    python -m tests.quality.measure_hard [JOBS [FOLDER]]       # goes on where it was; half an hour of processor time
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from zsfuzz.measure.bench import BenchProgress, run_bench
from zsfuzz.measure.cell import CellResult
from zsfuzz.measure.hardness import BUDGET_SECONDS, ENGINE, MEASURED, SEEDS
from zsfuzz.measure.plan import Plan, chosen_faults
from zsfuzz.measure.store import Store, sources_digest


def watch(progress: BenchProgress) -> None:
    """Tell of a cell that took long."""
    last = progress.last
    if last is not None and last.seconds > 1.0:
        sys.stderr.write(f"{progress.done}/{progress.total} {last.key.name}: {last.status} {last.seconds:.1f} s\n")


def main(words: list[str]) -> None:
    """Measure, and write the file."""
    jobs = int(words[0]) if words else 1
    store = Store(Path(words[1]) if len(words) > 1 else Path("zsfuzz-bench"), sources_digest())
    results: list[CellResult] = []
    for shared in (False, True):
        plan = Plan(chosen_faults((), None, 0, shared=shared), (ENGINE,), SEEDS, BUDGET_SECONDS, shared)
        results += run_bench(plan, store, jobs, watch)
    found: dict[str, int] = {}
    for result in results:
        found[result.key.fault] = found.get(result.key.fault, 0) + result.found
    document = {
        "command": "python -m tests.quality.measure_hard",
        "engine": ENGINE,
        "seeds": SEEDS,
        "budget_seconds": BUDGET_SECONDS,
        "clock": "processor seconds",
        "hard": sum(count == 0 for count in found.values()),
        "found": found,
    }
    MEASURED.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{document['hard']} of {len(found)} faults are hard\n")


if __name__ == "__main__":
    main(sys.argv[1:])
