"""Make corpus/lanes/ again: one minimized program for each fault that only lanes can show.

In:    the catalogue's concurrent faults; blocks of the engines, with fixed seeds.
Out:   corpus/lanes/*.zst, each with the fault in its header and the signature it shows as its verdict.
Never: a program written by hand.
Next:  who replays them: tests/replay/test_lane_faults.py; the sequential ones: tests/quality/make_reproducers.py.

    python -m tests.quality.make_lane_reproducers            # all of them: half an hour
    python -m tests.quality.make_lane_reproducers A05 H15    # some
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

from zsfuzz.engine.parallel_engine import ParallelEngine
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.execute.runner import Runner
from zsfuzz.minimize.minimizer import minimize
from zsfuzz.program.block import PORTFOLIO, Chance
from zsfuzz.program.program import Program, with_schedule
from zsfuzz.program.text import format_program
from zsfuzz.target.fault import Fault
from zsfuzz.target.registry import faults

FOLDER: Final = Path(__file__).resolve().parents[2] / "corpus" / "lanes"
SEEDS: Final = 4
MOST_PROGRAMS: Final = 3000
RESCHEDULES: Final = 16
BUDGET: Final = 400


def showing(fault: Fault, runner: Runner) -> Program | None:
    """Return the first program of a few campaigns that has a finding, its schedule made."""
    for seed in range(SEEDS):
        settings = GenerateSettings()
        inner = RandomEngine(Random(seed), settings)
        engine = ParallelEngine(inner, Random(seed + 100), settings, 100, learns=True)
        for _ in range(MOST_PROGRAMS):
            program = engine.next_program()
            result = runner.run(program)
            if result.findings:
                return with_schedule(program, result.schedule)
            engine.feedback(program, result)
    return None


def reproducer(fault: Fault) -> str:
    """Return the text of one file, "" when nothing shows the fault."""
    runner = Runner("reference", "candidate", (fault.id,))
    start = showing(fault, runner)
    if start is None:
        return ""
    signature = runner.run(start, cadence=1).findings[0].signature

    def interesting(program: Program) -> bool:
        found = runner.run(program, cadence=1).findings
        return bool(found) and found[0].signature == signature

    def reschedule(program: Program) -> Program | None:
        for number in range(RESCHEDULES):
            if program.block is None:
                return None
            policy = "stores" if program.header.switches and number % 2 else PORTFOLIO[number % len(PORTFOLIO)]
            chance = Chance(policy, number, (), int(fault.target != "reference"))
            tried = replace(program, block=replace(program.block, schedule=(), chance=chance))
            found = runner.run(tried, cadence=1)
            if found.findings and found.findings[0].signature == signature:
                settled = with_schedule(tried, found.schedule)
                return settled if interesting(settled) else None
        return None

    small = minimize(start, interesting, budget=BUDGET, reschedule=reschedule).program
    header = replace(small.header, reference="reference", candidate="candidate", faults=(fault.id,), verdict=signature)
    return f"# {fault.id}: {fault.mechanism}\n{format_program(replace(small, header=header))}"


def main(names: list[str]) -> None:
    """Write the named files, or all of them."""
    for fault in faults().values():
        if not fault.concurrent or (names and fault.id not in names):
            continue
        text = reproducer(fault)
        sys.stdout.write(text or f"{fault.id}: nothing shows it\n")
        sys.stdout.flush()
        if text:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / f"{fault.id}.zst").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
