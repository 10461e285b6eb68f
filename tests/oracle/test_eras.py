"""Era rules: each fires where it predicts both values, and its nearest neighbour does not.

In:    zsfuzz/oracle/eras.py.
Out:   -
Never: a kernel.
Next:  rules at work: tests/kernel/test_kernel_runs.py.
"""

from __future__ import annotations

import pytest

from zsfuzz.oracle.eras import Era, EraDifferences, Failure
from zsfuzz.policy.size_class import SizeClassTable
from zsfuzz.program.ops import Gfp, Malloc

V5_10 = Era()
V6_1 = Era(4, error_pointer=True)
V6_12 = Era(8, error_pointer=True, large_is_enospc=True, least_waste=True)


def failed(errno: int, normal: int = 100, movable: int = 100) -> Failure:
    return Failure(errno, normal, movable)


@pytest.mark.parametrize(
    ("size", "left", "right", "holds"),
    [
        (0, 0, 22, True),
        (5000, 0, 28, True),
        (100, 0, 12, True),
        (5000, 0, 22, False),  # 6.1's word from 6.12
        (0, 0, 28, False),
        (100, 12, 12, False),  # 5.10 has no words at all
    ],
)
def test_k1_knows_each_eras_error(size: int, left: int, right: int, holds: bool) -> None:
    rules = EraDifferences(V5_10, V6_12)
    assert rules.explains_errors(Malloc(0, size), failed(left), failed(right)) is holds
    assert rules.uses()["K1"] == holds
    assert not rules.parted


def test_equal_errors_use_no_rule() -> None:
    rules = EraDifferences(V6_1, V6_12)
    assert rules.explains_errors(Malloc(0, 0), failed(22), failed(22))
    assert rules.uses()["K1"] == 0


def test_k2_needs_fewer_free_pages_than_one_zspage() -> None:
    """2720 bytes and a handle are in class 2736: 3 pages by per cent used, 7 by least waste."""
    assert (V5_10.pages_per_zspage(2720), V6_12.pages_per_zspage(2720)) == (3, 7)
    need = V6_12.pages_per_zspage(2424)
    for free, holds in ((need - 1, True), (need, False)):
        rules = EraDifferences(V5_10, V6_12)
        step = Malloc(0, 2424, Gfp.KERNEL)
        assert rules.explains_one_failure(step, 1, failed(12, free, 500), injected=False) is holds
        assert rules.parted == ("K2" if holds else "")


def test_k2_counts_both_zones_for_a_movable_request() -> None:
    rules = EraDifferences(V5_10, V6_12)
    assert not rules.explains_one_failure(Malloc(0, 2424), 1, failed(12, 0, 500), injected=False)


def test_k2_does_not_excuse_another_error() -> None:
    rules = EraDifferences(V5_10, V6_12)
    assert not rules.explains_one_failure(Malloc(0, 100), 1, failed(22, 0, 0), injected=False)
    assert not rules.explains_one_failure(Malloc(0, 5000), 1, failed(28, 0, 0), injected=False)


def test_k3_needs_an_injected_failure() -> None:
    rules = EraDifferences(V5_10, V6_12)
    assert not rules.explains_one_failure(Malloc(0, 100), 1, failed(12), injected=False)
    assert rules.explains_one_failure(Malloc(0, 100), 1, failed(12), injected=True)
    assert rules.parted == "K3"


def test_k4_needs_a_program_that_isolates() -> None:
    rules = EraDifferences(V5_10, V6_12)
    assert not rules.explains_busy_pool(isolates=False)
    assert rules.explains_busy_pool(isolates=True)
    assert rules.parted == "K4"


def test_the_first_rule_that_parts_is_told() -> None:
    rules = EraDifferences(V5_10, V6_12)
    rules.explains_busy_pool(isolates=True)
    rules.explains_one_failure(Malloc(0, 100), 1, failed(12), injected=True)
    assert rules.parted == "K4"


def test_the_seed_eras_zspages_are_those_of_the_class_table() -> None:
    table = SizeClassTable(4096)
    for size in range(1, 4097, 7):
        assert V5_10.pages_per_zspage(size) == table.class_for(size + 8).pages_per_zspage, size
