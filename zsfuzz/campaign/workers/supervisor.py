"""Supervisor: a campaign of several workers: its limits, its sums, its findings, its end.

In:    the settings of a campaign and of its workers; a clock; a flag that a signal may set.
Out:   Supervisor: run() and, at any time, result(), as a Campaign of zsfuzz/campaign/loop.py has them.
Never: a program in this process, but for those that showed a finding to a campaign that was cut off.
Next:  the processes in zsfuzz/campaign/workers/crew.py; what one does: zsfuzz/campaign/workers/worker.py; all of it in
       words: docs/adr/0007-workers.md.

    start -> look at every worker, ten times a second -> a limit, a signal, or (if asked for) the first finding
             | news: sum it                              -> ask all to end
             | too long, too much memory: kill it        -> run again what killed workers were running
             | dead: suspect its program, start again    -> sum, describe the findings, remove the folder

When this process is killed, its workers end by themselves, and what they wrote stays: the next campaign with the same
folders and targets goes on from there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgpack  # type: ignore[import-untyped]

from zsfuzz.campaign.engines import open_engine
from zsfuzz.campaign.fault import reason_of
from zsfuzz.campaign.files import writing
from zsfuzz.campaign.findings import KeptFinding, describe, read_kept
from zsfuzz.campaign.loop import CampaignResult, Culprit, Progress, StopFlag, Team, reason_to_stop
from zsfuzz.campaign.running import ProgramRunner
from zsfuzz.campaign.settings import RunSettings, WorkerSettings
from zsfuzz.campaign.verdict import careful_cadence
from zsfuzz.campaign.workers.crew import Crew
from zsfuzz.campaign.workers.folder import CampaignFolder, Plan
from zsfuzz.campaign.workers.slate import SlateWriter, read_slate
from zsfuzz.campaign.workers.totals import Totals, totals_of
from zsfuzz.campaign.workers.worker import seed_of
from zsfuzz.errors import HarnessError, UsageError

LOOK_SECONDS = 0.1


class Supervisor:
    """One campaign. Only one supervisor works in a findings folder."""

    def __init__(
        self,
        settings: RunSettings,
        workers: WorkerSettings,
        runner: ProgramRunner,
        clock: Callable[[], float],
        watch: Callable[[Progress], None],
        stop: StopFlag,
        note: Callable[[str], None],
    ) -> None:
        """runner: confirms old findings. watch, stop: as a Campaign's. note: told in a line what users should know."""
        self._settings = settings
        self._workers = workers
        self._runner = runner
        self._clock = clock
        self._watch = watch
        self._stop = stop
        self._note = note
        self._folder = CampaignFolder(settings.findings)
        self._crew: Crew | None = None
        self._totals = Totals()
        self._kept: dict[str, KeptFinding] = {}
        self._seconds_before = 0.0
        self._started: float | None = None
        self._ended: float | None = None
        self._stopped = ""

    # -- the campaign

    def run(self) -> None:
        """Run workers until a limit, a signal or (if asked for) the first finding.

        Errors: UsageError for a mistake of the user that shows only now; HarnessError when workers die as fast as they
        are started. result() is good after either.
        """
        open_engine(self._settings, self._note)  # here, so that what it has to say is said once
        with self._folder.taken():
            crew = self._crew = self._begin()
            counts = SlateWriter(self._folder.counts)
            trouble: HarnessError | None = None
            try:
                self._work(crew, counts)
            except KeyboardInterrupt:
                self._stopped = "interrupted"
            except UsageError as error:
                self._stopped = reason_of(error)
                raise  # the folder stays: once that is mended, the same command goes on from here
            except HarnessError as error:
                self._stopped, trouble = reason_of(error), error
            finally:
                crew.kill_all()
                counts.close()
                self._ended = self._clock()
                self._sum(crew)
            self._describe()
            self._folder.remove()
            if trouble is not None:
                raise trouble

    def _work(self, crew: Crew, counts: SlateWriter) -> None:
        while True:
            crew.look()
            self._sum(crew)
            if not self._stopped:
                self._stopped = self._reason_to_stop(crew)
                if self._stopped:
                    crew.ask_to_end()
                else:
                    crew.fill()
            if self._stopped:
                crew.run_suspects()
            self._show()
            self._write_counts(crew, counts)
            if self._stopped and not crew.alive:
                return
            time.sleep(LOOK_SECONDS)

    def _reason_to_stop(self, crew: Crew) -> str:
        if self._started is None and crew.has_begun:
            self._started = self._clock()  # what is limited is the time that workers work
        programs, found = self._totals.tally.programs, bool(self._totals.hits)
        reason = reason_to_stop(self._settings, self._stop, self._seconds(), programs, found)
        return reason if programs or self._stop.reason or found else ""

    def _seconds(self) -> float:
        if self._started is None:
            return self._seconds_before
        return self._seconds_before + (self._ended or self._clock()) - self._started

    # -- sums

    def _sum(self, crew: Crew) -> None:
        seeds = {number: seed_of(self._settings.seed, number, 1) for number in range(1, self._workers.count + 1)}
        totals = totals_of(crew.records(), seeds)
        for found, hits in totals.hits.items():
            kept = self._kept.get(found) or self._read(found)
            if kept is not None:
                kept.hits = hits
                self._kept[found] = kept
        self._totals = totals

    def _read(self, found: str) -> KeptFinding | None:
        """Return a finding from its files, which were there before it was counted; None when somebody took them."""
        try:
            return read_kept(self._settings.findings / f"{found}.zst", 0)
        except UsageError as error:
            self._note(f"a finding is left out: {error}")
            return None

    def _describe(self) -> None:
        """Take over the shortest programs that workers found, and write the hits of all of them beside those."""
        for found, old in list(self._kept.items()):
            kept = self._read(found)
            if kept is not None:
                kept.hits = old.hits
                describe(kept, self._settings)
                self._kept[found] = kept

    def result(self) -> CampaignResult:
        """Return what was done until now."""
        crew, totals = self._crew, self._totals
        return CampaignResult(
            settings=self._settings,
            seconds=self._seconds(),
            tally=totals.tally,
            findings=tuple(self._kept.values()),
            engine=totals.engine,
            stopped=self._stopped,
            team=Team(
                figures=tuple(worker.as_json() for worker in totals.workers.values()),
                deaths=crew.deaths if crew else 0,
                culprits=tuple(crew.culprits) if crew else (),
            ),
        )

    def _show(self) -> None:
        settings, tally, now = self._settings, self._totals.tally, self._seconds()
        self._watch(
            Progress(
                seconds=now,
                programs=tally.programs,
                operations=tally.operations,
                findings=len(self._kept),
                hits=sum(self._totals.hits.values()),
                engine=self._totals.engine,
                seconds_left=None if settings.seconds is None else max(0.0, settings.seconds - now),
                programs_left=None if settings.runs is None else max(0, settings.runs - tally.programs),
            )
        )

    # -- a campaign that was cut off

    def _begin(self) -> Crew:
        """Return the crew, with what a campaign that was cut off has done already, if this one goes on from it."""
        plan = Plan(self._shared_settings(), self._workers, os.getpid())
        earlier = self._folder.read_plan()
        if earlier is not None:
            self._folder.wait_for_workers(earlier.workers.program_seconds * 2 + 10)
            if self._goes_on_from(earlier):
                self._settings = replace(self._settings, seed=earlier.settings.seed)
                plan = replace(plan, settings=self._shared_settings())
            else:
                self._note(f"{self._folder.path}: a campaign that was cut off had other settings; begun anew")
                self._folder.clear()
        for name in self._folder.quarantined_before():
            self._note(f"{self._folder.quarantine_file(name)} is not run again as long as it lies there")
            self._folder.skip_program(name)
        self._folder.write_plan(plan)
        return self._crew_of(plan)

    def _crew_of(self, plan: Plan) -> Crew:
        crew = Crew(self._folder, plan, self._clock)
        if crew.records():
            self._read_counts(crew)
            self._note(f"going on from a campaign that was cut off after {self._seconds_before:.0f} s")
            self._confirm(crew)
        return crew

    def _shared_settings(self) -> RunSettings:
        """Return the settings of the workers: where the user named no corpus, they share one all the same."""
        return replace(self._settings, corpus=self._settings.corpus or self._folder.corpus)

    def _goes_on_from(self, earlier: Plan) -> bool:
        mine, theirs = self._shared_settings(), earlier.settings
        alike = all(getattr(mine, name) == getattr(theirs, name) for name in _MUST_AGREE)
        return alike and (mine.seed == theirs.seed or not self._workers.seed_given)

    def _confirm(self, crew: Crew) -> None:
        """Run the programs of old findings again: what they were found in may have been mended since."""
        for found in totals_of(crew.records(), {}).hits:
            kept = self._read(found)
            if kept is None:
                crew.forget_finding(found)
                continue
            result = self._runner.run(kept.program, cadence=careful_cadence(kept.program))
            if not any(finding.id == found for finding in result.findings):
                self._note(f"{kept.path} does not show its finding any more; it is left out")
                crew.forget_finding(found)

    def _write_counts(self, crew: Crew, counts: SlateWriter) -> None:
        culprits = [(str(culprit.path), culprit.reason, culprit.trace) for culprit in crew.culprits]
        with writing(self._folder.counts):
            counts.write(msgpack.packb((self._seconds(), crew.deaths, culprits)))

    def _read_counts(self, crew: Crew) -> None:
        written = read_slate(self._folder.counts)
        if written is not None:
            self._seconds_before, crew.deaths, culprits = msgpack.unpackb(written.value)
            crew.culprits += [Culprit(Path(path), *rest) for path, *rest in culprits]


_MUST_AGREE = ("reference", "candidate", "engine", "faults", "geometry", "corpus", "parallel_percent")
