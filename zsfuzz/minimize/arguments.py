"""Arguments: passes that make single steps simpler.

In:    a Search.
Out:   smaller sizes, offsets, lengths, orders; earlier words of an enumeration; shorter lists and ranges;
       components instead of other names of pages.
Never: slots (zsfuzz/minimize/slots.py) or the number of steps (zsfuzz/minimize/steps.py).
Next:  what is simpler: zsfuzz/minimize/order.py; which argument is of what kind: FIELDS of
       zsfuzz/program/limits.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum
from typing import Any

from zsfuzz.machine.geometry import geometry
from zsfuzz.minimize.search import Search, smallest
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE, ZS_MAX_PAGES_PER_ZSPAGE
from zsfuzz.program.limits import FIELDS
from zsfuzz.program.ops import Component, Isolate, IsolatedPage, Malloc, PageName, Pfn
from zsfuzz.program.rewrite import SPACE_OF_KIND, Space, slots_of

_MOST_OWNERS = 4  # object slots whose components are tried in place of a pfn


def shrink_classes(search: Search) -> None:
    """Move all objects of one size to the smallest size class that does as well.

    One by one they could not move: what a finding needs may be that they share a zspage. The smallest class
    of each chain length comes first, as chains of four pages are scattered over the sizes.
    """
    search.phase = "classes"
    sizes = dict.fromkeys(step.size for step in search.best.steps if isinstance(step, Malloc))
    lowest, shortest = _lowest_requests(search)
    for size in sizes:
        _shrink_class(search, size, lowest, shortest)


def _shrink_class(search: Search, size: int, lowest: list[int], shortest: list[int]) -> None:
    def move(smaller: int) -> bool:
        nonlocal size
        if not _resize(search, size, smaller):
            return False
        size = smaller
        return True

    for request in shortest:
        if request >= size or move(request):
            break
    ladder = [request for request in lowest if request < size]
    smallest(0, len(ladder), lambda rung: move(ladder[rung]))


def _lowest_requests(search: Search) -> tuple[list[int], list[int]]:
    """Return the smallest request, in bytes, of each size class, and of each chain length; both ascending."""
    lowest = [0]
    shortest = {0: 0}
    request = 1
    for size_class in geometry(search.best.header.geometry).size_classes.classes:
        lowest.append(request)
        shortest.setdefault(size_class.pages_per_zspage, request)
        request = size_class.size_bytes + 1 - ZS_HANDLE_SIZE
    return lowest, list(shortest.values())


def _resize(search: Search, size: int, smaller: int) -> bool:
    steps = [
        replace(step, size=smaller) if isinstance(step, Malloc) and step.size == size else step
        for step in search.best.steps
    ]
    return search.attempt_steps(steps)


def simplify_arguments(search: Search) -> None:
    """Simplify every argument of every step, from the first step to the last."""
    search.phase = "arguments"
    for index in range(len(search.best.steps)):
        step = search.best.steps[index]
        named = FIELDS[type(step)]
        if any(name == "start" for name, _ in named):
            _narrow(search, index)
        for name, kind in named:
            if kind not in SPACE_OF_KIND and name not in ("start", "end"):
                _simplify(search, index, name, getattr(step, name))


def _simplify(search: Search, index: int, name: str, value: Any) -> None:
    def put(other: Any) -> bool:
        return search.attempt_step(index, _with(search, index, name, other))

    if isinstance(value, Enum):
        _earlier_word(value, put)
    elif isinstance(value, tuple):
        _shorten(search, index, put)
    elif isinstance(value, Component | IsolatedPage | Pfn):
        _simplify_page(search, index, value, put)
    else:
        smallest(0, value, put)


def _with(search: Search, index: int, name: str, value: Any) -> Any:
    changed: dict[str, Any] = {name: value}
    return replace(search.best.steps[index], **changed)


def _earlier_word(value: Enum, put: Callable[[Any], bool]) -> None:
    for word in type(value):
        if word is value or put(word):
            return


def _narrow(search: Search, index: int) -> None:
    """Cut a range from its start, from its end, then move it down."""
    step: Any = search.best.steps[index]

    def put(start: int, end: int) -> bool:
        return search.attempt_step(index, replace(step, start=start, end=end))

    length = step.end - step.start
    length = smallest(0, length, lambda shorter: put(step.end - shorter, step.end))
    start = step.end - length
    length = smallest(0, length, lambda shorter: put(start, start + shorter))
    smallest(0, start, lambda lower: put(lower, lower + length))


def _shorten(search: Search, index: int, put: Callable[[Any], bool]) -> None:
    """Drop entries of a list of pages from its end, then simplify those that stay."""

    def pages() -> tuple[PageName, ...]:
        step: Any = search.best.steps[index]
        return tuple(step.pages)

    for position in reversed(range(len(pages()))):
        put(pages()[:position] + pages()[position + 1 :])
    for position, page in enumerate(pages()):

        def put_page(other: PageName, position: int = position) -> bool:
            return put((*pages()[:position], other, *pages()[position + 1 :]))

        _simplify_page(search, index, page, put_page)


def _simplify_page(search: Search, index: int, page: PageName, put: Callable[[PageName], bool]) -> None:
    match page:
        case Component(slot, number):
            smallest(0, number, lambda lower: put(Component(slot, lower)))
        case IsolatedPage(page_slot):
            origin = _isolated_from(search, index, page_slot)
            if isinstance(origin, Component):
                put(origin)
        case Pfn(pfn):
            if not any(put(component) for component in _components(search)):
                smallest(0, pfn, lambda lower: put(Pfn(lower)))


def _isolated_from(search: Search, index: int, page_slot: int) -> PageName | None:
    """Return the name under which the page of a slot was isolated last before a step."""
    for step in reversed(search.best.steps[:index]):
        if isinstance(step, Isolate) and step.page_slot == page_slot:
            return step.page
    return None


def _components(search: Search) -> Iterator[Component]:
    steps = search.best.steps
    owners = dict.fromkeys(slot for step in steps for space, slot in slots_of(step) if space is Space.HANDLE)
    for slot in list(owners)[:_MOST_OWNERS]:
        for number in range(ZS_MAX_PAGES_PER_ZSPAGE):
            yield Component(slot, number)
