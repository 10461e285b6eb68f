"""Measure which faults are hard: write zsfuzz/measure/hard.json again.

In:    every sequential fault; the engine `random`, the seeds and the budget of zsfuzz/measure/hardness.py.
Out:   zsfuzz/measure/hard.json: with how many seeds each fault was missed before one found it. Faults of both sides are
       found by any oracle but a divergence.
Never: an engine that learns: hard means that blind search does not meet a fault with any seed.
Next:  who reads it: zsfuzz/measure/hardness.py.

    python -m tests.quality.measure_hard                    # half an hour of processor time
    python -m tests.quality.measure_hard G-undo-zone ...    # these again, the others as they are in the file
"""

from __future__ import annotations

import json
import sys
import time

from zsfuzz.measure.cell import CellKey, run_cell
from zsfuzz.measure.hardness import BUDGET_SECONDS, ENGINE, MEASURED, SEEDS, measurement
from zsfuzz.target.fault import Fault
from zsfuzz.target.registry import faults


def seeds_missed(fault: Fault) -> int:
    """Return with how many seeds, from 0 on, a fault was missed before one found it; SEEDS when none did."""
    for seed in range(SEEDS):
        if run_cell(CellKey(fault.id, ENGINE, seed, fault.shared), BUDGET_SECONDS, time.process_time).found:
            return seed
    return SEEDS


def main(names: list[str]) -> None:
    """Measure, and write the file after each fault."""
    kept: dict[str, int] = measurement()["missed"] if names else {}
    catalogue = [fault for fault in faults().values() if not fault.concurrent]
    missed = {fault.id: kept[fault.id] for fault in catalogue if fault.id in kept and fault.id not in names}
    for fault in catalogue:
        if fault.id not in missed and (not names or fault.id in names):
            missed[fault.id] = seeds_missed(fault)
            sys.stdout.write(f"{fault.id}: missed with {missed[fault.id]} of {SEEDS} seeds\n")
            sys.stdout.flush()
            write({fault.id: missed[fault.id] for fault in catalogue if fault.id in missed})


def write(missed: dict[str, int]) -> None:
    """Write the file."""
    document = {
        "command": "python -m tests.quality.measure_hard",
        "engine": ENGINE,
        "seeds": SEEDS,
        "budget_seconds": BUDGET_SECONDS,
        "clock": "processor seconds",
        "hard": sum(count == SEEDS for count in missed.values()),
        "missed": missed,
    }
    MEASURED.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
