"""Hardness: which faults blind random search misses, as measured.

In:    zsfuzz/measure/hard.json, which a command writes.
Out:   is_hard(), and the measurement itself.
Never: an opinion: a fault is hard when the engine `random` missed it with every seed.
Next:  the command: `python -m tests.quality.measure_hard`; who asks: zsfuzz/measure/plan.py, zsfuzz/cli/faults.py.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

MEASURED: Final = Path(__file__).resolve().with_name("hard.json")
ENGINE: Final = "random"
SEEDS: Final = 5
BUDGET_SECONDS: Final = 10.0


@cache
def measurement() -> dict[str, Any]:
    """Return the measurement. "missed": id -> with how many seeds it was missed before one found it."""
    document: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return document


def is_hard(fault_id: str) -> bool:
    """Return whether blind random search missed a fault with every seed; False for one that was not measured."""
    missed: dict[str, int] = measurement()["missed"]
    seeds: int = measurement()["seeds"]
    return missed.get(fault_id) == seeds
