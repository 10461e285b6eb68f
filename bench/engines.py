"""Engines: programs, operations and state features per second of processor time, checkpoints on and off.

In:    how many seconds each engine gets; the engines.
Out:   EngineFigures: a row for each engine; what checkpoints gain, on the very same programs with and without.
Never: a row whose programs were not judged: every result is checked as those of bench/loop.py are.
Next:  the text in bench/tables.py; Hypothesis with every advantage instead of as an engine: bench/baseline.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from random import Random
from time import process_time

from bench.work import check_result, must
from zsfuzz.campaign.engines import target_modules
from zsfuzz.engine.base import Engine
from zsfuzz.engine.coverage_engine import CoverageEngine
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.execute.runner import Runner
from zsfuzz.strategies.hypothesis_engine import HypothesisEngine

SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class EngineRow:
    """What one engine did. operations: effective ones of all programs, those that a checkpoint saved included."""

    name: str
    seconds: float
    programs: int
    operations: int
    steps: int
    steps_resumed: int
    features: int


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """All rows. gain: how much faster the coverage engine's programs run with checkpoints; family_gain: those of them
    that go on from one.
    """

    seed: int
    rows: tuple[EngineRow, ...]
    gain: float
    family_gain: float


def measure_engines(seconds: float, seed: int, say: Callable[[str], None] = lambda _: None) -> EngineFigures:
    """Return the figures. Errors: WorkNotDone; whatever a run raises."""
    gain, family_gain = _gain(seed, max(40, int(seconds * 20)))
    rows = []
    for name, make in _engines(seed).items():
        rows.append(_row(name, make(), seconds))
        say(_told(rows[-1]))
    if find_spec("atheris") is not None:
        rows.append(_atheris_row(seconds, seed))
        say(_told(rows[-1]))
    return EngineFigures(seed, tuple(rows), gain, family_gain)


def _told(row: EngineRow) -> str:
    return f"{row.name}: {row.programs / row.seconds:,.0f} programs a second, {row.features:,} features"


def _engines(seed: int) -> dict[str, Callable[[], Engine]]:
    """Return how to make each engine that leaves its process as it was."""
    return {
        "random": lambda: RandomEngine(Random(seed)),
        "coverage": lambda: CoverageEngine(Random(seed)),
        "hypothesis": lambda: HypothesisEngine(Random(seed)),
    }


def _atheris_row(seconds: float, seed: int) -> EngineRow:
    """Measure atheris in a process of its own: it instruments the targets, and there is one in a process."""
    words = [sys.executable, "-m", "bench.engines", str(seconds), str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    must(done.returncode == 0, f"atheris: its process ended with status {done.returncode}: {done.stderr[-300:]}")
    return EngineRow(**json.loads(done.stdout))


def _measure_atheris(seconds: float, seed: int) -> EngineRow:
    from zsfuzz.engine.atheris_engine import AtherisEngine

    return _row("atheris", AtherisEngine(seed, modules=target_modules("reference", "candidate")), seconds)


def _row(name: str, engine: Engine, seconds: float) -> EngineRow:
    runner = Runner()
    features: set[int] = set()
    programs = operations = steps = 0
    started = process_time()
    while (now := process_time()) - started < seconds:
        program = engine.next_program()
        result = runner.run(program)
        engine.feedback(program, result)
        check_result(result, name)
        features.update(result.features)
        programs, operations, steps = programs + 1, operations + result.operations, steps + len(program.steps)
    must(operations > 0, f"{name}: no effective operation")
    return EngineRow(name, now - started, programs, operations, steps, runner.steps_resumed, len(features))


def _gain(seed: int, count: int) -> tuple[float, float]:
    """Return the gain of checkpoints over all programs, and over those that went on from one."""
    engine = CoverageEngine(Random(seed))
    with_them, without = Runner(), Runner(resumes=False)
    spent = {True: [0.0, 0.0], False: [0.0, 0.0]}
    for _ in range(count):
        program = engine.next_program()
        before, started = with_them.steps_resumed, process_time()
        result = with_them.run(program)
        middle = process_time()
        must(without.run(program) == result, "a resumed run gave another result than a full one")
        ended = process_time()
        went_on = with_them.steps_resumed > before
        spent[went_on][0] += middle - started
        spent[went_on][1] += ended - middle
        engine.feedback(program, result)
    must(spent[True][0] > 0, "no program went on from a checkpoint")
    total = [spent[True][side] + spent[False][side] for side in (0, 1)]
    return total[1] / total[0], spent[True][1] / spent[True][0]


if __name__ == "__main__":
    json.dump(asdict(_measure_atheris(float(sys.argv[1]), int(sys.argv[2]))), sys.stdout)
