"""Lanes: decides which lane takes the next step, and remembers what it decided.

In:    lanes as plain callables whose machine calls are preemption points; a policy.
Out:   the switches that were made; the same switches give the same run, on any machine.
Never: reads a clock, the global random, or a lane's inside; spins: a lane that waits is parked.
Next:  policies in zsfuzz/machine/policies.py; the primitives that come here in zsfuzz/machine/preemption.py; why
       greenlets in docs/adr/0003-lanes-are-greenlets.md.

    lane 0  ....|p p p p|>------------------>|p p p ...        p: a point, counted in each operation from 0
    lane 1      |       |p p lock: taken, parked|              >: a switch, keyed (lane, operation, point)

A point that nobody asked for costs one call and a subtraction: the policy says how many points it will let pass.

With the core switch store_buffers, plain stores and relaxed atomics are logged until the next barrier, lock or release.
A switch that holds them takes them back before the others run, and puts them in place again when the lane goes on: to
the others they come late, as from a store buffer; the lane itself never notices. Only single words are logged: a list
operation, a copy, the slab and the buddy allocator are barriers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from greenlet import getcurrent, greenlet

from zsfuzz.machine import points
from zsfuzz.machine.recording import EVERYTHING as EVERY_WORD
from zsfuzz.machine.recording import Recorder
from zsfuzz.machine.report import Report

OPERATION_POINTS_MOST: Final = 200_000
"""An operation that passes more points makes no progress: a livelock."""

NOTHING, EVERYTHING, ALL_BUT_NEWEST = range(3)
"""How much of what a lane stored since its last barrier a switch holds back."""

SPIN: Final = "spins"
SLEEP: Final = "sleeps"


class LaneKilled(BaseException):
    """Thrown into a lane whose run is over."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What a lane is parked on. how: SPIN or SLEEP. key: what a waker says. condition: of a wait_event()."""

    how: str
    name: str
    key: tuple[str, int, int]
    condition: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """One switch that was made. why: "preempted", "blocked", "ended" or "yields"."""

    lane: int
    operation: int
    point: int
    to: int
    held: int
    why: str
    default: bool


@dataclass(frozen=True, slots=True)
class Thread:
    """A pooled greenlet. jobs: what it does next, at most one; each returns who goes on after it."""

    jobs: list[Callable[[], greenlet]]
    greenlet: greenlet


def _serve(jobs: list[Callable[[], greenlet]]) -> None:
    """Life of a pooled greenlet: one lane after the other.

    While it sleeps it names no scheduler: what a sleeping greenlet names is never collected.
    """
    while True:
        jobs.pop()().switch()


@dataclass(slots=True)
class BufferedStore:
    """A store that others need not see yet. index: of the word. add: `value` is added, not stored."""

    index: int
    mask: int
    old: int
    value: int
    add: bool = False


@dataclass(slots=True)
class Lane:
    """One lane while it runs. operation, point: where it is. kind, address: the access that comes next.

    held: its locks. armed: its failure injection. refused: allocations that were refused to it.
    """

    number: int
    length: int
    operation: int = 0
    point: int = -1
    passed: int = 0
    kind: int = points.BEGIN
    address: int = 0
    done: bool = False
    wait: Wait | None = None
    queue: int = 0
    woken: bool = False
    held: list[tuple[str, int]] = field(default_factory=list)
    armed: dict[str, int] = field(default_factory=dict)
    log: list[BufferedStore] = field(default_factory=list)
    hidden: bool = False
    refused: int = 0
    thread: Thread | None = None


class Policy(Protocol):
    """Who decides. A policy belongs to one run."""

    @property
    def eager(self) -> bool:
        """Whether it wants to be asked as soon as a parked lane can run again."""

    def start(self, lanes: Lanes) -> None:
        """Called before anything runs."""

    def ahead(self, lanes: Lanes, lane: Lane) -> int:
        """Return how many points `lane` may pass until the policy is asked; 1: at its next point."""

    def choose(self, lanes: Lanes, lane: Lane, able: Sequence[int]) -> tuple[int, int]:
        """At a point of `lane`: return (the lane that goes on, how its stores are held back)."""

    def forced(self, lanes: Lanes, lane: Lane, able: Sequence[int], default: int) -> int:
        """`lane` has ended, is parked or yields: return who goes on."""


class Observer(Protocol):
    """Who is told of every point. It makes runs slower; a run without one is the same run."""

    def access(self, lane: Lane, kind: int, address: int) -> None:
        """A point that the lane is about to pass."""

    def switched(self, taken: Taken) -> None:
        """A switch."""

    def acquired(self, lane: Lane, name: str, address: int) -> None:
        """A lock was taken."""

    def released(self, lane: Lane, name: str, address: int) -> None:
        """A lock was released."""


class Lanes:
    """The scheduler of one machine. on: whether lanes run now; primitives look at it first.

    taken: the switches of the last run, oldest first. passed: the points of all lanes. watch: told the address of every
    store, after it.
    """

    def __init__(self, *, buffering: bool = False, recorder: Recorder | None = None) -> None:
        """recorder: for a machine whose every access is noted, see zsfuzz/machine/recording.py."""
        self.on = False
        self.recorder = recorder
        self.buffering = buffering
        self.lanes: list[Lane] = []
        self.current: Lane = Lane(0, 0)
        self.taken: list[Taken] = []
        self.observer: Observer | None = None
        self.watch: Callable[[int], None] | None = None
        self.on_enter: Callable[[Lane], None] = lambda lane: None
        self.words: memoryview = memoryview(bytearray(8)).cast("Q")
        self._left = 1
        self._ask_at = 0
        self._policy: Policy | None = None
        self._hub: greenlet = getcurrent()
        self._error: BaseException | None = None
        self._pool: list[Thread] = []

    # -- a run

    def run(self, bodies: Sequence[Callable[[Lane], None]], lengths: Sequence[int], policy: Policy) -> None:
        """Run lanes until all have ended. bodies: each calls begin() before each of its operations.

        lengths: how many operations each has. Errors: whatever a lane raises; Report for a deadlock or a livelock.
        """
        if self.on:
            raise RuntimeError("lanes are running already")
        self._hub, self._policy, self._error = getcurrent(), policy, None
        self.taken = []
        self.lanes = [Lane(number, length) for number, length in enumerate(lengths)]
        for lane, body in zip(self.lanes, bodies, strict=True):
            lane.thread = self._thread(lane, body)
        policy.start(self)
        self.on = True
        try:
            self._enter(self.lanes[0])
            self._greenlet_of(self.lanes[0]).switch()
        finally:
            self.on = False
            self._kill()
        if self._error is not None:
            raise self._error

    @property
    def passed(self) -> int:
        """Return the points that all lanes have passed."""
        return sum(lane.passed + lane.point + 1 for lane in self.lanes)

    def _thread(self, lane: Lane, body: Callable[[Lane], None]) -> Thread:
        if self._pool:
            thread = self._pool.pop()
        else:
            jobs: list[Callable[[], greenlet]] = []
            thread = Thread(jobs, greenlet(lambda: _serve(jobs)))
        thread.greenlet.parent = getcurrent()
        thread.jobs.append(lambda: self._live(lane, body))
        return thread

    def _live(self, lane: Lane, body: Callable[[Lane], None]) -> greenlet:
        """Run one lane to its end. Returns who goes on."""
        try:
            body(lane)
        except LaneKilled:
            return self._hub
        except BaseException as error:  # noqa: BLE001 - handed to whoever called run()
            if self.on:  # else a lane is unwound because of an error that came before
                self._error = error
                self.current.done = True
            return self._hub
        return self._end()

    def _end(self) -> greenlet:
        """The current lane has nothing more to do. Returns who goes on."""
        lane = self.current
        lane.passed += lane.point + 1
        lane.operation, lane.point, lane.done = lane.length, 0, True
        self.barrier()
        if all(each.done for each in self.lanes):
            lane.point = -1
            return self._hub
        try:
            to = self._forced(lane, "ended")
        except Report as report:
            self._error = report
            return self._hub
        finally:
            lane.point = -1
        self._enter(self.lanes[to])
        return self._greenlet_of(self.lanes[to])

    def _kill(self) -> None:
        """Unwind lanes that are still on their way, and keep the greenlets for the next run."""
        for lane in self.lanes:
            thread = lane.thread
            if thread is None:
                continue
            if thread.jobs:
                thread.jobs.clear()  # never began
            elif not lane.done:
                thread.greenlet.throw(LaneKilled)
            if not thread.greenlet.dead:
                self._pool.append(thread)
            lane.thread = None

    @staticmethod
    def _greenlet_of(lane: Lane) -> greenlet:
        if lane.thread is None:
            raise RuntimeError(f"lane {lane.number} has no greenlet")
        return lane.thread.greenlet

    # -- points

    def begin(self, operation: int) -> None:
        """The current lane begins an operation: points are counted from 0 again; this is the first."""
        lane = self.current
        if operation:
            lane.passed += lane.point + 1
        lane.operation, lane.point = operation, -1
        self._aim()
        self.point(points.BEGIN, 0)

    def point(self, kind: int, address: int) -> None:
        """The current lane is about to touch `address`: another lane may come first."""
        lane = self.current
        lane.point += 1
        self._left -= 1
        if self._left <= 0:
            self._ask(lane, kind, address)

    def _aim(self) -> None:
        """Ask the policy how many points it lets pass."""
        lane, policy = self.current, self._policy
        if policy is None:
            return
        ahead = min(policy.ahead(self, lane), OPERATION_POINTS_MOST)
        self._ask_at = lane.point + ahead
        self._left = ahead if self.observer is None else 1

    def _ask(self, lane: Lane, kind: int, address: int) -> None:
        lane.kind, lane.address = kind, address
        if self.observer is not None:
            self.observer.access(lane, kind, address)
            self._left = 1
            if lane.point < self._ask_at:
                return
        if lane.point > OPERATION_POINTS_MOST:
            self._livelock(lane)
        policy = self._policy
        if policy is None:
            return
        able = self.able()
        to, held = policy.choose(self, lane, able)
        if to != lane.number and to in able:
            self._note(Taken(lane.number, lane.operation, lane.point, to, held, "preempted", False))
            self._give_way(lane, self.lanes[to], held)
        else:
            self._aim()

    def able(self) -> list[int]:
        """Return the numbers of the lanes that can run."""
        return [each.number for each in self.lanes if not each.done and each.wait is None]

    def following(self, number: int) -> int:
        """Return the next lane that can run, in cyclic order, -1 for none."""
        count = len(self.lanes)
        for distance in range(1, count + 1):
            each = self.lanes[(number + distance) % count]
            if not each.done and each.wait is None:
                return each.number
        return -1

    def _note(self, taken: Taken) -> None:
        self.taken.append(taken)
        if self.observer is not None:
            self.observer.switched(taken)

    def _forced(self, lane: Lane, why: str) -> int:
        """Return who goes on where `lane` cannot, or yields."""
        default = self.following(lane.number)
        if default < 0:
            self._deadlock()
        able, policy = self.able(), self._policy
        to = default if policy is None else policy.forced(self, lane, able, default)
        to = to if to in able else default
        if to != lane.number:
            self._note(Taken(lane.number, lane.operation, lane.point, to, 0, why, to == default))
        return to

    def _give_way(self, lane: Lane, to: Lane, held: int) -> None:
        """Switch from the current lane to another; returns when somebody has switched back."""
        self._leave(lane, held)
        self._enter(to)
        self._greenlet_of(to).switch()

    def _enter(self, lane: Lane) -> None:
        self.current = lane
        if lane.hidden:
            self._show(lane)
        self.on_enter(lane)
        self._aim()

    # -- waiting

    def park(self, wait: Wait) -> None:
        """The current lane waits: it runs again after wake() with its key. Errors: Report for a deadlock."""
        lane = self.current
        lane.wait = wait
        lane.point += 1
        self.barrier()
        to = self._forced(lane, "blocked")
        self._give_way(lane, self.lanes[to], 0)

    def wake(self, key: tuple[str, int, int]) -> None:
        """Let every lane run that is parked on a key."""
        for each in self.lanes:
            if each.wait is not None and each.wait.key == key:
                each.wait = None
                if self._policy is not None and self._policy.eager:
                    self._left = 1
                    self._ask_at = self.current.point + 1

    def relax(self) -> bool:
        """cpu_relax(): let another lane run before this one goes on. Returns False when there is none."""
        lane = self.current
        lane.point += 1
        if lane.point > OPERATION_POINTS_MOST:
            self._livelock(lane)
        if self.recorder is not None:
            self.recorder.write(EVERY_WORD)  # what comes of it depends on who else can run
        if self.observer is not None:
            self.observer.access(lane, points.RELAX, 0)
        self.barrier()
        if self.able() == [lane.number]:
            self._aim()
            return False
        to = self._forced(lane, "yields")
        if to == lane.number:
            self._aim()
        else:
            self._give_way(lane, self.lanes[to], 0)
        return True

    def sleep_on(self, queue: int, condition: Callable[[], bool], name: str) -> None:
        """wait_event(): sleep until a condition holds, looked at again after each wake_up_all() of the queue.

        The lane is on the queue before it looks, as prepare_to_wait() has it: a wake-up in between is not lost.
        """
        lane = self.current
        while True:
            lane.queue, lane.woken = queue, False
            self.note("queue", queue)
            self.point(points.WAIT, queue)
            self.barrier()
            if condition():
                break
            if not lane.woken:
                self.park(Wait(SLEEP, name, ("queue", queue, 0), condition))
        lane.queue = 0

    def note(self, what: str, address: int) -> None:
        """Tell the recorder that this step depends on, or changes, what lies outside the arena."""
        if self.recorder is not None:
            self.recorder.write((what, address))

    def wake_queue(self, queue: int) -> None:
        """wake_up_all(). It takes the queue's own lock, so that whoever is woken sees what was stored before."""
        self.point(points.WAKE, queue)
        self.barrier()
        self.note("queue", queue)
        for each in self.lanes:
            each.woken = each.woken or each.queue == queue
        self.wake(("queue", queue, 0))

    # -- store buffers

    def barrier(self) -> None:
        """Everything the current lane stored so far can be seen by all."""
        self.current.log.clear()

    def stored(self, index: int, mask: int, value: int, *, add: bool = False) -> None:
        """Note a store that is about to happen, whose word others need not see at once."""
        self.current.log.append(BufferedStore(index, mask, self.words[index] & mask, value & mask, add))

    def settle(self, index: int) -> None:
        """An atomic that is no barrier acts on a word: what the current lane stored to that word is seen by all."""
        log = self.current.log
        if log:
            log[:] = [each for each in log if each.index != index]

    def _leave(self, lane: Lane, held: int) -> None:
        """held: NOTHING: all stores are seen; EVERYTHING: none of those since the last barrier; ALL_BUT_NEWEST: one."""
        if not lane.log:
            return
        if not held:
            lane.log.clear()
            return
        hidden = lane.log
        if held == ALL_BUT_NEWEST:
            newest = hidden.pop()
            # Stores to one word keep their order: what the newest one covers can never be seen again.
            hidden = lane.log = [each for each in hidden if each.index != newest.index]
        words = self.words
        for entry in reversed(hidden):
            if entry.add:
                words[entry.index] = _added(words[entry.index], entry.mask, -entry.value)
            else:
                words[entry.index] = words[entry.index] & ~entry.mask | entry.old
        lane.hidden = bool(hidden)

    def _show(self, lane: Lane) -> None:
        """Put in place what was held back. It may be held back again: to what others have stored meanwhile."""
        words = self.words
        for entry in lane.log:
            entry.old = words[entry.index] & entry.mask
            if entry.add:
                words[entry.index] = _added(words[entry.index], entry.mask, entry.value)
            else:
                words[entry.index] = words[entry.index] & ~entry.mask | entry.value
        lane.hidden = False

    # -- what can go wrong

    def _livelock(self, lane: Lane) -> None:
        text = f"lane {lane.number}: operation {lane.operation} passed {lane.point} points and does not end"
        raise Report("progress", "livelock", points.NAMES[lane.kind], text)

    def _deadlock(self) -> None:
        """Raise: nobody can run. The wait-for graph is the report's text."""
        edges, names, rule = [], set(), "deadlock"
        with self.quietly():
            for lane in self.lanes:
                if lane.wait is None:
                    continue
                names.add(lane.wait.name)
                holders = self.holders(lane.wait)
                edges.append(self._edge(lane, lane.wait, holders))
                if lane.wait.condition is not None and lane.wait.condition():
                    rule = "lost wake-up"
                elif lane.wait.how == SPIN and not holders:
                    rule = "deadlock: lock never released"
        raise Report("progress", rule, " and ".join(sorted(names)), f"{rule}: {'; '.join(edges)}")

    def holders(self, wait: Wait) -> list[int]:
        """Return the lanes that hold what is waited for."""
        _, address, _ = wait.key
        return [each.number for each in self.lanes if (wait.name, address) in each.held]

    @staticmethod
    def _edge(lane: Lane, wait: Wait, holders: list[int]) -> str:
        have = ", ".join(name for name, _ in lane.held) or "nothing"
        by = " and ".join(f"lane {number}" for number in holders) or "nobody that runs"
        return f"lane {lane.number} (holds {have}) {wait.how} for {wait.name}, held by {by}"

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Look at the machine without passing points."""
        on, self.on = self.on, False
        try:
            yield
        finally:
            self.on = on


def _added(word: int, mask: int, delta: int) -> int:
    """Add to the part of a word that a mask names, modulo its width. delta: shifted to where the mask is."""
    return word & ~mask | (word & mask) + delta & mask
