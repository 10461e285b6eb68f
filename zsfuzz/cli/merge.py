"""`zsfuzz corpus merge` and `distill`: the fewest programs that reach what all of them reach, and the shortest of them.

In:    a folder to write to; program files, or folders of them.
Out:   programs in the folder; counts.
Never: a program with a finding in a corpus: it would be told of again and again.
Next:  zsfuzz/corpus/merge.py; what is reached: zsfuzz/execute/features.py, zsfuzz/corpus/landmarks.py.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from zsfuzz.campaign.measuring import measure_features, measure_landmarks
from zsfuzz.campaign.running import DEFAULT_CANDIDATE, DEFAULT_REFERENCE
from zsfuzz.campaign.verdict import CLEAN, careful_cadence
from zsfuzz.cli import options, programs, status
from zsfuzz.cli.output import Output
from zsfuzz.corpus.merge import Merger, MergeReport, Shorten
from zsfuzz.corpus.store import CorpusStore
from zsfuzz.execute.runner import Runner
from zsfuzz.minimize.minimizer import minimize
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.program import Program
from zsfuzz.report.progress import progress_view

FEATURES = "features"
LANDMARKS = "landmarks"

MOST_RUNS = 400
"""How many runs the shortening of one program may take."""

_MERGE_MORE = """\
Adds to DIR as few of the programs as it takes to reach everything that all of them reach, what DIR holds already
included. Then DIR is read and run again: what is said was measured after it was written.
Targets, faults and verdicts of the files are left out: all run on one pair of targets.
Exit status: 0 done, 1 done, but a program gave a finding and was left out, 2 a mistake, 3 a fault.
"""

_DISTILL_MORE = """\
As `corpus merge`, and makes each program that it adds as short as it can be while it reaches what it is kept for;
that takes up to 400 runs for each. Each one is then judged with every check after every step, and says so in its
header: verdict clean.
Exit status: 0 done, 1 done, but a program gave a finding and was left out, 2 a mistake, 3 a fault.
"""


def add_parts(parts: options.Commands) -> None:
    """Add the two commands."""
    merging = options.add_command(
        parts,
        "merge",
        run_merge,
        "add the fewest programs that reach what all of them reach",
        "  zsfuzz corpus merge small big/\n  zsfuzz corpus merge small worker1/ worker2/ --most 100 --json\n",
        _MERGE_MORE,
    )
    distilling = options.add_command(
        parts,
        "distill",
        run_distill,
        "merge, and make each program short",
        "  zsfuzz corpus distill corpus/seeds big/ --cover landmarks --text\n",
        _DISTILL_MORE,
    )
    for parser in (merging, distilling):
        parser.add_argument("folder", type=options.folder, metavar="DIR", help="a folder of programs, made if missing")
        parser.add_argument("files", metavar="FILE", nargs="+", help=".zst or .zsf, or a folder of them")
        parser.add_argument(
            "--cover",
            choices=(FEATURES, LANDMARKS),
            default=FEATURES,
            help="what is to be reached: the state features that the engine coverage feeds on, or the named "
            "situations of zsfuzz/corpus/landmarks.py (features)",
        )
        parser.add_argument("--most", type=options.count, metavar="N", help="add at most N programs, the best ones")
        parser.add_argument("--text", action="store_true", help="write .zst files instead of .zsf")
        options.add_target_options(parser)
        options.add_json_option(parser)


def _runner(arguments: argparse.Namespace) -> Runner:
    choice = options.choice_of(arguments)
    return Runner(choice.reference or DEFAULT_REFERENCE, choice.candidate or DEFAULT_CANDIDATE, choice.faults)


def run_merge(arguments: argparse.Namespace, output: Output) -> int:
    """Add the fewest programs."""
    return _run(arguments, output, None)


def run_distill(arguments: argparse.Namespace, output: Output) -> int:
    """Add the fewest programs, shortened."""
    choice, runner = options.choice_of(arguments), _runner(arguments)

    def finding_of(program: Program) -> Finding | None:
        findings = runner.run(program, cadence=careful_cadence(program)).findings
        return findings[0] if findings else None

    def shorten(program: Program, keeps: Callable[[Program], bool]) -> Program | Finding:
        finding = finding_of(program)
        if finding is not None:
            return finding
        short = minimize(program, lambda each: keeps(each) and finding_of(each) is None, budget=MOST_RUNS).program
        header = replace(
            short.header,
            reference=choice.reference,
            candidate=choice.candidate,
            faults=choice.faults,
            verdict=CLEAN,
        )
        return replace(short, header=header)

    return _run(arguments, output, shorten)


def _run(arguments: argparse.Namespace, output: Output, shorten: Shorten | None) -> int:
    paths = programs.expand(arguments.files)
    measure = measure_features if arguments.cover == FEATURES else measure_landmarks
    started = time.monotonic()
    with progress_view(output.stderr) as view:

        def watch(phase: str, done: int, count: int) -> None:
            view.show(time.monotonic() - started, f"{phase}: {done:,} of {count:,} programs", done / max(count, 1))

        merger = Merger(
            CorpusStore(arguments.folder),
            measure(_runner(arguments)),
            watch,
            text=arguments.text,
        )
        report = merger.merge(paths, arguments.most, shorten)
    if arguments.json:
        output.json(report.as_json() | {"cover": arguments.cover, "folder": str(arguments.folder)})
    else:
        output.lines(_lines(report, arguments.folder, arguments.cover))
    for bad in report.bad:
        output.note(f"zsfuzz: {bad.reason}")
    return status.FINDING if report.findings else status.NOTHING_FOUND


def _lines(report: MergeReport, folder: Path, cover: str) -> Iterator[str]:
    before, after = report.steps
    yield f"{folder}: {len(report.kept):,} of {report.programs:,} programs kept, {after:,} operations"
    yield f"  {report.covered:,} of {report.units:,} {cover} are reached, as run again from the folder"
    if before and before != after:
        yield f"  operations of the chosen programs before: {before:,}"
    for path, finding in report.findings:
        yield f"  left out, it gives {finding.signature}: {path}"
