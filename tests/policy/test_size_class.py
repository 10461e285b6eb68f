"""The size-class table against a second computation and against known figures.

In:    zsfuzz/policy/size_class.py.
Out:   nothing.
Never: a helper of the code under test inside the second computation: both allocators trust this table, so
       a shared mistake would be invisible everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsfuzz.policy import size_class
from zsfuzz.policy.size_class import (
    NR_ZS_FULLNESS,
    FullnessGroup,
    ObjectEncoding,
    SizeClassTable,
    get_fullness_group,
    object_encoding,
    size_class_table,
)

Row = tuple[int, int, int]  # size, pages, objects


def naive_row(size: int, page_size: int, longest_chain: int) -> Row:
    """One raw class, by exact fractions and a sort instead of a running maximum."""

    def preference(pages: int) -> tuple[int, int]:
        whole_bytes = pages * page_size
        used = Fraction(whole_bytes // size * size, whole_bytes)
        return (-int(used * 100), pages)

    pages = min(range(1, longest_chain + 1), key=preference)
    return size, pages, pages * page_size // size


def naive_rows(page_size: int, longest_chain: int) -> list[list[Row]]:
    """The raw classes in runs that share pages and objects; the last of a run is the class that stays."""
    delta = max(16, page_size // 256)
    sizes = [*range(32, page_size, delta), page_size]
    rows = [naive_row(size, page_size, longest_chain) for size in sizes]
    return [list(run) for _, run in groupby(rows, key=lambda row: row[1:])]


def differences(table: SizeClassTable) -> list[str]:
    """Every place where the table and the second computation disagree."""
    runs = naive_rows(table.page_size, table.max_pages_per_zspage)
    expected = [run[-1] for run in runs]
    shown = [(c.size_bytes, c.pages_per_zspage, c.objs_per_zspage) for c in table.classes]
    found = [f"class {want} against {got}" for want, got in zip(expected, shown, strict=False) if want != got]
    if len(expected) != len(shown):
        found.append(f"{len(expected)} classes against {len(shown)}")
    raw = [(position, row) for position, run in enumerate(runs) for row in run]
    found += [
        f"raw {index} -> {position} against {table.index_of[index]}"
        for index, (position, _) in enumerate(raw)
        if index >= len(table.index_of) or table.index_of[index] != position
    ]
    shared = [size for _, (size, pages, objs) in raw if pages > 1 and objs > 1]
    first_huge = max(shared) - 8 + 1 if shared else 0
    if table.huge_class_size != first_huge:
        found.append(f"first huge request {first_huge} against {table.huge_class_size}")
    return found


GEOMETRIES = [(1024, 4), (2048, 4), (4096, 4), (4096, 1), (4096, 8), (16384, 4), (65536, 4)]


@pytest.mark.parametrize(("page_size", "chain"), GEOMETRIES)
def test_the_table_agrees_with_a_second_computation(page_size: int, chain: int) -> None:
    assert differences(SizeClassTable(page_size, chain)) == []


def least_waste(class_size: int, page_size: int, longest: int) -> int:
    """The rule of 6.3 and later: another table even at the same chain length."""
    return min(range(1, longest + 1), key=lambda pages: pages * page_size % class_size)


def last_tie_wins(class_size: int, page_size: int, longest: int) -> int:
    return max(
        range(1, longest + 1),
        key=lambda pages: (pages * page_size // class_size * class_size * 100 // (pages * page_size), pages),
    )


def uncut_percentage(class_size: int, page_size: int, longest: int) -> int:
    def used(pages: int) -> Fraction:
        return Fraction(pages * page_size // class_size * class_size, pages * page_size)

    return max(range(1, longest + 1), key=lambda pages: (used(pages), -pages))


@pytest.mark.parametrize("wrong", [least_waste, last_tie_wins, uncut_percentage])
def test_a_planted_wrong_chain_formula_is_seen(
    wrong: Callable[[int, int, int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size_class, "get_pages_per_zspage", wrong)
    assert differences(SizeClassTable(4096)) != []


def test_a_planted_merge_that_ignores_the_object_count_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def pages_only(prev: size_class.SizeClass, pages: int, objs: int) -> bool:
        return prev.pages_per_zspage == pages

    monkeypatch.setattr(size_class, "can_merge", pages_only)
    assert differences(SizeClassTable(4096)) != []


def test_linux_5_10_has_69_distinct_classes_of_255_and_3257_is_the_first_huge_request() -> None:
    table = SizeClassTable(4096)
    assert len(table.classes) == 69
    assert len(table.index_of) == 255
    assert table.huge_class_size == 3257
    assert not table.class_for(3256 + 8).huge
    assert table.class_for(3257 + 8).huge


@pytest.mark.parametrize(
    ("size", "pages", "objs"),
    [
        (3264, 4, 5),
        (3072, 3, 4),
        (2720, 2, 3),
        (2448, 3, 5),
        (2336, 4, 7),
        (2048, 1, 2),
        (48, 3, 256),
        (32, 1, 128),
        (4096, 1, 1),
    ],
)
def test_the_classes_that_people_know_by_heart(size: int, pages: int, objs: int) -> None:
    served = SizeClassTable(4096).class_for(size)
    assert (served.size_bytes, served.pages_per_zspage, served.objs_per_zspage) == (size, pages, objs)
    assert served.huge == (size == 4096)


def test_54_of_the_69_classes_leave_a_remainder_that_links_a_phantom_slot() -> None:
    table = SizeClassTable(4096)
    assert sum(1 for c in table.classes if c.pages_per_zspage * 4096 % c.size_bytes) == 54


@pytest.mark.parametrize("page_size", [1024, 4096])
def test_a_request_fits_its_class_and_not_the_one_below(page_size: int) -> None:
    table = SizeClassTable(page_size)
    for size in range(1, page_size + 1):
        served = table.class_for(size)
        position = table.classes.index(served)
        assert served.size_bytes >= size
        assert position == table.index_of[table.get_size_class_index(size)]
        if position:
            assert table.classes[position - 1].size_bytes < size


@pytest.mark.parametrize("page_size", [1024, 4096])
def test_every_class_is_sound_for_in_band_links(page_size: int) -> None:
    table = SizeClassTable(page_size)
    assert [c.size_bytes for c in table.classes] == sorted({c.size_bytes for c in table.classes})
    assert [c.index for c in table.classes] == sorted({c.index for c in table.classes})
    assert table.classes[-1].size_bytes == page_size
    assert table.classes[-1].huge
    for served in table.classes:
        assert served.size_bytes % 8 == 0
        assert served.objs_per_zspage * served.size_bytes <= served.pages_per_zspage * page_size
        assert table.class_at(served.index) == served
        # Each component page must hold the start of an object: page->units is meaningful for all of them.
        starts = {i * served.size_bytes // page_size for i in range(served.objs_per_zspage)}
        assert starts == set(range(served.pages_per_zspage))


def test_a_size_beyond_the_largest_class_gets_the_largest_one() -> None:
    table = SizeClassTable(4096)
    assert table.class_for(1 << 40) is table.classes[-1]
    assert table.class_for(0) is table.classes[0]


@pytest.mark.parametrize(
    ("page_size", "chain", "min_alloc", "delta"),
    [
        (1000, 4, 32, None),
        (128, 4, 32, None),
        (4096, 0, 32, None),
        (4096, 4, 36, None),
        (4096, 4, 16, None),
        (4096, 4, 32, 12),
        (4096, 4, 32, 0),
        (256, 1 << 21, 32, None),
    ],
)
def test_an_unsound_geometry_is_refused(page_size: int, chain: int, min_alloc: int, delta: int | None) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        SizeClassTable(page_size, chain, min_alloc, delta)


def test_one_geometry_has_one_table_and_one_encoding() -> None:
    assert size_class_table(4096) is size_class_table(4096)
    assert object_encoding(1024) is object_encoding(1024)


FULLNESS_OF_FIVE = ["EMPTY", "ALMOST_EMPTY", "ALMOST_EMPTY", "ALMOST_EMPTY", "ALMOST_FULL", "FULL"]


def fullness_differences(group: Callable[[int, int], FullnessGroup]) -> list[tuple[int, int]]:
    """(inuse, objects) where `group` departs from the rule: three quarters of the objects, rounded down."""
    found = []
    for objs in range(1, 257):
        for inuse in range(objs + 1):
            if inuse in (0, objs):
                want = "ZS_EMPTY" if inuse == 0 else "ZS_FULL"
            else:
                want = "ZS_ALMOST_EMPTY" if Fraction(inuse) <= int(Fraction(3 * objs, 4)) else "ZS_ALMOST_FULL"
            if group(inuse, objs).name != want:
                found.append((inuse, objs))
    return found


def test_fullness_follows_three_quarters_rounded_down() -> None:
    """objs 5:  0    1   2   3    4    5
    E    ae  ae  ae   af   F
    """
    assert fullness_differences(get_fullness_group) == []
    assert [get_fullness_group(n, 5).name.removeprefix("ZS_") for n in range(6)] == FULLNESS_OF_FIVE


def test_a_planted_wrong_fullness_threshold_is_seen() -> None:
    """The comment in the kernel says n <= N / f; a model that believed it would be wrong."""

    def as_the_comment_says(inuse: int, objs: int) -> FullnessGroup:
        if inuse in (0, objs):
            return get_fullness_group(inuse, objs)
        return FullnessGroup.ZS_ALMOST_EMPTY if inuse <= objs // 4 else FullnessGroup.ZS_ALMOST_FULL

    assert fullness_differences(as_the_comment_says) != []


def test_there_are_four_groups_numbered_as_the_lists() -> None:
    assert NR_ZS_FULLNESS == 4
    assert [int(group) for group in FullnessGroup] == [0, 1, 2, 3]


def test_the_object_value_of_4096_byte_pages_has_23_index_bits() -> None:
    encoding = ObjectEncoding.of(4096)
    assert encoding.obj_index_bits == 23
    assert encoding.location_to_obj(1, 0) == 1 << 24
    assert encoding.location_to_obj(5, 3) == (5 << 24) | (3 << 1)
    assert ObjectEncoding.of(1024).obj_index_bits == 21


@given(
    st.sampled_from([1024, 4096, 65536]),
    st.integers(0, (1 << 36) - 1),
    st.integers(0, (1 << 21) - 1),
    st.booleans(),
)
def test_an_object_value_gives_its_location_back_whatever_the_pin_bit(
    page_size: int, pfn: int, obj_idx: int, pinned: bool
) -> None:
    encoding = object_encoding(page_size)
    value = encoding.location_to_obj(pfn, obj_idx)
    assert value & 1 == 0
    assert value < 1 << 64
    assert encoding.obj_to_location(value | pinned) == (pfn, obj_idx)


def test_an_index_too_large_loses_its_high_bits() -> None:
    encoding = ObjectEncoding.of(4096)
    assert encoding.obj_to_location(encoding.location_to_obj(7, (1 << 23) + 2)) == (7, 2)
