"""Crew: the processes of all workers, and what becomes of those that die.

In:    the plan; how many programs are left to run.
Out:   Crew: starts, looks, kills; the records of every incarnation; the programs that are to blame.
Never: a limit of the campaign, a figure for the user.
Next:  one process in zsfuzz/campaign/workers/process.py; who decides: zsfuzz/campaign/workers/supervisor.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from zsfuzz.campaign.files import write_program, write_text
from zsfuzz.campaign.findings import labelled
from zsfuzz.campaign.loop import Culprit
from zsfuzz.campaign.workers.folder import CampaignFolder, Plan
from zsfuzz.campaign.workers.process import WorkerProcess, slate_path
from zsfuzz.campaign.workers.record import NOTHING, Record
from zsfuzz.campaign.workers.runnable import chance_of, name_of, unseal
from zsfuzz.campaign.workers.slate import read_slate
from zsfuzz.campaign.workers.suspects import Cause, Suspects
from zsfuzz.campaign.workers.worker import MISTAKE
from zsfuzz.errors import HarnessError, UsageError

FIRST_PROGRAM_SECONDS = 120.0
"""How long a worker may take until its first program: it reads the whole corpus before that."""
MOST_CULPRITS = 20
"""So many programs that kill workers are no accident any more: the campaign ends."""
MOST_FUTILE = 5
"""So many workers in a row that die before their first program: none ever gets there."""


class Crew:
    """All workers. Its methods are called from one loop, several times a second."""

    def __init__(self, folder: CampaignFolder, plan: Plan, clock: Callable[[], float]) -> None:
        """What earlier workers left in the folder is taken over. Nobody else starts workers there meanwhile."""
        self._folder = folder
        self._plan = plan
        self._clock = clock
        self._alive: dict[int, WorkerProcess] = {}
        self._news_at: dict[int, float] = {}
        self._starts: dict[int, int] = {}
        self._ended: list[tuple[int, Record]] = []
        self._done: dict[int, int] = {}
        self._futile = 0
        self.suspects = Suspects()
        self.culprits: list[Culprit] = []
        self.deaths = 0
        self._take_over()
        self._quota = self._shares()

    # -- what was left by a campaign that was cut off

    def _take_over(self) -> None:
        """Count what earlier workers did; what they were running, or were to run again, is run again."""
        for number, start in self._folder.workers():
            path = self._folder.worker(number, start)
            written = read_slate(slate_path(path))
            record = NOTHING if written is None else Record.unpack(written.value)
            self._ended.append((number, record))
            self._starts[number] = start
            for sealed in (record.running, *_unretried(path, record)):
                if sealed:
                    self.suspects.again(name_of(sealed), sealed)

    def _shares(self) -> dict[int, int | None]:
        """Return how many programs each worker may run; the first gets those that are run again, too."""
        count, runs = self._plan.workers.count, self._plan.settings.runs
        if runs is None:
            return dict.fromkeys(range(1, count + 1))
        done = sum(record.tally.programs for _, record in self._ended)
        fresh = max(0, runs - done - self.suspects.waiting)
        shares = {number: fresh // count + (number <= fresh % count) for number in range(1, count + 1)}
        shares[1] += self.suspects.waiting
        return dict(shares)

    def forget_finding(self, found: str) -> None:
        """Count the hits of an earlier finding no more. found: its id."""
        for position, (number, record) in enumerate(self._ended):
            hits = {each: count for each, count in record.hits.items() if each != found}
            self._ended[position] = (number, replace(record, hits=hits))

    # -- processes

    @property
    def alive(self) -> int:
        """Return how many processes there are."""
        return len(self._alive)

    @property
    def has_begun(self) -> bool:
        """Return whether a worker of this session has come to its first program."""
        return bool(self._done) or any(process.written for process in self._alive.values())

    def records(self) -> list[tuple[int, Record]]:
        """Return (number of the worker, newest record) of every incarnation there has been."""
        return [*self._ended, *((number, process.record) for number, process in self._alive.items())]

    def fill(self) -> None:
        """Start every worker that is not there and has programs left to run."""
        for number, share in self._quota.items():
            if number not in self._alive:
                left = None if share is None else share - self._done.get(number, 0)
                if left is None or left > 0:
                    self._start(number, left)

    def run_suspects(self) -> None:
        """Start a worker for what is to be run again, and for nothing else."""
        if self.suspects.waiting and 1 not in self._alive:
            self._start(1, self.suspects.waiting)

    def _start(self, number: int, quota: int | None) -> None:
        start = self._starts.get(number, 0) + 1
        self._starts[number] = start
        retries = self.suspects.hand_out()
        self._alive[number] = WorkerProcess(self._folder, number, start, quota, retries)
        self._news_at[number] = self._clock()

    def ask_to_end(self) -> None:
        """Let every worker end after the program that it runs."""
        for process in self._alive.values():
            process.ask_to_end()

    def kill_all(self) -> None:
        """End every process now and read what it wrote last."""
        for process in self._alive.values():
            process.kill()
        for number, process in self._alive.items():
            process.wait()
            process.look()
            self._ended.append((number, process.record))
        self._alive.clear()

    def look(self) -> None:
        """Read what there is to read, kill what hangs or swells, bury what has died.

        Errors: UsageError for a mistake that ended a worker; HarnessError when going on makes no sense.
        """
        for number, process in list(self._alive.items()):
            alive = process.alive  # before its last record is read, which it may write between the two
            if process.look():
                self._news_at[number] = self._clock()
                self._futile = 0
            if alive:
                self._watch(number, process)
            else:
                del self._alive[number]
                self._ended.append((number, process.record))
                self._done[number] = self._done.get(number, 0) + process.record.tally.programs
                self._bury(process)

    def _watch(self, number: int, process: WorkerProcess) -> None:
        workers = self._plan.workers
        quiet = self._clock() - self._news_at[number]
        # Its own watchdog comes first and says where it hung; this is for a process that is stopped or stuck below.
        if quiet > (workers.program_seconds * 1.2 + 5 if process.written else FIRST_PROGRAM_SECONDS):
            process.kill(Cause.HANG)
        elif process.resident_bytes() > workers.memory_bytes:
            process.kill(Cause.MEMORY)

    # -- deaths

    def _bury(self, process: WorkerProcess) -> None:
        record = process.record
        self.suspects.came_back(process.retries, record.retried)
        if record.mistake or process.status == MISTAKE:
            words = process.last_words().strip().splitlines() or [process.end]
            raise UsageError(record.mistake or words[-1])
        if record.fault:
            self._blame(record.fault_name, Path(record.fault_program), record.fault, process.last_words())
        elif not record.stopped and not (process.asked_to_end and not record.running):
            self.deaths += 1
            self._suspect(process)

    def _suspect(self, process: WorkerProcess) -> None:
        sealed = process.record.running
        if not sealed:
            self._futile += 1
            if self._futile >= MOST_FUTILE:
                raise HarnessError(f"workers die before their first program ({process.end}): {process.last_words()}")
            return
        name, cause = name_of(sealed), process.cause
        if self.suspects.died(name, sealed, cause):
            reason = f"the program {cause.value} ({process.end})"
            self._blame(name, self._quarantined(sealed, reason), reason, process.last_words())

    def _quarantined(self, sealed: bytes, reason: str) -> Path:
        """Keep a program that kills workers, with what is known about it beside it, and return its path."""
        program, path = unseal(sealed), self._folder.quarantine_file(name_of(sealed))
        write_program(path, labelled(program, self._plan.settings, None))
        chance = chance_of(program)
        known = {"reason": reason, "chance": None if chance is None else asdict(chance)}
        write_text(path.with_suffix(".json"), json.dumps(known, indent=2) + "\n")
        return path

    def _blame(self, name: str, path: Path, reason: str, trace: str) -> None:
        """Note a program that nobody runs any more. Errors: HarnessError when it was no program, or one too many."""
        if not name:
            raise HarnessError(f"{reason}\n{trace}")
        self.suspects.forget(name)
        self._folder.skip_program(name)
        self.culprits.append(Culprit(path, reason, trace))
        if len(self.culprits) >= MOST_CULPRITS:
            raise HarnessError(f"{MOST_CULPRITS} programs killed workers or brought out faults; the last one is {path}")


def _unretried(path: Path, record: Record) -> list[bytes]:
    """Return the sealed programs that an incarnation was to run again and did not get to."""
    files = sorted((path / "retry").glob("*"))
    return [file.read_bytes() for file in files if file.name not in record.retried]
