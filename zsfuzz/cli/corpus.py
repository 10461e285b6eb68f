"""`zsfuzz corpus`: folders of programs.

In:    a folder; for `add`, program files.
Out:   programs added under the names of their contents; what is wrong with a folder; what it holds.
Never: a program overwritten.
Next:  zsfuzz/corpus/check.py, zsfuzz/corpus/store.py; `merge` and `distill` are in zsfuzz/cli/merge.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from zsfuzz.campaign.running import Choice, Runners
from zsfuzz.campaign.verdict import judge
from zsfuzz.cli import merge, options, programs, status
from zsfuzz.cli.output import Output
from zsfuzz.corpus.check import StatsReport, add_files, check_store, stats_of
from zsfuzz.corpus.store import BadFile, CorpusStore
from zsfuzz.program.program import Program
from zsfuzz.report.columns import table

_EXAMPLES = """\
  zsfuzz corpus add corpus/seeds finding.zst more/
  zsfuzz corpus merge small big/
  zsfuzz corpus check corpus/regressions
  zsfuzz corpus stats corpus/seeds --json
"""


def add(commands: options.Commands) -> None:
    """Add the command and its parts."""
    parser = options.add_command(commands, "corpus", run_stats, "keep programs in a folder", _EXAMPLES)
    parts = cast(options.Commands, parser.add_subparsers(dest="part", metavar="COMMAND", required=True))
    adding = options.add_command(
        parts,
        "add",
        run_add,
        "add programs to a folder, each once",
        "  zsfuzz corpus add corpus/seeds finding.zst more/\n",
        "Exit status: 0 every FILE is in DIR now, 2 a FILE holds no program (the others were added).\n",
    )
    _folder_argument(adding)
    adding.add_argument("files", metavar="FILE", nargs="+", help=".zst or .zsf, or a folder of them")
    checking = options.add_command(
        parts,
        "check",
        run_check,
        "check that every program loads and gives its verdict",
        "  zsfuzz corpus check corpus/regressions\n",
        "Exit status: 0 all is well, 1 a file is bad or its verdict changed, 2 no such folder, 3 a fault.\n",
    )
    _folder_argument(checking)
    merge.add_parts(parts)
    counting = options.add_command(
        parts, "stats", run_stats, "count what a folder holds", "  zsfuzz corpus stats corpus/seeds --json\n"
    )
    _folder_argument(counting)


def _folder_argument(parser: options.Parser) -> None:
    parser.add_argument("folder", type=options.folder, metavar="DIR", help="a folder of programs")
    options.add_json_option(parser)


def run_add(arguments: argparse.Namespace, output: Output) -> int:
    """Add files to a folder."""
    paths = programs.expand(arguments.files)
    report = add_files(CorpusStore(arguments.folder), paths)
    if arguments.json:
        output.json(report.as_json())
    else:
        output.line(f"{arguments.folder}: {len(report.added)} added, {report.present} were there already")
    for bad in report.bad:
        output.note(f"zsfuzz: {bad.reason}")
    return status.USER_MISTAKE if report.bad else status.NOTHING_FOUND


def run_check(arguments: argparse.Namespace, output: Output) -> int:
    """Check a folder."""
    runners = Runners()
    at: list[Path] = []

    def gives(program: Program) -> str:
        targets = Choice().targets(program.header)
        return judge(program, runners.get(*targets), targets, str(at[-1])).gives

    report = check_store(CorpusStore(arguments.folder, create=False), gives, at.append)
    if arguments.json:
        output.json(report.as_json())
    else:
        output.lines(bad.reason for bad in report.bad)
        output.line(f"{report.files} programs, {report.executed} run for their verdicts, {len(report.bad)} bad")
    return status.FINDING if report.bad else status.NOTHING_FOUND


def run_stats(arguments: argparse.Namespace, output: Output) -> int:
    """Count what a folder holds."""
    report = stats_of(CorpusStore(arguments.folder, create=False))
    if arguments.json:
        output.json(report.as_json())
    else:
        output.lines(_stats_lines(report))
    return status.NOTHING_FOUND


def _stats_lines(report: StatsReport) -> list[str]:
    steps = report.as_json()["steps"]
    rows = [
        ("programs", f"{report.files:,} in {report.bytes:,} bytes"),
        ("steps", f"{steps['total']:,}; {steps['least']:,} to {steps['most']:,}, median {steps['median']:,}"),
        ("geometries", _counts(report.geometries)),
        ("operations", _counts(report.operations)),
        ("verdicts", _counts(report.verdicts)),
        ("bad files", str(len(report.bad))),
    ]
    return [*table(rows, (0, 100)), *map(_reason, report.bad)]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _reason(bad: BadFile) -> str:
    return f"  {bad.reason}"
