"""Tables: the figures as text for people and as plain data for results.json.

In:    figures of bench/loop.py, bench/replay.py, bench/costs.py, bench/policies.py and bench/workers.py.
Out:   lines; JSON-ready dictionaries.
Never: a measurement.
Next:  who prints them: bench/run.py.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.costs import ACTIONS, PARTS, CostFigures
from bench.engines import EngineFigures
from bench.loop import BASELINE, BASELINES, SHARED_CHECKS, SWARM, LoopFigures, Row
from bench.policies import BUGS, POLICIES, PolicyFigures
from bench.replay import BYTES_MOST, SECONDS_MOST, ReplayFigures
from bench.work import CORE_NAMES
from bench.workers import WorkersFigures
from zsfuzz.program.ops import OPERATIONS

RATIO_LEAST = 10.0
WORKERS_RATIO_LEAST = 1.8

Cells = Sequence[str]


def aligned(rows: Sequence[Cells]) -> list[str]:
    """Return rows as lines, the first column to the left, all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def loop_lines(figures: LoopFigures) -> list[str]:
    """The loop benchmark: settings, rates, the mix, the checks."""
    settings = figures.settings
    lines = [
        f"fuzz loop: {settings.reference} against {settings.candidate}, {settings.blocks} interleaved blocks",
        f"a block: {settings.programs} programs, {settings.examples} examples; {settings.steps} steps or so",
        f"full comparison every {settings.cadence} steps and at the end; seed {settings.seed}",
        "",
    ]
    head = (
        "per second of processor time",
        "op/s",
        "lowest",
        "highest",
        "us/op",
        "operations",
        "no-ops",
        "programs",
        "core",
        f"x {BASELINE}",
        f"x {SWARM}",
    )
    lines += aligned([head, *(_rate_cells(figures, row) for row in figures.rows)])
    reached = ", ".join(f"{row.name} {figures.ratio(row.name):.1f}" for row in figures.fuzzing)
    lines += ["", f"wanted: at least {RATIO_LEAST:.0f} times {BASELINE}; measured: {reached}"]
    lines += ["", "microseconds an effective operation, where they go"]
    lines += aligned([("", "generation", "execution", "feedback"), *(_part_cells(row) for row in figures.rows)])
    lines += ["", "mix: share of effective operations (* counts for the published mix)"]
    lines += aligned(
        [
            ("", *(row.name for row in figures.rows)),
            *(_mix_cells(figures, kind.__name__) for kind in OPERATIONS),
        ]
    )
    lines += ["", "checks for 1,000 effective operations"]
    names = (*SHARED_CHECKS, "invariants")
    lines += aligned(
        [("", *(row.name for row in figures.rows))]
        + [(name, *(f"{row.checks[name] * 1000 / row.operations:,.1f}" for row in figures.rows)) for name in names]
    )
    return lines


def _rate_cells(figures: LoopFigures, row: Row) -> Cells:
    rates = [block.rate for block in row.blocks]
    return (
        row.name,
        f"{row.rate:,.0f}",
        f"{min(rates):,.0f}",
        f"{max(rates):,.0f}",
        f"{1e6 / row.rate:,.0f}",
        f"{row.operations:,}",
        f"{sum(block.no_ops for block in row.blocks):,}",
        f"{sum(block.programs for block in row.blocks):,}",
        f"{row.mix.core_share:.1%}",
        *(f"{figures.ratio(row.name, baseline):.1f}" for baseline in BASELINES),
    )


def parts_of(row: Row) -> dict[str, float]:
    """Return microseconds an effective operation, by part, medians over the blocks.

    A baseline has two: what its operations cost without Hypothesis, and the rest.
    """
    if row.name in BASELINES:
        execution = row.recount_seconds / row.operations * 1e6
        return {"generation": 1e6 / row.rate - execution, "execution": execution, "feedback": 0.0}
    return {
        part: statistics.median(getattr(block, f"{part}_seconds") / block.operations for block in row.blocks) * 1e6
        for part in ("generation", "execution", "feedback")
    }


def _part_cells(row: Row) -> Cells:
    return (row.name, *(f"{value:,.1f}" for value in parts_of(row).values()))


def _mix_cells(figures: LoopFigures, name: str) -> Cells:
    star = " *" if name in CORE_NAMES else ""
    return (name + star, *(f"{row.mix.share(name):.1%}" for row in figures.rows))


def replay_lines(figures: ReplayFigures) -> list[str]:
    """The capture's replay."""
    return [
        f"replay of {figures.capture} on {' and '.join(figures.targets)}",
        f"full comparison every {figures.cadence:,} steps and at the end",
        "",
        *aligned(
            [
                ("import", f"{figures.import_seconds:.1f} s"),
                ("replay", f"{figures.replay_seconds:.1f} s"),
                ("together", f"{figures.seconds:.1f} s", f"at most {SECONDS_MOST:.0f} s")[:2],
                ("processor time", f"{figures.cpu_seconds:.1f} s"),
                ("peak memory", f"{figures.peak_bytes / (1 << 20):,.0f} MiB"),
                ("steps", f"{figures.steps:,}"),
                ("effective", f"{figures.operations:,}"),
                *((f"  {name}", f"{count:,}") for name, count in sorted(figures.effective.items())),
                ("findings", f"{len(figures.findings)}"),
            ]
        ),
        f"wanted: at most {SECONDS_MOST:.0f} s and {BYTES_MOST >> 20:,} MiB, no finding, every free matched",
    ]


def cost_lines(figures: CostFigures) -> list[str]:
    """The cost of single operations and the parts of a program."""
    sides = list(figures.actions)
    rows = [("microseconds a call", "calls", *sides)]
    for action in ACTIONS:
        spent = [figures.actions[side][action] for side in sides]
        if spent[0].calls:
            rows.append((action, f"{spent[0].calls:,}", *(f"{each.microseconds:,.1f}" for each in spent)))
    parts = [("part", "share", "us/op", "us/program")]
    for name in PARTS:
        seconds = figures.parts[name].seconds
        parts.append(
            (
                name,
                f"{seconds / figures.seconds:.1%}",
                f"{seconds / figures.operations * 1e6:,.1f}",
                f"{seconds / figures.programs * 1e6:,.0f}",
            )
        )
    checks = [
        ("checks", "a program"),
        *((name, f"{n / figures.programs:,.1f}") for name, n in figures.checks.items()),
    ]
    done = f"{figures.programs} programs, {figures.operations:,} effective operations"
    title = f"costs: {done}, a clock around each call"
    return [title, "", *aligned(rows), "", *aligned(parts), "", *aligned(checks)]


def workers_lines(figures: WorkersFigures) -> list[str]:
    """One worker against several."""
    settings = figures.settings
    head = ("medians of blocks", "programs/s", "op/s", "op/s of processor", "programs", "others'", "operations")
    rows = [
        head,
        *(
            (
                f"{blocks[0].workers} worker{'s' if blocks[0].workers > 1 else ''}",
                f"{statistics.median(block.programs_rate for block in blocks):,.1f}",
                f"{statistics.median(block.operations_rate for block in blocks):,.0f}",
                f"{statistics.median(block.processor_rate for block in blocks):,.0f}",
                f"{sum(block.programs for block in blocks):,}",
                f"{sum(block.foreign for block in blocks):,}",
                f"{sum(block.operations for block in blocks):,}",
            )
            for blocks in (figures.one, figures.several)
        ),
    ]
    reached = f"programs {figures.programs_ratio:.2f}, operations {figures.operations_ratio:.2f}"
    return [
        f"workers: {settings.blocks} blocks of {settings.seconds:g} s each, in turns, each with a corpus of its own",
        "",
        *aligned(rows),
        "",
        f"wanted: at least {WORKERS_RATIO_LEAST} times the executions of one; measured: {reached}",
        f"by processor time, as if each worker had a processor of its own: operations {figures.processor_ratio:.2f}",
    ]


def engine_lines(figures: EngineFigures) -> list[str]:
    """The engines side by side."""
    head = ("per second of processor time", "programs", "steps", "resumed", "op/s", "features", "features/s")
    rows = [
        (
            row.name,
            f"{row.programs / row.seconds:,.1f}",
            f"{row.steps / row.programs:,.0f}",
            f"{row.steps_resumed / row.steps:.0%}",
            f"{row.operations / row.seconds:,.0f}",
            f"{row.features:,}",
            f"{row.features / row.seconds:,.0f}",
        )
        for row in figures.rows
    ]
    return [
        f"engines: reference against candidate, sequential programs, seed {figures.seed}",
        "steps: of a program; resumed: of all steps, those that a checkpoint saved",
        "",
        *aligned([head, *rows]),
        "",
        f"checkpoints: the coverage engine's programs run {figures.gain:.2f} times as fast with them,",
        f"those that go on from one {figures.family_gain:.1f} times",
    ]


# -- plain data


def engine_data(figures: EngineFigures) -> dict[str, Any]:
    """The engines for results.json."""
    data = asdict(figures)
    data["gain"], data["family_gain"] = round(figures.gain, 2), round(figures.family_gain, 2)
    return data


def loop_data(figures: LoopFigures) -> dict[str, Any]:
    """The loop benchmark for results.json."""
    return {
        "settings": asdict(figures.settings),
        "baseline_weights": dict(figures.weights),
        "rows": {row.name: _row_data(row) for row in figures.rows},
        "ratios": {
            row.name: {name: round(figures.ratio(row.name, name), 2) for name in BASELINES} for row in figures.fuzzing
        },
        "mix_distances": {
            row.name: {name: round(row.mix.distance(figures.row(name).mix), 4) for name in BASELINES}
            for row in figures.fuzzing
        },
        "wanted_ratio": RATIO_LEAST,
    }


def _row_data(row: Row) -> dict[str, Any]:
    return {
        "operations_per_second": round(row.rate, 1),
        "blocks": [
            {
                "operations_per_second": round(block.rate, 1),
                "seconds": round(block.seconds, 3),
                "wall_seconds": round(block.wall_seconds, 3),
                "operations": block.operations,
                "no_ops": block.no_ops,
                "programs": block.programs,
            }
            for block in row.blocks
        ],
        "microseconds_per_operation": {part: round(value, 1) for part, value in parts_of(row).items()},
        "core_share": round(row.mix.core_share, 4),
        "mix": dict(row.mix.counts),
        "checks": dict(row.checks),
    }


def replay_data(figures: ReplayFigures) -> dict[str, Any]:
    """The replay for results.json."""
    data = asdict(figures)
    data["import_seconds"], data["replay_seconds"], data["cpu_seconds"] = (
        round(figures.import_seconds, 2),
        round(figures.replay_seconds, 2),
        round(figures.cpu_seconds, 2),
    )
    return {**data, "wanted_seconds": SECONDS_MOST, "wanted_bytes": BYTES_MOST}


def cost_data(figures: CostFigures) -> dict[str, Any]:
    """The costs for results.json."""
    return {
        "programs": figures.programs,
        "operations": figures.operations,
        "microseconds_per_call": {
            side: {action: round(each.microseconds, 1) for action, each in spent.items() if each.calls}
            for side, spent in figures.actions.items()
        },
        "calls": {action: each.calls for action, each in next(iter(figures.actions.values())).items() if each.calls},
        "microseconds_per_operation": {
            name: round(figures.parts[name].seconds / figures.operations * 1e6, 1) for name in PARTS
        },
        "checks": dict(figures.checks),
    }


def policy_lines(figures: PolicyFigures) -> list[str]:
    """The policy benchmark: bugs down, policies across."""
    head = [f"policies: share of {figures.runs:,} seeds that hit a planted bug, and the bounds of 95 % confidence", ""]
    rows: list[Cells] = [("", *(f"{bug.name}, depth {bug.depth}" for bug in BUGS))]
    rows.append(("lanes, points", *(f"{len(bug.lanes)}, {sum(bug.lengths)}" for bug in BUGS)))
    rows.append(("PCT promises at its depth", *(f"{bug.promise:.2%}" for bug in BUGS)))
    for name in POLICIES:
        rates = [figures.rates[bug.name][name] for bug in BUGS]
        rows.append((name, *("{:.2%} ({:.2%} to {:.2%})".format(rate.share, *rate.bounds) for rate in rates)))
    return head + aligned(rows)


def policy_data(figures: PolicyFigures) -> dict[str, Any]:
    """The policy benchmark as data."""
    bugs = {
        bug.name: {
            "depth": bug.depth,
            "lanes": len(bug.lanes),
            "points": sum(bug.lengths),
            "promise": bug.promise,
            "hits": {name: figures.rates[bug.name][name].hits for name in POLICIES},
        }
        for bug in BUGS
    }
    return {"runs": figures.runs, "bugs": bugs}


def workers_data(figures: WorkersFigures) -> dict[str, Any]:
    """The workers for results.json."""
    return {
        "settings": asdict(figures.settings),
        "rows": [
            [
                asdict(block)
                | {"programs_per_second": round(block.programs_rate, 2)}
                | {"operations_per_second": round(block.operations_rate, 1)}
                for block in blocks
            ]
            for blocks in (figures.one, figures.several)
        ],
        "ratios": {
            "programs": round(figures.programs_ratio, 3),
            "operations": round(figures.operations_ratio, 3),
            "operations_by_processor_time": round(figures.processor_ratio, 3),
        },
        "wanted_ratio": WORKERS_RATIO_LEAST,
    }
