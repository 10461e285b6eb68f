"""One line of ftrace text: understood, or refused with a reason, never an exception.

In:    zsfuzz/trace/lines.py.
Out:   nothing.
Never: a file.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trace import text
from zsfuzz.program.ops import Gfp, MigrateMode
from zsfuzz.trace.lines import (
    BufferHeader,
    CompactCall,
    CompactReturn,
    FreeCall,
    Line,
    Lost,
    Malformed,
    MallocCall,
    MallocReturn,
    MigrateCall,
    MigrateReturn,
    OtherEvent,
    parse_line,
)

REAL = (
    "         kswapd0-38      [000] .N.1.     6.410548: malloc: (zs_malloc+0x0/0x4f0 [zsmalloc])"
    " pool=0xffff888013e97000 size=4096 gfp=0x280a"
)


def test_a_line_of_the_real_capture_is_a_malloc() -> None:
    assert parse_line(REAL) == MallocCall("38", 0xFFFF888013E97000, 4096, Gfp.MOVABLE)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (text.malloc_ret(0xABC), MallocReturn("38", 0xABC)),
        (text.free(0xABC), FreeCall("38", text.POOL, 0xABC)),
        (text.migrate(5, mode=0), MigrateCall("28", text.MEMMAP + 320, MigrateMode.ASYNC)),
        (text.migrate(5, mode=1), MigrateCall("28", text.MEMMAP + 320, MigrateMode.SYNC_LIGHT)),
        (text.migrate(5, mode=2), MigrateCall("28", text.MEMMAP + 320, MigrateMode.SYNC)),
        (text.migrate(5, mode=3), MigrateCall("28", text.MEMMAP + 320, MigrateMode.SYNC_NO_COPY)),
        (text.migrate_ret(-11), MigrateReturn("28", -11)),
        (text.compact(), CompactCall("38", text.POOL)),
        (text.compact_ret(324), CompactReturn("38", 324)),
        (text.event("sched_switch", "prev=1"), OtherEvent("sched_switch")),
        ("CPU:3 [LOST 128 EVENTS]\n", Lost(128)),
        ("CPU:3 [LOST EVENTS]\n", Lost(0)),
        ("# entries-in-buffer/entries-written: 100/250   #P:1\n", BufferHeader(150)),
        ("# tracer: nop\n", None),
        ("\n", None),
    ],
)
def test_every_kind_of_line_is_known(line: str, expected: Line | None) -> None:
    assert parse_line(line) == expected


@pytest.mark.parametrize(
    ("task", "key"),
    [
        ("kworker/u2:1-24", "24"),
        ("my - odd-name-1234", "1234"),
        ("<...>-77", "77"),
        ("<idle>-0", "0 on 3"),
    ],
)
def test_a_task_is_its_pid_whatever_its_name(task: str, key: str) -> None:
    assert parse_line(text.malloc_ret(1, task=task, cpu=3)) == MallocReturn(key, 1)


def test_the_thread_group_column_is_skipped() -> None:
    line = "  zt-119     (    119) [001] ...1.  6.4: malloc_ret: (x <- zs_malloc) handle=0x10"
    assert parse_line(line) == MallocReturn("119", 16)
    assert parse_line(line.replace("(    119)", "(-------)")) == MallocReturn("119", 16)


def test_only_highmem_and_movable_together_reach_the_movable_zone() -> None:
    seen = [parse_line(text.malloc(1, gfp=gfp)) for gfp in (0x280A, 0x2808, 0x2802, 0xCC0)]
    assert [line.gfp for line in seen if isinstance(line, MallocCall)] == [
        Gfp.MOVABLE,
        Gfp.KERNEL,
        Gfp.KERNEL,
        Gfp.KERNEL,
    ]


def test_a_capture_without_gfp_is_taken_for_zram() -> None:
    line = parse_line(text.event("malloc", "pool=0x1 size=5"))
    assert line == MallocCall("38", 1, 5, Gfp.MOVABLE)


@pytest.mark.parametrize(
    "line",
    [
        REAL[: len(REAL) // 2],
        REAL.replace("size=4096", "size="),
        REAL.replace("size=4096", "size=-1"),
        REAL.replace("size=4096", "size=99999999999999999999"),
        REAL.replace("size=4096", "size=0x10"),
        REAL.replace("pool=0xffff888013e97000", "pool=ffff"),
        REAL.replace("pool=0xffff888013e97000", "pool=0xffff888013e97000ff"),
        REAL.replace("gfp=0x280a", "gfp=GFP_KERNEL"),
        REAL.replace("[000]", "000"),
        text.migrate(1, mode=4),
        text.migrate(1, mode=-1),
        text.event("free", "pool=0x1"),
        text.event("compact_ret", "freed=many"),
        "\x1f\x8b\x08\x00 binary \x00\xff",
        "hello",
        "=" * 5000,
    ],
)
def test_a_malformed_line_is_refused_with_a_reason(line: str) -> None:
    refused = parse_line(line)
    assert isinstance(refused, Malformed)
    assert refused.reason


@given(st.text(max_size=300))
def test_no_text_is_an_exception(line: str) -> None:
    parse_line(line)


@given(st.integers(0, len(REAL)), st.text(max_size=3), st.integers(0, 20))
def test_no_damage_to_a_real_line_is_an_exception(at: int, put: str, gone: int) -> None:
    parse_line(REAL[:at] + put + REAL[at + gone :])


@pytest.mark.parametrize("line", ["-" * 4096, "a-1 " * 1024, " " * 4096, "1-1  " + " " * 4000, "k=" * 2048])
def test_a_hostile_line_costs_no_search(line: str) -> None:
    start = time.process_time()
    for _ in range(100):
        parse_line(line)
        parse_line(REAL + line)
    assert time.process_time() - start < 2
