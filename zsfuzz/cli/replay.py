"""`zsfuzz replay`: run kept programs again and say what they give.

In:    program files, or folders of them; targets, unless the files' headers are to decide.
Out:   a verdict for each, with --trace every step; exit status 1 if there was a finding.
Never: silence about a file that no longer gives what it is kept for.
Next:  zsfuzz/campaign/verdict.py runs, zsfuzz/report/trace.py draws.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from zsfuzz.campaign.findings import replay_command
from zsfuzz.campaign.running import ProgramRunner, Runners
from zsfuzz.campaign.verdict import Verdict, judge
from zsfuzz.cli import options, programs, status
from zsfuzz.cli.output import Output
from zsfuzz.program.files import load_program
from zsfuzz.program.program import Program, with_schedule
from zsfuzz.report.lanes import LaneWatch, lane_lines, lanes_json
from zsfuzz.report.trace import Trace, trace_lines
from zsfuzz.report.verdict import verdict_json, verdict_lines

_EXAMPLES = """\
  zsfuzz replay --trace zsfuzz-findings/1a2b3c4d5e6f.zst
  zsfuzz replay corpus/regressions                          every program of a folder
  zsfuzz replay finding.zst --candidate mymodule:Repaired   is it gone?
"""

_MORE = """\
Targets and faults come from each file's header unless options name them; --fault adds to the header's.
A finding among lanes is shown as a table, one column a lane; --trace shows every point of it.
Every step is followed by a full comparison, but for huge programs. A file that no longer gives the
verdict of its header is named.
Exit status: 0 no finding, 1 a finding (with --strict also: a verdict that changed), 2 a bad file, 3 a fault.
"""


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "replay", run, "run kept programs again", _EXAMPLES, _MORE)
    parser.add_argument("files", metavar="FILE", nargs="*", help=".zst or .zsf, or a folder of them")
    options.add_target_options(parser)
    parser.add_argument(
        "--cadence",
        type=options.count,
        metavar="N",
        help="steps between two full comparisons (1; more for programs of thousands of steps)",
    )
    parser.add_argument("--trace", action="store_true", help="print the steps of both sides and the map of pfns")
    parser.add_argument("--strict", action="store_true", help="status 1 as well when a file's verdict changed")
    options.add_json_option(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Replay every file and print what each gives."""
    paths = programs.expand(options.files_of(arguments))
    choice = options.choice_of(arguments)
    loaded = [(path, load_program(path)) for path in paths]
    runners = Runners()
    results: list[dict[str, Any]] = []
    worst = status.NOTHING_FOUND
    for path, program in loaded:
        targets = choice.targets(program.header)
        trace = Trace(program.steps) if arguments.trace else None
        runner = runners.get(*targets, choice.extra_faults(program.header))
        verdict = judge(program, runner, targets, str(path), trace, arguments.cadence)
        if verdict.finding is not None or (arguments.strict and not verdict.as_kept):
            worst = status.FINDING
        watch = _watch_lanes(program, runner, verdict)
        if arguments.json:
            entry = verdict_json(verdict, str(path), replay_command(path), trace)
            if watch is not None and verdict.finding is not None:
                entry["lanes"] = lanes_json(watch.of(verdict.finding.target), everything=arguments.trace)
            results.append(entry)
        else:
            _print(verdict, path, trace, choice.overrides, output)
            _print_lanes(program, verdict, watch, output, everything=arguments.trace)
    if arguments.json:
        output.json({"results": results})
    elif len(loaded) > 1:
        output.line(f"{len(loaded)} programs")
    return worst


def _watch_lanes(program: Program, runner: ProgramRunner, verdict: Verdict) -> LaneWatch | None:
    """Run a program whose lanes gave a finding once more, and watch them; None for any other."""
    finding = verdict.finding
    if finding is None or program.block is None or finding.step < len(program.steps):
        return None
    watch = LaneWatch()
    runner.run(with_schedule(program, verdict.result.schedule), observer=watch)
    return watch


def _print_lanes(
    program: Program, verdict: Verdict, watch: LaneWatch | None, output: Output, *, everything: bool
) -> None:
    if watch is None or verdict.finding is None or program.block is None:
        return
    width = shutil.get_terminal_size((120, 24)).columns
    output.lines(lane_lines(watch.of(verdict.finding.target), program.block, width, everything=everything))
    output.line()


def _print(verdict: Verdict, path: Path, trace: Trace | None, overridden: bool, output: Output) -> None:
    output.lines(verdict_lines(verdict, str(path), overridden=overridden, traced=trace is not None))
    if trace is not None:
        output.lines(trace_lines(trace, verdict.finding))
        output.line()
