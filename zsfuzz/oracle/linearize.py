"""Linearize: could these calls, made at the same time, have happened one after the other?

In:    Calls with the moments at which they began and ended; the state of each slot and pool before.
Out:   an order of all calls that the specification allows and that agrees with time; or the longest beginning of one
       and the call that breaks it; or "unknown", when the search met its bound.
Never: a clock: the bound is a number of configurations; knowledge of a machine.
Next:  what a call may do: zsfuzz/oracle/specification.py; who then runs the calls in this order:
       zsfuzz/execute/block_judge.py.

Each slot is a history of its own: a history is linearizable if and only if all of them are (Herlihy and Wing, 1990).
The search is that of Wing and Gong with Lowe's memory: a set of calls that led to a state is tried once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from zsfuzz.oracle.specification import Action, CreatePool, DestroyPool, State, step


class Verdict(Enum):
    """What the search found."""

    LINEARIZABLE = "linearizable"
    NOT_LINEARIZABLE = "not linearizable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the interface. lane, operation: where. invoked, returned: when; A comes before B in time if and only
    if A.returned < B.invoked. slot: of the object, or of the pool.
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
    def partition(self) -> tuple[str, int]:
        """Return the history that the call belongs to."""
        return ("pool" if isinstance(self.action, CreatePool | DestroyPool) else "slot", self.slot)


@dataclass(frozen=True, slots=True)
class Linearization:
    """order: all calls, when linearizable. prefix, breaks, reason: the longest beginning, and what cannot follow it.

    states: of every partition at the end. tried: configurations.
    """

    verdict: Verdict
    order: tuple[Call, ...] = ()
    states: Mapping[tuple[str, int], State] | None = None
    prefix: tuple[Call, ...] = ()
    breaks: Call | None = None
    reason: str = ""
    tried: int = 0


def linearize(
    calls: Sequence[Call], initial: Mapping[tuple[str, int], State], page_size: int, limit: int = 100_000
) -> Linearization:
    """Return the verdict on a history. initial: by partition; what is missing is empty. limit: configurations."""
    parts: dict[tuple[str, int], list[Call]] = {}
    for call in sorted(calls, key=lambda each: (each.invoked, each.returned)):
        parts.setdefault(call.partition, []).append(call)
    states, orders, tried = dict(initial), [], 0
    unknown = False
    for key, history in parts.items():
        search = _Search(history, page_size, limit - tried)
        found = search.run(initial.get(key))
        tried += search.tried
        if found is None and not search.gave_up:
            return Linearization(
                Verdict.NOT_LINEARIZABLE,
                prefix=search.longest,
                breaks=search.breaks,
                reason=search.reason,
                tried=tried,
            )
        if found is None:
            unknown = True
            continue
        order, states[key] = found
        orders.append(order)
    if unknown:
        return Linearization(Verdict.UNKNOWN, tried=tried)
    return Linearization(Verdict.LINEARIZABLE, tuple(_merged(orders)), states, tried=tried)


class _Search:
    """The search in one partition. longest, breaks, reason: how far it came where it did not come through."""

    def __init__(self, calls: Sequence[Call], page_size: int, limit: int) -> None:
        self._calls, self._page_size, self._limit = calls, page_size, limit
        self.tried = 0
        self.gave_up = False
        self.longest: tuple[Call, ...] = ()
        self.breaks: Call | None = None
        self.reason = ""

    def run(self, state: State) -> tuple[tuple[Call, ...], State] | None:
        """Return an order and the state after it, None when there is none or the limit was met."""
        everything = (1 << len(self._calls)) - 1
        seen: set[tuple[int, State]] = {(0, state)}
        stack: list[tuple[int, State, tuple[int, ...]]] = [(0, state, ())]
        while stack:
            done, state, order = stack.pop()
            if done == everything:
                return tuple(self._calls[number] for number in order), state
            self.tried += 1
            if self.tried > self._limit:
                self.gave_up = True
                return None
            for number in reversed(self._next(done)):
                after = self._try(number, state, order)
                if isinstance(after, str):
                    continue
                if (key := (done | 1 << number, after)) not in seen:
                    seen.add(key)
                    stack.append((*key, (*order, number)))
        return None

    def _next(self, done: int) -> list[int]:
        """Return the calls that may come next: begun before the end of any other that is not done."""
        left = [number for number in range(len(self._calls)) if not done >> number & 1]
        first_end = min(self._calls[number].returned for number in left)
        return [number for number in left if self._calls[number].invoked <= first_end]

    def _try(self, number: int, state: State, order: tuple[int, ...]) -> State | str:
        call = self._calls[number]
        after = step(state, call.action, call.succeeded, call.excused, self._page_size)
        if isinstance(after, str) and (self.breaks is None or len(order) > len(self.longest)):
            self.longest = tuple(self._calls[each] for each in order)
            self.breaks, self.reason = call, after
        return after


def _merged(orders: Iterable[Sequence[Call]]) -> list[Call]:
    """Return one order that keeps those of all partitions, and time.

    A call is put in as soon as its partition has come to it and nothing that ended before it began is left; among
    several, the one that ended first.
    """
    queues = [list(order) for order in orders if order]
    merged: list[Call] = []
    while queues:
        first_end = min(call.returned for queue in queues for call in queue)
        ready = [queue for queue in queues if queue[0].invoked <= first_end]
        queue = min(ready, key=lambda each: (each[0].returned, each[0].invoked))
        merged.append(queue.pop(0))
        queues = [each for each in queues if each]
    return merged
