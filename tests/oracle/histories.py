"""Histories for the tests of the linearizability oracle, and a slow oracle of another make to compare with.

In:    a seeded Random.
Out:   calls of lanes that overlap, true ones and ones with a planted lie; verdicts by trying every order.
Never: the product's specification or search: a mistake that both share would hide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from zsfuzz.oracle.linearize import Call
from zsfuzz.oracle.specification import Action, Allocate, CreatePool, DestroyPool, Fetch, Release, Span, Store

PAGE = 8
Key = tuple[str, int]


def key_of(call: Call) -> Key:
    """Return the history that a call belongs to."""
    return ("pool" if type(call.action) in (CreatePool, DestroyPool) else "slot", call.slot)


class SlowDictionary:
    """The interface as plain dictionaries that change: a pool exists, an object is a dictionary of its known bytes."""

    def __init__(self) -> None:
        self.pools: dict[int, None] = {0: None}
        self.sizes: dict[int, int] = {}
        self.bytes: dict[int, dict[int, int]] = {}

    def copy(self) -> SlowDictionary:
        """Return one that later calls do not reach."""
        other = SlowDictionary()
        other.pools, other.sizes = dict(self.pools), dict(self.sizes)
        other.bytes = {slot: dict(known) for slot, known in self.bytes.items()}
        return other

    def do(self, call: Call) -> bool:
        """Make a call. Returns whether it may have gone as it says; changed anyhow when not."""
        slot, action = call.slot, call.action
        if isinstance(action, CreatePool):
            may = slot not in self.pools and (call.succeeded or call.excused)
            if call.succeeded:
                self.pools[slot] = None
            return may
        if isinstance(action, DestroyPool):
            existed = slot in self.pools
            self.pools.pop(slot, None)
            return existed
        if isinstance(action, Allocate):
            may = slot not in self.sizes
            if call.succeeded:
                self.sizes[slot], self.bytes[slot] = action.size, {}
                return may and 1 <= action.size <= PAGE
            return may and (call.excused or not 1 <= action.size <= PAGE)
        if slot not in self.sizes:
            return False
        if isinstance(action, Release):
            del self.sizes[slot], self.bytes[slot]
            return True
        return self._span(slot, action)

    def _span(self, slot: int, action: Span) -> bool:
        known = self.bytes[slot]
        if action.forget:
            known.clear()
        for part in action.parts:
            for offset, byte in enumerate(part.data, part.offset):
                if isinstance(part, Fetch) and known.get(offset, byte) != byte:
                    return False
                if isinstance(part, Store):
                    known[offset] = byte
        return True


def before(first: Call, second: Call) -> bool:
    """Return whether the first call had ended when the second began."""
    return first.returned < second.invoked


def orders(calls: Sequence[Call], dictionary: SlowDictionary) -> Iterator[tuple[Call, ...]]:
    """Yield every beginning of every order that agrees with time and with the dictionary."""
    yield ()
    for number, call in enumerate(calls):
        if any(before(other, call) for other in calls if other is not call):
            continue
        after = dictionary.copy()
        if after.do(call):
            rest = [*calls[:number], *calls[number + 1 :]]
            for order in orders(rest, after):
                yield (call, *order)


def longest(calls: Sequence[Call], dictionary: SlowDictionary) -> int:
    """Return how many calls the longest beginning of an order has."""
    return max(map(len, orders(calls, dictionary)))


def agrees_with_time(order: Sequence[Call]) -> bool:
    """Return whether no call stands behind one that began after its end."""
    return not any(before(later, earlier) for at, earlier in enumerate(order) for later in order[at + 1 :])


def random_history(random: Random, lanes: int, each: int, slots: int) -> list[Call]:
    """Return a history that is linearizable: every call took effect at one moment between its begin and its end."""
    moments = [
        sorted(random.sample(range(lane, lanes * each * 6, lanes), 3 * each)) for lane in range(lanes)
    ]  # begin, effect and end of each call, no two of them the same
    effects = sorted((times[3 * at + 1], lane, at) for lane, times in enumerate(moments) for at in range(each))
    dictionary, calls = SlowDictionary(), []
    for _, lane, at in effects:
        begin, end = moments[lane][3 * at], moments[lane][3 * at + 2]
        call = Call(lane, at, begin, end, *random_call(random, dictionary, slots))
        assert dictionary.do(call), call
        calls.append(call)
    random.shuffle(calls)
    return calls


def random_call(random: Random, dictionary: SlowDictionary, slots: int) -> tuple[int, Action, bool, bool]:
    """Return slot, action, succeeded and excused of a call that the dictionary allows now."""
    slot = random.randrange(slots)
    if random.random() < 0.15:
        excused = random.random() < 0.3
        if slot in dictionary.pools:
            return slot, DestroyPool(slot), True, False
        return slot, CreatePool(slot), not excused, excused
    if slot not in dictionary.sizes:
        size = random.choice((0, 1, 2, 3, PAGE, PAGE + 1))
        excused = random.random() < 0.2
        succeeded = 1 <= size <= PAGE and not (excused and random.random() < 0.7)
        return slot, Allocate(0, size), succeeded, excused
    if random.random() < 0.15:
        return slot, Release(), True, False
    return slot, random_span(random, dictionary.sizes[slot], dict(dictionary.bytes[slot])), True, False


def random_span(random: Random, size: int, known: dict[int, int]) -> Span:
    """Return accesses to an object; what is read is what is known, or anything."""
    forget = random.random() < 0.15
    if forget:
        known.clear()
    parts: list[Store | Fetch] = []
    for _ in range(random.choice((0, 1, 1, 1, 2))):
        start = random.randrange(size)
        offsets = range(start, random.randint(start + 1, size))
        if random.random() < 0.5:
            data = bytes(random.randint(1, 2) for _ in offsets)
            known.update(zip(offsets, data, strict=True))
            parts.append(Store(start, data))
        else:
            parts.append(Fetch(start, bytes(known.get(offset, 0) for offset in offsets)))
    return Span(tuple(parts), forget)


def with_a_lie(random: Random, calls: Sequence[Call]) -> list[Call]:
    """Return a history one of whose calls says something else than what happened; it may be true all the same."""
    number = random.randrange(len(calls))
    call = calls[number]
    action: Action = call.action
    match action:
        case Span(parts, forget):
            changed = tuple(
                replace(part, data=bytes(byte ^ 3 for byte in part.data)) if isinstance(part, Fetch) else part
                for part in parts
            )
            call = replace(call, action=Span(changed, forget))
        case Allocate() | CreatePool():
            call = replace(call, succeeded=not call.succeeded)
        case Release() | DestroyPool():
            call = replace(call, slot=call.slot + 1)
    return [*calls[:number], call, *calls[number + 1 :]]
