"""Block run: all lanes of a parallel block on one side, and the oracles that look at that side alone.

In:    a side, a plan, the contract's state, a policy.
Out:   BlockRun: calls, outcomes and switches; a Violation, Report or whatever a lane raised.
Never: compares two sides: zsfuzz/execute/block_judge.py does.
Next:  one lane in zsfuzz/execute/lane.py; the scheduler in zsfuzz/machine/lanes.py.

Checks: single words at every store (zsfuzz/oracle/words.py); locks that an operation leaves behind, at its end; the
full invariants whenever no lane is inside an operation or holds anything, and at the join.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from zsfuzz.execute.block_plan import BlockPlan
from zsfuzz.execute.contract import Contract
from zsfuzz.execute.lane import LaneRun, Shared
from zsfuzz.execute.side import Side
from zsfuzz.machine.lanes import Lane, Observer, Policy, Taken
from zsfuzz.machine.report import Report
from zsfuzz.oracle.invariants import check_invariants
from zsfuzz.oracle.judge import Violation
from zsfuzz.oracle.linearize import Call
from zsfuzz.oracle.specification import Fetch, Span
from zsfuzz.oracle.words import WordWatch
from zsfuzz.program.block import Switch
from zsfuzz.target.protocol import ZS_MM_RO, CounterWord


@dataclass(frozen=True, slots=True)
class BlockRun:
    """What one side did. order: the effective operations as they ended. lengths: points of each lane.

    checks: how many of each sort were made.
    """

    calls: tuple[Call, ...]
    outcomes: dict[tuple[int, int], object]
    order: tuple[tuple[int, int], ...]
    no_ops: int
    taken: tuple[Taken, ...]
    lengths: tuple[int, ...]
    contract: Contract
    checks: dict[str, int]

    @property
    def schedule(self) -> tuple[Switch, ...]:
        """Return the switches that were not a matter of course."""
        return schedule_of(self.taken)

    @property
    def preemptions(self) -> int:
        """Return how often a lane had to give way that could have gone on."""
        return sum(1 for each in self.taken if each.why == "preempted")


def schedule_of(taken: Iterable[Taken]) -> tuple[Switch, ...]:
    """Return the switches that were not a matter of course."""
    made = [each for each in taken if not each.default]
    return tuple(sorted(Switch(each.lane, each.operation, each.point, each.to, each.held) for each in made))


class BlockExecution:
    """The lanes of one block on one side, once."""

    def __init__(self, side: Side, plan: BlockPlan, contract: Contract) -> None:
        """contract: of this side; it is changed."""
        if side.machine.lanes is None:
            raise RuntimeError("the side's machine was made without lanes")
        self.lanes = side.machine.lanes
        self.side = side
        self.shared = Shared(side, plan, contract)
        self.runs = [LaneRun(self.shared, number, self._ended) for number in range(len(plan.lanes))]
        side.core.ignored_errors.clear()
        self._inside = [False] * len(plan.lanes)
        self._watch = WordWatch(side, self._words())
        self.checks = {"operation ends": 0, "quiet points": 0, "joins": 0, "invariants": 0}

    def run(self, policy: Policy, observer: Observer | None = None) -> BlockRun:
        """Run all lanes. Errors: Violation, Report, whatever a target raises."""
        lanes, shared = self.lanes, self.shared
        lanes.observer, lanes.watch = observer, self._watch.stored
        try:
            lanes.run([self._body(run) for run in self.runs], [len(lane) for lane in shared.plan.lanes], policy)
        finally:
            lanes.observer = lanes.watch = None
            self._collect_pages()
        self._join()
        return self.result()

    def result(self) -> BlockRun:
        """Return what was done so far."""
        shared = self.shared
        return BlockRun(
            tuple(shared.calls),
            dict(shared.outcomes),
            tuple(shared.order),
            shared.no_ops,
            tuple(self.lanes.taken),
            tuple(lane.passed + lane.point + 1 for lane in self.lanes.lanes),
            shared.contract,
            self.checks | {"words": self._watch.checked, "points": self.lanes.passed},
        )

    def _body(self, run: LaneRun) -> Callable[[Lane], None]:
        def begin(operation: int) -> None:
            self.lanes.begin(operation)
            self._inside[run.number] = True

        def body(lane: Lane) -> None:
            run.run(begin)
            self._inside[run.number] = True
            run.give_back()
            self._inside[run.number] = False

        return body

    def _words(self) -> list[CounterWord]:
        """Return the words to watch: of the pools and classes in use, and of the zspages that exist now.

        A zspage's memory may be another one's before the block ends, of a class with more objects: so `inuse` is held
        against the most that any class has.
        """
        side, contract = self.side, self.shared.contract
        most = max(each.objs_per_zspage for each in side.machine.geometry.size_classes.classes)
        words: list[CounterWord] = []
        for number, pool in side.pools.items():
            words.extend(side.target.counter_words(pool, contract.classes_used(number)))
        for zspage in dict.fromkeys(side.target.zspage_of(handle) for handle in side.handles.values()):
            words.extend(side.target.zspage_words(side.target.zspage_view(zspage), most))
        return words

    # -- checks

    def _ended(self, run: LaneRun) -> None:
        """An operation of a lane has ended."""
        self._inside[run.number] = False
        self.checks["operation ends"] += 1
        held = self.side.machine.locks.held
        if held and not run.holds_map:
            self._fail(held[0][0])
        if any(self._inside) or any(each.holds_map or each.side.references for each in self.runs):
            return
        if any(lane.hidden for lane in self.lanes.lanes):
            return
        self.checks["quiet points"] += 1
        with self.lanes.quietly():
            self._check_invariants()

    def _fail(self, name: str) -> None:
        raise Violation(
            "invariant", "I5 lock held at quiescence", (), name, self.side, f"an operation ended holding {name}"
        )

    def _collect_pages(self) -> None:
        """What the lanes have isolated is the program's again."""
        side = self.side
        for slot in [slot for slot in side.pages if slot in self.shared.plan.page_slots]:
            del side.pages[slot]
        for run in self.runs:
            side.pages.update({slot: page for slot, page in run.side.pages.items() if slot not in side.pages})
        self.shared.contract.page_slots = dict.fromkeys(side.pages)

    def _check_invariants(self) -> None:
        saved = dict(self.side.pages)
        self._collect_pages()
        self.checks["invariants"] += check_invariants(self.side, self.shared.contract)
        self.side.pages = saved

    def _join(self) -> None:
        """All lanes have ended: nothing is held any more, every invariant holds."""
        self.checks["joins"] += 1
        for lane in self.lanes.lanes:
            if lane.held:
                self._fail(lane.held[0][0])
        self.side.machine.locks.held = []
        self.checks["invariants"] += check_invariants(self.side, self.shared.contract)
        self._read_back()

    def _read_back(self) -> None:
        """Read every live object once more: what is left has to be what some order of the calls leaves."""
        shared, side = self.shared, self.side
        for slot, content in shared.contract.objects.items():
            invoked = shared.tick()
            address = side.target.zs_map_object(side.pools[content.pool], side.handles[slot], ZS_MM_RO)
            data = side.read(address, content.size)
            side.target.zs_unmap_object(side.pools[content.pool], side.handles[slot])
            fetched = Span((Fetch(0, data),))
            shared.calls.append(Call(len(self.runs), slot, invoked, shared.tick(), slot, fetched, True))


def no_lanes_report(error: Exception) -> bool:
    """Return whether an exception is about the lanes as a whole: no function of a model is to blame for it."""
    return isinstance(error, Report) and error.rule in ("deadlock", "lost wake-up", "livelock")
