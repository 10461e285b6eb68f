"""Landmarks: named situations that a seed corpus has to lead through.

In:    one run of a program, step by step.
Out:   LANDMARKS, and which of them the run passed.
Never: a state feature: those are many, have no names, and are what an engine feeds on (zsfuzz/execute/features.py).
Next:  which programs are chosen for them: zsfuzz/corpus/merge.py; what came of it: corpus/seeds/README.md.

An operation counts when it took effect. A failure counts when the allocation that was to fail was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum

from zsfuzz.execute.result import PageRow, RunResult
from zsfuzz.machine.geometry import GEOMETRIES, geometry
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE, ZS_MAX_PAGES_PER_ZSPAGE
from zsfuzz.program import ops
from zsfuzz.program.block import MAX_LANES, MIN_LANES
from zsfuzz.program.program import SWITCHES, Header, Program

_ARGUMENTS = (
    (ops.Malloc, "gfp", ops.Gfp),
    (ops.Map, "mode", ops.MapMode),
    (ops.Shrink, "kind", ops.ShrinkKind),
    (ops.Migrate, "mode", ops.MigrateMode),
    (ops.CompactZone, "mode", ops.MigrateMode),
    (ops.Poison, "kind", ops.PoisonKind),
    (ops.Scan, "scanner", ops.Scanner),
    (ops.Bystander, "kind", ops.BystanderKind),
)
"""Operations, one of their arguments, and its words: each word is a landmark."""

_FAILURES = (
    ("malloc", "page"),
    ("malloc", "zspage"),
    ("malloc", "handle"),
    ("migrate", "page"),
    ("offline", "page"),
    ("contig", "page"),
    ("poison", "page"),
)
"""The allocations that can be made to fail: no other operation allocates what a program can name."""

_OUTCOMES = (
    ("malloc", "refused", r"0"),
    ("isolate", "refused", r"-.*"),
    ("migrate", "pages left", r"\([1-9].*"),
    ("migrate", "pages refused", r"\(\S+, [1-9].*"),
    ("migrate", "all moved", r"\(0, 0\)"),
    ("compact", "objects moved", r"[1-9].*"),
    ("compact_zone", "pages moved", r"\(\d+, [1-9]\d*, 0\)"),
    ("compact_zone", "pages left", r"\(\d+, \d+, [1-9].*"),
    ("offline", "done", r"\(0.*"),
    ("offline", "busy", r"\(-16.*"),
    ("offline", "invalid", r"\(-22.*"),
    ("online", "invalid", r"\(-22.*"),
    ("contig", "done", r"0"),
    ("contig", "busy", r"-16"),
    ("poison", "done", r"0"),
    ("poison", "busy", r"-16"),
    ("run_work", "work done", r"[1-9].*"),
    ("shrink", "pages freed", r"[1-9].*"),
    ("speculative_get", "refused", r"0"),
    ("trim", "pages freed", r"[1-9].*"),
)
"""Operation, what is said of its outcome, and the form that the outcome has then."""

_DIFFERENCES = ("D1", "D2", "D3", "D4")


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def _all() -> Iterator[str]:
    yield from (f"operation {_snake(kind.__name__)}" for kind in ops.OPERATIONS)
    for kind, _, words in _ARGUMENTS:
        yield from (f"{_snake(kind.__name__)} {_word(word)}" for word in words)
    yield from (f"class of {pages} pages" for pages in range(1, ZS_MAX_PAGES_PER_ZSPAGE + 1))
    yield from ("class huge", "object straddles two pages", "object of a straddling class in one page")
    yield from ("malloc of 0 bytes", "malloc of more than a page", "malloc in a second pool")
    yield from ("page named by component", "page named by isolation", "page named by pfn", "several pages in a list")
    yield from (f"failure of {operation} {what}" for operation, what in _FAILURES)
    yield from (f"{operation}: {said}" for operation, said, _ in _OUTCOMES)
    yield from (f"expected difference {name}" for name in _DIFFERENCES)
    yield from (f"parallel block of {lanes} lanes" for lanes in range(MIN_LANES, MAX_LANES + 1))
    yield from (f"geometry {name}" for name in GEOMETRIES)
    yield from (f"switch {name}" for name in SWITCHES)


def _word(value: Enum) -> str:
    return str(value.value)


LANDMARKS: tuple[str, ...] = tuple(_all())
"""All of them, in the order of their groups."""

_NUMBER_OF = {name: number for number, name in enumerate(LANDMARKS)}


class LandmarkWatch:
    """An observer of one run. injected: how many failures came up until now, on any one side."""

    def __init__(self, header: Header, injected: Callable[[], int]) -> None:
        self._passed: dict[str, None] = {}
        self._injected = injected
        self._before = injected()
        self._armed: dict[str, set[str]] = {}
        self._geometry = geometry(header.geometry)
        self._last = -1
        self._pass(f"geometry {header.geometry}")
        for switch in header.switches:
            self._pass(f"switch {switch}")

    def _pass(self, name: str) -> None:
        assert name in _NUMBER_OF, f"{name!r} is no landmark: LANDMARKS does not name it"
        self._passed[name] = None

    def passed(self, result: RunResult, program: Program) -> tuple[str, ...]:
        """Return what was passed, in the order of LANDMARKS. result: of the run that was watched."""
        for name in _DIFFERENCES:
            if result.expected.get(name):
                self._pass(f"expected difference {name}")
        if result.schedule is not None and program.block is not None:
            self._pass(f"parallel block of {len(program.block.lanes)} lanes")
        return tuple(sorted(self._passed, key=_NUMBER_OF.__getitem__))

    def step(self, index: int, operation: ops.Operation, reference: str, candidate: str, effective: bool) -> None:
        """Look at one step, once: one on which the sides differ as expected is told of twice."""
        if not effective or index == self._last:
            return
        self._last = index
        name = _snake(type(operation).__name__)
        self._pass(f"operation {name}")
        for kind, argument, _ in _ARGUMENTS:
            if type(operation) is kind:
                self._pass(f"{name} {_word(getattr(operation, argument))}")
        for wanted, said, form in _OUTCOMES:
            if wanted == name and re.fullmatch(form, reference):
                self._pass(f"{name}: {said}")
        self._look_at_failures(name, operation)
        if isinstance(operation, ops.Malloc):
            self._look_at_object(operation, reference)
        for page in _pages_of(operation):
            self._pass(f"page named by {_NAMES[type(page)]}")
        if isinstance(operation, ops.Migrate) and len(operation.pages) > 1:
            self._pass("several pages in a list")

    def _look_at_failures(self, name: str, operation: ops.Operation) -> None:
        if isinstance(operation, ops.Fail):
            self._armed.setdefault(operation.operation.value, set()).add(operation.what.value)
            return
        armed = self._armed.pop(name, set())
        came_up = self._injected() - self._before
        self._before += came_up
        for what in armed if came_up == len(armed) else ():
            self._pass(f"failure of {name} {what}")

    def _look_at_object(self, malloc: ops.Malloc, outcome: str) -> None:
        if malloc.size == 0:
            self._pass("malloc of 0 bytes")
        if malloc.size > self._geometry.page_size:
            self._pass("malloc of more than a page")
        placed = re.fullmatch(r"pfn \d+ object (\d+)", outcome)
        if placed is None:
            return
        if malloc.pool:
            self._pass("malloc in a second pool")
        size_class = self._geometry.size_classes.class_for(malloc.size + ZS_HANDLE_SIZE)
        self._pass(f"class of {size_class.pages_per_zspage} pages")
        if size_class.huge:
            self._pass("class huge")
        page, size = self._geometry.page_size, size_class.size_bytes
        start = int(placed[1]) * size
        if start // page != (start + size - 1) // page:
            self._pass("object straddles two pages")
        elif size_class.pages_per_zspage > 1 and page % size:
            self._pass("object of a straddling class in one page")

    def pages(self, index: int, reference: list[PageRow], candidate: list[PageRow]) -> None:
        """Nothing is looked at here."""


_NAMES = {ops.Component: "component", ops.IsolatedPage: "isolation", ops.Pfn: "pfn"}


def _pages_of(operation: ops.Operation) -> tuple[ops.PageName, ...]:
    if isinstance(operation, ops.Migrate):
        return operation.pages
    if isinstance(operation, ops.Isolate | ops.Poison | ops.SpeculativeGet):
        return (operation.page,)
    return ()
