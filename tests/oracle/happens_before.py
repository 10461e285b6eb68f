"""Happens-before as a graph, for comparison with the detector's clocks; and streams of events.

In:    events in the order in which they happened.
Out:   which pairs of accesses race, by reachability: nothing is forgotten, nothing is summed up.
Never: a clock, an epoch, or anything of the product's detector but the numbers of its kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from zsfuzz.oracle import races

READS_MARKED = {races.READ_ONCE, races.LOAD_ACQUIRE, races.ATOMIC, races.ATOMIC_RELAXED}
ORDERED_READS = {races.LOAD_ACQUIRE, races.ATOMIC}


@dataclass(frozen=True)
class Event:
    """what: "access", "acquire", "release", "read acquire", "read release", "smp_mb", "smp_wmb", "smp_rmb", "fork" or
    "join". at: an address, or a lock, or the child.
    """

    what: str
    lane: int
    at: int
    kind: int = 0
    width: int = 8

    @property
    def plain(self) -> bool:
        """Return whether it is a plain access."""
        return self.kind in (races.LOAD, races.STORE)

    @property
    def stores(self) -> bool:
        """Return whether it stores."""
        return self.kind not in (races.LOAD, races.READ_ONCE, races.LOAD_ACQUIRE)


@dataclass
class Graph:
    """behind: event -> all events that happened before it, as bits."""

    behind: list[int] = field(default_factory=list)

    def reaches(self, first: int, second: int) -> bool:
        """Return whether the first event happened before the second."""
        return bool(self.behind[second] >> first & 1)

    def add(self, direct: set[int]) -> None:
        """Add the next event, which follows the given ones."""
        self.behind.append(0)
        for each in direct:
            self.behind[-1] |= self.behind[each] | 1 << each


def graph_of(events: Sequence[Event]) -> Graph:
    """Return what happened before what."""
    graph = Graph()
    last: dict[int, int] = {}
    fence: dict[int, int] = {}
    heard: dict[int, set[int]] = {}
    writers: dict[int, set[int]] = {}
    readers: dict[int, set[int]] = {}
    handed: dict[int, set[int]] = {}
    for number, event in enumerate(events):
        lane, at = event.lane, event.at
        direct = {last[lane]} if lane in last else set()
        full_barrier = event.what == "smp_mb" or (event.what == "access" and event.kind == races.ATOMIC)
        if event.what in ("acquire", "read acquire"):
            direct |= writers.get(at, set())
        if event.what == "acquire":
            direct |= readers.get(at, set())
        if full_barrier or event.what == "smp_rmb":
            direct |= heard.pop(lane, set())
        if event.what == "access" and event.kind in READS_MARKED:
            seen = handed.get(at, set())
            if event.kind in ORDERED_READS:
                direct |= seen
            else:
                heard.setdefault(lane, set()).update(seen)
        if event.what == "join":
            direct |= {last[at]} if at in last else set()
        graph.add(direct)
        last[lane] = number
        if event.what == "fork":
            last[at] = number
        if event.what == "release":
            writers.setdefault(at, set()).add(number)
        if event.what == "read release":
            readers.setdefault(at, set()).add(number)
        if event.what == "access" and event.stores:
            _hand_on(event, number, fence.get(lane), handed)
        if full_barrier or event.what == "smp_wmb":
            fence[lane] = number
    return graph


def _hand_on(event: Event, number: int, fence: int | None, handed: dict[int, set[int]]) -> None:
    kept = handed.get(event.at, set()) if event.kind in (races.ATOMIC, races.ATOMIC_RELAXED) else set()
    if event.kind in (races.ATOMIC, races.STORE_RELEASE):
        kept = kept | {number}
    elif event.kind != races.STORE and fence is not None:
        kept = kept | {fence}
    handed[event.at] = kept


def races_of(events: Sequence[Event]) -> dict[int, list[int]]:
    """Return, by the later one, all pairs of accesses that race."""
    graph, found = graph_of(events), dict[int, list[int]]()
    for number, event in enumerate(events):
        for earlier, other in enumerate(events[:number]):
            if not event.what == other.what == "access" or event.lane == other.lane:
                continue
            overlap = other.at < event.at + event.width and event.at < other.at + other.width
            plain, stores = event.plain or other.plain, event.stores or other.stores
            if overlap and plain and stores and not graph.reaches(earlier, number):
                found.setdefault(number, []).append(earlier)
    return found


def random_stream(random: Random, lanes: int, length: int) -> list[Event]:
    """Return events of lanes that order themselves now and then; locks are held by those that may."""
    events = [Event("fork", races.MAIN, lane) for lane in range(lanes)]
    writer: dict[int, int] = {}
    holders: dict[int, list[int]] = {}
    for _ in range(length):
        lane, lock, roll = random.randrange(lanes), random.randrange(2), random.random()
        if roll < 0.45:
            kind = random.randrange(8) if random.random() < 0.75 else races.LOAD
            width = random.choice((8, 8, 4, 1)) if kind in (races.LOAD, races.STORE) else 8
            at = 8 * random.randrange(1, 4) + random.randrange(0, 8, width)
            width = random.choice((width, 20)) if kind in (races.LOAD, races.STORE) else width
            events.append(Event("access", lane, at, kind, width))
        elif roll < 0.75:
            held = holders.setdefault(lock, [])
            if writer.get(lock) == lane:
                events.append(Event("release", lane, lock))
                del writer[lock]
            elif lane in held:
                events.append(Event("read release", lane, lock))
                held.remove(lane)
            elif lock not in writer and not held and random.random() < 0.6:
                events.append(Event("acquire", lane, lock))
                writer[lock] = lane
            elif lock not in writer:
                events.append(Event("read acquire", lane, lock))
                held.append(lane)
        elif roll < 0.85:
            events.append(Event(random.choice(("smp_mb", "smp_wmb", "smp_rmb")), lane, 0))
    events += [Event("join", races.MAIN, lane) for lane in range(lanes)]
    return [*events, Event("access", races.MAIN, 8, races.STORE, 40)]
