"""Side: the lanes of a program's block on one side, as something that a search can run again and again.

In:    a side where its block begins; the judge of the block.
Out:   BlockLanes, a System of zsfuzz/explore/search.py; what it ended in: an end state, or a finding with its schedule.
Never: two sides at once; an oracle of its own: those of zsfuzz/execute/block_run.py and block_judge.py are used.
Next:  the search in zsfuzz/explore/search.py; both sides in zsfuzz/explore/explorer.py.

Every oracle that looks at one side looks at every execution, but for the invariants at quiet points inside of a block:
where lanes are between two operations depends on the order of independent steps, so that they are left to the join.
What an end of equal memory, calls and outcomes gave the first time, it gives again: it is looked at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from zsfuzz.execute.block_judge import LOSING, BlockJudge
from zsfuzz.execute.block_run import BlockExecution, BlockRun, schedule_of
from zsfuzz.execute.contract import Contract
from zsfuzz.execute.drain import drain
from zsfuzz.execute.lane import LaneRun
from zsfuzz.execute.side import Side
from zsfuzz.explore.ends import EndState, end_state_of
from zsfuzz.explore.shared import SharedState
from zsfuzz.machine.lanes import Lane, Policy, Taken
from zsfuzz.machine.layout import NR_FREE_PAGES, VMSTAT_NAMES, ZONE_NAMES
from zsfuzz.machine.recording import Footprint, Recorder
from zsfuzz.oracle.finding import Finding
from zsfuzz.oracle.linearize import Verdict
from zsfuzz.program.block import Block, Switch
from zsfuzz.target.protocol import CounterWord

UNKNOWN = "unknown"
"""The end of an execution whose calls were not put in order within the limit."""


Key = tuple[bytes, tuple[object, ...], tuple[str, ...]]
"""Of an end: all memory, the calls in time, the outcomes."""


@dataclass(frozen=True, slots=True)
class Met:
    """A finding, and the schedule that leads to it. preemptions: of it."""

    finding: Finding
    schedule: tuple[Switch, ...]
    preemptions: int

    @property
    def length(self) -> tuple[int, int]:
        """Return what makes it simpler than another one."""
        return self.preemptions, len(self.schedule)


@dataclass(slots=True)
class Ended:
    """What was met. states: id -> an end state and the schedule that first led there. findings: by signature."""

    states: dict[str, tuple[EndState, tuple[Switch, ...]]] = field(default_factory=dict)
    findings: dict[str, Met] = field(default_factory=dict)
    unknown: int = 0


class _Execution(BlockExecution):
    """The lanes, once. known: what ends with this key have given; key: of this end."""

    def __init__(self, lanes: BlockLanes) -> None:
        self._of = lanes
        self._left = len(lanes.judge.plan.lanes)
        self.key: Key | None = None
        super().__init__(lanes.side, lanes.judge.plan, lanes.contract.copy())

    def _words(self) -> list[CounterWord]:
        if self._of.words is None:
            self._of.words = super()._words()
        return self._of.words

    def _body(self, run: LaneRun) -> Callable[[Lane], None]:
        plain = super()._body(run)

        def body(lane: Lane) -> None:
            plain(lane)
            self._left -= 1
            if not self._left:
                self._of.recorder.on = False

        return body

    def _check_invariants(self) -> None:
        """Not at quiet points."""

    def _join(self) -> None:
        shared = self.shared
        calls = tuple((call.lane, call.operation, call.invoked, call.returned, call.action) for call in shared.calls)
        self.key = (_fingerprint(self.side), calls, tuple(sorted(map(repr, shared.outcomes.items()))))
        if self.key not in self._of.known:
            super()._join()


class BlockLanes:
    """The lanes of one block on one side. number: of the side, 0 the reference. step: of the program's end."""

    def __init__(self, judge: BlockJudge, side: Side, number: int, contract: Contract, block: Block, step: int) -> None:
        recorder = side.machine.current_lanes.recorder
        if recorder is None:
            raise RuntimeError("the side's machine was made without a recorder")
        self.judge, self.side, self.contract = judge, side, contract
        self.number, self.step = number, step
        self._block = block
        self.recorder: Recorder = recorder
        self.words: list[CounterWord] | None = None
        self.known: dict[Key, str] = {}
        self.ended = Ended()
        self.points = 0
        self._shared = SharedState(block, recorder)
        self._start = side.save()

    def shares(self, lane: int, operation: int, *, begins: bool, ends: bool) -> Footprint:
        """Return what a step touches outside of the arena."""
        return self._shared.touched(lane, operation, begins=begins, ends=ends)

    def restore(self) -> None:
        """Be where the block begins."""
        self.side.load(self._start)

    def execute(self, policy: Policy) -> str:
        """Run the lanes once, with all oracles. Returns the id of an end state, a signature, or UNKNOWN."""
        self.restore()
        self.judge.active = self.number
        execution = _Execution(self)
        try:
            run = execution.run(policy)
            known = self.known.get(execution.key) if execution.key is not None else None
            end = self._end_of(run) if known is None else known
            if end in self.ended.findings:
                self._keep(self.ended.findings[end].finding)
        except Exception as error:  # noqa: BLE001 - a target's exception is a finding, blame.py raises the rest
            end = self._found(self.judge.finding_of(error, self.step))
        finally:
            self.recorder.on = False
            self.points += self.side.machine.current_lanes.passed
        if execution.key is not None:
            self.known[execution.key] = end
        return end

    def _found(self, finding: Finding) -> str:
        self._keep(finding)
        return finding.signature

    def _keep(self, finding: Finding) -> None:
        """Keep a finding with the schedule that was just run, unless a simpler one is known."""
        taken = self.side.machine.current_lanes.taken
        preemptions = sum(each.why == "preempted" and not is_start(each) for each in taken)
        met = Met(finding, schedule_of(taken), preemptions)
        known = self.ended.findings.get(finding.signature)
        if known is None or met.length < known.length:
            self.ended.findings[finding.signature] = met

    def _end_of(self, run: BlockRun) -> str:
        """Judge what was done, give everything back and return the id of the end. Errors: Violation, Report."""
        schedule = schedule_of(run.taken)
        found = self.judge.linearized(self.side, run)
        drain(self.side, run.contract)
        if found.verdict is Verdict.UNKNOWN:
            self.ended.unknown += 1
            return UNKNOWN
        state = end_state_of(self.judge.plan, run, found, self.judge.initial(), self._drained())
        self.ended.states.setdefault(state.id, (state, schedule))
        return state.id

    def _drained(self) -> dict[str, int]:
        """Return what is left. Where lanes lose frames to order, lost frames count as free."""
        projection = self.side.drained_projection()
        if any(isinstance(step, LOSING) for lane in self._block.lanes for step in lane):
            for zone, lost in zip(ZONE_NAMES, self.side.unusable_pages(), strict=True):
                projection[f"{VMSTAT_NAMES[NR_FREE_PAGES]} {zone}"] += lost
        return projection


def is_start(taken: Taken) -> bool:
    """Return whether a switch was made before anything ran: it says who begins, and costs nothing."""
    return (taken.lane, taken.operation, taken.point) == (0, 0, 0)


def _fingerprint(side: Side) -> bytes:
    """Return what stands for all memory that is in use."""
    memory = side.machine.memory
    digest = hashlib.blake2b(digest_size=16)
    shift = memory.page_shift
    for pfn in memory.used_pfns():
        digest.update(pfn.to_bytes(8, "little"))
        digest.update(memory.arena[pfn << shift : (pfn + 1) << shift])
        digest.update(memory.shadow[pfn << shift >> 3 : (pfn + 1) << shift >> 3])
    for part in memory.save_heap(side.machine.slab.heap_top):
        digest.update(part)
    digest.update(memory.memmap())
    return digest.digest()
