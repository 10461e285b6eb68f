"""`zsfuzz explore`: every schedule of a program's parallel block, up to a number of preemptions.

In:    a program with a block; targets; limits; a state to go on from.
Out:   counts, findings on disk with the schedule that leads to each, exit status 0, 1 or 3.
Never: "complete" for a search that a limit or a signal has cut.
Next:  the search in zsfuzz/explore/search.py; docs/explore.md says what its words mean.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

from zsfuzz.campaign.fault import ProgramFault, reason_of
from zsfuzz.campaign.files import check_folder, write_bytes
from zsfuzz.campaign.findings import FindingsFolder, replay_command
from zsfuzz.campaign.loop import StopFlag
from zsfuzz.campaign.running import ProgramRunner, Runners
from zsfuzz.campaign.settings import RunSettings
from zsfuzz.campaign.verdict import judge
from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.cli.run import DEFAULT_FINDINGS
from zsfuzz.cli.signals import stopping_on_signals
from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.explore import frontier
from zsfuzz.explore.explorer import MISSING, Exploration, Question
from zsfuzz.explore.side import Met
from zsfuzz.program.block import Block
from zsfuzz.program.files import load_program
from zsfuzz.report.explore import KeptMet, explore_json, explore_line, explore_lines
from zsfuzz.report.progress import progress_view

SAVE_SECONDS = 3.0
SHOW_SECONDS = 0.2

_EXAMPLES = """\
  zsfuzz explore corpus/explore/scan-free-malloc.zst
  zsfuzz explore block.zst --max-preemptions 3 --time 600 --save block.state
  zsfuzz explore block.zst --max-preemptions 3 --resume block.state
  zsfuzz explore block.zst --candidate candidate-literal:H15 --json
"""

_MORE = """\
Runs the lanes of FILE's parallel block under every schedule with at most N preemptions, first on the
reference, then on the candidate; schedules that differ in the order of independent steps only count as
one. Each execution is judged by all oracles that look at one side; where both searches are complete, each
end of the candidate has to be an end of the reference. The schedule in FILE is not looked at.
With --save the state of the search is written every few seconds and at the end; --resume goes on from it
and keeps it up to date. Ctrl-C ends the search with what it has.
Exit status: 0 nothing found, 1 a finding, 2 a mistake in the command, 3 a fault of zsfuzz.
"""


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "explore", run, "run every schedule of a parallel block", _EXAMPLES, _MORE)
    parser.add_argument("files", metavar="FILE", nargs="*", help=".zst or .zsf, with a parallel block")
    parser.add_argument("--max-preemptions", type=options.seed, default=2, metavar="N", help="the bound (2)")
    parser.add_argument("--time", type=options.seconds, metavar="S", help="stop after S seconds")
    parser.add_argument("--runs", type=options.count, metavar="N", help="stop after N executions")
    parser.add_argument("--stop-on-first", action="store_true", help="stop at the first finding")
    parser.add_argument("--save", type=options.folder, metavar="STATE", help="keep the state of the search in a file")
    parser.add_argument("--resume", type=options.folder, metavar="STATE", help="go on from such a file")
    parser.add_argument(
        "--findings",
        type=options.folder,
        default=DEFAULT_FINDINGS,
        metavar="DIR",
        help=f"where findings are kept ({DEFAULT_FINDINGS})",
    )
    options.add_target_options(parser)
    options.add_json_option(parser)


@dataclass(slots=True)
class _Work:
    """One command on its way. before: seconds of earlier ones. searching: since when. executions: of this one."""

    file: str
    exploration: Exploration
    state: Path | None
    before: float = 0.0
    started: float = 0.0
    searching: float = 0.0
    executions: int = 0

    @property
    def seconds(self) -> float:
        """Return what the search took, earlier commands included."""
        return self.before + time.monotonic() - self.started

    def save(self) -> None:
        """Write the state, if one is kept."""
        if self.state is not None:
            write_bytes(self.state, frontier.pack(self.exploration, self.seconds))


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Explore one block and print what came of it."""
    files = options.files_of(arguments)
    if len(files) != 1:
        raise UsageError(f"explore takes one FILE, not {len(files)}; run it once for each")
    check_folder(arguments.findings, "--findings")
    work = _begin(files[0], arguments)
    stopped = _search(work, arguments, output)
    kept = _keep(work, arguments.findings)
    if arguments.json:
        output.json(explore_json(work.exploration, kept, work.file, work.seconds, stopped))
    else:
        output.lines(explore_lines(work.exploration, kept, work.file, work.seconds, stopped))
    if kept:
        return status.FINDING
    if not work.exploration.counts.interleavings and not work.exploration.parted:
        output.note("zsfuzz: no execution came to an end, so nothing was tested; give it more --time or --runs")
        return status.HARNESS_FAULT
    return status.NOTHING_FOUND


def _begin(file: str, arguments: argparse.Namespace) -> _Work:
    program = load_program(Path(file))
    if program.block is None:
        raise UsageError(f"{file}: has no parallel block; `zsfuzz replay` runs programs without one")
    choice = options.choice_of(arguments)
    program = replace(program, block=Block(program.block.lanes))
    question = Question(
        program, choice.targets(program.header), choice.extra_faults(program.header), arguments.max_preemptions
    )
    state = arguments.save or arguments.resume
    if state is not None:
        check_folder(state.parent, "--save, folder")
    started = time.monotonic()
    if arguments.resume is None:
        exploration, before = Exploration(question), 0.0
        exploration.begin()
    else:
        exploration, before = frontier.resume(_read(arguments.resume), question, str(arguments.resume))
    return _Work(file, exploration, state, before, started)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"--resume {path}: {error.strerror}; begin with --save {path}") from error


def _search(work: _Work, arguments: argparse.Namespace, output: Output) -> str:
    """Search until everything is done or something cuts it. Returns what did."""
    stop, exploration = StopFlag(), work.exploration
    work.searching = saved = shown = time.monotonic()
    reason = "complete"
    with stopping_on_signals(stop), progress_view(output.stderr) as view:
        try:
            while not exploration.done:
                reason = _cut(work, arguments, stop)
                if reason:
                    break
                _step(work)
                now = time.monotonic()
                if now - saved >= SAVE_SECONDS:
                    work.save()
                    saved = time.monotonic()
                if now - shown >= SHOW_SECONDS:
                    view.show(work.seconds, explore_line(exploration))
                    shown = now
        except KeyboardInterrupt:  # the second signal: the execution that runs is lost, nothing else
            reason = stop.reason
        work.save()
    if not exploration.done:
        return reason
    if exploration.before is not None:
        return "a finding before the block"
    if exploration.parted:
        return f"the designs parted before the block: {exploration.parted}"
    return "complete" if exploration.complete else "some ends are unknown"


def _cut(work: _Work, arguments: argparse.Namespace, stop: StopFlag) -> str:
    """Return what ends the search now, "" for nothing."""
    if stop.reason:
        return stop.reason
    if arguments.time is not None and time.monotonic() - work.searching >= arguments.time:
        return f"--time {arguments.time:g}"
    if arguments.runs is not None and work.executions >= arguments.runs:
        return f"--runs {arguments.runs}"
    if arguments.stop_on_first and any(True for _ in work.exploration.findings()):
        return "--stop-on-first"
    return ""


def _step(work: _Work) -> None:
    work.executions += 1
    try:
        work.exploration.step()
    except (UsageError, HarnessError):
        raise
    except Exception as error:
        raise ProgramFault(reason_of(error), work.file) from error


# -- findings


def _keep(work: _Work, folder: Path) -> list[KeptMet]:
    """Keep every finding as `run` does, with the schedule in its program; see whether a replay gives it."""
    exploration, question = work.exploration, work.exploration.question
    met = list(exploration.findings())
    if exploration.before is not None:
        met = [Met(exploration.before, (), 0)]
    if not met:
        return []
    runner = Runners().get(*question.targets, question.faults)
    settings = RunSettings(
        *question.targets, engine="explore", seconds=None, runs=None, seed=0, findings=folder, faults=question.faults
    )
    kept = FindingsFolder(settings, runner)
    return [_keep_one(work, each, kept, runner) for each in met]


def _keep_one(work: _Work, met: Met, kept: FindingsFolder, runner: ProgramRunner) -> KeptMet:
    question, finding = work.exploration.question, met.finding
    block = question.program.block
    if block is None:
        raise RuntimeError("the program has no block")
    program = replace(question.program, block=Block(block.lanes, met.schedule))
    if finding.rule == MISSING:  # no single run shows it: the file is the question itself
        command = f"zsfuzz explore {work.file} --max-preemptions {question.bound}"
        return KeptMet(finding, met.preemptions, work.file, command, confirmed=True)
    gives = judge(program, runner, question.targets, work.file).gives
    kept.add(finding, program)
    path = next(each.path for each in kept.kept if each.finding.signature == finding.signature)
    return KeptMet(finding, met.preemptions, str(path), replay_command(path), gives == finding.signature)
