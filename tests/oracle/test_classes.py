"""The second computation of size classes agrees with the shared policy, and differs when the policy is wrong."""

from __future__ import annotations

import pytest

from zsfuzz.oracle.classes import SlotShape, group_of, slot_shape
from zsfuzz.policy.size_class import SizeClassTable, get_fullness_group


@pytest.mark.parametrize("page_size", [1024, 4096])
def test_every_request_gets_the_same_slot_by_both_formulas(page_size: int) -> None:
    table = SizeClassTable(page_size)
    for request in range(1, page_size + 1):
        row = table.class_for(request + 8)
        assert slot_shape(page_size, request) == SlotShape(row.size_bytes, row.pages_per_zspage, row.objs_per_zspage)


def test_a_table_by_another_rule_is_told_apart() -> None:
    table = SizeClassTable(4096, max_pages_per_zspage=3)
    differing = [
        request
        for request in range(1, 4097)
        if slot_shape(4096, request).size_bytes != table.class_for(request + 8).size_bytes
    ]
    assert differing


def test_every_group_is_the_same_by_both_formulas() -> None:
    for objects in range(1, 130):
        for inuse in range(objects + 1):
            assert group_of(inuse, objects) == get_fullness_group(inuse, objects)


def test_facts_of_the_kernel() -> None:
    """3264 has 4 pages and 5 objects, 48 has 3 and 256; the first huge request is 3257 bytes."""
    assert slot_shape(4096, 3256) == SlotShape(3264, 4, 5)
    assert slot_shape(4096, 40) == SlotShape(48, 3, 256)
    assert slot_shape(4096, 3257) == SlotShape(4096, 1, 1)
