"""Workers: how much more two processes do than one, in the same time and on the same programs' terms.

In:    WorkersSettings; the command `zsfuzz run`, as a user starts it.
Out:   WorkersFigures: blocks of one and of several workers in turns, their rates, their ratio.
Never: a figure of a run that was not checked: its counts have to add up, and nothing may be found.
Next:  what is printed: bench/tables.py; how workers work: zsfuzz/campaign/workers/supervisor.py.

Each block is a campaign of its own with a corpus of its own. A program that a worker takes over from another one counts
as an execution, for it is one; how many there were is printed beside. Rates are by the clock on the wall, as that is
what workers are for; on a machine that does other things too, the rate per second of processor time says what it costs
to share, and what a quiet machine would show.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.work import must

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class WorkersSettings:
    """blocks: of each row. seconds: of a block. workers: of the row that is held against one."""

    blocks: int = 4
    seconds: float = 30.0
    workers: int = 2
    seed: int = 1
    geometry: str | None = None


@dataclass(frozen=True, slots=True)
class WorkersBlock:
    """One campaign. cpu_seconds: of all its processes, without their start. foreign: programs of other workers."""

    workers: int
    seconds: float
    cpu_seconds: float
    programs: int
    operations: int
    foreign: int

    @property
    def programs_rate(self) -> float:
        """Return executions per second on the wall."""
        return self.programs / self.seconds

    @property
    def operations_rate(self) -> float:
        """Return effective operations per second on the wall."""
        return self.operations / self.seconds

    @property
    def processor_rate(self) -> float:
        """Return effective operations per second of processor time."""
        return self.operations / self.cpu_seconds


@dataclass(frozen=True, slots=True)
class WorkersFigures:
    """The blocks of both rows, in turns."""

    settings: WorkersSettings
    one: tuple[WorkersBlock, ...]
    several: tuple[WorkersBlock, ...]

    def ratio(self, rate: Callable[[WorkersBlock], float]) -> float:
        """Return the ratio of the medians of a rate."""
        return statistics.median(map(rate, self.several)) / statistics.median(map(rate, self.one))

    @property
    def programs_ratio(self) -> float:
        """Return how many times the executions of one worker several do in the same time."""
        return self.ratio(lambda block: block.programs_rate)

    @property
    def operations_ratio(self) -> float:
        """Return the same of effective operations."""
        return self.ratio(lambda block: block.operations_rate)

    @property
    def processor_ratio(self) -> float:
        """Return what the first ratio of operations would be if each worker had a processor of its own."""
        return self.settings.workers * self.ratio(lambda block: block.processor_rate)


def measure_workers(settings: WorkersSettings, say: Callable[[str], None] = lambda _: None) -> WorkersFigures:
    """Return the figures. Errors: WorkNotDone."""
    rows: dict[int, list[WorkersBlock]] = {1: [], settings.workers: []}
    starting = {workers: run_block(settings, workers, settings.seed, starting=0.0).cpu_seconds for workers in rows}
    for number in range(settings.blocks):
        order = list(rows) if number % 2 == 0 else list(rows)[::-1]
        for workers in order:
            block = run_block(settings, workers, settings.seed + number, starting[workers])
            rows[workers].append(block)
            rate = f"{block.programs_rate:,.1f} programs a second"
            say(f"block {number + 1} of {settings.blocks}: {workers} workers: {rate}")
    return WorkersFigures(settings, tuple(rows[1]), tuple(rows[settings.workers]))


def run_block(settings: WorkersSettings, workers: int, seed: int, starting: float) -> WorkersBlock:
    """Run one campaign and check its report. Errors: WorkNotDone.

    starting: processor time of a campaign that does next to nothing; 0.0 to find that out.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = [
            "--workers",
            str(workers),
            "--time",
            f"{settings.seconds:g}",
            "--seed",
            str(seed),
            "--corpus",
            "corpus",
        ]
        words += ["--geometry", settings.geometry] if settings.geometry else []
        words += [] if starting else ["--runs", str(workers)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-m", "zsfuzz", "run", "--json", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    must(done.returncode == 0, f"{workers} workers: exit status {done.returncode}: {done.stderr[-500:]}")
    report = json.loads(done.stdout)
    check_report(report, workers)
    return WorkersBlock(
        workers=workers,
        seconds=report["seconds"],
        cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - starting,
        programs=report["programs"],
        operations=report["operations"],
        foreign=report["engine_statistics"].get("foreign", 0),
    )


def check_report(report: dict[str, Any], workers: int) -> None:
    """Errors: WorkNotDone when the counts of a campaign do not add up, or work was not checked."""
    what = f"{workers} workers"
    must(report["workers"] == workers, f"{what}: {report['workers']} worked")
    must(not report["findings"], f"{what}: something was found, so that programs were cut short")
    must(report["programs"] > 0 and report["operations"] > 0, f"{what}: nothing was run")
    must(report["checks"]["counters"] >= report["operations"] // 2, f"{what}: operations were not compared")
    must(report["checks"]["full"] > 0, f"{what}: nothing was compared in full")
    if workers > 1:
        must(report["worker_deaths"] == 0 and not report["quarantined"], f"{what}: some died")
        for name in ("programs", "operations", "no_ops"):
            parts = [figures[name] for figures in report["worker_figures"]]
            must(sum(parts) == report[name] and min(parts) > 0, f"{what}: {name} of each do not add up: {parts}")
