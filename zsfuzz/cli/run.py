"""`zsfuzz run`: one fuzzing campaign.

In:    targets, an engine, limits, folders.
Out:   findings on disk, a summary or one JSON object, exit status 0, 1 or 3.
Never: the loop itself.
Next:  zsfuzz/campaign/loop.py; several processes in zsfuzz/campaign/workers/supervisor.py; engines by name in
       zsfuzz/campaign/engines.py; zsfuzz/report/summary.py.
"""

from __future__ import annotations

import argparse
import os
import time
import traceback
from pathlib import Path

from zsfuzz.campaign.engines import ENGINES, open_engine, seeds_of_the_sources
from zsfuzz.campaign.fault import ProgramFault
from zsfuzz.campaign.files import check_folder
from zsfuzz.campaign.loop import Campaign, CampaignResult, Progress, StopFlag
from zsfuzz.campaign.running import DEFAULT_CANDIDATE, DEFAULT_REFERENCE, ProgramRunner, Runners
from zsfuzz.campaign.settings import RunSettings, WorkerSettings
from zsfuzz.campaign.workers.supervisor import Supervisor
from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.cli.signals import stopping_on_signals
from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.machine.geometry import GEOMETRIES
from zsfuzz.report.progress import ProgressView, progress_view, run_done, run_line
from zsfuzz.report.summary import run_json, run_lines

DEFAULT_SECONDS = 60.0
DEFAULT_PARALLEL = 8
DEFAULT_FINDINGS = Path("zsfuzz-findings")

_EXAMPLES = """\
  zsfuzz run --time 60
  zsfuzz run --candidate candidate-literal --time 60 --stop-on-first
  zsfuzz run --candidate mymodule:MyAllocator --corpus corpus --findings findings
  zsfuzz run --workers 4 --time 3600 --corpus corpus --findings findings
  zsfuzz run --runs 1000 --seed 7 --json                 same findings and counts every time
"""

_MORE = f"""\
Without --time and --runs it runs for {DEFAULT_SECONDS:g} s; with both, the limit that is reached first
counts. Ctrl-C ends it with the summary so far; a second Ctrl-C does not wait for the program that is
running. Each finding is run again before it is reported, and kept in the findings folder as ID.zst and
ID.json.
With --workers N, processes share a corpus folder, and a supervisor starts them again when they die. A program
that kills workers is kept as quarantine-ID.zst in the findings folder and is not run again. When everything is
killed, the same command goes on from there. The same seed then gives other counts each time.
Exit status: 0 nothing found, 1 a finding, 2 a mistake in the command, 3 a fault of zsfuzz or nothing tested.
"""


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "run", run, "fuzz a candidate against a reference", _EXAMPLES, _MORE)
    options.add_target_options(parser)
    group = parser.add_argument_group("campaign")
    group.add_argument(
        "--engine",
        default="coverage",
        metavar="E",
        help=f"one of {', '.join(ENGINES)} (coverage)",
    )
    group.add_argument("--time", type=options.seconds, metavar="S", help="stop after S seconds")
    group.add_argument("--runs", type=options.count, metavar="N", help="stop after N programs")
    group.add_argument("--workers", type=options.count, default=1, metavar="N", help="processes (1)")
    group.add_argument("--seed", type=options.seed, metavar="N", help="start of all random choices (a new one)")
    group.add_argument("--corpus", type=options.folder, metavar="DIR", help="programs to start from, and to add to")
    group.add_argument(
        "--seeds",
        type=options.folder,
        metavar="DIR",
        help="programs to start from that are left as they are (corpus/seeds of the sources, where they are there)",
    )
    group.add_argument("--no-seeds", action="store_true", help="start from nothing, --corpus aside")
    group.add_argument(
        "--findings",
        type=options.folder,
        default=DEFAULT_FINDINGS,
        metavar="DIR",
        help=f"where findings are kept ({DEFAULT_FINDINGS})",
    )
    group.add_argument("--geometry", metavar="NAME", help=f"of new programs: {', '.join(GEOMETRIES)} (a mix)")
    group.add_argument(
        "--parallel",
        type=options.percent,
        default=DEFAULT_PARALLEL,
        metavar="PERCENT",
        help=f"how often a family of programs with lanes comes instead of one without ({DEFAULT_PARALLEL})",
    )
    group.add_argument("--stop-on-first", action="store_true", help="stop at the first finding")
    options.add_json_option(parser)
    group = parser.add_argument_group("several workers")
    group.add_argument(
        "--program-time",
        type=options.seconds,
        default=60.0,
        metavar="S",
        help="kill a worker whose program takes longer than S seconds (60)",
    )
    group.add_argument(
        "--memory", type=options.count, default=2048, metavar="MIB", help="kill a worker that holds more (2048)"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run a campaign and print what came of it."""
    settings = settings_of(arguments)
    check_folder(settings.findings, "--findings")
    runner = Runners().get(settings.reference, settings.candidate, settings.faults)
    stop = StopFlag()
    with stopping_on_signals(stop):
        with progress_view(output.stderr) as view:
            campaign = _campaign(arguments, settings, runner, stop, view, output)
            trouble = _outcome_of(campaign)
        result = campaign.result()
        if arguments.json:
            output.json(run_json(result, _fault_json(trouble)))
        else:
            output.lines(run_lines(result))
    if isinstance(trouble, UsageError):
        raise trouble
    if trouble is not None:
        return _report_fault(trouble, output)
    return _status(result, output)


def _campaign(
    arguments: argparse.Namespace,
    settings: RunSettings,
    runner: ProgramRunner,
    stop: StopFlag,
    view: ProgressView,
    output: Output,
) -> Campaign | Supervisor:
    """Return the loop in this process, or the supervisor of several."""

    def watch(progress: Progress) -> None:
        view.show(progress.seconds, run_line(progress), run_done(progress))

    def note(line: str) -> None:
        output.note(f"zsfuzz: {line}")

    if arguments.workers == 1:
        return Campaign(settings, open_engine(settings, note), runner, time.monotonic, watch, stop)
    workers = WorkerSettings(
        arguments.workers, arguments.program_time, arguments.memory << 20, arguments.seed is not None
    )
    return Supervisor(settings, workers, runner, time.monotonic, watch, stop, note)


def settings_of(arguments: argparse.Namespace) -> RunSettings:
    """Return the checked settings. Errors: UsageError for what is unknown or not built yet."""
    if arguments.geometry is not None and arguments.geometry not in GEOMETRIES:
        raise UsageError(f"--geometry {arguments.geometry} is unknown; use one of {', '.join(GEOMETRIES)}")
    limited = arguments.time is not None or arguments.runs is not None
    choice = options.choice_of(arguments)
    return RunSettings(
        reference=choice.reference or DEFAULT_REFERENCE,
        candidate=choice.candidate or DEFAULT_CANDIDATE,
        engine=arguments.engine,
        seconds=arguments.time if limited else DEFAULT_SECONDS,
        runs=arguments.runs,
        seed=int.from_bytes(os.urandom(4)) if arguments.seed is None else arguments.seed,
        findings=arguments.findings,
        corpus=arguments.corpus,
        seeds=_seeds(arguments),
        faults=choice.faults,
        geometry=arguments.geometry,
        stop_on_first=arguments.stop_on_first,
        parallel_percent=arguments.parallel,
    )


def _seeds(arguments: argparse.Namespace) -> Path | None:
    """Return the folder to start from. Errors: UsageError for both words at once."""
    if arguments.no_seeds and arguments.seeds is not None:
        raise UsageError(f"--seeds {arguments.seeds} and --no-seeds contradict each other; leave one out")
    if arguments.no_seeds:
        return None
    if arguments.seeds is None and arguments.engine != "random":
        return seeds_of_the_sources()
    folder: Path | None = arguments.seeds
    return folder


def _outcome_of(campaign: Campaign | Supervisor) -> UsageError | HarnessError | None:
    """Run the campaign; an exception is handed back, so that what was found before it is printed first."""
    try:
        campaign.run()
    except (UsageError, HarnessError) as error:
        return error
    return None


def _fault_json(trouble: Exception | None) -> dict[str, str] | None:
    if not isinstance(trouble, HarnessError):
        return None
    if isinstance(trouble, ProgramFault):
        return {"reason": trouble.reason, "program": trouble.path}
    return {"reason": str(trouble), "program": ""}


def _report_fault(fault: HarnessError, output: Output) -> int:
    output.trouble("".join(traceback.format_exception(fault)))
    output.note(f"zsfuzz: a fault of zsfuzz itself: {fault}")
    return status.HARNESS_FAULT


def _status(result: CampaignResult, output: Output) -> int:
    culprits = result.team.culprits if result.team is not None else ()
    for culprit in culprits:
        output.trouble(culprit.trace)
        output.note(f"zsfuzz: a fault of zsfuzz or of a target's own: {culprit.reason}; it is kept in {culprit.path}")
    if culprits:
        return status.HARNESS_FAULT
    if result.findings:
        return status.FINDING
    if result.tally.operations == 0:
        output.note("zsfuzz: no operation had an effect, so nothing was tested; this is a fault of zsfuzz itself")
        return status.HARNESS_FAULT
    return status.NOTHING_FOUND
