"""`zsfuzz minimize`: the shortest program that gives the same signature.

In:    a program with a finding.
Out:   OUT, with the targets, faults and verdict in its header; counts before and after.
Never: another finding than the one it started with. Ctrl-C loses nothing: OUT gets the best so far.
Next:  zsfuzz/minimize/minimizer.py, to which "interesting" means: the same signature again.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zsfuzz.campaign.fault import ProgramFault
from zsfuzz.campaign.files import check_folder, write_program
from zsfuzz.campaign.findings import replay_command
from zsfuzz.campaign.running import Choice, ProgramRunner, Runners
from zsfuzz.campaign.verdict import judge
from zsfuzz.cli import options, status
from zsfuzz.cli.assemble import output_path
from zsfuzz.cli.output import Output
from zsfuzz.cli.signals import interrupting_on_signals
from zsfuzz.errors import UsageError
from zsfuzz.minimize.minimizer import MinimizeProgress, MinimizeResult, minimize
from zsfuzz.program.block import PORTFOLIO, Chance
from zsfuzz.program.files import load_program
from zsfuzz.program.program import Program, with_schedule
from zsfuzz.report.progress import progress_view

RESCHEDULES = 24
"""Schedules that are tried when an operation of a lane was dropped and the finding with it."""

_EXAMPLES = """\
  zsfuzz minimize zsfuzz-findings/1a2b3c4d5e6f.zst -o small.zst
  zsfuzz minimize crash.zsf -o crash.zst --candidate mymodule:MyAllocator --json
"""

_MORE = """\
Keeps the signature that FILE gives now. Ctrl-C ends it and keeps the best program so far in OUT.
Exit status: 0 when OUT was written, 2 when FILE gives no finding, 3 a fault.
"""


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "minimize", run, "make a finding's program small", _EXAMPLES, _MORE)
    parser.add_argument("files", metavar="FILE", nargs="*", help=".zst or .zsf")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the small program, .zst or .zsf")
    options.add_target_options(parser)
    options.add_json_option(parser)


@dataclass(slots=True)
class _Task:
    """What is minimized. best: the shortest program so far that gives the signature."""

    path: Path
    runner: ProgramRunner
    targets: tuple[str, str]
    signature: str
    best: Program

    def interesting(self, program: Program) -> bool:
        """Return whether a program gives the signature. Errors: ProgramFault, with that program kept."""
        try:
            same = judge(program, self.runner, self.targets, str(self.path)).gives == self.signature
        except ProgramFault as fault:
            culprit = self.path.with_name(f"{self.path.stem}.harness.zst")
            write_program(culprit, program)
            raise ProgramFault(fault.reason, str(culprit)) from fault
        if same:
            self.best = program
        return same

    def reschedule(self, program: Program) -> Program | None:
        """Return a program with the same operations and a schedule that gives the signature, None if none is found.

        The same policies with the same seeds are tried every time.
        """
        if program.block is None:
            return None
        for number in range(RESCHEDULES):
            buffered = "store_buffers" in program.header.switches and number % 2
            policy = "stores" if buffered else PORTFOLIO[number % len(PORTFOLIO)]
            chance = Chance(policy, number, (), int(number % 4 > 0))
            tried = replace(program, block=replace(program.block, schedule=(), chance=chance))
            result = self.runner.run(tried)
            if result.findings and result.findings[0].signature == self.signature:
                settled = with_schedule(tried, result.schedule)
                if self.interesting(settled):
                    return settled
        return None


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Minimize one program."""
    files = options.files_of(arguments)
    if len(files) != 1:
        raise UsageError(f"minimize takes one FILE, not {len(files)}; run it once for each")
    out = output_path(arguments.output)
    check_folder(out.parent, "-o, folder")
    task = _task(Path(files[0]), out, options.choice_of(arguments))
    before = task.best
    started = time.monotonic()
    try:
        with interrupting_on_signals():
            result = _minimize(task, output, started)
    finally:
        write_program(out, task.best)
    seconds = time.monotonic() - started
    document = minimize_json(task.signature, result, seconds, before, str(out))
    if arguments.json:
        output.json(document)
    else:
        output.lines(_lines(document, result))
    return status.NOTHING_FOUND


def _task(path: Path, out: Path, choice: Choice) -> _Task:
    """Return the task, its program labelled with what it runs on. Errors: UsageError for a clean program."""
    program = load_program(path)
    targets = choice.targets(program.header)
    extra = choice.extra_faults(program.header)
    runner = Runners().get(*targets, extra)
    verdict = judge(program, runner, targets, str(path))
    if verdict.finding is None:
        raise UsageError(f"{path}: gives no finding on {' | '.join(targets)}; there is nothing to minimize")
    signature = verdict.finding.signature
    header = replace(
        program.header,
        reference=targets[0],
        candidate=targets[1],
        faults=program.header.faults + extra,
        verdict=signature,
    )
    return _Task(out, runner, targets, signature, replace(program, header=header))


def _minimize(task: _Task, output: Output, started: float) -> MinimizeResult:
    with progress_view(output.stderr) as view:

        def show(progress: MinimizeProgress) -> None:
            line = f"{progress.phase}: {progress.steps:,} steps after {progress.executions:,} executions"
            view.show(time.monotonic() - started, line)

        return minimize(task.best, task.interesting, progress=show, reschedule=task.reschedule)


def minimize_json(signature: str, result: MinimizeResult, seconds: float, before: Program, out: str) -> dict[str, Any]:
    """Return the object that `minimize --json` prints. A program without a block has one lane."""
    after = result.program
    return {
        "signature": signature,
        "executions": result.executions,
        "seconds": round(seconds, 3),
        "operations": {"before": before.operations_count, "after": after.operations_count},
        "lanes": {"before": _lanes(before), "after": _lanes(after)},
        "preemptions": {"before": _preemptions(before), "after": _preemptions(after)},
        "complete": result.complete,
        "interrupted": result.interrupted,
        "program": out,
        "replay": replay_command(out),
    }


def _lanes(program: Program) -> int:
    return 1 if program.block is None else len(program.block.lanes)


def _preemptions(program: Program) -> int:
    return 0 if program.block is None else len(program.block.schedule)


def _lines(document: dict[str, Any], result: MinimizeResult) -> list[str]:
    operations = document["operations"]
    lines = [
        f"{document['program']}: operations before {operations['before']:,}, after {operations['after']:,}",
        f"  signature  {document['signature']}",
        f"  took       {document['executions']:,} executions, {document['seconds']:.1f} s",
        f"  replay     {document['replay']}",
    ]
    if result.interrupted:
        lines.append("  interrupted: this is the best program so far")
    return lines
