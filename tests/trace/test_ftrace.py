"""A capture becomes a program, and every line is accounted for.

In:    zsfuzz/trace/ftrace.py, hand-made captures, the excerpts in corpus/traces/.
Out:   nothing.
Never: a run of the program; tests/e2e/ replays.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trace import text
from zsfuzz.program.limits import check_program
from zsfuzz.program.ops import (
    Compact,
    Component,
    CreatePool,
    Free,
    Gfp,
    Malloc,
    Migrate,
    MigrateMode,
    Operation,
    Write,
)
from zsfuzz.trace import ftrace
from zsfuzz.trace.account import TraceImport
from zsfuzz.trace.ftrace import import_ftrace

TRACES = Path(__file__).resolve().parents[2] / "corpus" / "traces"
EXCERPTS = sorted(TRACES.glob("*.excerpt.trace"))


def steps_of(imported: TraceImport) -> list[Operation]:
    """The steps without the writes."""
    return [s for p in imported.programs for s in p.steps if not isinstance(s, Write)]


def oddities(imported: TraceImport) -> dict[str, int]:
    """The counts that are not zero and tell of something left out, put in or not understood."""
    plain = {"lines", "malloc", "free", "migrate", "compact", "approximated", "pools"}
    plain |= {"peak_live", "live_at_end", "needed_pages"}
    counts = imported.counts
    return {name: getattr(counts, name) for name in counts.__slots__ if name not in plain and getattr(counts, name)}


def test_a_handle_is_the_lowest_free_slot_until_it_is_freed() -> None:
    lines = [
        *text.allocated(0xA0),
        *text.allocated(0xB0),
        text.free(0xA0),
        *text.allocated(0xC0),
        text.free(0xB0),
    ]
    imported = import_ftrace(lines)
    assert steps_of(imported) == [Malloc(0, 100), Malloc(1, 100), Free(0), Malloc(0, 100), Free(1)]
    assert oddities(imported) == {}
    assert (imported.counts.peak_live, imported.counts.live_at_end) == (2, 1)


def test_mallocs_of_two_tasks_interleave() -> None:
    """A enters, B enters, A returns, B returns: each gets the size it asked for."""
    lines = [
        text.malloc(10, task="a-1"),
        text.malloc(20, task="b-2", cpu=1),
        text.malloc_ret(0xA0, task="a-1"),
        text.malloc_ret(0xB0, task="b-2", cpu=1),
        text.free(0xB0),
    ]
    imported = import_ftrace(lines)
    assert steps_of(imported) == [Malloc(0, 10), Malloc(1, 20), Free(1)]
    assert oddities(imported) == {}


def test_an_interrupt_may_allocate_inside_of_an_allocation() -> None:
    lines = [text.malloc(10), text.malloc(20), text.malloc_ret(0xB0), text.malloc_ret(0xA0)]
    assert steps_of(import_ftrace(lines)) == [Malloc(0, 20), Malloc(1, 10)]


def test_writes_alternate_between_both_ends_and_stay_inside() -> None:
    sizes = [100, 100, 16, 5, 1]
    lines = [line for n, size in enumerate(sizes) for line in text.allocated(0xA0 + 8 * n, size)]
    writes = [s for s in import_ftrace(lines).programs[0].steps if isinstance(s, Write)]
    assert [(w.slot, w.offset, w.length) for w in writes] == [
        (0, 0, 16),
        (1, 84, 16),
        (2, 0, 16),
        (3, 0, 5),
        (4, 0, 1),
    ]
    assert len({w.pattern for w in writes}) == 5


def test_a_migration_names_the_live_slot_that_the_rule_gives() -> None:
    """Live slots 0 2 3 of four: page 7 of the memmap -> 7 % 3 = 1 -> slot 2, component 7 % 4 = 3."""
    lines = [line for n in range(4) for line in text.allocated(0xA0 + 8 * n)]
    lines += [text.free(0xA8), text.migrate(7, mode=2), text.migrate_ret()]
    imported = import_ftrace(lines)
    assert steps_of(imported)[-1] == Migrate((Component(2, 3),), MigrateMode.SYNC)
    assert (imported.counts.migrate, imported.counts.approximated) == (1, 1)


def test_a_memmap_at_another_address_gives_the_same_program() -> None:
    lines = [line for n in range(5) for line in text.allocated(0xA0 + 8 * n)] + [text.migrate(123)]
    moved = [line.replace("0xffffea00000", "0xffffea81000") for line in lines]
    assert moved != lines
    assert import_ftrace(moved).programs == import_ftrace(lines).programs


def test_a_migration_before_any_handle_is_left_out_and_counted() -> None:
    imported = import_ftrace([text.migrate(7), text.migrate_ret(-11)])
    assert imported.programs == ()
    assert oddities(imported) == {"migrate_homeless": 1, "migrate_failed": 1}


def test_pools_are_numbered_as_they_appear_and_created_but_the_first() -> None:
    lines = [
        *text.allocated(0xA0),
        *text.allocated(0xB0, pool=0x5000),
        text.compact(pool=0x5000),
        text.compact_ret(),
    ]
    imported = import_ftrace(lines)
    assert steps_of(imported) == [Malloc(0, 100), CreatePool(1), Malloc(1, 100, pool=1), Compact(1)]
    assert imported.counts.pools == 2


def test_pools_beyond_the_fourth_are_left_out_and_counted() -> None:
    lines = [line for n in range(6) for line in text.allocated(0xA0 + 8 * n, pool=0x1000 * n)]
    lines += [text.free(0xA0 + 8 * 5, pool=0x5000), text.compact(pool=0x4000), text.compact_ret()]
    imported = import_ftrace(lines)
    assert (imported.counts.pools, imported.counts.malloc) == (4, 4)
    assert oddities(imported) == {"further_pools": 2, "further_pool_events": 4}


def test_a_kernel_mask_stays_a_kernel_mask_and_gets_its_memory() -> None:
    imported = import_ftrace(text.allocated(0xA0, gfp=0xCC0))
    assert steps_of(imported) == [Malloc(0, 100, Gfp.KERNEL)]
    header = imported.programs[0].header
    assert (header.geometry, header.normal_pages, header.movable_pages) == ("linux-5.10", 1024, 0)


@pytest.mark.parametrize("handle", [0, 0xFFFFFFFFFFFFFFF4, 0xFFFFFFFFFFFFF001])
def test_a_failed_malloc_is_left_out_and_counted(handle: int) -> None:
    imported = import_ftrace([*text.allocated(0xA0), *text.allocated(handle)])
    assert steps_of(imported) == [Malloc(0, 100)]
    assert oddities(imported) == {"malloc_failed": 1}


@pytest.mark.parametrize("size", [0, 4097, 1 << 40])
def test_a_size_that_no_class_serves_is_kept_without_a_write(size: int) -> None:
    imported = import_ftrace([*text.allocated(0xA0, size), text.free(0xA0)])
    assert imported.programs[0].steps == (Malloc(0, size), Free(0))
    assert oddities(imported) == {"malloc_odd_size": 1}


def test_a_free_of_a_handle_never_seen_or_freed_before_is_left_out_and_counted() -> None:
    lines = [text.free(0x10), *text.allocated(0xA0), text.free(0xA0), text.free(0xA0)]
    imported = import_ftrace(lines)
    assert steps_of(imported) == [Malloc(0, 100), Free(0)]
    assert oddities(imported) == {"free_unknown": 2}


def test_a_handle_given_out_twice_was_freed_in_between() -> None:
    imported = import_ftrace([*text.allocated(0xA0, 10), *text.allocated(0xA0, 20), text.free(0xA0)])
    assert steps_of(imported) == [Malloc(0, 10), Free(0), Malloc(0, 20), Free(0)]
    assert (imported.counts.free, imported.counts.free_missing) == (1, 1)


def test_lost_events_are_counted_and_what_follows_is_used() -> None:
    lines = [
        text.malloc(10),
        "CPU:0 [LOST 17 EVENTS]\n",
        text.malloc_ret(0xA0, task="other-9"),
        "CPU:1 [LOST EVENTS]\n",
        *text.allocated(0xB0, 20),
    ]
    imported = import_ftrace(lines)
    assert steps_of(imported) == [Malloc(0, 20)]
    assert oddities(imported) == {
        "lost_marks": 2,
        "lost_events": 17,
        "unmatched_returns": 1,
        "unmatched_calls": 1,
    }


def test_events_overwritten_before_the_first_line_are_reported() -> None:
    lines = ["# entries-in-buffer/entries-written: 10/35   #P:2\n", *text.allocated(0xA0)]
    assert oddities(import_ftrace(lines)) == {"overwritten": 25}


def test_malformed_lines_are_counted_and_the_first_few_shown() -> None:
    lines = [*text.allocated(0xA0), *(["junk\n"] * 7), text.malloc(1)[:60] + "\n", text.free(0xA0)]
    imported = import_ftrace(lines)
    assert steps_of(imported) == [Malloc(0, 100), Free(0)]
    assert imported.counts.malformed == 8
    assert [line for line, _ in imported.malformed_examples] == [3, 4, 5, 6, 7]
    assert "malformed lines" in imported.report()
    assert "line 3: no line of a trace" in imported.report()


def test_events_of_others_are_counted() -> None:
    imported = import_ftrace([text.event("sched_switch", "a=1"), *text.allocated(0xA0)])
    assert oddities(imported) == {"other_events": 1}


def test_a_capture_that_is_too_long_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftrace, "MAX_STEPS", 10)
    lines = [line for n in range(8) for line in text.allocated(0xA0 + 8 * n)]
    imported = import_ftrace([*lines, text.migrate(1), text.compact(), text.free(0xA0)])
    assert len(imported.programs[0].steps) <= 10
    assert imported.counts.malloc == 4
    assert oddities(imported) == {"beyond_limit": 7, "unmatched_calls": 2}


def test_lines_are_read_one_at_a_time() -> None:
    def endless() -> Iterator[str]:
        for n in range(3):
            yield from text.allocated(0xA0 + 8 * n)
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        import_ftrace(endless())


def test_an_empty_capture_is_no_program() -> None:
    imported = import_ftrace([])
    assert imported.programs == ()
    assert imported.as_json()["steps"] == 0


def consistent(steps: tuple[Operation, ...]) -> None:
    """Slots are used as their life allows: dead before a malloc, live otherwise."""
    live: set[int] = set()
    for step in steps:
        match step:
            case Malloc(slot):
                assert slot not in live
                live.add(slot)
            case Free(slot):
                live.remove(slot)
            case Write(slot):
                assert slot in live
            case Migrate((Component(slot, _),), _):
                assert slot in live


@pytest.mark.parametrize("path", EXCERPTS, ids=lambda path: path.name)
def test_an_excerpt_is_a_well_formed_program_each_time_the_same(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    imported = import_ftrace(lines)
    (program,) = imported.programs
    check_program(program)
    consistent(program.steps)
    assert import_ftrace(lines).programs == imported.programs
    assert imported.counts.migrate >= 30
    assert imported.counts.compact >= 1
    assert imported.counts.malformed == 0


def test_the_excerpts_are_there() -> None:
    assert [path.name for path in EXCERPTS] == ["zram-ext4-6.1.excerpt.trace", "zram-swap-6.1.excerpt.trace"]


@pytest.mark.parametrize("keep", [2, 3, 7])
def test_an_excerpt_with_lines_missing_is_still_a_program(keep: int) -> None:
    lines = EXCERPTS[1].read_text().splitlines(keepends=True)
    holed = [line for n, line in enumerate(lines) if n % keep]
    imported = import_ftrace(holed)
    consistent(imported.programs[0].steps)
    check_program(imported.programs[0])
    counts = imported.counts
    assert counts.unmatched_calls + counts.unmatched_returns > 0
