"""Linearize: could these calls, made at the same time, have happened one after the other?

In:    Calls with the moments at which they began and ended; the state of each slot and pool before.
Out:   an order of all calls that the specification allows and that agrees with time; or the longest beginning of one
       and the calls that cannot follow it; or "unknown", when the search met its bound.
Never: a clock: the bound is a number of configurations; knowledge of a machine.
Next:  what a call may do: zsfuzz/oracle/specification.py; who then runs the calls in this order:
       zsfuzz/execute/block_judge.py.

Each slot is a history of its own: a history is linearizable if and only if all of them are (Herlihy and Wing, 1990).
Pools are histories beside them: a slot's history does not ask whether its pool exists, since whoever allocates from a
pool that another CPU creates or destroys at that moment breaks zsmalloc's interface, not the other way round.

    lane 0  |--- store 1 ---|      |- fetch 2 -|
    lane 1        |-------- store 2 -----|              store 1, store 2, fetch 2

First the order in which the calls ended is tried: zsmalloc's users hold a pin from map to unmap, so that it nearly
always fits. Only slots where it does not are searched, as Wing and Gong (1993) do it, with the memory of Lowe (2017): a
set of calls that led to a state is tried once. A call that changes nothing and fits is taken at once, without looking
at the alternatives: whatever order there is from here on, it can be moved to the front of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Final

from zsfuzz.oracle.specification import (
    Action,
    Allocate,
    CreatePool,
    DestroyPool,
    Fetch,
    Span,
    State,
    Stored,
    describe,
    step,
)

Partition = tuple[str, int]
"""("slot", number) or ("pool", number)."""

LIMIT: Final = 20_000
"""Configurations, where the caller says nothing."""


class Verdict(Enum):
    """What the search found."""

    LINEARIZABLE = "linearizable"
    NOT_LINEARIZABLE = "not linearizable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the interface. lane, operation: where. invoked, returned: when; A comes before B in time if and only
    if A.returned < B.invoked. slot: of the object, or of the pool. excused: an allocation was refused to the caller
    meanwhile, so that it may have failed.
    """

    lane: int
    operation: int
    invoked: int
    returned: int
    slot: int
    action: Action
    succeeded: bool
    excused: bool = False

    @property
    def partition(self) -> Partition:
        """Return the history that the call belongs to."""
        return ("pool" if isinstance(self.action, CreatePool | DestroyPool) else "slot", self.slot)


def describe_call(call: Call) -> str:
    """Return a call for people: "lane 1: h3 = malloc 32 z0 = 0"."""
    return f"lane {call.lane}: {describe(call.action, call.slot)}{'' if call.succeeded else ' = 0'}"


@dataclass(frozen=True, slots=True)
class Broken:
    """A history that no order fits. prefix: the longest beginning of one. refused: every call that could come next by
    time, and why it cannot; the one that ended first is the first.
    """

    partition: Partition
    prefix: tuple[Call, ...]
    refused: tuple[tuple[Call, str], ...]

    @property
    def breaks(self) -> Call:
        """Return the call that breaks it: by time it has to come before all that began after its end."""
        return self.refused[0][0]

    @property
    def reason(self) -> str:
        """Return why that call does not fit."""
        return self.refused[0][1]

    def explain(self) -> str:
        """Return it for people, a line for each call."""
        name = f"{'z' if self.partition[0] == 'pool' else 'h'}{self.partition[1]}"
        lines = [f"{name}: the longest order that fits:"]
        lines += [f"  {describe_call(call)}" for call in self.prefix] or ["  (nothing)"]
        lines.append("what may come next by time, and why it cannot:")
        lines += [f"  {describe_call(call)}: {reason}" for call, reason in self.refused]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Linearization:
    """order: all calls, when linearizable; states: of every partition after them. broken: the histories that no order
    fits, the one that broke first in front. tried: configurations searched.
    """

    verdict: Verdict
    order: tuple[Call, ...] = ()
    states: Mapping[Partition, State] | None = None
    broken: tuple[Broken, ...] = ()
    tried: int = 0

    @property
    def prefix(self) -> tuple[Call, ...]:
        """Return the longest beginning of an order in the history that broke first."""
        return self.broken[0].prefix if self.broken else ()

    @property
    def breaks(self) -> Call | None:
        """Return the call that breaks it."""
        return self.broken[0].breaks if self.broken else None

    @property
    def reason(self) -> str:
        """Return why that call does not fit."""
        return self.broken[0].reason if self.broken else ""

    def explain(self) -> str:
        """Return what is broken for people, a line for each call."""
        return "\n".join(each.explain() for each in self.broken)


def linearize(
    calls: Iterable[Call], initial: Mapping[Partition, State], page_size: int, limit: int = LIMIT
) -> Linearization:
    """Return the verdict on a history.

    initial: by partition; what is missing is empty. limit: how many configurations may be searched in all; histories
    are searched from the shortest to the longest, and one that is broken is a verdict, whatever the others are.
    Errors: ValueError for calls that no lane can have made.
    """
    ordered = sorted(calls, key=_by_end)
    _check_lanes(ordered)
    states, amiss = _run_straight(ordered, initial, page_size)
    if not amiss:
        return Linearization(Verdict.LINEARIZABLE, tuple(ordered), states)
    histories: dict[Partition, Sequence[Call]] = {}
    for key in dict.fromkeys(call.partition for call in ordered):
        histories[key] = [call for call in ordered if call.partition == key]
    broken: list[Broken] = []
    tried, gave_up = 0, False
    for key in sorted(amiss, key=lambda each: len(histories[each])):
        search = _Search(histories[key], page_size, limit - tried)
        found = search.run(initial.get(key))
        tried += search.tried
        gave_up = gave_up or search.gave_up
        if found is not None:
            histories[key], states[key] = found
        elif not search.gave_up:
            broken.append(Broken(key, search.longest, search.refused))
    if broken:
        first_first = tuple(sorted(broken, key=lambda each: _by_end(each.breaks)))
        return Linearization(Verdict.NOT_LINEARIZABLE, broken=first_first, tried=tried)
    if gave_up:
        return Linearization(Verdict.UNKNOWN, tried=tried)
    return Linearization(Verdict.LINEARIZABLE, tuple(_merged(list(histories.values()))), states, tried=tried)


def final(order: Iterable[Call], initial: Mapping[Partition, State], page_size: int) -> dict[int, Stored]:
    """Return the live slots and what they hold after the calls, made one after the other.

    Errors: ValueError for an order that the specification does not allow.
    """
    states = dict(initial)
    for call in order:
        after = step(states.get(call.partition), call.action, call.succeeded, call.excused, page_size)
        if isinstance(after, str):
            raise ValueError(f"{describe_call(call)}: {after}")
        states[call.partition] = after
    return {slot: state for (_, slot), state in sorted(states.items()) if isinstance(state, Stored)}


def _by_end(call: Call) -> tuple[int, int, int, int]:
    return call.returned, call.invoked, call.lane, call.operation


def _check_lanes(ordered: Sequence[Call]) -> None:
    """Raise for a lane that begins a call before the last one ended: it is one CPU."""
    ends: dict[int, int] = {}
    for call in ordered:
        if not ends.get(call.lane, call.invoked - 1) < call.invoked <= call.returned:
            raise ValueError(f"{describe_call(call)}: from {call.invoked} to {call.returned}, inside another call")
        ends[call.lane] = call.returned


def _run_straight(
    ordered: Sequence[Call], initial: Mapping[Partition, State], page_size: int
) -> tuple[dict[Partition, State], list[Partition]]:
    """Make the calls in the order in which they ended. Returns the states, and the histories that do not fit."""
    states, amiss = dict(initial), dict[Partition, None]()
    for call in ordered:
        key = call.partition
        if key in amiss:
            continue
        after = step(states.get(key), call.action, call.succeeded, call.excused, page_size)
        if isinstance(after, str):
            amiss[key] = None
        else:
            states[key] = after
    return states, list(amiss)


def _changes_nothing(call: Call) -> bool:
    """Return whether a call leaves every state as it is in which it fits."""
    match call.action:
        case Span(parts, forget):
            return not forget and all(isinstance(part, Fetch) for part in parts)
        case Allocate() | CreatePool():
            return not call.succeeded
        case _:
            return False


_Chain = tuple[Call, "_Chain"] | None
"""Calls, the newest first: configurations share what they have in common."""


def _unchained(chain: _Chain) -> tuple[Call, ...]:
    calls = []
    while chain is not None:
        call, chain = chain
        calls.append(call)
    return tuple(reversed(calls))


class _Search:
    """The search in one history. A configuration is how many calls of each lane are done, and the state.

    longest, refused: how far it came where it did not come through. Of several places that are equally far, the first.
    """

    def __init__(self, calls: Sequence[Call], page_size: int, limit: int) -> None:
        """calls: by their ends; a lane's calls are in its own order then."""
        lanes: dict[int, list[Call]] = {}
        for call in calls:
            lanes.setdefault(call.lane, []).append(call)
        self._lanes = list(lanes.values())
        self._count, self._page_size = len(calls), page_size
        self._limit = limit if len(lanes) > 1 else len(calls)  # one lane: nothing to choose
        self.tried = 0
        self.gave_up = False
        self.longest: tuple[Call, ...] = ()
        self.refused: tuple[tuple[Call, str], ...] = ()

    def run(self, state: State) -> tuple[tuple[Call, ...], State] | None:
        """Return an order and the state after it, None when there is none or the limit was met."""
        begin = (0,) * len(self._lanes)
        numbers: dict[State, int] = {state: 0}  # states are pages of bytes: they are kept and compared once
        seen = {(begin, 0)}
        stack: list[tuple[tuple[int, ...], State, _Chain]] = [(begin, state, None)]
        while stack:
            done, state, chain = stack.pop()
            if sum(done) == self._count:
                return _unchained(chain), state
            self.tried += 1
            if self.tried > self._limit:
                self.gave_up = True
                return None
            for lane, call, after in reversed(self._following(done, state, chain)):
                number = numbers.setdefault(after, len(numbers))
                then = (*done[:lane], done[lane] + 1, *done[lane + 1 :])
                if (then, number) not in seen:
                    seen.add((then, number))
                    stack.append((then, after, (call, chain)))
        return None

    def _following(self, done: tuple[int, ...], state: State, chain: _Chain) -> list[tuple[int, Call, State]]:
        """Return the calls that may come next, each with its lane and the state after it; the likeliest first."""
        heads = [
            (calls[at], lane) for lane, (calls, at) in enumerate(zip(self._lanes, done, strict=True)) if at < len(calls)
        ]
        first_end = min(call.returned for call, _ in heads)
        heads = sorted((each for each in heads if each[0].invoked <= first_end), key=lambda each: _by_end(each[0]))
        following: list[tuple[int, Call, State]] = []
        refused: list[tuple[Call, str]] = []
        for call, lane in heads:
            after = step(state, call.action, call.succeeded, call.excused, self._page_size)
            if isinstance(after, str):
                refused.append((call, after))
            elif _changes_nothing(call):
                return [(lane, call, after)]
            else:
                following.append((lane, call, after))
        if not following and (not self.refused or sum(done) > len(self.longest)):
            self.longest, self.refused = _unchained(chain), tuple(refused)
        return following


def _merged(orders: Sequence[Sequence[Call]]) -> list[Call]:
    """Return one order that keeps those of all histories, and time.

    A call is put in as soon as its history has come to it and nothing that ended before it began is left; among
    several, the one that ended first. There always is one: of what is left, take the call that ended first; whatever
    its history has before it began before that end.
    """
    ends = [list(accumulate((call.returned for call in reversed(order)), min))[::-1] for order in orders]
    at = [0] * len(orders)
    merged: list[Call] = []
    left = [number for number, order in enumerate(orders) if order]
    while left:
        first_end = min(ends[number][at[number]] for number in left)
        ready = [number for number in left if orders[number][at[number]].invoked <= first_end]
        number = min(ready, key=lambda each: _by_end(orders[each][at[each]]))
        merged.append(orders[number][at[number]])
        at[number] += 1
        if at[number] == len(orders[number]):
            left.remove(number)
    return merged
