"""The table of lanes: what explains a failure is in it, and watching changes nothing.

In:    kept programs of corpus/lanes.
Out:   lines of text, plain data, the same run with and without an observer.
Never: how a lane is scheduled: tests/machine/test_lanes.py.
Next:  zsfuzz/report/lanes.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import call
from zsfuzz.execute.runner import Runner
from zsfuzz.machine import points
from zsfuzz.machine.layout import PG_REFCOUNT, STRUCT_PAGE_SIZE, VMEMMAP_START
from zsfuzz.program.block import Block
from zsfuzz.program.files import load_program
from zsfuzz.program.ops import Malloc, Stats
from zsfuzz.report.lanes import Event, LaneTrace, LaneWatch, lane_lines, place_name

KEPT = Path(__file__).resolve().parents[2] / "corpus" / "lanes" / "A05.zst"


def access(time: int, lane: int, kind: int, address: int) -> Event:
    return Event(time, lane, 0, time, "access", kind, address, f"{points.NAMES[kind]} {address:#x}", "f", ())


def switch(time: int, lane: int, to: int) -> Event:
    return Event(time, lane, 0, time, "switch", -1, 0, f"> preempted, lane {to} goes on", "", ())


LOAD, STORE = points.LOAD, points.STORE


def test_a_word_is_in_conflict_when_two_lanes_touch_it_and_one_changes_it() -> None:
    events = [access(1, 0, LOAD, 8), access(2, 1, LOAD, 8)]
    events += [access(3, 0, LOAD, 16), access(4, 1, STORE, 20)]
    events += [access(5, 0, STORE, 32), access(6, 0, LOAD, 32)]
    assert LaneTrace("candidate", events).conflicts() == {2}


def test_around_a_switch_only_the_accesses_in_conflict_are_selected() -> None:
    before = [access(1, 0, LOAD, 64), *(access(time, 0, LOAD, 1 << 12) for time in range(2, 20))]
    after = [*(access(time, 1, LOAD, 1 << 13) for time in range(21, 40)), access(40, 1, STORE, 64)]
    last = [access(time, 1, LOAD, 1 << 14) for time in range(41, 60)]
    trace = LaneTrace("candidate", [*before, switch(20, 0, 1), *after, *last])
    assert [event.time for event in trace.selected()] == [1, 20, 40, *range(52, 60)]


def test_long_texts_are_wrapped_into_their_column() -> None:
    events = [Event(1, 1, 0, 0, "begin", points.BEGIN, 0, "", "", ()), access(2, 1, STORE, 0x1234567890ABCDEF)]
    trace = LaneTrace("candidate", events, 2)
    block = Block(((Malloc(0, 10),), (Stats(),)))
    _, heads, rule, *rows = lane_lines(trace, block, 55)
    assert [cell.strip() for cell in heads.split("|")] == ["time", "lane 0", "lane 1"]
    assert all(len(row) <= len(rule) for row in rows)
    assert [row.split("|")[0].strip() for row in rows] == ["1", "2", ""]
    assert "0: stats" in rows[0] and not rows[0].split("|")[1].strip()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (VMEMMAP_START + 9 * STRUCT_PAGE_SIZE + PG_REFCOUNT, "_refcount of pfn 9"),
        (VMEMMAP_START, "flags of pfn 0"),
        (VMEMMAP_START + 4, "+4 of pfn 0"),
        (VMEMMAP_START - 8, f"{VMEMMAP_START - 8:#x}"),
    ],
)
def test_a_place_in_the_memmap_has_a_name(address: int, name: str) -> None:
    assert place_name(address) == name


def test_a_finding_among_lanes_is_told_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Both operations, the preemption that does it, the bad access last, and the lock that is still held."""
    out = call(capsys, "replay", KEPT).out
    block = load_program(KEPT).block
    assert block is not None
    table = out[out.index("lanes of the") :].splitlines()
    assert table[1].split("|")[1:] and len(table[1].split("|")) == 1 + len(block.lanes)
    text = "\n".join(table)
    for part in ("0: putback", "0: destroy_pool", "> preempted, lane 1 goes on", "lane 0 holds page lock"):
        assert part in text
    assert len(call(capsys, "replay", KEPT, "--trace").out) > 4 * len(out)


def test_the_table_as_data_is_in_the_order_of_time(capsys: pytest.CaptureFixture[str]) -> None:
    def lanes(*words: str) -> dict[str, Any]:
        (result,) = json.loads(call(capsys, "replay", KEPT, "--json", *words).out)["results"]
        entry: dict[str, Any] = result["lanes"]
        return entry

    few, every = lanes(), lanes("--trace")
    assert few["points"] == every["points"] == max(event["time"] for event in every["events"])
    assert len(few["events"]) < len(every["events"]) / 4
    times = [event["time"] for event in every["events"]]
    assert times == sorted(times)
    assert {event["lane"] for event in few["events"]} == {0, 1}
    functions = {event["function"] for event in every["events"]}
    assert {"putback_movable_page", "destroy_class"} <= functions


def test_watching_does_not_change_the_run() -> None:
    program = load_program(KEPT)
    header = program.header
    runner = Runner(header.reference or "reference", header.candidate or "candidate", header.faults)
    watch = LaneWatch()
    plain, watched = runner.run(program), runner.run(program, observer=watch)
    assert [each.signature for each in watched.findings] == [each.signature for each in plain.findings] != []
    assert (watched.schedule, watched.lengths, watched.checks) == (plain.schedule, plain.lengths, plain.checks)
    assert watch.of("reference").events
