"""Search: every schedule of one set of lanes, up to a number of preemptions, without those that cannot matter.

In:    a System: something that runs its lanes from one and the same state under a policy.
Out:   Search: counts, and each end that was reached, by run(); it can stop between two executions and go on.
Never: a clock, a file; "complete" for a search that was stopped.
Next:  footprints of steps in zsfuzz/machine/recording.py; the lanes of a block in zsfuzz/explore/side.py; the
       frontier on disk in zsfuzz/explore/frontier.py.

A depth-first search that runs again from the start for each branch. A *step* is what a lane does from one place where
the scheduler asks to the next one. A node is such a place; taking another lane there costs one preemption if the lane
could have gone on, and nothing where it waits, has ended or yields, nor before anything has run. Two steps are
independent if neither writes a word that the other touches, as they ran (zsfuzz/machine/recording.py); executions that
differ in the order of independent neighbours only are *equivalent*: they end alike, or in the same finding. The bound
makes most reductions unsound, for an equivalent execution may cost more (Coons, Musuvathi, McKinley, "Bounded
partial-order reduction", OOPSLA 2013). Two are used, and why they are sound is this.

1. *Sleep sets for the lane that went on* (Godefroid, 1996, where the bound allows it). At a node where lane p could
   go on, its step t is tried first. Below the other branches, p sleeps until a step that t depends on is taken; a lane
   that sleeps is not chosen. Siblings among those other branches do not put each other to sleep: to take one of them
   first may cost a preemption more.
       Claim: when the search leaves a node n, the end of each execution z from n within the bound has been seen,
   unless z begins, but for independent steps, with the step t' of a lane that sleeps at n (or, ending in a finding,
   has only steps that are independent of t'). Proof, by induction over the order in which nodes are left: let a be
   the first step of z. If the rest of z does not begin with a step that sleeps below a, the claim for that child does
   it. Else that step does not depend on a, so it begins z too; it did not sleep at n, so it is t, of the lane p that
   could go on at n, and a is a preemption: z = a w t y, with a w independent of t. Then t a w y is equivalent. What
   it costs: to reach t nothing, instead of 1 for a; from t to a at most 1, and if p cannot go on after t, nothing;
   inside a w the same, because whether a lane can go on after its step is decided by that step; from the last step of
   w to y at most what w to t cost. It costs no more than z, it lies in the child of t, which was left before, and does
   not begin with a step that sleeps there, as z would. So its end, z's end, has been seen.
2. *Looking ahead.* Let n and n' be nodes before and after a step t of lane p, and r another lane. If t is independent
   of every step that others took below "r preempts p at n'" before p went on, then the same steps would be taken below
   "r preempts p at n", p would sleep all the time, and nothing new would end: the branch is skipped. What others did
   below n' is remembered as one footprint, those of skipped branches included. Where p ends or waits at n', others go
   on for nothing, so that more is explored there than a preemption at n could reach.

A step that yields (cpu_relax(), cond_resched()) must be followed by another lane's, so that it depends on everything.
With store buffers a switch takes stores back: there is no reduction then, and each switch is tried with each way to
hold them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from zsfuzz.machine.lanes import ALL_BUT_NEWEST, OPERATION_POINTS_MOST, Lane, Lanes, Policy
from zsfuzz.machine.lanes import EVERYTHING as HOLD_EVERYTHING
from zsfuzz.machine.lanes import NOTHING as HOLD_NOTHING
from zsfuzz.machine.recording import NOTHING, Footprint, Recorder

START: Final = "start"
POINT: Final = "point"
STOPPED: Final = "stopped"
YIELDS: Final = "yields"

ANY: Final = -1
"""Stands for the lane that goes on first where it does not matter which one it is."""

Choice = tuple[int, int]
"""The lane that goes on, and how the stores of the other one are held back."""


class Cut(BaseException):
    """Thrown through an execution that need not go on."""


class System(Protocol):
    """Lanes that can be run again and again. recorder: of its machine; it is turned off when all lanes have ended."""

    @property
    def recorder(self) -> Recorder: ...

    def execute(self, policy: Policy) -> Hashable:
        """Run all lanes from the start. Returns what stands for the end that was reached. Cut passes through."""

    def shares(self, lane: int, operation: int, *, begins: bool, ends: bool) -> Footprint:
        """Return what a step of an operation touches outside of the arena.

        begins, ends: it is the operation's first step, its last one.
        """


@dataclass(slots=True)
class Node:
    """A place where the scheduler asks. current: who ran until here. at: points it had passed. able: who may go on.

    used: preemptions so far. sleep: lane -> its step, which need not be taken. chosen, todo: the branch that is being
    explored, and those to come. step: what the chosen lane's step touched. stayed: what the current lane's own next
    step touched. beyond: by who went on first: what others touched before `current` went on. ahead: the same of the
    node after the current lane's own step.
    """

    sort: str
    current: int
    at: int
    used: int
    sleep: dict[int, Footprint]
    chosen: Choice
    todo: list[Choice]
    step: Footprint = NOTHING
    stayed: Footprint | None = None
    beyond: dict[int, Footprint] = field(default_factory=dict)
    ahead: dict[int, Footprint] | None = None

    @property
    def stays(self) -> bool:
        """Return whether the branch is the one in which the current lane goes on."""
        return self.chosen[0] == self.current and not self.chosen[1]

    @property
    def costs(self) -> int:
        """Return the preemptions of the branch."""
        return int(self.sort == POINT and self.chosen[0] != self.current)

    @property
    def key(self) -> int:
        """Return under whom `beyond` keeps what happens in the branch."""
        return self.chosen[0] if self.sort == POINT else ANY


@dataclass(slots=True)
class Counts:
    """interleavings: executions that came to an end, slept: those that were cut because all who could go on sleep.

    skipped: branches that looking ahead left out. states: nodes. points: that all executions passed.
    """

    interleavings: int = 0
    slept: int = 0
    skipped: int = 0
    states: int = 0
    points: int = 0


class Search:
    """The search over the schedules of one system; it is the policy of each of its executions.

    bound: preemptions. reduces: False for every schedule there is. ends: what was reached -> how often.
    """

    eager = False

    def __init__(self, system: System, bound: int, *, reduces: bool = True) -> None:
        self.system, self.bound = system, bound
        self._reduces = reduces
        self.path: list[Node] = []
        self.ends: dict[Hashable, int] = {}
        self.counts = Counts()
        self.complete = False
        self._recorder = system.recorder
        self._stops: list[int] = []  # nodes of the path at which the next execution has to be asked, last one first
        self._used = 0  # preemptions of this execution so far, once the path is behind it
        self._waiting: dict[int, int] = {}  # lane that gave way -> at which node
        self._beginning = (0, 0, False)

    # -- the search

    def step(self) -> None:
        """Make one execution, and go to the next branch. complete: there is none."""
        end = self._execute()
        if end is not None:
            self.counts.interleavings += 1
            self.ends[end] = self.ends.get(end, 0) + 1
        self.complete = not self._backtrack()

    def _execute(self) -> Hashable | None:
        recorder = self._recorder
        recorder.on = False
        recorder.take()
        last = len(self.path) - 1
        self._stops = [
            index
            for index, node in enumerate(self.path)
            if index == last or node.sort != POINT or node.chosen != (node.current, HOLD_NOTHING)
        ]
        self._stops.reverse()
        self._waiting = {}
        try:
            end = self.system.execute(self)
        except Cut:
            self.counts.slept += 1
            return None
        finally:
            recorder.on = False
        if self._stops:
            raise RuntimeError(f"an execution did not repeat itself: it ended before {self.path[self._stops[-1]]}")
        if self.path:
            self._took(recorder.take() | self._shared(self._beginning[0], ends=True))
        return end

    def _backtrack(self) -> bool:
        """Go to the next branch. Returns False when there is none."""
        path, below = self.path, None
        while path:
            node = path[-1]
            if node.stays and node.sort == POINT:
                node.stayed, node.ahead = node.step, below
            while node.todo:
                choice = node.todo.pop(0)
                if self._may_skip(node, choice[0]):
                    self.counts.skipped += 1
                    continue
                node.chosen, node.step = choice, NOTHING
                return True
            path.pop()
            below = None if node.sort == START else node.beyond
        return False

    def _may_skip(self, node: Node, lane: int) -> bool:
        """Return whether looking ahead shows that nothing new comes of a preemption; see above, 2."""
        if not self._reduces or node.sort != POINT or node.ahead is None or node.stayed is None:
            return False
        others = node.ahead.get(lane, node.ahead.get(ANY))
        if others is None or node.stayed.conflicts(others):
            return False
        node.beyond[lane] = others
        return True

    # -- the policy of an execution

    def start(self, lanes: Lanes) -> None:
        """Nothing to prepare."""

    def ahead(self, lanes: Lanes, lane: Lane) -> int:
        """As far as the path is known, to the next node where something is decided; from there on every point.

        Where no preemption is left nothing is decided inside of an operation: its steps are one.
        """
        if not self._stops:
            spent = self._reduces and self._used >= self.bound and lane.point >= 0
            return OPERATION_POINTS_MOST if spent else 1
        node = self.path[self._stops[-1]]
        if node.sort in (POINT, START):
            return node.at - _passed(lane)
        return OPERATION_POINTS_MOST

    def choose(self, lanes: Lanes, lane: Lane, able: Sequence[int]) -> Choice:
        """What the path says, else the lane itself, all others being left for later."""
        sort = POINT if self.path else START
        return self._known(lanes, lane) if self._stops else self._arrive(lanes, lane, sort, able)

    def forced(self, lanes: Lanes, lane: Lane, able: Sequence[int], default: int) -> int:
        """What the path says, else the next lane, all others being left for later."""
        if self._stops:
            return self._known(lanes, lane)[0]
        sort = STOPPED if lane.done or lane.wait is not None else YIELDS
        return self._arrive(lanes, lane, sort, able)[0]

    def _known(self, lanes: Lanes, lane: Lane) -> Choice:
        """Take the branch of a node of the path."""
        index = self._stops.pop()
        node = self.path[index]
        if node.current != lane.number or node.at != _passed(lane):
            raise RuntimeError(f"an execution did not repeat itself: lane {lane.number} at {_passed(lane)}, {node}")
        self._decided(lanes, index)
        if not self._stops:
            self._recorder.on = True
        return node.chosen

    def _arrive(self, lanes: Lanes, lane: Lane, sort: str, able: Sequence[int]) -> Choice:
        """Make a node. Errors: Cut when all who could go on sleep."""
        self.counts.states += 1
        used, sleep = 0, {}
        if self.path:
            operation = self._beginning[1]
            ends = lane.done or lane.operation != operation
            self._took(self._recorder.take() | self._shared(lane.number, ends=ends))
            parent = self.path[-1]
            used, sleep = parent.used + parent.costs, self._asleep(parent)
        else:
            self._recorder.take()
        choices = self._choices(lanes, lane, sort, [number for number in able if number not in sleep], used)
        if not choices:
            raise Cut
        self.path.append(Node(sort, lane.number, _passed(lane), used, sleep, choices[0], choices[1:]))
        self._recorder.on = True
        self._decided(lanes, len(self.path) - 1)
        return choices[0]

    def _choices(self, lanes: Lanes, lane: Lane, sort: str, awake: list[int], used: int) -> list[Choice]:
        count = len(lanes.lanes)
        others = sorted((number for number in awake if number != lane.number), key=lambda n: (n - lane.number) % count)
        if sort in (STOPPED, YIELDS):
            return [(number, HOLD_NOTHING) for number in others]
        if sort == POINT and used >= self.bound:
            others = []
        ways = (HOLD_NOTHING, HOLD_EVERYTHING, ALL_BUT_NEWEST) if lane.log else (HOLD_NOTHING,)
        return [(lane.number, HOLD_NOTHING), *((number, held) for number in others for held in ways)]

    def _asleep(self, parent: Node) -> dict[int, Footprint]:
        """Return who sleeps after the step that was just taken."""
        if not self._reduces:
            return {}
        sleep = dict(parent.sleep)
        if parent.sort == POINT and not parent.stays and parent.stayed is not None:
            sleep[parent.current] = parent.stayed
        sleep.pop(parent.chosen[0], None)
        return {number: step for number, step in sleep.items() if not step.conflicts(parent.step)}

    def _decided(self, lanes: Lanes, index: int) -> None:
        """The branch of a node is taken: its step begins."""
        node = self.path[index]
        chosen = lanes.lanes[node.chosen[0]]
        self._used = node.used + node.costs
        self._waiting.pop(chosen.number, None)
        if chosen.number != node.current:
            self._waiting[node.current] = index
        self._beginning = (chosen.number, chosen.operation, chosen.point == 0)

    def _shared(self, lane: int, *, ends: bool) -> Footprint:
        _, operation, begins = self._beginning
        return self.system.shares(lane, operation, begins=begins, ends=ends)

    def _took(self, step: Footprint) -> None:
        """The step of the last node's branch has ended."""
        self.path[-1].step = step
        taken = self.path[-1].chosen[0]
        for lane, index in self._waiting.items():
            if lane != taken:
                node = self.path[index]
                node.beyond[node.key] = node.beyond.get(node.key, NOTHING) | step


def _passed(lane: Lane) -> int:
    """Return how many points a lane has passed, in all its operations."""
    return lane.passed + lane.point
