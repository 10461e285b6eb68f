"""Processes: jobs for workers, a few at a time, each ended when it takes far too long.

In:    jobs as plain data, in order; how many at a time; a wall-clock limit for each.
Out:   (job number, result) as they end; None for a job that had to be ended, by the kernel or by us.
Never: a process that outlives the call. Only after SIGKILL to this process does a worker go on, to its own limit.
Next:  what runs in there: zsfuzz/measure/worker.py.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from zsfuzz.errors import HarnessError

PROCESSOR_FACTOR: Final = 3
PROCESSOR_GRACE_SECONDS: Final = 60
"""Over the budget: the kernel ends a worker that needs more processor time than this."""
WALL_FACTOR: Final = 60
WALL_GRACE_SECONDS: Final = 600.0
"""A machine may be busy with other things, so the clock on the wall only ends what sleeps for ever."""
WORKER: Final = "zsfuzz.measure.worker"
_POLL_SECONDS: Final = 0.02
_ROOT: Final = Path(__file__).resolve().parents[2]  # a worker imports what this process has imported


def limit_processor_time(budget: float) -> None:
    """Let the kernel end this process when it takes far more than its budget."""
    seconds = int(budget * PROCESSOR_FACTOR) + PROCESSOR_GRACE_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def wall_limit(budget: float) -> float:
    """Return how long a worker with a budget of processor time may take at most."""
    return budget * WALL_FACTOR + WALL_GRACE_SECONDS


@dataclass(slots=True)
class _Running:
    number: int
    process: subprocess.Popen[str]
    output: IO[str]
    errors: IO[str]
    until: float


def run_jobs(
    jobs: Sequence[dict[str, Any]], at_once: int, limit_seconds: float
) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield each job's number and result in the order in which they end.

    Errors: HarnessError for a worker that ends without a result.
    """
    waiting = list(enumerate(jobs))[::-1]
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_start(*waiting.pop(), limit_seconds))
            for each in list(running):
                if each.process.poll() is not None:
                    running.remove(each)
                    yield each.number, _result_of(each)
                elif time.monotonic() > each.until:
                    _end(each)
                    running.remove(each)
                    yield each.number, None
            time.sleep(_POLL_SECONDS)
    finally:
        for each in running:
            _end(each)


def _start(number: int, job: dict[str, Any], limit_seconds: float) -> _Running:
    output, errors = (tempfile.TemporaryFile("w+") for _ in range(2))  # noqa: SIM115 - _result_of() closes them
    process = subprocess.Popen(
        [sys.executable, "-m", WORKER],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=errors,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))},
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it is gone already: its status tells
        process.stdin.write(json.dumps(job))
        process.stdin.close()
    return _Running(number, process, output, errors, time.monotonic() + limit_seconds)


def _result_of(running: _Running) -> dict[str, Any] | None:
    """Return a worker's result, None when the kernel ended it for its processor time."""
    texts = []
    for stream in (running.output, running.errors):
        stream.seek(0)
        texts.append(stream.read())
        stream.close()
    if running.process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return None
    if running.process.returncode != 0:
        last = texts[1].strip().splitlines()[-1:] or ["no message"]
        raise HarnessError(f"a worker ended with status {running.process.returncode}: {last[0]}")
    result: dict[str, Any] = json.loads(texts[0])
    return result


def _end(running: _Running) -> None:
    running.process.kill()
    running.process.wait()
    running.output.close()
    running.errors.close()
