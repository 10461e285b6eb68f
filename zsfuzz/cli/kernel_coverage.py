"""`zsfuzz kernel coverage`: which lines and branches of a kernel's mm/zsmalloc.c programs reach.

In:    a build or a fetched version; a corpus; seconds of generated programs.
Out:   text, or JSON; with -o a folder with the text, the JSON, a page, and the programs that were stopped.
Never: source in the JSON, or a finding: a program that stops is counted and told, and not judged.
Next:  zsfuzz/kernel/lines.py runs, zsfuzz/kernel/coverage.py judges.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

from zsfuzz.campaign.files import check_folder, write_program, write_text
from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.cli.signals import interrupting_on_signals
from zsfuzz.corpus.store import CorpusStore
from zsfuzz.engine.parallel_engine import ParallelEngine
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.errors import UsageError
from zsfuzz.kernel.build import Build, BuildOptions, build, load_build
from zsfuzz.kernel.cache import source_folder
from zsfuzz.kernel.coverage import judge
from zsfuzz.kernel.library import Report
from zsfuzz.kernel.lines import Died, LinesRun
from zsfuzz.kernel.unreachable import RULES
from zsfuzz.program.program import Program
from zsfuzz.report.coverage_html import html_report
from zsfuzz.report.coverage_text import report_as_json, text_report
from zsfuzz.report.progress import progress_view

EXAMPLES = """\
  zsfuzz kernel coverage 6.12
  zsfuzz kernel coverage mine --corpus corpus/seeds --time 60 -o coverage/
"""

DEFAULT_SECONDS = 10.0
PARALLEL_PERCENT = 50
"""How often a family of programs with lanes comes instead of one without: much of the file is about lanes that meet."""
_SHOWN_STOPS = 10

Stopped = list[tuple[Program, Report | Died]]
"""Programs that did not come to their end, and why."""


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(
        commands,
        "coverage",
        run_coverage,
        "show which lines of mm/zsmalloc.c programs reach",
        EXAMPLES,
        "NAME is a build or a fetched version; it is built once more, for gcov, beside the build itself. Many of\n"
        "the generated programs end in lanes that run at the same time. What a userspace build cannot reach is listed\n"
        "with the reason.\n",
    )
    parser.add_argument("name", metavar="NAME", help="a build, or a fetched version")
    parser.add_argument("--corpus", type=options.folder, metavar="DIR", help="run the programs of this folder")
    parser.add_argument(
        "--time",
        type=options.seconds,
        metavar="S",
        help=f"then generate programs for so many seconds (default: {DEFAULT_SECONDS:.0f} without --corpus, else none)",
    )
    parser.add_argument("--seed", type=options.seed, default=1, metavar="N", help="of generated programs (default: 1)")
    parser.add_argument(
        "-o", "--output", type=options.folder, metavar="DIR", help="write text, JSON, a page and stopped programs there"
    )
    options.add_cache_option(parser)
    options.add_json_option(parser)


def run_coverage(arguments: argparse.Namespace, output: Output) -> int:
    """Measure one build."""
    if arguments.output is not None:
        check_folder(arguments.output, "-o")
    corpus = _corpus(arguments.corpus, output)
    made = lines_build(arguments.name, arguments.cache)
    seconds = arguments.time or (0.0 if corpus else DEFAULT_SECONDS)
    with interrupting_on_signals(), LinesRun(made) as run:
        count, stopped = _run_all(run, corpus, seconds, arguments.seed, output)
        measured = run.coverage()
    source = made.source.read_text(encoding="utf-8", errors="replace").splitlines()
    report = judge(measured, source, RULES)
    title = f"mm/zsmalloc.c of {arguments.name}, {count:,} programs"
    stops = Counter(_told(cause) for _, cause in stopped)
    document = {"name": arguments.name, "programs": count, "stopped": dict(stops), **report_as_json(report)}
    lines = [*text_report(title, report, source), *_stop_lines(stops)]
    if arguments.output is not None:
        _write(arguments.output, lines, document, html_report(title, report, source))
        for number, (program, _) in enumerate(stopped):
            write_program(arguments.output / "stopped" / f"{number}.zst", program)
    if arguments.json:
        output.json(document)
    else:
        output.lines(lines)
    return status.NOTHING_FOUND


def lines_build(name: str, cache: Path | None) -> Build:
    """Return the build that counts lines of what the user named. Errors: UsageError for an unknown name."""
    found = load_build(name, cache)
    if found is not None and found.options.coverage == "lines":
        return found
    tree, wanted = source_folder(name, cache), BuildOptions()
    if found is not None:
        tree, wanted = found.source.parent.parent, found.options
    elif not (tree / "mm" / "zsmalloc.c").is_file():
        raise UsageError(
            f"{name} is neither a build nor a fetched version; see `zsfuzz kernel list`, or make one: "
            f"zsfuzz kernel build TREE -o {name}"
        )
    return build(tree, f"{name}-lines", replace(wanted, sanitize=(), coverage="lines"), cache)


def _corpus(folder: Path | None, output: Output) -> list[Program]:
    if folder is None:
        return []
    loaded = CorpusStore(folder, create=False).load()
    for bad in loaded.bad:
        output.note(f"zsfuzz: {bad.reason}")
    if not loaded.programs:
        raise UsageError(f"{folder}: no program in this folder; name another --corpus")
    return [program for _, program in loaded.programs]


def _run_all(run: LinesRun, corpus: list[Program], seconds: float, seed: int, output: Output) -> tuple[int, Stopped]:
    """Run the corpus, then generated programs for so many seconds. Return how many ran, and which were stopped."""
    start, stopped, count = time.monotonic(), Stopped(), 0
    limit: float | None = None
    with progress_view(output.stderr) as view:
        for number, program in enumerate(_and_generated(corpus, seed) if seconds else corpus):
            now = time.monotonic() - start
            if number >= len(corpus):
                limit = limit or now + seconds
                if now >= limit:
                    break
            if (cause := run.run(program)) is not None:
                stopped.append((program, cause))
            count += 1
            view.show(now, f"{count:,} programs, {len(stopped)} stopped", min(now / limit, 1.0) if limit else None)
    return count, stopped


def _and_generated(corpus: list[Program], seed: int) -> Iterator[Program]:
    """Yield the corpus, then programs without end."""
    yield from corpus
    settings = GenerateSettings()
    sequential = RandomEngine(Random(seed), settings)
    engine = ParallelEngine(sequential, Random(seed + 1), settings, PARALLEL_PERCENT, learns=False)
    while True:
        yield engine.next_program()


def _told(stopped: Report | Died) -> str:
    if isinstance(stopped, Died):
        return f"the process ended with status {stopped.status}"
    return f"{stopped.kind}: {stopped.rule} in {stopped.function}()"


def _stop_lines(stops: Counter[str]) -> list[str]:
    if not stops:
        return []
    shown = [f"{count:,}  {what}" for what, count in stops.most_common(_SHOWN_STOPS)]
    return ["", "programs that were stopped (`zsfuzz run` judges and keeps them)", *shown]


def _write(folder: Path, lines: list[str], document: dict[str, object], page: str) -> None:
    write_text(folder / "coverage.txt", "\n".join([*lines, ""]))
    write_text(folder / "coverage.json", json.dumps(document, indent=2) + "\n")
    write_text(folder / "index.html", page)
