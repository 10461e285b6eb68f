"""Folder: the files of a campaign that is going on, below its findings folder.

In:    the findings folder.
Out:   paths; locks that the system lets go of when their holder dies; the plan that workers read.
Never: findings: those lie in the findings folder itself, and stay when this one goes.
Next:  zsfuzz/campaign/workers/supervisor.py holds it, zsfuzz/campaign/workers/worker.py works in it.

    FINDINGS/.campaign/lock            held by the supervisor
                       workers.lock    held by every worker, shared: who waits for it waits for all to have ended
                       findings.lock   held while a finding is written
                       plan.json       what the workers are to do
                       counts.0 .1     seconds used so far (a slate)
                       corpus/         what the workers share when the user named no corpus
                       skip/HEX        programs that nobody runs any more, by the beginning of their name
                       2-5/            worker 2, fifth start: slate.0, slate.1, log, hang, retry/NAME
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zsfuzz.campaign.files import write_text, writing
from zsfuzz.campaign.settings import RunSettings, WorkerSettings
from zsfuzz.errors import UsageError

NAME = ".campaign"
QUARANTINE = "quarantine-"
NAME_DIGITS = 16
"""How many digits of a program's name tell it from all others here."""

_WORKER_FOLDER = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the workers are to do. supervisor: its process id."""

    settings: RunSettings
    workers: WorkerSettings
    supervisor: int


class CampaignFolder:
    """The paths of one campaign."""

    def __init__(self, findings: Path) -> None:
        self.findings = findings
        self.path = findings / NAME
        self.corpus = self.path / "corpus"
        self.counts = self.path / "counts"
        self.skip = self.path / "skip"

    # -- locks

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the folder for a supervisor. Errors: UsageError when another one does, or it cannot be made."""
        with writing(self.path):
            self.skip.mkdir(parents=True, exist_ok=True)
            lock = self._open("lock")
        try:
            if not _locked(lock, fcntl.LOCK_EX) or not self._is_there("lock", lock):
                raise UsageError(
                    f"--findings {self.findings}: another campaign with workers is running there; name another folder"
                )
            yield
        finally:
            os.close(lock)

    def wait_for_workers(self, seconds: float) -> None:
        """Wait until the workers of a supervisor that was killed have ended; they notice it by themselves.

        Errors: UsageError when some are still there after that time.
        """
        lock = self._open("workers.lock")
        try:
            end = time.monotonic() + seconds
            while not _locked(lock, fcntl.LOCK_EX):
                if time.monotonic() > end:
                    raise UsageError(f"{self.path}: workers of a campaign that was cut off are still there; end them")
                time.sleep(0.05)
        finally:
            os.close(lock)

    def worker_lock(self) -> int:
        """Return a descriptor that says, as long as it is open, that a worker is there."""
        lock = self._open("workers.lock")
        fcntl.flock(lock, fcntl.LOCK_SH)
        return lock

    @contextmanager
    def writing_findings(self) -> Iterator[None]:
        """Keep the other workers from writing findings meanwhile."""
        lock = self._open("findings.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _open(self, name: str) -> int:
        return os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _is_there(self, name: str, lock: int) -> bool:
        """Return whether a lock file is still the one of that name, and was not removed with its folder meanwhile."""
        try:
            return os.path.samestat(os.stat(self.path / name), os.fstat(lock))
        except FileNotFoundError:
            return False

    # -- workers

    def worker(self, number: int, start: int) -> Path:
        """Return the folder of one incarnation of a worker. start: 1 for its first."""
        return self.path / f"{number}-{start}"

    def workers(self) -> list[tuple[int, int]]:
        """Return (number, start) of every incarnation that there has been, in order."""
        found = []
        with suppress(FileNotFoundError):
            matches = map(_WORKER_FOLDER.fullmatch, os.listdir(self.path))
            found = [(int(match[1]), int(match[2])) for match in matches if match]
        return sorted(found)

    # -- programs that nobody runs

    def skip_program(self, name: str) -> None:
        """Let nobody run the program of this name any more."""
        with writing(self.skip):
            (self.skip / name[:NAME_DIGITS]).touch()

    def skipped(self) -> frozenset[str]:
        """Return the beginnings of the names of programs that nobody runs."""
        return frozenset(os.listdir(self.skip))

    def quarantine_file(self, name: str) -> Path:
        """Return where a program that killed workers is kept."""
        return self.findings / f"{QUARANTINE}{name[:NAME_DIGITS]}.zst"

    def quarantined_before(self) -> list[str]:
        """Return the beginnings of the names of programs that earlier campaigns put into quarantine here."""
        return sorted(path.stem.removeprefix(QUARANTINE) for path in self.findings.glob(f"{QUARANTINE}*.zst"))

    # -- the plan

    def write_plan(self, plan: Plan) -> None:
        """Write the plan. Errors: UsageError."""
        write_text(self.path / "plan.json", json.dumps(asdict(plan), indent=1, default=str) + "\n")

    def read_plan(self) -> Plan | None:
        """Return the plan, None when there is none: then no worker was ever started."""
        try:
            text = (self.path / "plan.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        plain = json.loads(text)
        return Plan(_settings_of(plain["settings"]), WorkerSettings(**plain["workers"]), plain["supervisor"])

    def clear(self) -> None:
        """Forget the campaign, but not who holds the folder, and not the findings."""
        for number, start in self.workers():
            shutil.rmtree(self.worker(number, start))
        shutil.rmtree(self.corpus, ignore_errors=True)
        for name in self.skipped():
            (self.skip / name).unlink()
        for name in ("plan.json", "counts.0", "counts.1"):
            (self.path / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder, and the findings folder if nothing is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):  # it is not empty: it holds findings
            self.findings.rmdir()


def _locked(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _settings_of(plain: dict[str, Any]) -> RunSettings:
    paths = {name: Path(plain[name]) for name in ("findings", "corpus", "seeds") if plain[name] is not None}
    return RunSettings(**{**plain, **paths, "faults": tuple(plain["faults"])})
