"""Running commands, in this process and as a user does.

In:    words of a command line.
Out:   Done: status, standard output, standard error.
Never: what the commands do.
Next:  tests/cli/, tests/e2e/.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from zsfuzz.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """Return the one line of a user's mistake. Errors: AssertionError for anything but one line."""
        assert self.status == 2, self
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("zsfuzz: ")
        return lines[0]


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Done:
    """Run a command in this process."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return Done(code, captured.out, captured.err)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a command: this project can be imported, installed or not."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **(extra or {})}


def argv(*words: str | Path) -> list[str]:
    """Return the words that start a command in a process of its own."""
    return [sys.executable, "-m", "zsfuzz", *map(str, words)]


def shell(*words: str | Path, cwd: Path, timeout: float = 120) -> Done:
    """Run a command in a process of its own."""
    done = subprocess.run(
        argv(*words),
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
