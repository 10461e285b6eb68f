"""`zsfuzz faults bench`: how soon engines find planted faults, what oracles see by themselves, which mutants survive.

In:    faults, engines, seeds, a budget of processor time; a folder for results.
Out:   a table, a picture, JSON. A bench that was killed goes on where it was.
Never: the work: that is zsfuzz/measure/.
Next:  zsfuzz/measure/bench.py, zsfuzz/measure/score.py; what the figures mean: docs/faults.md.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Final

from zsfuzz.campaign.engines import ENGINES
from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.cli.signals import interrupting_on_signals
from zsfuzz.errors import UsageError
from zsfuzz.measure.bench import BenchProgress, run_bench
from zsfuzz.measure.figures import EASY_SECONDS, Summary, engine_rows, fault_rows, share_found, summary
from zsfuzz.measure.plan import Plan, chosen_faults
from zsfuzz.measure.score import MutantProgress, Score, run_mutants
from zsfuzz.measure.store import Store, sources_digest
from zsfuzz.measure.survival import survival_svg
from zsfuzz.report.columns import table
from zsfuzz.report.progress import progress_view

DEFAULT_OUT: Final = Path("zsfuzz-bench")
DEFAULT_BUDGET: Final = 60.0
DEFAULT_MUTANT_BUDGET: Final = 30.0
DEFAULT_SEEDS: Final = 5
SVG_NAME: Final = "survival.svg"
JSON_NAME: Final = "bench.json"

_EXAMPLES = """\
  zsfuzz faults bench --engines coverage,random --seeds 5 --budget 60
  zsfuzz faults bench --faults G-undo-zone C-near-end --budget 120
  zsfuzz faults bench --sample 12 --budget 10 --json       a short run over all sorts of faults
  zsfuzz faults bench --both-sides --budget 30             what is found when both sides are wrong alike
  zsfuzz faults bench --mutants 200 --budget 30            which small changes of the models go unseen
"""

_MORE = f"""\
Time is processor time of the process that fuzzes. A run that finds nothing counts at the budget. Faults that random
finds within {EASY_SECONDS:g} s are left out of medians over faults and of ratios.
Each result is kept in --out as it ends; the same command goes on after a kill, and measures again what other sources
or another budget gave.
Exit status: 0 measured, 2 a mistake in the command, 3 a fault of zsfuzz.
"""


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "bench", run, "measure how soon planted faults are found", _EXAMPLES, _MORE)
    parser.add_argument("--engines", metavar="E,...", help=f"of {', '.join(ENGINES)} (coverage,random)")
    parser.add_argument("--seeds", type=options.count, metavar="N", help=f"runs of each fault ({DEFAULT_SEEDS})")
    parser.add_argument(
        "--budget",
        type=options.seconds,
        metavar="S",
        help=f"processor seconds of a run ({DEFAULT_BUDGET:g}; of a mutant {DEFAULT_MUTANT_BUDGET:g})",
    )
    parser.add_argument("--faults", nargs="+", action="extend", default=[], metavar="ID", help="only these")
    parser.add_argument("--sample", type=options.count, metavar="N", help="N faults of all sorts, drawn by --seed")
    parser.add_argument("--seed", type=options.seed, default=0, metavar="N", help="of the sample, of mutants (0)")
    parser.add_argument("--jobs", type=options.count, default=1, metavar="N", help="runs at a time (1)")
    parser.add_argument(
        "--out", type=options.folder, default=DEFAULT_OUT, metavar="DIR", help=f"results ({DEFAULT_OUT})"
    )
    parser.add_argument("--both-sides", action="store_true", help="faults of both sides; divergences do not count")
    parser.add_argument("--mutants", type=options.count, metavar="N", help="N mutants of the two models instead")
    options.add_json_option(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Measure and print."""
    _refuse_contradictions(arguments)
    store = Store(arguments.out, sources_digest())
    with interrupting_on_signals():
        if arguments.mutants is not None:
            return _run_mutants(arguments, store, output)
        return _run_bench(arguments, store, output)


def _refuse_contradictions(arguments: argparse.Namespace) -> None:
    if arguments.mutants is None:
        return
    for given, option in (
        (arguments.both_sides, "--both-sides"),
        (arguments.faults, "--faults"),
        (arguments.sample, "--sample"),
        (arguments.seeds, "--seeds"),
        (arguments.engines, "--engines"),
    ):
        if given:
            raise UsageError(f"--mutants and {option} do not go together; leave one out")


def engines_of(text: str | None) -> tuple[str, ...]:
    """Return the engines of a comma-separated list. Errors: UsageError for an unknown one."""
    names = tuple(dict.fromkeys(name.strip() for name in (text or "coverage,random").split(",") if name.strip()))
    for name in names:
        if name not in ENGINES:
            raise UsageError(f"--engines: {name} is unknown; use some of {', '.join(ENGINES)}")
    if not names:
        raise UsageError(f"--engines names none; use some of {', '.join(ENGINES)}")
    return names


# -- faults


def _run_bench(arguments: argparse.Namespace, store: Store, output: Output) -> int:
    plan = Plan(
        chosen_faults(arguments.faults, arguments.sample, arguments.seed, shared=arguments.both_sides),
        engines_of(arguments.engines or ("coverage" if arguments.both_sides else None)),
        arguments.seeds or DEFAULT_SEEDS,
        arguments.budget or DEFAULT_BUDGET,
        arguments.both_sides,
    )
    started = time.monotonic()
    with progress_view(output.stderr) as view:
        results = run_bench(
            plan,
            store,
            arguments.jobs,
            lambda progress: view.show(
                time.monotonic() - started, bench_line(progress), progress.done / max(progress.total, 1)
            ),
        )
    whole = summary(plan, results)
    document = whole.as_json()
    if plan.blind:
        found, missed = share_found(results)
        document["both_sides"] = {"faults": len(found) + len(missed), "found": found, "missed": missed}
    picture = store.write(SVG_NAME, survival_svg(results, f"{len(plan.faults)} faults, {plan.seeds} seeds each"))
    document["picture"] = str(picture)
    store.write(JSON_NAME, json.dumps(document, indent=2) + "\n")
    if arguments.json:
        output.json(document)
    else:
        output.lines(bench_lines(whole, plan, document, picture))
    return status.HARNESS_FAULT if whole.crashed else status.NOTHING_FOUND


def bench_line(progress: BenchProgress) -> str:
    """Return the state of a bench in one line."""
    last = ""
    if progress.last is not None:
        key, result = progress.last.key, progress.last
        last = f"; {key.fault} by {key.engine}, seed {key.seed}: {result.status} in {result.seconds:.1f} s"
    kept = f", {progress.kept} kept from before" if progress.kept else ""
    return f"{progress.done}/{progress.total} runs, {progress.found} found{kept}{last}"


def bench_lines(whole: Summary, plan: Plan, document: dict[str, object], picture: Path) -> list[str]:
    """Return what a bench prints."""
    lines = table(fault_rows(whole.faults), (0, 0, 0, 0, 0, 0, 60))
    lines += ["", *table(engine_rows(whole))]
    lines.append(
        f"{len(whole.easy)} of {len(plan.faults)} faults are left out of medians and ratios: random finds them "
        f"within {EASY_SECONDS:g} s"
        if "random" in plan.engines
        else "random did not run, so no fault is left out and there are no ratios"
    )
    if whole.foreign:
        lines.append(f"{whole.foreign} findings did not count: the pair without the fault gives them too")
    lines += [f"{each.key.name}: {each.status}: {each.reason}" for each in whole.crashed]
    if plan.blind:
        both = document["both_sides"]
        assert isinstance(both, dict)
        share = len(both["found"]) / max(both["faults"], 1)
        lines.append(f"both sides: {len(both['found'])} of {both['faults']} found without a divergence ({share:.0%})")
        lines += [f"  missed: {each}" for each in both["missed"]]
    lines.append(f"picture: {picture}")
    return lines


# -- mutants


def _run_mutants(arguments: argparse.Namespace, store: Store, output: Output) -> int:
    started = time.monotonic()
    with progress_view(output.stderr) as view:
        score = run_mutants(
            arguments.mutants,
            arguments.seed,
            arguments.budget or DEFAULT_MUTANT_BUDGET,
            store,
            arguments.jobs,
            lambda progress: view.show(
                time.monotonic() - started, mutants_line(progress), progress.done / max(progress.total, 1)
            ),
        )
    store.write("mutants.json", json.dumps(score.as_json(), indent=2) + "\n")
    if arguments.json:
        output.json(score.as_json())
    else:
        output.lines(mutants_lines(score))
    return status.NOTHING_FOUND


def mutants_line(progress: MutantProgress) -> str:
    """Return the state of a run over mutants in one line."""
    return f"{progress.done}/{progress.total} mutants, {progress.killed} killed{progress.last}"


def mutants_lines(score: Score) -> list[str]:
    """Return what a run over mutants prints."""
    lines: list[str] = []
    for each in score.survivors:
        lines += [f"survivor: {each.mutant.describe()}", *each.mutant.diff()]
        lines += [f"  equivalent: {each.reason}" if each.reason else "  no reason is written down", ""]
    rows = [("killed by", "mutants"), *((name, str(count)) for name, count in score.killers().items())]
    lines += table(rows)
    lines.append(
        f"{score.killed} of {score.total} mutants killed: {score.raw:.1%}; "
        f"without the {score.equivalent} that a written reason calls equivalent: {score.adjusted:.1%}"
    )
    return lines
