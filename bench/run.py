"""Run: every benchmark, one after the other; tables on standard output, figures in bench/results.json.

In:    the command line: python -m bench.run [--quick] [--only NAME ...] [--blocks N] [--seed N] [--out FILE].
Out:   exit status 0 when all work was done, whatever the figures; 1 when some was not, and no file then;
       2 when the file cannot be written.
Never: a verdict on a figure: a noisy machine is no bug. What is wanted stands beside what was measured.
Next:  bench/loop.py, bench/lanes.py, bench/replay.py, bench/costs.py, bench/policies.py, bench/workers.py; the text in
       bench/tables.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.costs import measure_costs
from bench.engines import SECONDS, measure_engines
from bench.kernel import KernelFigures, kernel_data, kernel_lines, measure_kernels
from bench.lanes import LaneSettings, lane_data, lane_lines, measure_lanes
from bench.loop import LoopSettings, measure_loop
from bench.policies import measure_policies
from bench.replay import EXCERPT, EXCERPT_COUNTS, ROOT, SWAP_CAPTURE, measure_replay
from bench.tables import (
    cost_data,
    cost_lines,
    engine_data,
    engine_lines,
    loop_data,
    loop_lines,
    policy_data,
    policy_lines,
    replay_data,
    replay_lines,
    workers_data,
    workers_lines,
)
from bench.work import WorkNotDone
from bench.workers import WorkersSettings, measure_workers
from zsfuzz.errors import UsageError

RESULTS = Path(__file__).resolve().parent / "results.json"
QUICK_LOOP = LoopSettings(blocks=2, programs=4, examples=4, steps=20, cadence=8, core_least=0.0, most_distance=1.0)
COST_PROGRAMS = 200
QUICK_COST_PROGRAMS = 4
QUICK_ENGINE_SECONDS = 1.5
QUICK_LANES = LaneSettings(families=2, cases=3, blocks=1)
POLICY_RUNS = 10_000
QUICK_POLICY_RUNS = 20
QUICK_WORKERS = WorkersSettings(blocks=1, seconds=1.0, geometry="small")

Section = tuple[list[str], dict[str, Any]]


def _loop(arguments: argparse.Namespace) -> Section:
    settings = QUICK_LOOP if arguments.quick else LoopSettings(blocks=arguments.blocks, seed=arguments.seed)
    figures = measure_loop(settings, _say)
    return loop_lines(figures), loop_data(figures)


def _replay(arguments: argparse.Namespace) -> Section:
    if arguments.quick:
        figures = measure_replay(ROOT / EXCERPT, expected=EXCERPT_COUNTS, cadence=64)
    else:
        figures = measure_replay()
    return replay_lines(figures), replay_data(figures)


def _lanes(arguments: argparse.Namespace) -> Section:
    settings = QUICK_LANES if arguments.quick else LaneSettings(seed=arguments.seed)
    figures = measure_lanes(settings)
    return lane_lines(figures), lane_data(figures)


def _costs(arguments: argparse.Namespace) -> Section:
    loop = QUICK_LOOP if arguments.quick else LoopSettings()
    programs = QUICK_COST_PROGRAMS if arguments.quick else COST_PROGRAMS
    figures = measure_costs(programs, loop.steps, loop.cadence, arguments.seed)
    return cost_lines(figures), cost_data(figures)


def _policies(arguments: argparse.Namespace) -> Section:
    figures = measure_policies(QUICK_POLICY_RUNS if arguments.quick else POLICY_RUNS)
    return policy_lines(figures), policy_data(figures)


def _workers(arguments: argparse.Namespace) -> Section:
    settings = QUICK_WORKERS if arguments.quick else WorkersSettings(seed=arguments.seed)
    figures = measure_workers(settings, _say)
    return workers_lines(figures), workers_data(figures)


def _engines(arguments: argparse.Namespace) -> Section:
    figures = measure_engines(QUICK_ENGINE_SECONDS if arguments.quick else SECONDS, arguments.seed, _say)
    return engine_lines(figures), engine_data(figures)


def _kernel(arguments: argparse.Namespace) -> Section:
    try:
        if arguments.quick:
            figures: KernelFigures | UsageError = measure_kernels(ROOT / EXCERPT, worlds=4, blocks=2, cases=4)
        else:
            figures = measure_kernels(ROOT / SWAP_CAPTURE)
    except UsageError as missing:  # a kernel that nobody built here is no failure of the benchmark
        figures = missing
    return kernel_lines(figures), kernel_data(figures)


SECTIONS: dict[str, Callable[[argparse.Namespace], Section]] = {
    "loop": _loop,
    "lanes": _lanes,
    "replay": _replay,
    "costs": _costs,
    "policies": _policies,
    "workers": _workers,
    "engines": _engines,
    "kernel": _kernel,
}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def environment() -> dict[str, Any]:
    """Return what a figure depends on besides the sources."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "hypothesis": version("hypothesis"),
    }


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="Measure, and check the work measured.")
    parser.add_argument("--quick", action="store_true", help="tiny blocks: does it work, not how fast it is")
    parser.add_argument("--only", nargs="+", choices=tuple(SECTIONS), default=tuple(SECTIONS), metavar="NAME")
    parser.add_argument("--blocks", type=int, default=LoopSettings().blocks, help="interleaved blocks of each row")
    parser.add_argument("--seed", type=int, default=LoopSettings().seed)
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for. Returns the exit status."""
    options = parsed(arguments)
    results: dict[str, Any] = {"environment": environment(), "quick": options.quick}
    print("  ".join(f"{name} {value}" for name, value in results["environment"].items()))
    try:
        for name in options.only:
            lines, results[name] = SECTIONS[name](options)
            print("\n" + "\n".join(lines), flush=True)
    except WorkNotDone as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    try:
        options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"bench: --out {options.out}: {error.strerror}; name a file in a writable folder", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
