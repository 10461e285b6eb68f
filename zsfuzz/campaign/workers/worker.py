"""Worker: the process of one incarnation of a worker: a fuzz loop that writes down what it does.

In:    FINDINGS NUMBER START SUPERVISOR [QUOTA] on the command line; the plan; programs to run again.
Out:   findings and corpus programs on disk at once; a record before each program and at the end.
Never: a word to the user: standard output and error are a log. It outlives its supervisor by one program at most.
Next:  the loop in zsfuzz/campaign/loop.py; who reads the records: zsfuzz/campaign/workers/supervisor.py.

A program that takes too long is ended by a watchdog in this process, which also says where it was; it works even when
nobody supervises any more.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TextIO

from zsfuzz.campaign.engines import open_engine
from zsfuzz.campaign.fault import ProgramFault, reason_of
from zsfuzz.campaign.files import write_program, writing
from zsfuzz.campaign.findings import FindingsFolder, KeptFinding, describe
from zsfuzz.campaign.loop import Campaign, Progress, StopFlag
from zsfuzz.campaign.running import ProgramRunner, open_runner
from zsfuzz.campaign.settings import RunSettings
from zsfuzz.campaign.workers.folder import CampaignFolder, Plan
from zsfuzz.campaign.workers.process import hang_path, slate_path
from zsfuzz.campaign.workers.record import Record
from zsfuzz.campaign.workers.runnable import name_of, unseal
from zsfuzz.campaign.workers.shared_engine import SharedEngine, SharedStore
from zsfuzz.campaign.workers.slate import SlateWriter
from zsfuzz.engine.base import Engine
from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.program.program import Program

STOPPED_BY_SUPERVISOR = "asked to end"
MISTAKE = 2
ORPHANED = "the supervisor is gone"


def seed_of(seed: int, number: int, start: int) -> int:
    """Return the seed of an incarnation: 64 bits of a hash, so that near seeds have nothing in common.

    A worker that starts again does not make the same programs again: it would meet the same end.
    """
    digest = hashlib.sha256(f"zsfuzz {seed} {number} {start}".encode()).digest()
    return int.from_bytes(digest[:8])


@dataclass(frozen=True, slots=True)
class Job:
    """What one incarnation is to do. quota: programs, None for no limit. supervisor: its process id."""

    folder: CampaignFolder
    number: int
    start: int
    supervisor: int
    quota: int | None

    @property
    def path(self) -> Path:
        """Return this incarnation's own folder."""
        return self.folder.worker(self.number, self.start)


class SharedFindings(FindingsFolder):
    """A findings folder that other workers write to as well; the supervisor brings its counts up to date."""

    def __init__(self, settings: RunSettings, runner: ProgramRunner, folder: CampaignFolder) -> None:
        super().__init__(settings, runner)
        self._folder = folder

    def _write(self, known: KeptFinding) -> None:
        """Put a finding on disk, or take over the shorter program that another worker put there for it."""
        with self._folder.writing_findings():
            earlier = self.shorter_one_on_disk(known)
            if earlier is None:
                write_program(known.path, known.program)
            else:
                known.finding, known.program = earlier
            describe(known, self._settings)

    def write_counts(self) -> None:
        """Nothing: the hits of one worker are not those of the campaign."""


class Worker:
    """A campaign in a process of its own."""

    def __init__(self, job: Job, plan: Plan, runner: ProgramRunner) -> None:
        settings = plan.settings
        self._job = job
        self._settings = replace(
            settings, seed=seed_of(settings.seed, job.number, job.start), runs=job.quota, seconds=None
        )
        self._program_seconds = plan.workers.program_seconds
        self._stop = StopFlag()
        self._running = b""
        self._retries = {path.name: unseal(path.read_bytes()) for path in sorted((job.path / "retry").iterdir())}
        self._retried: list[str] = []
        self._slate = SlateWriter(slate_path(job.path))
        self._hang: TextIO = open(hang_path(job.path), "w", encoding="utf-8")  # noqa: SIM115  as long as the process
        self._campaign = Campaign(
            self._settings,
            self._engine(),
            runner,
            time.monotonic,
            self._watch,
            self._stop,
            SharedFindings(self._settings, runner, job.folder),
        )

    def _engine(self) -> Engine:
        assert self._settings.corpus is not None, "the supervisor sees to it that there is a folder to share"
        store = SharedStore(self._settings.corpus)
        engine = open_engine(self._settings, _log, store)
        return SharedEngine(engine, store, self._retries.values(), self._job.folder.skipped, self._before)

    def stop_on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Let the campaign end after the program that is running."""
        self._stop.reason = STOPPED_BY_SUPERVISOR

    def run(self) -> None:
        """Run until the quota is used up or somebody says stop. The last record says why it ended."""
        record = None
        try:
            self._campaign.run()
        except UsageError as error:
            record = replace(self._record(), mistake=str(error))
        except HarnessError as error:
            traceback.print_exc()
            record = replace(self._record(), fault=reason_of(error))
            if isinstance(error, ProgramFault):
                name = name_of(self._running)
                record = replace(record, fault=error.reason, fault_program=error.path, fault_name=name)
        faulthandler.cancel_dump_traceback_later()
        self._survived()
        self._write(record or replace(self._record(), stopped=self._campaign.result().stopped))

    def _before(self, _program: Program, sealed: bytes) -> None:
        """Write down what is about to run, and what was done until now."""
        self._survived()
        self._running = sealed
        self._write(replace(self._record(), running=sealed))
        faulthandler.dump_traceback_later(self._program_seconds, exit=True, file=self._hang)

    def _survived(self) -> None:
        """Count the program that has just ended among those that were run again, if it is one."""
        if self._running and self._retries:
            name = name_of(self._running)
            if self._retries.pop(name, None) is not None:
                self._retried.append(name)

    def _write(self, record: Record) -> None:
        with writing(self._job.path):
            self._slate.write(record.pack())

    def _record(self) -> Record:
        result = self._campaign.result()
        return Record(
            tally=result.tally,
            hits={kept.finding.id: kept.hits for kept in result.findings},
            engine=result.engine,
            retried=tuple(self._retried),
        )

    def _watch(self, _progress: Progress) -> None:
        if os.getppid() != self._job.supervisor and not self._stop.reason:
            self._stop.reason = ORPHANED


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main(words: Sequence[str]) -> int:
    """Be a worker. Returns 0 when its last record says how it ended, MISTAKE when not even that could be written."""
    findings, number, start, supervisor, *quota = words
    folder = CampaignFolder(Path(findings))
    job = Job(folder, int(number), int(start), int(supervisor), int(quota[0]) if quota else None)
    faulthandler.enable()
    lock = folder.worker_lock()
    if os.getppid() != job.supervisor:
        return 0
    plan = folder.read_plan()
    assert plan is not None, "a supervisor writes the plan before it starts a worker"
    settings = plan.settings
    worker = Worker(job, plan, open_runner(settings.reference, settings.candidate, settings.faults))
    signal.signal(signal.SIGTERM, worker.stop_on_signal)
    try:
        worker.run()
    except UsageError as error:
        _log(str(error))
        return MISTAKE
    os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
