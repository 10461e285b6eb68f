"""The fuzz loop: an engine's programs through a runner; findings are confirmed and kept.

In:    an engine, a runner, a findings folder, limits, a clock; a flag that a signal may set.
Out:   Campaign: run() and, at any time, result(). Equal seeds and --runs give equal results, times aside.
Never: a finding that was seen only once: each is run again with a full comparison after every step.
Next:  who builds one: zsfuzz/cli/run.py; what is kept: zsfuzz/campaign/findings.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zsfuzz.campaign.fault import ProgramFault, reason_of
from zsfuzz.campaign.findings import FindingsFolder, KeptFinding
from zsfuzz.campaign.running import ProgramRunner
from zsfuzz.campaign.settings import RunSettings
from zsfuzz.campaign.tally import Tally
from zsfuzz.campaign.verdict import careful_cadence
from zsfuzz.engine.base import Engine
from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.execute.result import RunResult
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.program import Program, with_schedule

WATCH_SECONDS = 0.2
"""How long the loop runs between two looks at its progress."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a campaign is. engine: its own counts. seconds_left, programs_left: None without that limit."""

    seconds: float
    programs: int
    operations: int
    findings: int
    hits: int
    engine: Mapping[str, int]
    seconds_left: float | None
    programs_left: int | None


@dataclass(frozen=True, slots=True)
class Culprit:
    """A program that ended workers, or brought out a fault of ours. path: where it is kept. trace: where it was."""

    path: Path
    reason: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Team:
    """Figures of several workers, as plain data, in their order; how many died; which programs are to blame."""

    figures: tuple[Mapping[str, Any], ...]
    deaths: int
    culprits: tuple[Culprit, ...]


@dataclass(frozen=True, slots=True)
class CampaignResult:
    """What a campaign did until now. engine: its own counts. stopped: why it ended, in a few words.

    team: what is known of several workers, None for a campaign of one process.
    """

    settings: RunSettings
    seconds: float
    tally: Tally
    findings: tuple[KeptFinding, ...]
    engine: Mapping[str, int]
    stopped: str
    team: Team | None = None


@dataclass(slots=True)
class StopFlag:
    """Set by a signal; the loop looks at it between two programs."""

    reason: str = ""


class Campaign:
    """One run of one engine on one pair of targets."""

    def __init__(
        self,
        settings: RunSettings,
        engine: Engine,
        runner: ProgramRunner,
        clock: Callable[[], float],
        watch: Callable[[Progress], None],
        stop: StopFlag,
        folder: FindingsFolder | None = None,
    ) -> None:
        """clock: seconds from any start. watch: told a few times a second, and at the end.

        folder: where findings go, None for settings.findings, written by this campaign alone.
        """
        self._settings = settings
        self._engine = engine
        self._runner = runner
        self._clock = clock
        self._watch = watch
        self._stop = stop
        self._folder = folder or FindingsFolder(settings, runner)
        self._tally = Tally()
        self._hits = 0
        self._started = clock()
        self._watch_at = 0.0
        self._stopped = ""

    def run(self) -> None:
        """Run programs, one at least, until a limit, a signal or (if asked for) the first finding.

        Errors: UsageError when a finding cannot be saved; ProgramFault for a fault of ours. result() is good
        after either.
        """
        self._started = self._clock()
        try:
            while not self._stopped:
                self.run_program(self._next_program())
                now = self._clock() - self._started
                self._stopped = self._reason_to_stop(now)
                self._show(now)
        except KeyboardInterrupt:
            self._stopped = "interrupted"
        except UsageError as error:
            self._stopped = reason_of(error)
            raise  # the disk said no: the descriptions on it cannot be brought up to date either
        except HarnessError as error:
            self._stopped = reason_of(error)
            self._folder.write_counts()
            raise
        self._folder.write_counts()

    def result(self) -> CampaignResult:
        """Return what was done until now."""
        return CampaignResult(
            settings=self._settings,
            seconds=self._clock() - self._started,
            tally=self._tally,
            findings=self._folder.kept,
            engine=self._engine.statistics(),
            stopped=self._stopped,
        )

    def run_program(self, program: Program) -> RunResult:
        """Run one program and keep what it gives; for callers that bring their own loop, too. Errors: as run()."""
        try:
            result = self._runner.run(program)
            self._tally.add(result)
            if result.findings:
                result = replace(result, findings=(self._keep(program, result),))
            self._engine.feedback(program, result)
        except UsageError:
            raise
        except Exception as error:
            raise ProgramFault(reason_of(error), self._save_fault(program)) from error
        return result

    def _next_program(self) -> Program:
        try:
            return self._engine.next_program()
        except UsageError:
            raise
        except Exception as error:
            seed = self._settings.seed
            raise HarnessError(f"the engine failed ({reason_of(error)}); --seed {seed} repeats it") from error

    def _save_fault(self, program: Program) -> str:
        try:
            return str(self._folder.add_fault(program))
        except UsageError as error:
            return f"no file ({error})"

    def _keep(self, program: Program, result: RunResult) -> Finding:
        """Confirm and keep what a program gave. Returns the finding as confirmed: the engine learns what is kept."""
        program = with_schedule(program, result.schedule)
        finding = self._again(program, result.findings[0])
        self._hits += 1
        known = self._folder.shortest(finding.signature)
        if known is None or finding.step + 1 < known:
            finding, program = self._cut(program, finding)
        self._folder.add(finding, program)
        return finding

    def _again(self, program: Program, seen: Finding) -> Finding:
        """Return what a program gives with a full comparison after every step; that is what gets reported."""
        again = self._runner.run(program, cadence=careful_cadence(program))
        if not again.findings:
            raise HarnessError(f"not deterministic: {seen.signature} was gone when its program ran again")
        return again.findings[0]

    def _cut(self, program: Program, finding: Finding) -> tuple[Finding, Program]:
        """Return the program without the steps behind its finding, if that gives the same signature."""
        if finding.step >= len(program.steps):
            return finding, program
        shorter = replace(program, steps=program.steps[: finding.step + 1], block=None)
        if shorter == program:
            return finding, program
        result = self._runner.run(shorter, cadence=careful_cadence(shorter))
        if result.findings and result.findings[0].signature == finding.signature:
            return result.findings[0], shorter
        return finding, program

    def _reason_to_stop(self, now: float) -> str:
        return reason_to_stop(self._settings, self._stop, now, self._tally.programs, bool(self._folder.kept))

    def _show(self, now: float) -> None:
        if now < self._watch_at and not self._stopped:
            return
        self._watch_at = now + WATCH_SECONDS
        settings, tally = self._settings, self._tally
        self._watch(
            Progress(
                seconds=now,
                programs=tally.programs,
                operations=tally.operations,
                findings=len(self._folder.kept),
                hits=self._hits,
                engine=self._engine.statistics(),
                seconds_left=None if settings.seconds is None else max(0.0, settings.seconds - now),
                programs_left=None if settings.runs is None else settings.runs - tally.programs,
            )
        )


def reason_to_stop(settings: RunSettings, stop: StopFlag, now: float, programs: int, found: bool) -> str:
    """Return why a campaign is over, "" when it is not. now: seconds since its start."""
    if stop.reason:
        return stop.reason
    if settings.stop_on_first and found:
        return "first finding"
    if settings.runs is not None and programs >= settings.runs:
        return f"{settings.runs} programs"
    if settings.seconds is not None and now >= settings.seconds:
        return f"{settings.seconds:g} s"
    return ""
