"""Explorer: both sides of a program's block, one after the other, and whether the ends of one are those of the other.

In:    a program with a block, two targets, a bound.
Out:   Exploration: step() makes one execution; findings, end states and counts at any time.
Never: a clock or a file: its caller stops it, and keeps what zsfuzz/explore/frontier.py makes of it.
Next:  one side in zsfuzz/explore/side.py; the command in zsfuzz/cli/explore.py.

Where the search was complete on both sides, each end state of the candidate has to be one of the reference's. The two
designs have different points, so that the reference may need a preemption more for the same end: before a state counts
as missing, the reference is searched once more with one preemption more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from zsfuzz.errors import UsageError
from zsfuzz.execute.block_judge import IN_LANES
from zsfuzz.execute.execution import Execution
from zsfuzz.execute.runner import machine_config
from zsfuzz.execute.side import Side
from zsfuzz.explore.ends import EndState
from zsfuzz.explore.search import Counts, Search
from zsfuzz.explore.side import BlockLanes, Met
from zsfuzz.machine.lanes import Lanes
from zsfuzz.machine.recording import Recorder
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.block import Block
from zsfuzz.program.program import Program
from zsfuzz.target.registry import resolve_pair

REFERENCE, CANDIDATE = 0, 1
ROLES = ("reference", "candidate")
MISSING = "end state"
"""The rule of a finding that no single execution shows."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is explored. faults: beside those of the program's header."""

    program: Program
    targets: tuple[str, str]
    faults: tuple[str, ...]
    bound: int


@dataclass(slots=True)
class Phase:
    """The search of one side. counts_findings: False for a second look at the reference."""

    number: int
    lanes: BlockLanes
    search: Search
    again: bool = False

    @property
    def role(self) -> str:
        """Return the side's name."""
        return ROLES[self.number]


@dataclass(slots=True)
class Exploration:
    """One question on its way. phases: searches so far, the last one is at work. before: what ended the steps that
    come before the block, if anything did. missing: what the two sides differ in.
    """

    question: Question
    phases: list[Phase] = field(default_factory=list)
    before: Finding | None = None
    missing: Met | None = None
    parted: str = ""
    done: bool = False
    _execution: Execution | None = None

    def begin(self) -> None:
        """Do what comes before the block. Errors: UsageError for a program without one."""
        program = self.question.program
        if program.block is None:
            raise UsageError("the program has no parallel block; there is nothing to explore")
        faults = tuple(dict.fromkeys((*self.question.faults, *program.header.faults)))
        classes, config = resolve_pair(*self.question.targets, faults), machine_config(program)
        buffering = "store_buffers" in config.switches
        reference, candidate = (
            Side(role, target, config, Lanes(buffering=buffering, recorder=Recorder()))
            for role, target in zip(ROLES, classes, strict=True)
        )
        self._execution = Execution(program, (reference, candidate), 1, None)
        found = self._execution.reach_block(program.block)
        if found is not None:
            self.before, self.done = found, True
        elif self._execution.judge.parted:
            self.parted, self.done = self._execution.judge.parted, True
        else:
            self.add_phase(REFERENCE)

    def add_phase(self, number: int, *, again: bool = False) -> Phase:
        """Go on with a side. again: a second look, with one preemption more."""
        execution, block = self._running()
        judge = execution.block
        if judge is None:
            raise RuntimeError("the block was not reached")
        side = execution.sides[number]
        if again:
            self.phases[number].lanes.restore()
        lanes = BlockLanes(judge, side, number, execution.contract, block, len(self.question.program.steps))
        reduces = not side.machine.current_lanes.buffering
        phase = Phase(number, lanes, Search(lanes, self.question.bound + again, reduces=reduces), again)
        self.phases.append(phase)
        return phase

    def _running(self) -> tuple[Execution, Block]:
        block = self.question.program.block
        if self._execution is None or block is None:
            raise RuntimeError("an exploration that has not begun")
        return self._execution, block

    # -- on the way

    def step(self) -> None:
        """Make one execution. done: there is none left."""
        phase = self.phases[-1]
        if not phase.search.complete:
            phase.search.step()
        if phase.search.complete:
            self._next(phase)

    def _next(self, phase: Phase) -> None:
        if phase.number == REFERENCE and not phase.again:
            self.add_phase(CANDIDATE)
        elif not self.can_compare or not self._lost():
            self.done = True
        elif not phase.again:
            self.add_phase(REFERENCE, again=True)
        else:
            self.missing, self.done = self._difference(), True

    # -- what came of it

    @property
    def can_compare(self) -> bool:
        """Return whether both sides are complete and every end is known."""
        both = len(self.phases) > 1 and all(phase.search.complete for phase in self.phases)
        return both and not any(phase.lanes.ended.unknown for phase in self.phases)

    @property
    def complete(self) -> bool:
        """Return whether nothing was left out: every schedule up to the bound was covered, on both sides."""
        return self.done and self.can_compare

    @property
    def counts(self) -> Counts:
        """Return the counts of all searches together."""
        total = Counts()
        for phase in self.phases:
            counts = phase.search.counts
            total.interleavings += counts.interleavings
            total.slept += counts.slept
            total.skipped += counts.skipped
            total.states += counts.states
            total.points += phase.lanes.points
        return total

    @property
    def unknown(self) -> int:
        """Return how many ends could not be judged within the limit."""
        return sum(phase.lanes.ended.unknown for phase in self.phases)

    def findings(self) -> Iterator[Met]:
        """Yield what was found, by side, then in the order of being found."""
        for phase in self.phases:
            if not phase.again:
                yield from phase.lanes.ended.findings.values()
        if self.missing is not None:
            yield self.missing

    def end_states(self, number: int) -> dict[str, EndState]:
        """Return the end states of a side, by id; those of a second look are not counted."""
        return {
            name: state
            for phase in self.phases
            if phase.number == number and not phase.again
            for name, (state, _) in phase.lanes.ended.states.items()
        }

    # -- containment

    def _known(self) -> dict[str, EndState]:
        """Return every end state that the reference is known to have."""
        known: dict[str, EndState] = {}
        for phase in self.phases:
            if phase.number == REFERENCE:
                known |= {name: state for name, (state, _) in phase.lanes.ended.states.items()}
        return known

    def _lost(self) -> list[str]:
        """Return the end states that the candidate has and the reference has not."""
        known = self._known()
        return [name for name in self.phases[CANDIDATE].lanes.ended.states if name not in known]

    def _difference(self) -> Met:
        state, schedule = self.phases[CANDIDATE].lanes.ended.states[self._lost()[0]]
        known = list(self._known().values())
        what, text = min((_differences(state, other) for other in known), key=len, default=[("end", "no end")])[0]
        finding = Finding(
            "divergence",
            MISSING,
            (),
            what,
            "candidate",
            len(self.question.program.steps),
            f"the candidate can end with {text}; no schedule makes the reference end so",
            request=IN_LANES,
        )
        return Met(finding, schedule, self.question.bound)


def _differences(state: EndState, other: EndState) -> list[tuple[str, str]]:
    """Return what differs between two end states: what it is, and what it is here."""
    calls, slots, drained = dict(_calls(other)), {slot[0]: slot for slot in other.slots}, dict(other.drained)
    differing = [
        (name, f"{name} = {outcome} in lane {lane}, operation {number}")
        for (lane, number, name), outcome in _calls(state)
        if calls.get((lane, number, name)) != outcome
    ]
    differing += [
        ("live object", f"h{slot[0]} of {slot[2]} bytes holding {slot[3][:32]}")
        for slot in state.slots
        if slots.get(slot[0]) != slot
    ]
    differing += [("live object", f"no h{slot}") for slot in slots if slot not in {each[0] for each in state.slots}]
    differing += [(name, f"{name} = {value}") for name, value in state.drained if drained.get(name) != value]
    return differing or [("end", "other calls")]


def _calls(state: EndState) -> Iterator[tuple[tuple[int, int, str], str]]:
    for lane, number, name, outcome in state.calls:
        yield (lane, number, name), outcome
