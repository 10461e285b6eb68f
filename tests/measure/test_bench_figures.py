"""What was missed counts at the budget, easy faults are left out of ratios, and the picture shows what is there."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from zsfuzz.measure.cell import CRASHED, FOUND, MISSED, CellKey, CellResult
from zsfuzz.measure.figures import engine_rows, fault_figures, fault_rows, quartiles, share_found, summary
from zsfuzz.measure.plan import Plan
from zsfuzz.measure.survival import curve, survival_svg
from zsfuzz.target.registry import faults

BUDGET = 100.0


def cells(fault: str, engine: str, *seconds: float | None, oracle: str = "invariant I3") -> list[CellResult]:
    """One cell a seed; None: missed."""
    return [
        CellResult(
            CellKey(fault, engine, seed),
            BUDGET,
            MISSED if each is None else FOUND,
            BUDGET if each is None else each,
            100,
            oracle="" if each is None else oracle,
            expected=each is not None,
        )
        for seed, each in enumerate(seconds)
    ]


RESULTS = [
    *cells("A01", "random", 0.1, 0.2, 0.3),
    *cells("A01", "coverage", 0.1, 0.1, 0.1),
    *cells("A03", "random", 40.0, None, None),
    *cells("A03", "coverage", 5.0, 10.0, None),
    *cells("A04", "random", 20.0, 30.0, 50.0),
    *cells("A04", "coverage", 3.0, 3.0, 3.0),
]
PLAN = Plan(tuple(faults()[name] for name in ("A01", "A03", "A04")), ("coverage", "random"), 3, BUDGET)


def test_quartiles_are_interpolated() -> None:
    figures = quartiles([1.0, 2.0, 3.0, 4.0])
    assert (figures.low, figures.median, figures.high) == (1.75, 2.5, 3.25)
    assert quartiles([7.0]).high == 7.0
    with pytest.raises(ValueError, match="nothing"):
        quartiles([])


def test_a_run_that_found_nothing_counts_at_the_budget() -> None:
    figures = {(each.fault, each.engine): each for each in fault_figures(RESULTS)}
    assert figures["A03", "random"].seconds.median == BUDGET
    assert (figures["A03", "random"].found, figures["A03", "random"].runs) == (1, 3)
    assert figures["A03", "coverage"].seconds.median == 10.0


def test_easy_faults_are_left_out_of_medians_and_ratios() -> None:
    """A01 is found blind within a second. Of the others coverage is 10 times faster, in the median."""
    whole = summary(PLAN, RESULTS)
    assert whole.easy == ("A01",)
    coverage = next(each for each in whole.engines if each.engine == "coverage")
    assert (coverage.faults, coverage.always, coverage.ever) == (3, 2, 3)
    assert coverage.median_seconds == 6.5
    assert coverage.times_random == pytest.approx(10.0)


def test_without_the_blind_engine_there_is_no_ratio() -> None:
    plan = Plan(PLAN.faults, ("coverage",), 3, BUDGET)
    whole = summary(plan, [each for each in RESULTS if each.key.engine == "coverage"])
    assert whole.easy == () and whole.engines[0].times_random is None


def test_a_crash_is_told_and_is_no_find() -> None:
    crashed = CellResult(CellKey("A01", "coverage", 9), BUDGET, CRASHED, 1.0, 5, reason="it fell over")
    whole = summary(PLAN, [*RESULTS, crashed])
    assert whole.crashed == (crashed,)
    assert next(each for each in whole.engines if each.engine == "coverage").always == 1


def test_tables_have_a_row_for_each_fault_and_each_engine() -> None:
    whole = summary(PLAN, RESULTS)
    assert len(fault_rows(whole.faults)) == 1 + 6 and len(engine_rows(whole)) == 1 + 2
    assert fault_rows(whole.faults)[3][:5] == ("A03", "random", "1/3", "1/1", "100.00 (70.00-100.00)")


def test_only_what_is_no_divergence_counts_for_both_sides() -> None:
    results = [*cells("B-zone", "coverage", 1.0), *cells("B-undo", "coverage", 2.0, oracle="divergence outcome")]
    assert share_found(results) == (["B-zone"], ["B-undo"])


def test_a_curve_falls_at_every_find_and_ends_at_the_budget() -> None:
    assert curve(cells("A03", "coverage", 5.0, 10.0, None, None)) == [
        (0.0, 1.0),
        (5.0, 0.75),
        (10.0, 0.5),
        (100.0, 0.5),
    ]
    with pytest.raises(ValueError, match="no cells"):
        curve([])


def test_the_picture_is_well_formed_and_has_a_curve_and_a_name_for_each_engine() -> None:
    root = ElementTree.fromstring(survival_svg(RESULTS, "three faults & their <finds>"))
    name = "{http://www.w3.org/2000/svg}"
    curves = [each for each in root.iter(f"{name}path") if each.get("stroke") != "black"]
    texts = [each.text or "" for each in root.iter(f"{name}text")]
    assert len(curves) == 2
    assert "random (9)" in texts and "coverage (9)" in texts and "three faults & their <finds>" in texts
    for each in curves:
        xs = [float(word.split()[0][1:]) for word in (each.get("d") or "").replace(" L", "|L").split("|")]
        assert xs == sorted(xs), "time goes to the right"
