"""Steps: passes that make a program shorter.

In:    a Search.
Out:   a shorter best program, or the same one.
Never: a change of a step, but for the name of a page whose isolation is dropped.
Next:  zsfuzz/minimize/minimizer.py runs the passes in turn; then zsfuzz/minimize/arguments.py.

delete_chunks is Zeller's ddmin without its complement phase: every sub-sequence of a program is a program, so
there is nothing to repair, and going through chunks from the end meets what a finding no longer needs first.
"""

from __future__ import annotations

from dataclasses import replace

from zsfuzz.minimize.search import Search
from zsfuzz.program.ops import Isolate, IsolatedPage, Migrate, Operation, PageName, Poison, SpeculativeGet
from zsfuzz.program.rewrite import Space, slots_of

_MOST_NAMES = 100
_MOST_STEPS_FOR_PAIRS = 40


def delete_by_name(search: Search) -> None:
    """Drop, for each slot and each kind of operation, all steps that have to do with it.

    Slots are left to delete_chunks where there are many: an imported trace has thousands.
    """
    search.phase = "slots"
    names = _names(search.best.steps)
    for name in names if len(names) <= _MOST_NAMES else ():
        _keep(search, [name not in set(slots_of(step)) for step in search.best.steps])
    search.phase = "kinds"
    for kind in dict.fromkeys(type(step) for step in search.best.steps):
        _keep(search, [type(step) is not kind for step in search.best.steps])


def _names(steps: tuple[Operation, ...]) -> list[tuple[Space, int]]:
    return list(dict.fromkeys(name for step in steps for name in slots_of(step)))


def _keep(search: Search, kept: list[bool]) -> bool:
    """Try the best program without the steps that are not marked; nothing is tried if all are."""
    if all(kept):
        return False
    return search.attempt_steps([step for step, keep in zip(search.best.steps, kept, strict=True) if keep])


def delete_chunks(search: Search) -> None:
    """Drop runs of steps, long ones first, then single steps until none can go."""
    search.phase = "steps"
    size = max(1, len(search.best.steps) // 2)
    while size > 1:
        _delete_runs(search, size)
        size //= 2
    while _delete_runs(search, 1):
        pass


def _delete_runs(search: Search, size: int) -> bool:
    """Try to drop each run of `size` steps, from the end; return whether one went."""
    shorter = False
    end = len(search.best.steps)
    while end > 0:
        start = max(0, end - size)
        steps = search.best.steps
        shorter |= search.attempt_steps(steps[:start] + steps[end:])
        end = start
    return shorter


def delete_pairs(search: Search) -> None:
    """Drop two steps at once that name the same slot: what is opened and what closes it.

    Only where few steps are left, as the number of pairs grows with the square.
    """
    search.phase = "pairs"
    first = 0
    while first < len(search.best.steps) <= _MOST_STEPS_FOR_PAIRS:
        if not _delete_with_another(search, first):
            first += 1


def _delete_with_another(search: Search, first: int) -> bool:
    steps = search.best.steps
    names = set(slots_of(steps[first]))
    for second in range(first + 1, len(steps)):
        if names.isdisjoint(slots_of(steps[second])):
            continue
        if _keep(search, [index not in (first, second) for index in range(len(steps))]):
            return True
    return False


def inline_isolations(search: Search) -> None:
    """Let a request name the page itself, and drop the isolation before it: the core will isolate it."""
    search.phase = "isolations"
    index = 0
    while index < len(search.best.steps):
        step = search.best.steps[index]
        if not isinstance(step, Isolate) or not _inline(search, index, step):
            index += 1


def _inline(search: Search, index: int, isolate: Isolate) -> bool:
    steps = list(search.best.steps)
    del steps[index]
    for later in range(index, len(steps)):
        step = steps[later]
        if isinstance(step, Isolate) and step.page_slot == isolate.page_slot:
            break
        steps[later] = _named_directly(step, isolate)
    return search.attempt_steps(steps)


def _named_directly(step: Operation, isolate: Isolate) -> Operation:
    name = IsolatedPage(isolate.page_slot)

    def direct(page: PageName) -> PageName:
        return isolate.page if page == name else page

    if isinstance(step, Migrate):
        return replace(step, pages=tuple([direct(page) for page in step.pages]))
    if isinstance(step, Poison | SpeculativeGet | Isolate):
        return replace(step, page=direct(step.page))
    return step
