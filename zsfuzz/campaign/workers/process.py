"""Process: one incarnation of a worker, as its supervisor sees it from outside.

In:    the campaign's folder, the number of the worker and of its start.
Out:   WorkerProcess: whether it is alive, what it wrote, how much memory it holds, what ended it.
Never: an interpreter shared with the supervisor: what a worker does to itself stays with it.
Next:  what runs in it: zsfuzz/campaign/workers/worker.py; who starts it: zsfuzz/campaign/workers/supervisor.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from zsfuzz.campaign.files import writing
from zsfuzz.campaign.workers.folder import CampaignFolder
from zsfuzz.campaign.workers.record import NOTHING, Record
from zsfuzz.campaign.workers.slate import read_slate
from zsfuzz.campaign.workers.suspects import Cause

LOG_CHARS = 4000
"""How much of the end of a log is looked at."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class WorkerProcess:
    """A process, from its start to its end."""

    def __init__(
        self, folder: CampaignFolder, number: int, start: int, quota: int | None, retries: Mapping[str, bytes]
    ) -> None:
        """quota: programs it may run, None for no limit. retries: sealed programs by name, which it runs first.

        Errors: UsageError when its folder cannot be written.
        """
        self.number = number
        self.start = start
        self.retries = tuple(retries)
        self.path = folder.worker(number, start)
        self.record = NOTHING
        self.written = 0
        self.killed_for: Cause | None = None
        self.asked_to_end = False
        with writing(self.path):
            (self.path / "retry").mkdir(parents=True)
            for name, sealed in retries.items():
                (self.path / "retry" / name).write_bytes(sealed)
            self._process = self._started(folder, quota)

    def _started(self, folder: CampaignFolder, quota: int | None) -> subprocess.Popen[bytes]:
        words = [str(folder.findings), str(self.number), str(self.start), str(os.getpid())]
        words += [] if quota is None else [str(quota)]
        with open(self.path / "log", "wb") as log:
            return subprocess.Popen(
                # -P and the whole path: modules of the user's own are looked for where the supervisor looks for them.
                [sys.executable, "-P", "-m", "zsfuzz.campaign.workers.worker", *words],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(place) for place in sys.path)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C at the terminal is for the supervisor; it asks the workers to end
            )

    @property
    def alive(self) -> bool:
        """Return whether it is still running."""
        return self._process.poll() is None

    def look(self) -> bool:
        """Read what it has written; return whether that is news."""
        written = read_slate(slate_path(self.path))
        if written is None or written.number == self.written:
            return False
        self.written = written.number
        self.record = Record.unpack(written.value)
        return True

    def resident_bytes(self) -> int:
        """Return how much memory it holds; 0 where the system does not tell, or when it has ended."""
        try:
            text = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii")
        except OSError:
            return 0
        return int(text.split()[1]) * _PAGE_BYTES

    def ask_to_end(self) -> None:
        """Let it end after the program that it runs."""
        self.asked_to_end = True
        self._process.terminate()

    def kill(self, cause: Cause | None = None) -> None:
        """End it at once. cause: what its program did."""
        self.killed_for = self.killed_for or cause
        self._process.kill()

    def wait(self) -> None:
        """Wait for its end."""
        self._process.wait()

    @property
    def status(self) -> int:
        """Return the exit status of a process that has ended, below 0 for a signal."""
        status = self._process.returncode
        assert status is not None, "it is still running"
        return status

    @property
    def cause(self) -> Cause:
        """Return what ended it, when that was not in order."""
        if self.killed_for is not None:
            return self.killed_for
        if hang_path(self.path).exists() and hang_path(self.path).stat().st_size:
            return Cause.HANG
        outside = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
        return Cause.KILLED if self.status in outside else Cause.CRASH

    @property
    def end(self) -> str:
        """Return its exit status or signal in words."""
        code = self.status
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def last_words(self) -> str:
        """Return where it hung, and the end of its log."""
        paths = [path for path in (hang_path(self.path), self.path / "log") if path.exists()]
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
        return "".join(text[-LOG_CHARS:] for text in texts if text.strip())


def slate_path(path: Path) -> Path:
    """Return where a worker keeps its record. path: the worker's folder."""
    return path / "slate"


def hang_path(path: Path) -> Path:
    """Return where a worker's watchdog says where it hung."""
    return path / "hang"
