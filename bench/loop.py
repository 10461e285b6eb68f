"""Loop: effective operations per second of the fuzz loop, and of Hypothesis over the same two targets.

In:    LoopSettings; the executor, the engines, the baseline.
Out:   LoopFigures: per row its blocks, rate, mix and checks; ratios of medians.
Never: a figure whose work was not checked; a row measured at another time than the one it is held against.
Next:  what is checked in bench/work.py, the baseline in bench/baseline.py.

    block 0:   hypothesis | random | coverage        one after the other, so that a noisy machine is noisy
    block 1:   random | coverage | hypothesis        for all of them; the order rotates
    ...

Every program of every row is run a second time through the runner: the number of effective operations has to
be the same (a run is a pure function of the program), and the second run counts the mix.
"""

from __future__ import annotations

import gc
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from time import perf_counter, process_time

from bench.baseline import Session, run_baseline
from bench.work import CORE_SHARE_LEAST, KindCounter, Mix, check_mixes, check_result, mix_of, must
from zsfuzz.engine.base import Engine
from zsfuzz.engine.coverage_engine import CoverageEngine
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.execute.result import RunResult
from zsfuzz.execute.runner import Runner
from zsfuzz.program.ops import Operation
from zsfuzz.program.program import Program
from zsfuzz.strategies.rules import Weights

BASELINE = "hypothesis"
SWARM = "hypothesis-swarm"
"""The same rules with the same weights under names of their own: what Hypothesis does with them then, its own swarm
testing, makes another mix. The row is shown, and not what the loop is held against."""

BASELINES = (BASELINE, SWARM)
SHARED_CHECKS = ("outcomes", "counters", "placements", "full", "drain")


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """blocks: of each row. programs, examples: in a block. steps: typical length of a program or an example.

    cadence: steps between two full comparisons, on every row. core_least: the published mix; 0 for blocks too
    small to have one. most_distance: how far two mixes may be apart.
    """

    blocks: int = 5
    programs: int = 100
    examples: int = 70
    steps: int = 100
    cadence: int = 64
    seed: int = 1
    core_least: float = CORE_SHARE_LEAST
    most_distance: float = 0.25
    reference: str = "reference"
    candidate: str = "candidate"


@dataclass(frozen=True, slots=True)
class Block:
    """What one row did in one block.

    seconds: processor time, which is the wall clock's on a machine that does nothing else, and far steadier
    on one that does. The parts only where the loop is ours.
    """

    seconds: float
    wall_seconds: float
    operations: int
    no_ops: int
    programs: int
    generation_seconds: float = 0.0
    execution_seconds: float = 0.0
    feedback_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Return effective operations per second of processor time."""
        return self.operations / self.seconds


@dataclass(slots=True)
class Row:
    """One side of the comparison over all blocks."""

    name: str
    blocks: list[Block] = field(default_factory=list)
    counts: Counter[type[Operation]] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    recount_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Return the median over the blocks of effective operations per second."""
        return statistics.median(block.rate for block in self.blocks)

    @property
    def operations(self) -> int:
        """Return effective operations of all blocks."""
        return sum(block.operations for block in self.blocks)

    @property
    def mix(self) -> Mix:
        """Return the mix over all blocks."""
        return mix_of(self.counts)


@dataclass(frozen=True, slots=True)
class LoopFigures:
    """All rows; the baselines first. weights: of the baselines' rules."""

    settings: LoopSettings
    rows: tuple[Row, ...]
    weights: Weights

    def row(self, name: str) -> Row:
        """Return the row of that name."""
        return next(row for row in self.rows if row.name == name)

    def ratio(self, name: str, baseline: str = BASELINE) -> float:
        """Return by how much the median rate of a row exceeds a baseline's."""
        return self.row(name).rate / self.row(baseline).rate

    @property
    def fuzzing(self) -> tuple[Row, ...]:
        """Return the rows of our own engines."""
        return tuple(row for row in self.rows if row.name not in BASELINES)


class _Watch:
    """Started when it is made."""

    def __init__(self) -> None:
        self._cpu, self._wall = process_time(), perf_counter()

    def read(self) -> tuple[float, float]:
        """Return (seconds of processor time, seconds on the wall) since then."""
        return process_time() - self._cpu, perf_counter() - self._wall


class _FuzzLoop:
    """An engine and a runner, as a campaign has them."""

    def __init__(self, engine: Engine, loop: LoopSettings) -> None:
        self.engine = engine
        self.runner = Runner(loop.reference, loop.candidate, cadence=loop.cadence)
        self.done: list[tuple[Program, RunResult]] = []

    def block(self, programs: int) -> Block:
        """Run a block of programs. Errors: WorkNotDone, when the clock has stopped."""
        engine, run = self.engine, self.runner.run
        done: list[tuple[Program, RunResult]] = []
        generation = execution = feedback = 0.0
        watch = _Watch()
        for _ in range(programs):
            start = process_time()
            program = engine.next_program()
            made = process_time()
            result = run(program)
            ran = process_time()
            engine.feedback(program, result)
            done.append((program, result))
            feedback += process_time() - ran
            execution += ran - made
            generation += made - start
        seconds, wall_seconds = watch.read()
        self.done = done
        for _, result in done:
            check_result(result, engine.name)
        return Block(
            seconds=seconds,
            wall_seconds=wall_seconds,
            operations=sum(result.operations for _, result in done),
            no_ops=sum(result.no_ops for _, result in done),
            programs=programs,
            generation_seconds=generation,
            execution_seconds=execution,
            feedback_seconds=feedback,
        )


def measure_loop(loop: LoopSettings, say: Callable[[str], None] = lambda _: None) -> LoopFigures:
    """Return the figures of all rows. Errors: WorkNotDone; whatever a run raises."""
    settings = GenerateSettings(steps=loop.steps)
    engines: tuple[Engine, ...] = (
        RandomEngine(Random(loop.seed), settings),
        CoverageEngine(Random(loop.seed + 1), settings),
    )
    loops = [_FuzzLoop(engine, loop) for engine in engines]
    sessions = {
        name: Session(loop.reference, loop.candidate, loop.cadence, own_names=name == SWARM) for name in BASELINES
    }
    recounter = Runner(loop.reference, loop.candidate, cadence=loop.cadence)
    rows = [*(Row(name) for name in BASELINES), *(Row(engine.name) for engine in engines)]
    _warm_up(loops, sessions, loop, recounter)
    for number in range(loop.blocks):
        for turn in range(len(rows)):
            row = rows[(number + turn) % len(rows)]
            gc.collect()
            if row.name in BASELINES:
                _baseline_block(row, sessions[row.name], loop, loop.seed + number, recounter)
            else:
                _fuzz_block(row, loops[rows.index(row) - len(BASELINES)], loop, recounter)
            rate = row.blocks[-1].rate
            say(f"block {number + 1} of {loop.blocks}: {row.name}: {rate:,.0f} operations a second")
    figures = LoopFigures(loop, tuple(rows), sessions[BASELINE].weights)
    for row in figures.fuzzing:
        mixes = {row.name: row.mix, BASELINE: figures.row(BASELINE).mix}
        check_mixes(mixes, loop.core_least, loop.most_distance)
    return figures


def _warm_up(
    loops: Sequence[_FuzzLoop], sessions: Mapping[str, Session], loop: LoopSettings, recounter: Runner
) -> None:
    """Make the machines, fill the caches, fit the baseline's headers and weights to the random engine."""
    for each in loops:
        each.block(loop.programs)
    row = Row("random")
    done = loops[0].done
    recount(row, [program for program, _ in done], [result for _, result in done], recounter)
    sessions[BASELINE].fit(row.mix, [program.header for program, _ in done], loop.examples, loop.steps, loop.seed)
    sessions[SWARM].take_over(sessions[BASELINE])
    run_baseline(sessions[SWARM], max(2, loop.examples // 4), loop.steps, loop.seed)


def _fuzz_block(row: Row, fuzz: _FuzzLoop, loop: LoopSettings, recounter: Runner) -> None:
    block = fuzz.block(loop.programs)
    must(block.operations > 0, f"{row.name}: no effective operation in a block")
    row.blocks.append(block)
    recount(row, [program for program, _ in fuzz.done], [result for _, result in fuzz.done], recounter)


def recount(row: Row, programs: Sequence[Program], results: Sequence[RunResult], runner: Runner) -> None:
    """Run the programs again: the same operations have to take effect, and are counted by kind."""
    for program, result in zip(programs, results, strict=True):
        counter = KindCounter()
        again = runner.run(program, observer=counter)
        must(
            again.operations == result.operations == counter.counts.total(),
            f"{row.name}: {result.operations} operations took effect, {again.operations} when run again",
        )
        row.counts.update(counter.counts)
        row.checks.update({name: again.checks[name] for name in (*SHARED_CHECKS, "invariants")})


def _baseline_block(row: Row, session: Session, loop: LoopSettings, random_seed: int, recounter: Runner) -> None:
    session.clear()
    watch = _Watch()
    run_baseline(session, loop.examples, loop.steps, random_seed)
    seconds, wall_seconds = watch.read()
    operations = session.effective.total()
    must(operations > 0, f"{row.name}: no effective operation in a block")
    must(len(session.programs) >= loop.examples, f"{row.name}: fewer examples than asked for")
    row.blocks.append(Block(seconds, wall_seconds, operations, session.no_ops, len(session.programs)))
    row.counts.update(session.effective)
    row.checks.update({name: session.checks[name] for name in (*SHARED_CHECKS, "invariants")})
    row.recount_seconds += _check_baseline(row.name, session, recounter)


def _check_baseline(what: str, session: Session, runner: Runner) -> float:
    """Run what Hypothesis ran through the runner: the same operations, the same checks, or it is no baseline.

    Returns the seconds of processor time that took: what the operations cost without Hypothesis.
    """
    watch = _Watch()
    results = [runner.run(program) for program in session.programs]
    seconds, _ = watch.read()
    for result in results:
        check_result(result, what)
    operations, counted = sum(result.operations for result in results), session.effective.total()
    must(operations == counted, f"{what}: {counted} operations counted, {operations} when run again")
    for name in SHARED_CHECKS:
        checks = sum(result.checks[name] for result in results)
        must(
            checks == session.checks[name],
            f"{what}: {session.checks[name]} checks of {name!r}, the fuzz loop makes {checks}",
        )
    return seconds
