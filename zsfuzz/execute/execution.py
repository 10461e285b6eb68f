"""Execution: a program, step by step on both sides, with the checks between steps.

In:    a program, two sides at boot, the cadence of the full checks.
Out:   RunResult, by run(), once.
Never: knows a design: where the two may differ is zsfuzz/oracle/expected.py's business.
Next:  what a step means: zsfuzz/execute/operations.py; a parallel block: zsfuzz/execute/block_judge.py; the final drain
       in zsfuzz/execute/drain.py.

A step that makes no sense is a no-op for both sides, decided once by the contract. Return values and zone counters
are compared after every step, placements after every step that may move an object, everything at the cadence.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from zsfuzz.execute.blame import finding_of_exception, role_at_fault
from zsfuzz.execute.block_judge import BlockJudge, BlockResult
from zsfuzz.execute.checkpoint import Checkpoint, Counted, can_take, take
from zsfuzz.execute.drain import drain, probe_pool
from zsfuzz.execute.features import Features
from zsfuzz.execute.names import FAIL_OPERATION, snake
from zsfuzz.execute.operations import NO_OP, Operations, describe
from zsfuzz.execute.result import LaneWatcher, Observer, RunResult
from zsfuzz.execute.side import Side
from zsfuzz.machine.lanes import Observer as LaneObserver
from zsfuzz.machine.report import Report
from zsfuzz.oracle.finding import Finding
from zsfuzz.oracle.invariants import check_invariants
from zsfuzz.oracle.judge import Judge, Violation
from zsfuzz.oracle.observe import compare_counters, compare_everything, compare_placements
from zsfuzz.program import ops
from zsfuzz.program.block import Block
from zsfuzz.program.program import Program

MOVING: Final = frozenset(
    {
        ops.Compact,
        ops.Shrink,
        ops.Migrate,
        ops.CompactZone,
        ops.Offline,
        ops.Contig,
        ops.Poison,
        ops.Scan,
        ops.Trim,
    }
)
"""Operations that may move objects: placements are compared after each of them."""

OBJECTS_A_STEP: Final = 64
"""How many objects' placements may be compared for each step: more than engines' programs have."""

ACROSS_REFERENCES: Final = frozenset(
    {ops.CompactZone, ops.Offline, ops.Contig, ops.Poison, ops.CreatePool, ops.DestroyPool}
)
"""No-ops while the program holds a speculative reference: a scanner holds one for an instant only."""


class Execution(Operations):
    """One run of one program."""

    def __init__(self, program: Program, sides: tuple[Side, Side], cadence: int, observer: Observer | None) -> None:
        super().__init__(sides)
        self.program = program
        self.features = Features(self.reference)
        self._cadence = cadence
        self._observer = observer
        self._step = 0
        self._effective = self._no_ops = self._placed_at = 0
        self._done = 0  # steps that a checkpoint has done already
        self._keep_at = -1
        self.kept: Checkpoint | None = None
        self.block: BlockJudge | None = None
        self._lane_observers: tuple[LaneObserver | None, LaneObserver | None] = (None, None)
        if isinstance(observer, LaneWatcher):
            self._lane_observers = observer.lane_observers

    # -- checkpoints

    def resume(self, checkpoint: Checkpoint) -> None:
        """Be where a program with the same first steps has been. The sides may be in any state before it."""
        for side, saved in zip(self.sides, checkpoint.sides, strict=True):
            side.load(saved)
        self.contract, self.expected = checkpoint.contract.copy(), checkpoint.expected.copy()
        self.judge = Judge(self.reference, self.candidate, self.contract, self.expected)
        self.features = checkpoint.features.copy()
        counted = checkpoint.counted
        self._effective, self._no_ops, self._placed_at = counted.effective, counted.no_ops, counted.placed_at
        self._counts = counted.checks.copy()
        self._done = len(checkpoint.steps)

    def keep_at(self, steps_count: int) -> None:
        """Leave a checkpoint in `kept` once that many steps are done, if that is a point that can be kept."""
        self._keep_at = steps_count

    def counted(self) -> Counted:
        """Return the counts so far."""
        return Counted(self._effective, self._no_ops, self._placed_at, self._counts.copy())

    # -- the run

    def run(self) -> RunResult:
        """Run all steps, then drain both sides. The first thing that goes wrong ends the run."""
        findings: tuple[Finding, ...] = ()
        try:
            self._run_steps()
            if self.program.block is None or self.judge.parted:
                self.finish()
            else:
                self._run_block(self.program.block)
        except Violation as violation:
            findings = (self._finding(self._cause_of(violation)),)
        except Exception as error:  # noqa: BLE001 - a target's exception is a finding, blame.py raises the rest
            findings = (self._finding(error),)
        if self._observer is not None:
            self._show_pages()
        return self.result(findings)

    def _finding(self, error: Exception) -> Finding:
        """Return the finding of what ended the run. Errors: HarnessError for the fuzzer's own fault."""
        if self.block is not None:
            return self.block.finding_of(error, self._step)
        at_end = self._step == len(self.program.steps)
        if isinstance(error, Violation):
            found = error.finding_at(self._step)
        else:
            found = finding_of_exception(error, self._role_at_fault(error), self._step)
        return replace(found, request="" if at_end else snake(type(self.program.steps[self._step]).__name__))

    def _role_at_fault(self, error: Exception) -> str:
        """Return the side in whose code an exception was raised; when that is nobody's, the side that was at work."""
        parts = [(part, side.role) for side in self.sides for part in (side, side.target, side.core, side.d)]
        return role_at_fault(error, parts) or self.sides[self._active].role

    def _cause_of(self, violation: Violation) -> Exception:
        """Return what explains a difference: a broken invariant, a page that only one side isolated, a zone counter.

        A state that cannot be looked into any more leaves the difference as it is.
        """
        contract = self.contract
        if self.judge.parted or contract.mapped is not None or self._step == len(self.program.steps):
            return violation  # at the end, or in a block
        try:
            for side in self.sides:
                if side.handles.keys() == contract.objects.keys():
                    check_invariants(side, contract)
            if violation.kind == "divergence":
                self.judge.compare_isolations()
            if violation.rule == "outcome":
                compare_counters(self.judge)
        except Violation as cause:
            return cause
        except Report:
            return violation
        return violation

    def result(self, findings: tuple[Finding, ...]) -> RunResult:
        """Return what was done so far. For callers that bring their own loop; run() returns it too."""
        self._counts["locks"] = sum(side.machine.locks.acquired_count for side in self.sides)
        block = self.block.result if self.block is not None else BlockResult()
        counts = dict(self._counts)
        for name, count in block.counts.items():
            counts[name] = counts.get(name, 0) + count
        return RunResult(
            findings=findings,
            operations=self._effective + block.operations,
            no_ops=self._no_ops + block.no_ops,
            features=tuple(sorted({*self.features.sorted(), *block.features})),
            expected=self.expected.uses(),
            checks=counts,
            parted=self.judge.parted,
            schedule=block.schedule if self.block is not None else None,
            lengths=block.lengths,
        )

    def _run_steps(self) -> None:
        cadence, steps, keep_at = self._cadence, self.program.steps, self._keep_at
        for index in range(self._done, len(steps)):
            if index == keep_at and can_take(self):
                self.kept = take(self, steps[:index])
            self._step, step = index, steps[index]
            if self.perform(step) and (index + 1) % cadence == 0 and not self.judge.parted:
                self.check_everything()
            if self.judge.parted:
                return

    def _run_block(self, block: Block) -> None:
        """Run a parallel block, which comes last, and drain both sides."""
        self._step = len(self.program.steps)
        if self._done < self._step or not self._step:
            self._settle()
            if self._keep_at == self._step and can_take(self):
                self.kept = take(self, self.program.steps)
        if self.judge.parted:
            self.finish()
            return
        self.block = BlockJudge(self.judge, self.sides, self.contract, block, self._page)
        self.block.run(block.chance, self._lane_observers)

    def reach_block(self, block: Block) -> Finding | None:
        """Do all steps, and be where a block begins, for callers that run its lanes themselves.

        Returns what was found on the way. `block` is then its judge, unless the designs have parted.
        """
        try:
            self._run_steps()
            self._step = len(self.program.steps)
            if not self.judge.parted:
                self._settle()
        except Violation as violation:
            return self._finding(self._cause_of(violation))
        except Exception as error:  # noqa: BLE001 - a target's exception is a finding, blame.py raises the rest
            return self._finding(error)
        if not self.judge.parted:
            self.block = BlockJudge(self.judge, self.sides, self.contract, block, self._page)
        return None

    def _settle(self) -> None:
        """Nothing is mapped, referenced or armed when a block begins, and both sides are in one state."""
        if self.contract.mapped is not None:
            self._unmap(ops.Unmap(self.contract.mapped))
        for slot in list(self.contract.references):
            self._speculative_put(ops.SpeculativePut(slot))
        self.contract.armed.clear()
        if not self.judge.parts():
            self.check_everything()

    def perform(self, step: ops.Operation) -> bool:
        """Do one step on both sides with its cheap checks. Returns whether it was effective.

        Errors: Violation when an oracle fires, Report when a side's machine does. For callers that bring their own
        loop (a state machine of property-based tests); run() is the usual way.
        """
        kind = type(step)
        contract, handlers = self.contract, self._handlers
        self.expected.forget()
        for side in self.sides:
            side.isolations.clear()
        if self._is_forbidden(kind):
            outcome: object = NO_OP
        elif contract.armed and kind in FAIL_OPERATION:
            outcome = self._with_failures(FAIL_OPERATION[kind], lambda: handlers[kind](step))
        else:
            outcome = handlers[kind](step)
        if outcome is NO_OP:
            self._no_ops += 1
            if self._observer is not None:
                self._observer.step(self._step, step, "no-op", "no-op", False)
            return False
        self._effective += 1
        self.features.note(step, outcome)
        if self._observer is not None:
            texts = self._differing or (describe(snake(kind.__name__), outcome),) * 2
            self._observer.step(self._step, step, *texts, True)
        self._differing = None
        self._after(kind)
        return True

    def _is_forbidden(self, kind: type) -> bool:
        """Return whether the map contract, or a speculative reference that is held, makes a step a no-op."""
        contract = self.contract
        if contract.mapped is not None:
            return kind not in (ops.Read, ops.Write, ops.Unmap)
        if not contract.references:
            return False
        # A refused migration (D4) is retried, and the retries use up the failures that were armed for it.
        return kind in ACROSS_REFERENCES or (kind is ops.Migrate and ("migrate", "page") in contract.armed)

    def _after(self, kind: type) -> None:
        """The cheap checks of every effective step."""
        self._active = 1
        self._counts["counters"] += 1
        if self.contract.references and self.judge.parts():
            return
        compare_counters(self.judge)
        if kind in MOVING and not self.judge.parted and self._can_compare_placements():
            self._counts["placements"] += 1
            compare_placements(self.judge)
        if self.contract.mapped is None:
            for side in self.sides:
                held = side.machine.locks.held
                if held:
                    raise Violation(
                        "invariant", "I5 lock held at quiescence", (), held[0][0], side, f"holds {held[0][0]}"
                    )

    def _can_compare_placements(self) -> bool:
        """Return whether it is worth its time now. Of the objects of a capture, tens of thousands, it is not after
        each of many migrations in a row; a difference stays until it is seen.
        """
        if len(self.contract.objects) > (self._effective - self._placed_at) * OBJECTS_A_STEP:
            return False
        self._placed_at = self._effective
        return True

    def check_everything(self) -> None:
        """Oracles 1 and 2 in full; nothing while the lane holds a map. Errors: Violation.

        The invariants come first: they say which side is wrong.
        """
        if self.contract.mapped is not None:
            return
        self._counts["full"] += 1
        for number, side in enumerate(self.sides):
            self._active = number
            self._counts["invariants"] += check_invariants(side, self.contract)
        compare_everything(self.judge)

    def finish(self) -> None:
        """Check everything, give everything back, and compare what is left. Errors: as perform()."""
        self._step = len(self.program.steps)
        if self.contract.mapped is not None:
            self._unmap(ops.Unmap(self.contract.mapped))
        if not self.judge.parted:
            self.check_everything()
        self._counts["drain"] += 1
        for number, side in enumerate(self.sides):
            self._active = number
            drain(side, self.contract)
            if any(type(step) is ops.CreatePool for step in self.program.steps):
                probe_pool(side)
        self.judge.compare_drained()

    def _show_difference(self) -> None:
        """Tell the observer of the step on whose outcome the two sides differ."""
        if self._observer is not None and self._differing is not None and self._step < len(self.program.steps):
            self._observer.step(self._step, self.program.steps[self._step], *self._differing, True)

    def _show_pages(self) -> None:
        observer = self._observer
        if observer is None:
            return
        pfns = list(range(self.reference.machine.buddy.pages_count))
        try:
            rows = [side.page_rows(pfns) for side in self.sides]
        except Exception as error:  # noqa: BLE001 - a target's exception is a finding, blame.py raises the rest
            finding_of_exception(error, "both", self._step)
            return
        observer.pages(self._step, rows[0], rows[1])
