"""A cell: one fault, one engine, one seed, a budget; when was the fault found, and by what?

In:    CellKey, a budget in seconds of processor time, a clock that counts such.
Out:   CellResult, plain data.
Never: a finding that the sound pair gives too: that one is not the fault's. Files.
Next:  where cells are kept: zsfuzz/measure/store.py; who runs many: zsfuzz/measure/bench.py.

The clock stands still while a finding is confirmed. A run stops at the first thing that goes wrong; under `blind` a
divergence does not count, since the fault is on both sides and only an oracle that looks at one side may have the
credit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from zsfuzz.campaign.engines import open_engine
from zsfuzz.campaign.running import DEFAULT_CANDIDATE, DEFAULT_REFERENCE, ProgramRunner, open_runner
from zsfuzz.campaign.settings import RunSettings
from zsfuzz.campaign.verdict import careful_cadence
from zsfuzz.engine.base import Engine
from zsfuzz.errors import HarnessError
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.program import Program
from zsfuzz.program.text import format_program
from zsfuzz.target.fault import Fault
from zsfuzz.target.registry import fault_named

FOUND, MISSED, CRASHED, HUNG = "found", "missed", "crashed", "hung"
DIVERGENCE = "divergence"


@dataclass(frozen=True, slots=True)
class CellKey:
    """What a cell is about. blind: only findings that are no divergence count."""

    fault: str
    engine: str
    seed: int
    blind: bool = False

    @property
    def name(self) -> str:
        """Return a file name."""
        return f"{self.fault}--{self.engine}--{self.seed}{'--blind' if self.blind else ''}"


@dataclass(frozen=True, slots=True)
class CellResult:
    """What came of it.

    status: found, missed, crashed (the harness failed), hung (the worker had to be ended). seconds, programs: of
    processor time and run, to the first finding that counts, or all there were. signature, oracle ("kind rule"): of
    that finding as a campaign would report it. expected: whether the catalogue names that oracle. divergences: findings
    that did not count because the cell is blind. foreign: findings that the sound pair gives too. program: text form of
    the program that gave the finding. reason: of a crash.
    """

    key: CellKey
    budget: float
    status: str
    seconds: float
    programs: int
    signature: str = ""
    oracle: str = ""
    expected: bool = False
    divergences: int = 0
    foreign: int = 0
    program: str = ""
    reason: str = ""

    @property
    def found(self) -> bool:
        """Return whether the fault was found."""
        return self.status == FOUND

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def cell_of_json(document: dict[str, Any]) -> CellResult:
    """Return what as_json() gave. Errors: TypeError, KeyError for anything else."""
    fields = dict(document)
    return CellResult(CellKey(**fields.pop("key")), **fields)


def is_expected(fault: Fault, finding: Finding) -> bool:
    """Return whether a finding is of a sort that the fault's entry in the catalogue names."""
    for oracle in fault.oracle.split(", "):
        kind, _, rule = oracle.partition(" ")
        if finding.kind == kind and finding.rule.startswith(rule):
            return True
    return False


class Cell:
    """One cell at work."""

    def __init__(self, key: CellKey, budget: float, clock: Callable[[], float]) -> None:
        self._key, self._budget, self._clock = key, budget, clock
        self._fault = fault_named(key.fault)
        self._runner = open_runner(DEFAULT_REFERENCE, DEFAULT_CANDIDATE, (key.fault,))
        self._sound: ProgramRunner | None = None
        self._programs = self._divergences = self._foreign = 0
        self._spent_beside = 0.0  # confirming findings
        self._started = 0.0

    def run(self, engine: Engine | None = None) -> CellResult:
        """Run until the fault is found or the budget is spent; one program at least."""
        engine = engine or open_engine(engine_settings(self._key), lambda line: None)
        self._started = self._clock()
        try:
            while True:
                program = engine.next_program()
                result = self._runner.run(program)
                self._programs += 1
                seconds = self._seconds()
                if result.findings and (found := self._confirmed(program)) is not None:
                    return self._found(found, program, seconds)
                engine.feedback(program, result)
                if self._seconds() >= self._budget:
                    return self._ended(MISSED, self._budget)
        except HarnessError as error:
            return replace(self._ended(CRASHED, self._seconds()), reason=str(error).splitlines()[0])

    def _seconds(self) -> float:
        return self._clock() - self._started - self._spent_beside

    def _confirmed(self, program: Program) -> Finding | None:
        """Return what a campaign would report of a program, None when it does not count."""
        since = self._clock()
        try:
            again = self._runner.run(program, cadence=careful_cadence(program)).findings
            if not again:
                raise HarnessError("not deterministic: a finding was gone when its program ran again")
            if self._key.blind and again[0].kind == DIVERGENCE:
                self._divergences += 1
                return None
            if self._sound is None:
                self._sound = open_runner(DEFAULT_REFERENCE, DEFAULT_CANDIDATE)
            if self._sound.run(program, cadence=careful_cadence(program)).findings:
                self._foreign += 1
                return None
            return again[0]
        finally:
            self._spent_beside += self._clock() - since

    def _found(self, finding: Finding, program: Program, seconds: float) -> CellResult:
        return replace(
            self._ended(FOUND, min(seconds, self._budget)),
            signature=finding.signature,
            oracle=f"{finding.kind} {finding.rule}",
            expected=is_expected(self._fault, finding),
            program=format_program(program),
        )

    def _ended(self, status: str, seconds: float) -> CellResult:
        return CellResult(
            self._key,
            self._budget,
            status,
            round(seconds, 4),
            self._programs,
            divergences=self._divergences,
            foreign=self._foreign,
        )


def engine_settings(key: CellKey) -> RunSettings:
    """Return the settings by which zsfuzz/campaign/engines.py opens the engine of a cell."""
    return RunSettings(
        DEFAULT_REFERENCE, DEFAULT_CANDIDATE, key.engine, None, None, key.seed, Path("unused"), faults=(key.fault,)
    )


def run_cell(key: CellKey, budget: float, clock: Callable[[], float]) -> CellResult:
    """Run one cell from start to end. clock: seconds of processor time."""
    return Cell(key, budget, clock).run()
