"""Lanes: passes over a program's parallel block: its schedule first, then its operations and lanes.

In:    a Search; reschedule(program), which the caller may give: another schedule that shows the same, or None.
Out:   fewer switches, each as late as possible; fewer operations and lanes; steps instead of a block where no lane is
       needed.
Never: a step before the block; an argument of an operation (zsfuzz/minimize/arguments.py).
Next:  the edits in zsfuzz/program/block.py; the order of the passes in zsfuzz/minimize/minimizer.py.

A schedule seldom survives the loss of an operation, since what it hit lies elsewhere then. So whoever drops one asks
for a new schedule before he gives up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from zsfuzz.minimize.search import Search
from zsfuzz.program.block import (
    MIN_LANES,
    Block,
    merged_lanes,
    shifted_switch,
    with_switch,
    without_lane,
    without_operation,
    without_switch,
)
from zsfuzz.program.limits import MAX_POINT
from zsfuzz.program.program import Program

Reschedule = Callable[[Program], Program | None]

_FARTHEST = 256
"""Points by which a switch is moved at first."""


def lane_passes(reschedule: Reschedule | None) -> tuple[Callable[[Search], None], ...]:
    """Return the passes over a block, in their order."""

    def operations(search: Search) -> None:
        drop_operations(search, reschedule)

    def lanes(search: Search) -> None:
        drop_lanes(search, reschedule)

    return drop_switches, without_block, lanes, operations, drop_switches, later_switches, nothing_held


def _block(search: Search) -> Block | None:
    return search.best.block


def _attempt(search: Search, block: Block | None) -> bool:
    return search.attempt(replace(search.best, block=block))


def _attempt_anyhow(search: Search, block: Block, reschedule: Reschedule | None) -> bool:
    """Try a block with its own schedule, then with others."""
    if _attempt(search, block):
        return True
    if reschedule is None:
        return False
    other = reschedule(replace(search.best, block=block))
    return other is not None and search.attempt(other)


def without_block(search: Search) -> None:
    """Try the lanes' operations as steps, one lane after the other: perhaps nothing has to happen at the same time."""
    search.phase = "block"
    block = _block(search)
    if block is None:
        return
    for order in (block.lanes, tuple(reversed(block.lanes))):
        steps = search.best.steps + tuple([step for lane in order for step in lane])
        if search.attempt(replace(search.best, steps=steps, block=None)):
            return


def drop_switches(search: Search) -> None:
    """Drop runs of switches, long ones first, then single ones until none can go."""
    search.phase = "switches"
    block = _block(search)
    size = len(block.schedule) if block is not None else 0
    while size > 1:
        _drop_runs(search, size)
        size //= 2
    while _drop_runs(search, 1):
        pass


def _drop_runs(search: Search, size: int) -> bool:
    fewer = False
    block = _block(search)
    end = len(block.schedule) if block is not None else 0
    while end > 0 and (block := _block(search)) is not None:
        start = max(0, end - size)
        schedule = block.schedule[:start] + block.schedule[end:]
        fewer |= _attempt(search, replace(block, schedule=schedule))
        end = start
    return fewer


def drop_lanes(search: Search, reschedule: Reschedule | None) -> None:
    """Drop whole lanes, or let one lane do what two did."""
    search.phase = "lanes"
    lane = 0
    while (block := _block(search)) is not None and len(block.lanes) > MIN_LANES and lane < len(block.lanes):
        others = [number for number in range(len(block.lanes)) if number != lane]
        tries = [without_lane(block, lane), *[merged_lanes(block, lane, other) for other in others]]
        if not any(_attempt_anyhow(search, each, reschedule) for each in tries):
            lane += 1


def drop_operations(search: Search, reschedule: Reschedule | None) -> None:
    """Drop operations of lanes, last ones first."""
    search.phase = "operations in lanes"
    again = True
    while again:
        again = False
        for lane in range(len(search.best.block.lanes) if search.best.block is not None else 0):
            again |= _drop_from(search, lane, reschedule)


def _drop_from(search: Search, lane: int, reschedule: Reschedule | None) -> bool:
    fewer = False
    block = _block(search)
    at = len(block.lanes[lane]) if block is not None else 0
    while at > 0 and (block := _block(search)) is not None:
        at -= 1
        fewer |= _attempt(search, _its_switch_kept(block, lane, at)) or _attempt_anyhow(
            search, without_operation(block, lane, at), reschedule
        )
    return fewer


def _its_switch_kept(block: Block, lane: int, at: int) -> Block:
    """Return a block without one operation whose last switch stands before what follows it now."""
    own = [switch for switch in block.schedule if switch.place[:2] == (lane, at)]
    rest = without_operation(block, lane, at)
    return with_switch(rest, replace(own[-1], point=0)) if own else rest


def later_switches(search: Search) -> None:
    """Put every switch as late in its operation as it can be: what comes before it then happens in one piece."""
    search.phase = "places of switches"
    index = 0
    while (block := _block(search)) is not None and index < len(block.schedule):
        # Behind the last point of its operation it would do nothing: what is not needed any more has to go before.
        if not _attempt(search, without_switch(block, index)):
            _put_later(search, index)
            index += 1


def _put_later(search: Search, index: int) -> None:
    """Try points behind the switch: far ones first, ever nearer, each as often as it works."""
    distance = _FARTHEST
    while distance:
        block = _block(search)
        if block is None or index >= len(block.schedule):
            return
        switch = block.schedule[index]
        if switch.operation == len(block.lanes[switch.lane]):
            return  # a lane's end is one place
        moved = shifted_switch(block, index, switch.operation, min(switch.point + distance, MAX_POINT))
        if len(moved.schedule) != len(block.schedule) or moved == block or not _attempt(search, moved):
            distance //= 2


def nothing_held(search: Search) -> None:
    """Let switches show all stores where that makes no difference; drop those that are left without one."""
    search.phase = "held stores"
    block = _block(search)
    for index in range(len(block.schedule) if block is not None else 0):
        now = _block(search)
        if now is None or index >= len(now.schedule) or not now.schedule[index].held:
            continue
        switch = replace(now.schedule[index], held=0)
        _attempt(search, replace(now, schedule=(*now.schedule[:index], switch, *now.schedule[index + 1 :])))
