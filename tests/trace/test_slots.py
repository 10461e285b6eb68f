"""Slots: the lowest free one, and the k-th live one.

In:    zsfuzz/trace/slots.py, against a sorted list.
Out:   nothing.
Never: a large number of slots without need; doubling is tested at its edges.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsfuzz.trace.slots import LiveSlots


def live_of(slots: LiveSlots) -> list[int]:
    """The live slots, asked for one by one."""
    return [slots.kth(k) for k in range(slots.live_count)]


def test_the_lowest_free_slot_is_taken_again() -> None:
    """[0 1 2 3] release 2, 0 -> [. 1 . 3]; take -> 0, then 2, then 4."""
    slots = LiveSlots()
    assert [slots.take() for _ in range(4)] == [0, 1, 2, 3]
    slots.release(2)
    slots.release(0)
    assert live_of(slots) == [1, 3]
    assert [slots.take() for _ in range(3)] == [0, 2, 4]


@given(st.lists(st.integers(0, 40), max_size=120))
def test_slots_agree_with_a_sorted_list(choices: list[int]) -> None:
    slots = LiveSlots()
    model: list[int] = []
    for choice in choices:
        if choice < 20 or not model:
            lowest = next(n for n in range(len(model) + 1) if n not in model)
            assert slots.take() == lowest
            model = sorted([*model, lowest])
        else:
            slots.release(model.pop(choice % len(model)))
        assert live_of(slots) == model


@pytest.mark.parametrize("count", [1023, 1024, 1025, 2048, 2049, 5000])
def test_the_tree_grows_without_losing_a_slot(count: int) -> None:
    slots = LiveSlots()
    for _ in range(count):
        slots.take()
    for slot in range(0, count, 3):
        slots.release(slot)
    assert live_of(slots) == [slot for slot in range(count) if slot % 3]


def test_a_slot_that_does_not_exist_is_an_error() -> None:
    slots = LiveSlots()
    with pytest.raises(IndexError):
        slots.kth(0)
    slots.take()
    with pytest.raises(IndexError):
        slots.kth(1)
    with pytest.raises(IndexError):
        slots.kth(-1)
