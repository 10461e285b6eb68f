"""Lanes: concurrent cases per second: 3 lanes of 5 operations, both targets, all oracles but data races.

In:    LaneSettings; the generator of blocks, a runner.
Out:   LaneFigures: rate, points, switches and checks a case, where the time goes.
Never: a case whose lanes did nothing, or that was not judged in full.
Next:  sequential programs: bench/loop.py; how a block is judged: zsfuzz/execute/block_judge.py.

Cases come in families with the same steps before the block, as a campaign's do: the first two run all of them, the
others go on from the checkpoint behind them. The steps before are measured too.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from time import process_time

from bench.work import must
from zsfuzz.engine.blocks import generate_parallel, rescheduled
from zsfuzz.engine.choose import CHOOSERS
from zsfuzz.engine.deck import Deck
from zsfuzz.engine.generate import StepWriter
from zsfuzz.engine.profile import GenerateSettings, draw_profile
from zsfuzz.engine.rng import Dice
from zsfuzz.execute.runner import Runner
from zsfuzz.program.block import Block
from zsfuzz.program.ops import Operation
from zsfuzz.program.program import Program

LANES, OPERATIONS = 3, 5
CASES_WANTED = 1000.0


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """families: of each block of time. cases: in a family. blocks: of time, for the median."""

    families: int = 12
    cases: int = 16
    blocks: int = 5
    seed: int = 1


@dataclass(slots=True)
class LaneFigures:
    """rates: cases per second of processor time, a block of time each. counts: sums over all cases."""

    settings: LaneSettings
    rates: list[float]
    cases: int
    operations: int
    seconds: float
    counts: Counter[str]

    @property
    def rate(self) -> float:
        """Return the median of the rates."""
        return statistics.median(self.rates)


def shaped(dice: Dice, program: Program) -> Program:
    """Return a program whose block has LANES lanes of OPERATIONS operations: lanes are cut, filled up, added."""
    writer = StepWriter(dice, draw_profile(dice, program.header, OPERATIONS))
    for step in program.steps:
        writer.sketch.apply(step)
    lanes = [list(lane) for lane in program.block.lanes] if program.block is not None else []
    lanes = (lanes + [[] for _ in range(LANES)])[:LANES]
    block = Block(tuple(tuple(_filled(writer, lane)) for lane in lanes))
    return rescheduled(dice, replace(program, block=block))


def _filled(writer: StepWriter, lane: list[Operation]) -> list[Operation]:
    profile, dice = writer.profile, writer.dice
    while len(lane) < OPERATIONS:
        kinds = profile.core_kinds if dice.percent(45) else profile.kinds
        lane.append(CHOOSERS[dice.pick(kinds)](writer.choose))
    return lane[:OPERATIONS]


def measure_lanes(settings: LaneSettings) -> LaneFigures:
    """Return the figures. Errors: WorkNotDone."""
    dice = Dice(Random(settings.seed))
    deck, runner = Deck(dice, GenerateSettings()), Runner()
    figures = LaneFigures(settings, [], 0, 0, 0.0, Counter())
    _block_of_time(dice, deck, runner, replace(settings, families=2), LaneFigures(settings, [], 0, 0, 0.0, Counter()))
    for _ in range(settings.blocks):
        _block_of_time(dice, deck, runner, settings, figures)
    return figures


def _block_of_time(dice: Dice, deck: Deck, runner: Runner, settings: LaneSettings, figures: LaneFigures) -> None:
    programs = []
    for _ in range(settings.families):
        base = shaped(dice, generate_parallel(dice, deck.deal()))
        programs += [base, *[rescheduled(dice, base) for _ in range(settings.cases - 1)]]
    start = process_time()
    results = [runner.run(program) for program in programs]
    seconds = process_time() - start
    judged = [result for result in results if result.schedule is not None]
    for result in results:
        for finding in result.findings:
            must(False, f"lanes: a finding stopped a case: {finding.signature}: {finding.message}")
    for result in judged:
        must(result.checks["joins"] == 2 and result.checks["drain"] == 1, "lanes: a case was not judged in full")
        must(result.checks["points"] > 0, "lanes: a case passed no point")
        figures.counts.update(result.checks)
    must(len(judged) > 0, "lanes: no block ran")
    figures.rates.append(len(judged) / seconds)
    figures.cases += len(judged)
    figures.operations += sum(result.operations for result in judged)
    figures.seconds += seconds


def lane_lines(figures: LaneFigures) -> list[str]:
    """The figures for people."""
    cases, counts = figures.cases, figures.counts
    rates = ", ".join(f"{rate:,.0f}" for rate in figures.rates)
    names = ("points", "switches", "operation ends", "quiet points", "joins", "words", "invariants", "run again")
    return [
        f"lanes: {LANES} lanes of {OPERATIONS} operations, both targets, all oracles but data races",
        f"families of {figures.settings.cases} cases with the same steps before; seed {figures.settings.seed}",
        "",
        f"concurrent cases per second of processor time: {figures.rate:,.0f} (blocks of time: {rates})",
        f"wanted: at least {CASES_WANTED:,.0f}",
        f"cases {cases:,}, effective operations {figures.operations:,}, verdicts unknown {counts['unknown']:,}",
        "a case: " + ", ".join(f"{name} {counts[name] / cases:,.1f}" for name in names),
    ]


def lane_data(figures: LaneFigures) -> dict[str, object]:
    """The figures for results.json."""
    return {
        "lanes": LANES,
        "operations_a_lane": OPERATIONS,
        "families": figures.settings.families,
        "cases_a_family": figures.settings.cases,
        "seed": figures.settings.seed,
        "cases": figures.cases,
        "operations": figures.operations,
        "seconds": round(figures.seconds, 3),
        "cases_per_second": round(figures.rate, 1),
        "blocks": [round(rate, 1) for rate in figures.rates],
        "wanted": CASES_WANTED,
        "counts": dict(sorted(figures.counts.items())),
    }
