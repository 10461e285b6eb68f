"""The readable trace of lanes: one column a lane, time downwards, who gave way to whom and why.

In:    what the scheduler tells an Observer (zsfuzz/machine/lanes.py) of one side.
Out:   LaneTrace, its lines of text, and the same as plain data.
Never: a run of its own; a change of the run it watches.
Next:  asked for by zsfuzz/cli/replay.py; the steps before the block: zsfuzz/report/trace.py.

       time | lane 0                    | lane 1
          0 | destroy_pool z1           |
         17 | > preempted, lane 1 goes  |
         18 |                           | migrate p0 sync
        301 |                           | store _refcount of pfn 9 (put_page)

By default only what explains a failure: where operations begin and end, switches, the accesses around them, what a lane
waited for, the words that two lanes touched and one of them changed, and the last accesses of all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from zsfuzz.execute.result import PageRow
from zsfuzz.machine import points
from zsfuzz.machine.lanes import Lane, Taken
from zsfuzz.machine.layout import STRUCT_PAGE_SIZE, VMEMMAP_START
from zsfuzz.program.block import HOLDS, Block
from zsfuzz.program.ops import Operation
from zsfuzz.program.steps import format_step

_FIELDS: Final = {
    0: "flags",
    8: "compound_head",
    16: "lru.prev",
    24: "mapping",
    32: "index",
    40: "private",
    48: "_mapcount",
    52: "_refcount",
    56: "memcg_data",
}
_LAST_ACCESSES: Final = 8
_FRAMES_MOST: Final = 24
_MEMMAP_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. time: counts all points. what: "begin", "access", "switch", "acquired", "released".

    address: of an access. text: for people. function: of the model. held: the lane's locks then.
    """

    time: int
    lane: int
    operation: int
    point: int
    what: str
    kind: int
    address: int
    text: str
    function: str
    held: tuple[str, ...]


@dataclass(slots=True)
class LaneTrace:
    """An observer that remembers everything of one side."""

    role: str
    events: list[Event] = field(default_factory=list)
    time: int = 0

    def access(self, lane: Lane, kind: int, address: int) -> None:
        """A point that the lane is about to pass."""
        self.time += 1
        if kind == points.BEGIN:
            self._add(lane, "begin", kind, 0, "", "")
            return
        text = points.NAMES[kind] if not address else f"{points.NAMES[kind]} {place_name(address)}"
        self._add(lane, "access", kind, address, text, model_function())

    def switched(self, taken: Taken) -> None:
        """A switch."""
        text = f"> {taken.why}, lane {taken.to} goes on"
        if taken.held:
            text += f", {HOLDS[taken.held]} held back"
        event = Event(self.time, taken.lane, taken.operation, taken.point, "switch", -1, 0, text, "", ())
        self.events.append(event)

    def acquired(self, lane: Lane, name: str, address: int) -> None:
        """A lock was taken."""
        self._add(lane, "acquired", -1, address, f"has {name}", model_function())

    def released(self, lane: Lane, name: str, address: int) -> None:
        """A lock was released."""
        self._add(lane, "released", -1, address, f"lets go of {name}", model_function())

    def _add(self, lane: Lane, what: str, kind: int, address: int, text: str, function: str) -> None:
        held = tuple([name for name, _ in lane.held])
        self.events.append(
            Event(self.time, lane.number, lane.operation, lane.point, what, kind, address, text, function, held)
        )

    # -- what matters

    def conflicts(self) -> set[int]:
        """Return the words that several lanes touched, one of them changing it."""
        lanes: dict[int, set[int]] = {}
        stored: set[int] = set()
        for event in self.events:
            if event.what == "access" and event.address:
                lanes.setdefault(event.address >> 3, set()).add(event.lane)
                if event.kind in points.STORES:
                    stored.add(event.address >> 3)
        return {word for word, those in lanes.items() if len(those) > 1 and word in stored}

    def selected(self) -> list[Event]:
        """Return the events that explain a failure."""
        words = self.conflicts()
        accesses = [number for number, event in enumerate(self.events) if event.what == "access"]
        shown = set(accesses[-_LAST_ACCESSES:])
        for number, event in enumerate(self.events):
            if event.what in ("begin", "switch"):
                shown.add(number)
            if event.what == "switch":
                shown.update(self._around(number, words))
        return [self.events[number] for number in sorted(shown)]

    def _around(self, switch: int, words: set[int]) -> Iterator[int]:
        """Yield the last access to a word in conflict before a switch and the first one after it."""
        for step in (-1, 1):
            number = switch + step
            while 0 <= number < len(self.events):
                event = self.events[number]
                if event.what == "switch":
                    break
                if event.what == "access" and event.address >> 3 in words:
                    yield number
                    break
                number += step


class LaneWatch:
    """An Observer of a run that keeps what the lanes of both sides did."""

    def __init__(self) -> None:
        self.traces = LaneTrace("reference"), LaneTrace("candidate")

    @property
    def lane_observers(self) -> tuple[LaneTrace, LaneTrace]:
        """Return who is told of the reference's lanes, and of the candidate's."""
        return self.traces

    def step(self, index: int, operation: Operation, reference: str, candidate: str, effective: bool) -> None:
        """Steps are the business of zsfuzz/report/trace.py."""

    def pages(self, index: int, reference: list[PageRow], candidate: list[PageRow]) -> None:
        """So are pages."""

    def of(self, role: str) -> LaneTrace:
        """Return the trace of the side that a finding names; of the candidate for both."""
        return self.traces[0] if role == "reference" else self.traces[1]


def model_function() -> str:
    """Return the innermost function of a model or of the core on the stack, "" for none."""
    frame = sys._getframe(1)
    for _ in range(_FRAMES_MOST):
        module = frame.f_globals.get("__name__", "")
        core = module.startswith(("zsfuzz.machine.core", "zsfuzz.machine.scanners"))
        if core or not module.startswith("zsfuzz."):
            return frame.f_code.co_name
        if module.startswith("zsfuzz.execute") or frame.f_back is None:
            return ""
        frame = frame.f_back
    return ""


def place_name(address: int) -> str:
    """Return where an address lies: a field of a struct page by name, anything else by its number."""
    distance = address - VMEMMAP_START
    if 0 <= distance < _MEMMAP_BYTES:
        pfn, offset = divmod(distance, STRUCT_PAGE_SIZE)
        return f"{_FIELDS.get(offset, f'+{offset}')} of pfn {pfn}"
    return f"{address:#x}"


def lane_lines(trace: LaneTrace, block: Block, width: int, *, everything: bool = False) -> Iterator[str]:
    """Yield the table. width: columns of the terminal. everything: not only what explains a failure."""
    count = len(block.lanes)
    column = max(20, (width - 9) // count - 3)
    events = trace.events if everything else trace.selected()
    yield f"lanes of the {trace.role}, {trace.time} points{'' if everything else ', what matters of them'}:"
    yield _row("time", [f"lane {number}" for number in range(count)], column)
    yield "-" * (9 + count * (column + 3))
    for event in events:
        for number, part in enumerate(_wrapped(_text(event, block), column)):
            cells = [part if lane == event.lane else "" for lane in range(count)]
            yield _row("" if number else str(event.time), cells, column)
    held = {event.lane: event.held for event in trace.events if event.what != "switch"}
    for lane, names in sorted(held.items()):
        if names:
            yield f"lane {lane} holds {', '.join(names)}"
    words = sorted(trace.conflicts())
    if words:
        shown = ", ".join(place_name(word << 3) for word in words[:12])
        yield f"words in conflict: {shown}{' ...' if len(words) > 12 else ''}"


def _row(time: str, cells: list[str], column: int) -> str:
    return f"{time:>8} | " + " | ".join(cell.ljust(column) for cell in cells).rstrip()


def _text(event: Event, block: Block) -> str:
    if event.what == "begin":
        steps = block.lanes[event.lane]
        return f"{event.operation}: {format_step(steps[event.operation])}" if event.operation < len(steps) else "end"
    return f"{event.text} ({event.function})" if event.function else event.text


def _wrapped(text: str, column: int) -> list[str]:
    parts = []
    while len(text) > column:
        cut = text.rfind(" ", 1, column + 1)
        cut = cut if cut > column // 2 else column
        parts.append(text[:cut])
        text = "  " + text[cut:].lstrip()
    return [*parts, text]


def lanes_json(trace: LaneTrace, *, everything: bool) -> dict[str, Any]:
    """Return the trace as plain data."""
    events = trace.events if everything else trace.selected()
    return {
        "side": trace.role,
        "points": trace.time,
        "conflicts": [place_name(word << 3) for word in sorted(trace.conflicts())],
        "events": [
            {
                "time": event.time,
                "lane": event.lane,
                "operation": event.operation,
                "point": event.point,
                "what": event.what,
                "text": event.text,
                "function": event.function,
                "held": list(event.held),
            }
            for event in events
        ],
    }
