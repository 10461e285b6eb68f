"""A sample is stratified and drawn by its seed alone; what cannot be measured together is refused."""

from __future__ import annotations

from random import Random

import pytest

from zsfuzz.errors import UsageError
from zsfuzz.measure import plan as plan_module
from zsfuzz.measure.hardness import MEASURED, is_hard, measurement
from zsfuzz.measure.plan import Plan, chosen_faults, stratified, stratum
from zsfuzz.target.fault import Fault
from zsfuzz.target.registry import faults

ONE_SIDED = [fault for fault in faults().values() if not fault.shared and not fault.concurrent]


def test_every_stratum_is_in_a_sample_that_is_large_enough() -> None:
    strata = {stratum(fault) for fault in ONE_SIDED}
    for seed in range(5):
        sample = stratified(ONE_SIDED, len(strata) + 2, Random(seed))
        assert {stratum(fault) for fault in sample} == strata


def test_a_sample_keeps_the_proportions(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 faults of one target and 20 of the other: 9 and 3 of 12."""
    monkeypatch.setattr(plan_module, "is_hard", lambda fault_id: False)
    invented = [Fault(f"F{number}", "core" if number % 4 else "policy", "", "", False, "") for number in range(80)]
    sample = stratified(invented, 12, Random(1))
    assert [sum(fault.target == each for fault in sample) for each in ("core", "policy")] == [9, 3]


def test_a_sample_depends_on_its_seed_alone_and_keeps_the_order() -> None:
    one, again, other = (stratified(ONE_SIDED, 20, Random(seed)) for seed in (1, 1, 2))
    assert one == again != other
    assert [fault.id for fault in one] == [fault.id for fault in ONE_SIDED if fault in one]
    assert len(stratified(ONE_SIDED, 10_000, Random(1))) == len(ONE_SIDED)


def test_seeds_are_the_outer_loop() -> None:
    cells = Plan(chosen_faults(["H05", "A01"], None, 0, shared=False), ("random", "coverage"), 2, 1.0).cells()
    assert [(cell.seed, cell.fault, cell.engine) for cell in cells[:5]] == [
        (0, "H05", "random"),
        (0, "H05", "coverage"),
        (0, "A01", "random"),
        (0, "A01", "coverage"),
        (1, "H05", "random"),
    ]


def test_faults_of_one_side_and_of_both_are_measured_apart() -> None:
    assert all(fault.shared for fault in chosen_faults((), None, 0, shared=True))
    assert not any(fault.shared for fault in chosen_faults((), None, 0, shared=False))
    with pytest.raises(UsageError, match="B-zone is of both sides; add --both-sides"):
        chosen_faults(["B-zone"], None, 0, shared=False)
    with pytest.raises(UsageError, match="H05 is of one side; leave out --both-sides"):
        chosen_faults(["H05"], None, 0, shared=True)
    with pytest.raises(UsageError, match="unknown fault 'X'"):
        chosen_faults(["X"], None, 0, shared=True)


def test_the_measurement_of_hardness_is_of_this_catalogue() -> None:
    """Made by the command that it names; a fault that is new has to be measured."""
    missed = measurement()["missed"]
    assert set(missed) == {fault.id for fault in faults().values() if not fault.concurrent}
    assert sum(is_hard(fault_id) for fault_id in missed) == measurement()["hard"] >= 15
    assert measurement()["command"] and MEASURED.exists()
