"""Targets of a user's own that end their process, and the means to run and to kill a campaign.

In:    words of a command line; a folder.
Out:   DEADLY, a module's source; Run, a `zsfuzz run --workers` in a process of its own.
Never: imported by what it kills.
Next:  tests/campaign/workers/test_supervisor.py, tests/campaign/workers/test_kills.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.commands import argv, environment

DEADLY = '''
import os, time
import candidate

Base = candidate.TARGETS["candidate"]

class Deadly(Base):
    """Does its worst when a pool of seven pages is compacted."""

    def zs_compact(self, pool):
        if self.zs_get_total_pages(pool) == 7:
            self.worst()
        return super().zs_compact(pool)

class Hangs(Deadly):
    name = "hangs"

    def worst(self):
        while True:
            pass

class Eats(Deadly):
    name = "eats"

    def worst(self):
        held = []
        while True:
            held.append(bytearray(b"x" * (1 << 20)))
            time.sleep(0.0005)

class Crashes(Deadly):
    name = "crashes"

    def worst(self):
        os.abort()

class AtOnce(Base):
    name = "at once"
    pid = os.getpid()

    def __init__(self, kernel):
        if os.path.exists("now"):
            os._exit(9)
        super().__init__(kernel)
'''

FINDINGS = "found"


class Run:
    """One command in a folder. Its findings folder is FINDINGS."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
            self.process = subprocess.Popen(
                argv("run", "--no-seeds", "--findings", FINDINGS, "--json", *words),
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def workers(self) -> list[int]:
        """Return the process ids of its workers, oldest first."""
        return children_of(self.process.pid)

    def wait_for(self, what: Callable[[], object], seconds: float = 60) -> None:
        """Wait until something is true. Errors: AssertionError when it does not come, or the command ends before."""
        end = time.monotonic() + seconds
        while not what():
            assert self.process.poll() is None, self.err
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.02)

    def has_begun(self, workers: int = 1) -> bool:
        """Return whether so many workers have begun: their first records are there."""
        records = (self.folder / FINDINGS / ".campaign").glob("*/slate.1")
        return sum(record.stat().st_size > 0 for record in records) >= workers

    def kill(self) -> None:
        """kill -9 of the supervisor."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def report(self, seconds: float = 120) -> dict[str, Any]:
        """Return the JSON that it prints at its end."""
        self.process.wait(seconds)
        document: dict[str, Any] = json.loads((self.folder / "out").read_text())
        return document

    @property
    def err(self) -> str:
        """Return what it said on standard error."""
        return (self.folder / "err").read_text()


def children_of(pid: int) -> list[int]:
    """Return the process ids of the children of a process."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def is_there(pid: int) -> bool:
    """Return whether a process is running; one that has ended and was not asked for its status is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def left_in(folder: Path) -> list[str]:
    """Return the names of what a campaign should have cleared away."""
    return [name for name in os.listdir(folder) if name.startswith(".")] if folder.exists() else []
