"""Block judge: a parallel block on both sides, held against the specification and against each other.

In:    two sides in one state, a block, who leads, a policy or the block's own schedule.
Out:   BlockResult; a Violation, Report or whatever a target raises.
Never: compares placements or statistics after a block: different schedules legally leave different ones, and two
       designs have different points.
Next:  one side in zsfuzz/execute/block_run.py; the search for an order in zsfuzz/oracle/linearize.py.

    1. the leading side runs the lanes under the policy, the other one under the schedule that came of it
    2. each side: words, invariants, progress, memory; its calls have to be linearizable
    3. the reference, back where the block began, runs the candidate's operations one after the other in the order that
       was found: outcomes of the interface and live handles agree
    4. both drain, and what is left agrees
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from zsfuzz.execute.blame import finding_of_exception
from zsfuzz.execute.block_features import features_of
from zsfuzz.execute.block_plan import BlockPlan, plan_block
from zsfuzz.execute.block_run import BlockExecution, BlockRun, no_lanes_report, schedule_of
from zsfuzz.execute.contract import Contract
from zsfuzz.execute.drain import drain
from zsfuzz.execute.lane import LaneRun, Shared
from zsfuzz.execute.side import Side
from zsfuzz.machine.lanes import Observer, Policy, Taken
from zsfuzz.machine.policies import Replay, make_policy
from zsfuzz.oracle.finding import Finding
from zsfuzz.oracle.judge import Judge, Violation
from zsfuzz.oracle.linearize import Call, Linearization, Verdict, describe_call, linearize
from zsfuzz.oracle.specification import Allocate, CreatePool, DestroyPool, Span, State, Stored
from zsfuzz.program import ops
from zsfuzz.program.block import Block, Chance, Switch

LIMIT: Final = 20_000
"""Configurations that the search for an order may try."""

EXPECTED_POINTS: Final = 100
"""Points of an operation, where nothing better is known."""

LOSING: Final = (ops.Offline, ops.Online, ops.Poison)
"""Operations whose order decides which frames are lost: beside them free and lost frames are compared as one."""

IN_LANES: Final = "lanes"
"""Stands for the operation in a finding of a block: which lane met it is chance."""


@dataclass(slots=True)
class BlockResult:
    """What came of a block. runs: by role. taken: switches of the leading side, lengths: the points of its lanes.

    counts: checks and verdicts. operations, no_ops: the candidate's. features: what was new about how lanes met.
    """

    runs: dict[str, BlockRun] = field(default_factory=dict)
    taken: tuple[Taken, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    operations: int = 0
    no_ops: int = 0
    lengths: tuple[int, ...] = ()
    features: set[int] = field(default_factory=set)

    own: tuple[Switch, ...] | None = None

    @property
    def schedule(self) -> tuple[Switch, ...]:
        """Return the block's own schedule, or the switches that the leading side made, as far as it came."""
        return self.own if self.own is not None else schedule_of(self.taken)


def replay_of(schedule: tuple[Switch, ...]) -> Replay:
    """Return the policy that does again what a schedule says."""
    return Replay({(each.lane, each.operation, each.point): (each.to, each.held) for each in schedule})


class BlockJudge:
    """One block on two sides."""

    def __init__(
        self,
        judge: Judge,
        sides: tuple[Side, Side],
        contract: Contract,
        block: Block,
        find_page: Callable[[ops.PageName], int],
    ) -> None:
        """contract: of both sides, which are in one state and hold no map and no speculative reference."""
        self._judge, self._sides, self._contract = judge, sides, contract
        self._block = block
        self.plan: BlockPlan = plan_block(block, sides[0].pages, find_page)
        self.active = 1
        self.result = BlockResult()
        self._page_size = sides[0].machine.page_size

    def run(self, chance: Chance | None, observers: tuple[Observer | None, Observer | None] = (None, None)) -> None:
        """Do all of it. chance: makes the schedule; None for the block's own."""
        reference, candidate = self._sides
        saved = reference.save()
        self.result.own = self._block.schedule if chance is None else None
        order = (1, 0) if chance is None or chance.leader else (0, 1)
        for number in order:
            first = number == order[0]
            policy = self._policy(chance) if chance is not None and first else replay_of(self.result.schedule)
            self._run_side(number, policy, observers[number], leads=first)
        runs = self.result.runs
        found = self.linearized(candidate, runs["candidate"])
        self.linearized(reference, runs["reference"])
        self.active = 0
        drain(reference, runs["reference"].contract)
        reference.load(saved)
        contract = self._run_again(found, runs["candidate"])
        self._drain_both(contract, runs["candidate"].contract)

    def _policy(self, chance: Chance) -> Policy:
        lengths = chance.lengths or tuple(EXPECTED_POINTS * len(lane) for lane in self._block.lanes)
        return make_policy(chance.policy, Random(chance.seed), lengths)

    def finding_of(self, error: Exception, step: int) -> Finding:
        """Return the finding of what ended the block. Errors: HarnessError for the fuzzer's own fault."""
        if isinstance(error, Violation):
            return replace(error.finding_at(step), request=IN_LANES)
        found = finding_of_exception(error, self._sides[self.active].role, step)
        if no_lanes_report(error):
            found = replace(found, functions=())
        return replace(found, request=IN_LANES)

    def _run_side(self, number: int, policy: Policy, observer: Observer | None, *, leads: bool) -> None:
        self.active = number
        side = self._sides[number]
        execution = BlockExecution(side, self.plan, self._contract.copy())
        try:
            run = execution.run(policy, observer)
        finally:
            if leads:
                self.result.taken = tuple(execution.lanes.taken)
            ran = execution.result()
            for name, count in ran.checks.items():
                self._count(name, count)
            if number:
                self.result.operations, self.result.no_ops = len(ran.order), ran.no_ops
                self._count("switches", len(ran.taken))
            if leads:
                self.result.lengths = ran.lengths
            self.result.features |= features_of(self.plan, ran, number)
        self.result.runs[side.role] = run

    def _count(self, name: str, count: int = 1) -> None:
        self.result.counts[name] = self.result.counts.get(name, 0) + count

    # -- the specification

    def initial(self) -> dict[tuple[str, int], State]:
        """Return what each slot and pool holds when the block begins."""
        states: dict[tuple[str, int], State] = {("pool", number): True for number in self._contract.pools}
        for slot, content in self._contract.objects.items():
            data, known = content.whole()
            states["slot", slot] = Stored(content.pool, content.size, data, known)
        return states

    def linearized(self, side: Side, run: BlockRun) -> Linearization:
        """Put the calls of a run in order. Errors: Violation when there is no order."""
        found = linearize(run.calls, self.initial(), self._page_size, LIMIT)
        self._count(found.verdict.value)
        if found.verdict is Verdict.NOT_LINEARIZABLE and found.breaks is not None:
            call = found.breaks
            before = "; ".join(map(describe_call, found.prefix)) or "nothing"
            raise Violation(
                "contract",
                "not linearizable",
                (),
                _sort_of(call),
                side,
                f"{found.reason}: {describe_call(call)} fits into no order",
                (("longest prefix", before), ("breaks it", describe_call(call)), ("explanation", found.explain())),
            )
        return found

    # -- the reference, one operation after the other

    def _run_again(self, found: Linearization, run: BlockRun) -> Contract:
        """Run the candidate's operations on the reference in the order found. Returns the contract afterwards."""
        reference = self._sides[0]
        contract = self._contract.copy()
        if found.verdict is Verdict.UNKNOWN:
            return contract
        shared = Shared(reference, self.plan, contract)
        lanes = [LaneRun(shared, number) for number in range(len(self.plan.lanes))]
        for group in self._sequence(found, run):
            for lane, operation in group:
                lanes[lane].perform(operation, self.plan.lanes[lane][operation])
                if (lane, operation) == group[-1]:
                    lanes[lane].unmap()
        for each in lanes:
            each.give_back()
        kept = {slot: page for slot, page in reference.pages.items() if slot not in self.plan.page_slots}
        reference.pages = kept | {slot: page for each in lanes for slot, page in each.side.pages.items()}
        self._compare_calls(found, shared.calls, run)
        return contract

    def _sequence(self, found: Linearization, run: BlockRun) -> list[tuple[tuple[int, int], ...]]:
        """Return the effective operations, those on objects in the order found, the others where they ended.

        What a lane did through one map stands together: the object was pinned, so it was one instant.
        """
        groups = {(call.lane, call.operation): self._group(call, run) for call in found.order if _on_object(call)}
        member = {each: key for key, group in groups.items() for each in group}
        queue = [
            (call.lane, call.operation) for call in found.order if _on_object(call) and call.lane < len(self.plan.lanes)
        ]
        sequence: list[tuple[tuple[int, int], ...]] = []
        for place in self._destroyers_last(run.order):
            if isinstance(self._operation(place), ops.SpeculativeGet | ops.SpeculativePut):
                continue
            if place not in member:
                sequence.append((place,))
            elif groups[member[place]][-1] == place and queue:
                sequence.append(groups[queue.pop(0)])
        sequence.extend(groups[key] for key in queue)
        return sequence

    def _destroyers_last(self, order: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
        """Return the order with what a zs_destroy_pool() waited for before it: it may end before those have ended."""
        left, sorted_out = list(order), []
        while left:
            place = left.pop(0)
            if isinstance(self._operation(place), ops.DestroyPool):
                following = {lane: (lane, number) for lane, number in reversed(left)}
                for each in following.values():
                    if self._gives_back(each):
                        left.remove(each)
                        sorted_out.append(each)
            sorted_out.append(place)
        return sorted_out

    def _operation(self, place: tuple[int, int]) -> ops.Operation:
        return self.plan.lanes[place[0]][place[1]].operation

    def _gives_back(self, place: tuple[int, int]) -> bool:
        operation = self._operation(place)
        if isinstance(operation, ops.Migrate):
            return any(isinstance(page, ops.IsolatedPage) for page in operation.pages)
        return isinstance(operation, ops.Putback)

    def _group(self, call: Call, run: BlockRun) -> tuple[tuple[int, int], ...]:
        """Return the operations that make up a call: of a map, those up to its unmap."""
        if call.lane >= len(self.plan.lanes):
            return ()
        steps = self.plan.lanes[call.lane]
        group = [(call.lane, call.operation)]
        if isinstance(steps[call.operation].operation, ops.Map):
            for number in range(call.operation + 1, len(steps)):
                if (call.lane, number) not in run.outcomes:
                    continue
                group.append((call.lane, number))
                if isinstance(steps[number].operation, ops.Unmap):
                    break
        return tuple(group)

    def _compare_calls(self, found: Linearization, again: list[Call], run: BlockRun) -> None:
        """Hold the outcomes of the interface and the live handles of the second run against the candidate's."""
        self._count("run again")
        wanted = {(call.lane, call.operation): call for call in run.calls}
        for call in again:
            first = wanted.get((call.lane, call.operation))
            if first is None or first.succeeded == call.succeeded:
                continue
            if first.excused or call.excused:
                self._count("short of memory")
                return
            self._judge.diverged("outcome in lanes", (), _sort_of(call), call.succeeded, first.succeeded)
        sizes = self._sides[0].machine.geometry.size_classes.huge_class_size
        for (lane, operation), outcome in run.outcomes.items():
            if isinstance(self.plan.lanes[lane][operation].operation, ops.HugeClassSize) and outcome != sizes:
                self._judge.diverged("outcome in lanes", (), "huge_class_size", sizes, outcome)
        live = sorted(self._sides[0].handles), sorted(self._sides[1].handles)
        if live[0] != live[1]:
            self._judge.diverged("live handles", (), "slots", *live)
        states = linearize(again, self.initial(), self._page_size, LIMIT)
        if states.verdict is Verdict.NOT_LINEARIZABLE:
            self._judge.diverged("content in lanes", (), "bytes", states.reason, "as written")

    def _drain_both(self, reference: Contract, candidate: Contract) -> None:
        for number, contract in enumerate((reference, candidate)):
            self.active = number
            drain(self._sides[number], contract)
        self._count("drain")
        lost = {type(each) for lane in self._block.lanes for each in lane} & set(LOSING)
        self._judge.compare_drained(usable_only=not lost)


def _on_object(call: Call) -> bool:
    return not isinstance(call.action, CreatePool | DestroyPool)


def _sort_of(call: Call) -> str:
    match call.action:
        case Allocate():
            return "malloc"
        case Span():
            return "bytes"
        case other:
            return type(other).__name__.lower()
