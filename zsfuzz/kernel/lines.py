"""Programs run on a build for coverage of lines, in a process of its own, and what they reached.

In:    a Build with coverage of lines; programs.
Out:   the reports of those that stopped; FileCoverage of its mm/zsmalloc.c.
Never: a judgement of what a program did: that is the business of a run.
Next:  the other process is zsfuzz/kernel/lines_worker.py; gcov is read in zsfuzz/kernel/gcov_run.py.

gcov's counters reach the disk when the process that counted says so. A program that ends its process costs what was
counted since the worker last said so; the next program finds a new worker.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from array import array
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from zsfuzz.errors import HarnessError
from zsfuzz.kernel.build import Build
from zsfuzz.kernel.gcov import FileCoverage
from zsfuzz.kernel.gcov_run import gcov_of, read_coverage
from zsfuzz.kernel.library import STATE, Report, Request
from zsfuzz.kernel.lower import lower_block, lower_steps
from zsfuzz.kernel.runner import in_block
from zsfuzz.machine.geometry import geometry
from zsfuzz.program.program import Program

_CADENCE = 16


@dataclass(frozen=True, slots=True)
class Died:
    """A worker that ended without an answer. status: as subprocess has it, negative for a signal."""

    status: int


class LinesRun:
    """Runs programs and counts lines, as a context manager; what earlier runs counted is thrown away."""

    def __init__(self, build: Build) -> None:
        """Errors: UsageError when the build's compiler has no gcov."""
        assert build.options.coverage == "lines", build.options
        self._build = build
        self._gcov = gcov_of(build.options.compiler)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        for path in self._build.folder.rglob("*.gcda"):
            path.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._end()

    def run(self, program: Program) -> Report | Died | None:
        """Run one program; None when nothing stopped it."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump(batch_of(program), process.stdin)
            process.stdin.flush()
            report: Report | None = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            return Died(self._end())
        if report is not None and report.crashed:
            self._end()
        return report

    def coverage(self) -> FileCoverage:
        """Return what all programs so far reached. Errors: UsageError when gcov cannot read it."""
        if self._process is not None and (status := self._end()) != 0:
            raise HarnessError(f"the process that counted lines ended with status {status}")
        return read_coverage(self._build.folder, self._build.source, self._gcov)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            root = str(Path(__file__).resolve().parents[2])
            path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "zsfuzz.kernel.lines_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # an interrupt is this process's to handle: the worker still writes its counts
            )
            assert self._process.stdin is not None
            pickle.dump(self._build, self._process.stdin)
        return self._process

    def _end(self) -> int:
        """Let the worker write its counters and end; return its status."""
        assert self._process is not None
        process, self._process = self._process, None
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # it has gone already
            process.stdin.close()
        process.stdout.close()
        return process.wait()


def batch_of(program: Program) -> tuple[array[int], Request]:
    """Return a program as the C side takes it. Lanes take turns as they do in zsfuzz/kernel/runner.py."""
    words = lower_steps(program.steps)
    frames = geometry(program.header.geometry)
    request = Request(
        program.header.normal_pages or frames.normal_pages,
        program.header.movable_pages or frames.movable_pages,
        level=STATE,
        cadence=_CADENCE,
        text=True,
    )
    if program.block is not None:
        words.extend(lower_block(program.block.lanes))
    return words, in_block(program, request, None)
