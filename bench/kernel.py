"""Kernels: worlds a second from Python, cases with lanes a second, and the whole swap capture.

In:    builds of kernels, as `kernel:NAME` finds them.
Out:   KernelFigures, work checked; a reason where a kernel is not there.
Never: a build, a fetch.
Next:  the text and the data in kernel_lines() and kernel_data(); bench/run.py puts the sections together.

A world is a program of WORLD_STEPS steps on a fresh pool in fresh memory, drained and checked at its end. Its steps are
the random engine's, less those that kernel targets do not have. Rates are of processor time, the best of some blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

from bench.work import must
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.errors import UsageError
from zsfuzz.kernel.library import RANDOM, Request
from zsfuzz.kernel.lower import is_lowered, lower_block, lower_steps
from zsfuzz.kernel.process import open_executor
from zsfuzz.kernel.runner import KernelRunner
from zsfuzz.kernel.targets import find_build
from zsfuzz.program import ops
from zsfuzz.program.program import Program
from zsfuzz.trace.files import import_trace_file

WORLD_STEPS = 100
WORLD_PAGES = 32
LANES, LANE_STEPS = 4, 50
PAIR = ("6.12", "7.2")
VERSIONS = ("5.10", "6.1", "6.12", "7.2")
MOVING = (ops.Migrate, ops.Compact, ops.Isolate, ops.Putback, ops.Shrink, ops.Trim)


@dataclass(frozen=True, slots=True)
class KernelFigures:
    """What was measured. worlds, cases: a second of processor time. shares: of the mix. captures: seconds each."""

    pair: tuple[str, str]
    worlds: float
    worlds_wall: float
    effective: float
    moving_share: float
    shares: dict[str, float]
    cases: float
    cases_points: float
    cases_switches: float
    captures: dict[str, float]


def measure_kernels(capture: Path, worlds: int = 200, blocks: int = 5, cases: int = 400) -> KernelFigures:
    """Measure, and check the work. Errors: UsageError when a kernel is not built; WorkNotDone."""
    runner = KernelRunner(f"kernel:{PAIR[0]}", f"kernel:{PAIR[1]}")
    programs = _worlds(worlds)
    effective = sum(_clean(runner, each) for each in programs)
    must(effective > 0.85 * worlds * WORLD_STEPS, f"only {effective} of {worlds * WORLD_STEPS} steps took effect")
    mix = Counter(type(step) for each in programs for step in each.steps)
    rate, wall = _best(lambda: [runner.run(each) for each in programs], len(programs), blocks)
    lanes = _lanes(PAIR[1], cases, blocks)
    return KernelFigures(
        pair=PAIR,
        worlds=rate,
        worlds_wall=wall,
        effective=effective / worlds,
        moving_share=sum(mix[kind] for kind in MOVING) / mix.total(),
        shares={kind.__name__: count / mix.total() for kind, count in mix.most_common()},
        cases=lanes[0],
        cases_points=lanes[1],
        cases_switches=lanes[2],
        captures={name: _capture(name, capture) for name in VERSIONS},
    )


def _clean(runner: KernelRunner, program: Program) -> int:
    result = runner.run(program)
    must(not result.findings, f"a finding: {result.findings}")
    must(result.checks["drain"] == 1 and result.checks["invariants"] > 0, "a world was not checked to its end")
    return result.operations


def _best(work: Callable[[], object], count: int, blocks: int) -> tuple[float, float]:
    """Return the best rate a second of processor time, and of the clock."""
    rates = []
    for _ in range(blocks):
        cpu, wall = process_time(), perf_counter()
        work()
        rates.append((count / (process_time() - cpu), count / (perf_counter() - wall)))
    return max(rates)[0], max(rate for _, rate in rates)


def _worlds(count: int) -> list[Program]:
    engine = RandomEngine(Random(7), GenerateSettings(geometry="linux-5.10", steps=2 * WORLD_STEPS))
    found: list[Program] = []
    while len(found) < count:
        each = engine.next_program()
        steps = tuple(step for step in each.steps if is_lowered(type(step)))[:WORLD_STEPS]
        if len(steps) == WORLD_STEPS:
            header = replace(each.header, switches=(), normal_pages=WORLD_PAGES, movable_pages=WORLD_PAGES)
            found.append(Program(header, steps))
    return found


def _lanes(name: str, count: int, blocks: int) -> tuple[float, float, float]:
    """Return cases, points and switches a second: a random choice at every point."""
    executor = open_executor(find_build(name))
    dice = Random(3)
    batches = [_case(dice) for _ in range(count)]
    requests = [Request(WORLD_PAGES, WORLD_PAGES, policy=RANDOM, seed=each, chance=65535) for each in range(count)]
    ran = [executor.run(*each) for each in zip(batches, requests, strict=True)]
    must(not any(each.report for each in ran), "a case with lanes reported something")
    must(sum(each.effective for each in ran) > count * LANES * LANE_STEPS // 4, "lanes did nothing")
    points, switches = sum(each.points for each in ran), sum(each.switches for each in ran)
    must(switches > 0.2 * points, f"{switches} switches at {points} points")
    rate, _ = _best(lambda: [executor.run(*each) for each in zip(batches, requests, strict=True)], count, blocks)
    return rate, rate * points / count, rate * switches / count


def _case(dice: Random) -> Any:
    """Return a batch: some objects, then lanes that allocate, free, migrate, compact, read and write them."""
    sizes = (3256, 3256, 48, 2040, 4096, 2440, 100)
    words = lower_steps([ops.Malloc(slot, dice.choice(sizes)) for slot in range(12)])
    lanes = [[_lane_step(dice, sizes) for _ in range(LANE_STEPS)] for _ in range(LANES)]
    words.extend(lower_block(lanes))
    return words


def _lane_step(dice: Random, sizes: tuple[int, ...]) -> ops.Operation:
    slot = dice.randrange(16)
    page = ops.Component(slot, dice.randrange(4))
    match dice.randrange(10):
        case 0 | 1 | 2:
            return ops.Malloc(slot, dice.choice(sizes))
        case 3 | 4:
            return ops.Free(slot)
        case 5 | 6:
            return ops.Migrate((page,), ops.MigrateMode.SYNC)
        case 7:
            return ops.Write(slot, 0, 64, slot)
        case 8:
            return ops.Read(slot, 0, 64)
        case _:
            return dice.choice((ops.Compact(), ops.RunWork(), ops.Isolate(slot, page), ops.Putback(slot)))


def _capture(name: str, path: Path) -> float:
    (captured,) = import_trace_file(path).programs
    runner = KernelRunner(f"kernel:{name}", f"kernel:{name}", cadence=4096)
    began = process_time()
    result = runner.run(captured)
    seconds = process_time() - began
    must(not result.findings, f"kernel {name}: {result.findings}")
    must(result.operations == len(captured.steps), f"kernel {name}: {result.operations} of {len(captured.steps)} steps")
    return seconds


def kernel_lines(figures: KernelFigures | UsageError) -> list[str]:
    """Return the section as text."""
    if isinstance(figures, UsageError):
        return [f"kernels: not measured: {figures}"]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in figures.shares.items() if share >= 0.01)
    captures = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in figures.captures.items())
    pair, wall = " and ".join(figures.pair), f"{figures.worlds_wall:,.0f}"
    lanes = f"{LANES} lanes by {LANE_STEPS} operations, a choice at every point"
    millions = figures.cases_points / 1e6, figures.cases_switches / 1e6
    return [
        f"kernels: worlds of {WORLD_STEPS} steps ({figures.effective:.0f} effective), {pair} compared",
        "",
        f"  {figures.worlds:,.0f} worlds a second of processor time ({wall} by the clock; wanted: 8,000)",
        f"  mix: {shares}; {figures.moving_share:.0%} move or hold pages",
        f"  {figures.cases:,.0f} cases a second of {lanes} (wanted: 4,000)",
        f"  {millions[0]:.1f} million points, {millions[1]:.1f} million switches a second",
        f"  the whole swap capture, twice on each kernel and compared: {captures}",
    ]


def kernel_data(figures: KernelFigures | UsageError) -> dict[str, Any]:
    """Return the section as plain data."""
    return {"not_measured": str(figures)} if isinstance(figures, UsageError) else asdict(figures)
