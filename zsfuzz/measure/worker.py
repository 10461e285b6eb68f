"""A worker: one cell, or one mutant, in a process of its own.

In:    one JSON object on standard input: {"cell": ..., "budget": ...} or {"mutant": ..., "budget": ...}.
Out:   one JSON object on standard output.
Never: another job: a fault or a mutant that leaves something behind takes it along when the process ends.
Next:  who starts it: zsfuzz/measure/processes.py.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from zsfuzz.measure.processes import limit_processor_time


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job and return its result. The clock is processor time of this process."""
    limit_processor_time(job["budget"])
    if "mutant" in job:
        from zsfuzz.measure.mutating import run_mutant  # first of all: it has to be there before the models are

        return run_mutant(job["mutant"], job["budget"], job["seed"], time.process_time)
    from zsfuzz.measure.cell import CellKey, run_cell

    return run_cell(CellKey(**job["cell"]), job["budget"], time.process_time).as_json()


def main() -> None:
    """Read the job, write the result."""
    json.dump(work(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
