"""One worker against several: what is refused, and what is worked out.

In:    reports that are changed by the test.
Out:   nothing.
Never: an assertion about a rate.
Next:  bench/workers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from bench.tables import workers_data, workers_lines
from bench.work import WorkNotDone
from bench.workers import WorkersBlock, WorkersFigures, WorkersSettings, check_report

GOOD: dict[str, Any] = {
    "workers": 2,
    "findings": [],
    "programs": 30,
    "operations": 900,
    "no_ops": 60,
    "checks": {"counters": 900, "full": 30},
    "worker_deaths": 0,
    "quarantined": [],
    "worker_figures": [
        {"programs": 10, "operations": 300, "no_ops": 20},
        {"programs": 20, "operations": 600, "no_ops": 40},
    ],
}


def test_a_report_that_adds_up_is_taken() -> None:
    check_report(deepcopy(GOOD), 2)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda report: report.update(workers=1), "1 worked"),
        (lambda report: report.update(findings=[{}]), "something was found"),
        (lambda report: report.update(operations=0), "nothing was run"),
        (lambda report: report["checks"].update(counters=3), "not compared"),
        (lambda report: report["checks"].update(full=0), "in full"),
        (lambda report: report.update(worker_deaths=1), "some died"),
        (lambda report: report["worker_figures"][0].update(programs=11), "do not add up"),
        (lambda report: report["worker_figures"].__setitem__(0, {"programs": 0, "operations": 0, "no_ops": 0}), "add"),
    ],
)
def test_a_report_that_does_not_is_refused(spoil: Callable[[dict[str, Any]], None], told: str) -> None:
    report = deepcopy(GOOD)
    spoil(report)
    with pytest.raises(WorkNotDone, match=told):
        check_report(report, 2)


def test_ratios_are_ratios_of_medians() -> None:
    one = tuple(WorkersBlock(1, 10.0, 10.0, programs, programs * 10, 0) for programs in (90, 100, 500))
    two = tuple(WorkersBlock(2, 10.0, 25.0, programs, programs * 10, 7) for programs in (10, 190, 300))
    figures = WorkersFigures(WorkersSettings(blocks=3, seconds=10.0), one, two)
    assert figures.programs_ratio == figures.operations_ratio == pytest.approx(1.9)
    assert figures.processor_ratio == pytest.approx(2 * 76 / 100)
    assert workers_data(figures)["ratios"]["programs"] == 1.9
    assert any("measured: programs 1.90" in line for line in workers_lines(figures))
