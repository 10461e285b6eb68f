"""Programs become words, records become differences; no kernel is needed for either.

In:    operations and streams made here.
Out:   -
Never: kernel source.
Next:  both at work: tests/kernel/test_kernel_runs.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from zsfuzz.errors import UsageError
from zsfuzz.kernel import lower, records
from zsfuzz.kernel.compare import first_difference
from zsfuzz.kernel.lower import is_lowered, lower_block, lower_steps
from zsfuzz.kernel.process import sanitizer_report
from zsfuzz.kernel.records import records_of
from zsfuzz.kernel.targets import find_build, is_kernel
from zsfuzz.program import ops

KEPT_OUT = {
    ops.CompactZone,
    ops.Offline,
    ops.Online,
    ops.Contig,
    ops.Poison,
    ops.Scan,
    ops.Bystander,
    ops.DropBystander,
}


def record(kind: int, step: int, *words: int) -> list[int]:
    return [kind << 56 | step << 32 | len(words), *words]


def test_every_operation_is_lowered_or_known_to_be_left_out() -> None:
    assert {kind for kind in ops.OPERATIONS if not is_lowered(kind)} == KEPT_OUT
    assert list(lower_steps([ops.Contig(0, 4)])) == [lower.NONE]


def test_words_hold_what_an_operation_says() -> None:
    pages = (ops.Component(5, 1), ops.IsolatedPage(3), ops.Pfn(9))
    steps: list[ops.Operation] = [ops.Malloc(5, 3256, ops.Gfp.KERNEL, 2), ops.Migrate(pages, ops.MigrateMode.SYNC)]
    assert list(lower_steps(steps)) == [
        lower.MALLOC | 1 << 8 | 2 << 16 | 5 << 32,
        3256,
        lower.MIGRATE | 2 << 8 | 3 << 32,
        5 << 32 | 1,
        1 << 62 | 3 << 32,
        2 << 62 | 9,
    ]


def test_a_block_says_how_long_each_lane_is() -> None:
    words = list(lower_block([[ops.Free(1)], [ops.Malloc(2, 10), ops.RunWork()]]))
    assert words[:3] == [lower.PARALLEL | 2 << 8, 1, 3]
    assert len(words) == 7


def test_a_record_that_was_cut_off_is_left_out() -> None:
    stream = record(records.STEP, 0, lower.FREE, 0) + record(records.COUNTERS, 0, 1, 2, 3, 4)
    assert [each.kind for each in records_of(stream)] == [records.STEP, records.COUNTERS]
    assert [each.kind for each in records_of(stream[:-1])] == [records.STEP]


MALLOC_AT = {pfn: record(records.STEP, 3, lower.MALLOC, 1, pfn << 32) for pfn in (7, 8)}
ONE_PAGE_ONE_FREE = 1 << 32 | 1
ONE_PAGE = 1 << 32

DIFFERENCES = [
    (MALLOC_AT[7], MALLOC_AT[8], "placement", "pfn"),
    ((records.STEP, 3, lower.COMPACT, 4), (records.STEP, 3, lower.COMPACT, 8), "outcome", "reference less"),
    ((records.STEP, 3, lower.FREE, 0), (records.STEP, 4, lower.FREE, 0), "outcome", "reference only"),
    (
        (records.COUNTERS, 1, 9, 2, 9, 2),
        (records.COUNTERS, 1, 9, 3, 9, 2),
        "zone counter",
        "nr_zspages, reference lower",
    ),
    ((records.PLACES, 1, 4, 1 << 32), (records.PLACES, 1, 4, 1 << 32 | 1), "placement", "object index"),
    ((records.CLASS, 1, 3, 8, 1, 0), (records.CLASS, 1, 3, 8, 1, 1), "class statistics", "group 1, reference lower"),
    (
        (records.ZSPAGE, 1, 3, 2, ONE_PAGE_ONE_FREE, 7 << 32, 5),
        (records.ZSPAGE, 1, 3, 2, ONE_PAGE_ONE_FREE, 7 << 32, 6),
        "zspage",
        "free_indices",
    ),
    (
        (records.ZSPAGE, 1, 3, 2, ONE_PAGE, 7 << 32),
        (records.ZSPAGE, 1, 3, 2, ONE_PAGE, 8 << 32),
        "fullness list",
        "members",
    ),
    ((records.FREE_LISTS, 1, 5, 1, 2), (records.FREE_LISTS, 1, 5, 2, 1), "free list", "order"),
    ((records.PAGES, 1, 1, 2, 3), (records.PAGES, 1, 1, 2, 4), "struct page", "mapping, private or index"),
    ((records.OBJECT, 1, 0, 5), (records.OBJECT, 1, 0, 6), "content", "unwritten bytes"),
    ((records.DRAINED, 1, 5, 5), (records.DRAINED, 1, 5, 4), "drained state", "nr_free_pages, candidate lower"),
]


@pytest.mark.parametrize(("one", "other", "rule", "field"), DIFFERENCES)
def test_a_difference_is_named_without_slots_and_pfns(
    one: Sequence[int], other: Sequence[int], rule: str, field: str
) -> None:
    left, right = (list(each) if isinstance(each, list) else record(*each) for each in (one, other))
    found = first_difference(left, right)
    assert found is not None
    assert (found.rule, found.field) == (rule, field)
    assert first_difference(left, left) is None


def test_what_lanes_did_is_not_compared() -> None:
    one = record(records.LANE_STEP, 0, lower.FREE, 0) + record(records.DRAINED, 1, 5, 5)
    other = record(records.LANE_STEP, 1, lower.COMPACT, 3) + record(records.DRAINED, 1, 5, 5)
    assert first_difference(one, other) is None


def test_a_sanitizers_words_become_a_report_at_the_kernels_own_line() -> None:
    text = (
        "==1==ERROR: AddressSanitizer: use-after-poison on address 0x1\n"
        "    #0 0x7f in zk_check shim/zk/lock.h:30\n    #1 0x7f in zs_free tree/mm/zsmalloc.c:1444\n"
    )
    report = sanitizer_report(text, 1)
    assert report is not None
    assert (report.rule, report.file, report.line, report.function) == (
        "AddressSanitizer use-after-poison",
        "zsmalloc.c",
        1444,
        "zs_free",
    )
    undefined = sanitizer_report("tree/mm/zsmalloc.c:12:3: runtime error: shift exponent 70 is too large\n", 1)
    assert undefined is not None
    assert (undefined.rule, undefined.line) == ("UndefinedBehaviorSanitizer", 12)
    assert sanitizer_report("Traceback", 1) is None


def test_a_missing_kernel_is_one_line_with_the_two_commands(tmp_path: object) -> None:
    root = tmp_path
    assert is_kernel("kernel:5.10")
    with pytest.raises(UsageError, match=r"zsfuzz kernel fetch 5\.10; zsfuzz kernel build 5\.10"):
        find_build("5.10", root)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no build has that name"):
        find_build("nobody", root)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"no mm/zsmalloc\.c"):
        find_build("./nowhere", root)  # type: ignore[arg-type]
