"""Policies: ways to decide which lane goes on, each a pure function of its seed and of what it was told.

In:    a Random of the caller's; for some, how long the lanes are and which access each is about to make.
Out:   Replay, RandomWalk, PCT, POS, UniformWalk, StoreBuffers, RoundRobin; make_policy(), by a word of
       zsfuzz/program/block.py.
Never: a clock, a global random; an opinion on what is right.
Next:  who asks: zsfuzz/machine/lanes.py.

Sources: PCT: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A randomized scheduler with probabilistic guarantees of
finding bugs", ASPLOS 2010. POS: Yuan, Yang, Gu, "Partial order aware concurrency sampling", CAV 2018. Uniform walk by
remaining steps: Zhao et al., "Selectively uniform concurrency testing", ASPLOS 2025, without its selection.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from math import log
from random import Random
from typing import Final

from zsfuzz.errors import UsageError
from zsfuzz.machine import points
from zsfuzz.machine.lanes import OPERATION_POINTS_MOST, Lane, Lanes, Policy

NEVER: Final = OPERATION_POINTS_MOST
HOLD_EVERY: Final = (16, 48, 160)
"""StoreBuffers: one in so many points behind a plain store holds it back; drawn for each run."""

HOLD_ATOMIC_EVERY: Final = 4
"""The same behind a relaxed atomic: there are few, and others look at what they change."""

HOLD_PERCENT: Final = 30
"""How often a switch holds stores back, where store buffers are on."""


def hold(rng: Random, lanes: Lanes) -> int:
    """Return how a preempted lane's stores are held: mostly not, else all or all but the newest."""
    if not lanes.buffering or rng.randrange(100) >= HOLD_PERCENT:
        return 0
    return 1 + rng.randrange(2)


def others(lane: Lane, able: Sequence[int]) -> list[int]:
    """Return the lanes that can run, without one."""
    return [number for number in able if number != lane.number]


class Replay:
    """Do again what a schedule says. switches: (lane, operation, point) -> (to, held)."""

    eager = False

    def __init__(self, switches: Mapping[tuple[int, int, int], tuple[int, int]]) -> None:
        self._switches = dict(switches)
        self._points: dict[tuple[int, int], list[int]] = {}
        for lane, operation, point in sorted(self._switches):
            self._points.setdefault((lane, operation), []).append(point)

    def start(self, lanes: Lanes) -> None:
        """Nothing to prepare."""

    def ahead(self, lanes: Lanes, lane: Lane) -> int:
        """Until the next point of the operation that the schedule names."""
        due = self._points.get((lane.number, lane.operation), ())
        at = bisect_right(due, lane.point)
        return due[at] - lane.point if at < len(due) else NEVER

    def choose(self, lanes: Lanes, lane: Lane, able: Sequence[int]) -> tuple[int, int]:
        """What the schedule says for this point."""
        return self._switches.get((lane.number, lane.operation, lane.point), (lane.number, 0))

    def forced(self, lanes: Lanes, lane: Lane, able: Sequence[int], default: int) -> int:
        """What the schedule says for this place, else the next lane."""
        return self._switches.get((lane.number, lane.operation, lane.point), (default, 0))[0]


class RandomWalk:
    """At each point, with a probability of 1 in `every`, go on with another lane."""

    eager = False

    def __init__(self, rng: Random, every: int) -> None:
        self._rng = rng
        self._log_stay = log(1 - 1 / max(2, every))

    def start(self, lanes: Lanes) -> None:
        """Nothing to prepare."""

    def ahead(self, lanes: Lanes, lane: Lane) -> int:
        """Geometrically distributed."""
        return 1 + int(log(1 - self._rng.random()) / self._log_stay)

    def choose(self, lanes: Lanes, lane: Lane, able: Sequence[int]) -> tuple[int, int]:
        """Any other lane."""
        rest = others(lane, able)
        if not rest:
            return lane.number, 0
        return self._rng.choice(rest), hold(self._rng, lanes)

    def forced(self, lanes: Lanes, lane: Lane, able: Sequence[int], default: int) -> int:
        """Any lane."""
        return self._rng.choice(others(lane, able) or [default])


class PCT:
    """Random priorities; at depth - 1 random points of `length` the running lane falls below all others.

    A bug of depth d with n lanes is hit with a probability of at least 1 / (n * length ** (d - 1)).
    """

    eager = True

    def __init__(self, rng: Random, depth: int, length: int) -> None:
        self._rng = rng
        self._change_at = sorted(rng.randrange(1, max(2, length)) for _ in range(depth - 1))
        self._priority: list[int] = []
        self._passed = 0
        self._aimed = 0

    def start(self, lanes: Lanes) -> None:
        """Deal the priorities: the highest number runs."""
        count = len(lanes.lanes)
        self._priority = [len(self._change_at) + 1 + number for number in range(count)]
        self._rng.shuffle(self._priority)

    def ahead(self, lanes: Lanes, lane: Lane) -> int:
        """Until the next point at which priorities change, or at once where a higher lane waits."""
        if self._best(lanes.able(), lane.number) != lane.number:
            return 1
        passed = lanes.passed
        due = [at for at in self._change_at if at > passed]
        return due[0] - passed if due else NEVER

    def _best(self, able: Sequence[int], default: int) -> int:
        return max(able, key=lambda number: self._priority[number]) if able else default

    def choose(self, lanes: Lanes, lane: Lane, able: Sequence[int]) -> tuple[int, int]:
        """The lane of the highest priority, after the change that is due here."""
        passed = lanes.passed
        due = [at for at in self._change_at if at <= passed]
        if due:
            self._change_at = [at for at in self._change_at if at > passed]
            self._priority[lane.number] = len(self._change_at)
        best = self._best(able, lane.number)
        return best, hold(self._rng, lanes) if best != lane.number else 0

    def forced(self, lanes: Lanes, lane: Lane, able: Sequence[int], default: int) -> int:
        """The lane of the highest priority among those that can run; one that yields falls below all others."""
        if not lane.done and lane.wait is None:
            self._priority[lane.number] = min(self._priority) - 1
        return self._best(able, default)


class POS:
    """Every access that comes next has a random priority; those that race with the one made are dealt anew.

    Sees every point: slow, and even over the orders of racing accesses.
    """

    eager = True

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._priority: list[float] = []

    def start(self, lanes: Lanes) -> None:
        """Deal a priority for each lane's first access."""
        self._priority = [self._rng.random() for _ in lanes.lanes]

    def ahead(self, lanes: Lanes, lane: Lane) -> int:
        """Every point."""
        return 1

    def choose(self, lanes: Lanes, lane: Lane, able: Sequence[int]) -> tuple[int, int]:
        """The highest priority; its access is made next, and what it races with is dealt anew."""
        best = max(able, key=lambda number: (self._priority[number], number))
        if best == lane.number:
            self._made(lanes, lane, able)
            return best, 0
        self._made(lanes, lanes.lanes[best], able)
        return best, hold(self._rng, lanes)

    def _made(self, lanes: Lanes, lane: Lane, able: Sequence[int]) -> None:
        mine = (lane.kind, lane.address)
        self._priority[lane.number] = self._rng.random()
        for number in able:
            other = lanes.lanes[number]
            if number != lane.number and points.conflict(mine, (other.kind, other.address)):
                self._priority[number] = self._rng.random()

    def forced(self, lanes: Lanes, lane: Lane, able: Sequence[int], default: int) -> int:
        """The highest priority."""
        best = max(others(lane, able) or [default], key=lambda number: (self._priority[number], number))
        self._made(lanes, lanes.lanes[best], able)
        return best


class UniformWalk:
    """At each point a lane is drawn by how many points it has left: nearly even over all interleavings.

    lengths: points of each lane when it ran before; a lane that is longer counts as having one left.
    """

    eager = False

    def __init__(self, rng: Random, lengths: Sequence[int]) -> None:
        self._rng = rng
        self._lengths = lengths

    def start(self, lanes: Lanes) -> None:
        """Nothing to prepare."""

    def ahead(self, lanes: Lanes, lane: Lane) -> int:
        """Every point."""
        return 1

    def _draw(self, lanes: Lanes, able: Sequence[int]) -> int:
        left = []
        for number in able:
            lane = lanes.lanes[number]
            length = self._lengths[number] if number < len(self._lengths) else 1
            left.append(max(1, length - lane.passed - lane.point))
        return self._rng.choices(able, left)[0]

    def choose(self, lanes: Lanes, lane: Lane, able: Sequence[int]) -> tuple[int, int]:
        """Drawn by what is left."""
        to = self._draw(lanes, able)
        return to, hold(self._rng, lanes) if to != lane.number else 0

    def forced(self, lanes: Lanes, lane: Lane, able: Sequence[int], default: int) -> int:
        """Drawn by what is left."""
        return self._draw(lanes, others(lane, able) or [default])


class StoreBuffers:
    """A random walk that likes to leave a lane whose last stores others need not see yet, and holds them back.

    What follows is that another lane runs on with the old values: the window of every missing barrier. Without the core
    switch store_buffers there is nothing to hold, and this is a random walk.
    """

    eager = False

    def __init__(self, rng: Random, every: int) -> None:
        self._rng = rng
        self._stay = 1 - 1 / max(2, every)
        self._hold_every = rng.choice(HOLD_EVERY)

    def start(self, lanes: Lanes) -> None:
        """Nothing to prepare."""

    def ahead(self, lanes: Lanes, lane: Lane) -> int:
        """Every point: what a lane has stored is seen there."""
        return 1

    def choose(self, lanes: Lanes, lane: Lane, able: Sequence[int]) -> tuple[int, int]:
        """Hold stores back where there are some, now and then; else walk on."""
        rest = others(lane, able)
        if not rest:
            return lane.number, 0
        if lane.log:
            every = HOLD_ATOMIC_EVERY if any(each.add for each in lane.log) else self._hold_every
            if self._rng.random() * every < 1:
                return self._rng.choice(rest), 1 + self._rng.randrange(2)
        if self._rng.random() < self._stay:
            return lane.number, 0
        return self._rng.choice(rest), 0

    def forced(self, lanes: Lanes, lane: Lane, able: Sequence[int], default: int) -> int:
        """Any lane."""
        return self._rng.choice(others(lane, able) or [default])


class RoundRobin:
    """Every lane runs `quantum` points, then the next one."""

    eager = False

    def __init__(self, quantum: int) -> None:
        self._quantum = max(1, quantum)

    def start(self, lanes: Lanes) -> None:
        """Nothing to prepare."""

    def ahead(self, lanes: Lanes, lane: Lane) -> int:
        """The quantum."""
        return self._quantum

    def choose(self, lanes: Lanes, lane: Lane, able: Sequence[int]) -> tuple[int, int]:
        """The next lane in cyclic order."""
        following = lanes.following(lane.number)
        return (following if following >= 0 else lane.number), 0

    def forced(self, lanes: Lanes, lane: Lane, able: Sequence[int], default: int) -> int:
        """The next lane in cyclic order."""
        return default


LaneLengths = Sequence[int]

MAKERS: Final[Mapping[str, Callable[[Random, LaneLengths], Policy]]] = {
    "random": lambda rng, lengths: RandomWalk(rng, max(4, sum(lengths) // rng.choice((2, 4, 8, 16, 32)))),
    "pct2": lambda rng, lengths: PCT(rng, 2, sum(lengths)),
    "pct3": lambda rng, lengths: PCT(rng, 3, sum(lengths)),
    "pos": lambda rng, lengths: POS(rng),
    "uniform": UniformWalk,
    "stores": lambda rng, lengths: StoreBuffers(rng, max(4, sum(lengths) // rng.choice((1, 2, 4)))),
    "round-robin": lambda rng, lengths: RoundRobin(rng.choice((1, 3, 10, 30, 100))),
}
"""How each is made from a Random and an estimate of the points of each lane."""


def check_policy(name: str) -> None:
    """Errors: UsageError for a name, of a file perhaps, that no policy has."""
    if name not in MAKERS:
        raise UsageError(f"unknown policy {name!r}; use one of {', '.join(MAKERS)}")


def make_policy(name: str, rng: Random, lengths: LaneLengths) -> Policy:
    """Return a policy by name, a member of MAKERS. lengths: estimated points of each lane, at least one each."""
    return MAKERS[name](rng, [max(1, length) for length in lengths])
