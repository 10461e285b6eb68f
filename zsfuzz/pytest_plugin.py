"""pytest plugin: every program of a corpus folder is a test of the verdict that its header names.

In:    `zsfuzz_corpus` of the ini file (folders), `--zsfuzz-corpus DIR`, or a program file named to pytest.
Out:   one test item for each .zst and .zsf, failing with the readable trace and the command that replays it.
Never: work for those who use neither: everything else of zsfuzz is imported when a program is about to run.
Next:  verdicts in zsfuzz/campaign/verdict.py, the trace in zsfuzz/report/trace.py.

    [tool.pytest.ini_options]
    zsfuzz_corpus = ["corpus/regressions"]

A folder of the ini file takes part whenever pytest is not told what to run; `--zsfuzz-corpus` always does. A
program without a verdict in its header must be clean.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from zsfuzz.campaign.running import Runners
    from zsfuzz.campaign.verdict import Verdict
    from zsfuzz.report.trace import Trace

SUFFIXES = (".zst", ".zsf")
LAST_STEPS = 40
"""How many steps a failure shows; the replay command shows all."""

_FOLDERS = pytest.StashKey[tuple[Path, ...]]()
_RUNNERS: pytest.StashKey[Runners] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option and the command option."""
    parser.addini("zsfuzz_corpus", "folders of .zst and .zsf programs that are tests", type="paths", default=[])
    group = parser.getgroup("zsfuzz")
    group.addoption(
        "--zsfuzz-corpus",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder of .zst and .zsf programs to run as tests (again for more folders)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read the folders and let pytest walk through those that its arguments do not cover."""
    asked = [config.invocation_params.dir / word for word in config.getoption("--zsfuzz-corpus")]
    configured = [Path(path) for path in config.getini("zsfuzz_corpus")]
    for folder in (*asked, *configured):
        if not folder.is_dir():
            raise pytest.UsageError(f"zsfuzz: {folder} is not a folder; mend zsfuzz_corpus or --zsfuzz-corpus")
    folders = tuple(Path(os.path.realpath(folder)) for folder in (*asked, *configured))
    config.stash[_FOLDERS] = folders
    told_what_to_run = config.args_source is pytest.Config.ArgsSource.ARGS
    _walk(config, folders[: len(asked)] if told_what_to_run else folders)


def _walk(config: pytest.Config, folders: tuple[Path, ...]) -> None:
    """Add folders to pytest's arguments, but for those that an argument covers already."""
    for folder in folders:
        covered = [config.invocation_params.dir / argument.split("::")[0] for argument in config.args]
        if not any(folder.is_relative_to(os.path.realpath(path)) for path in covered):
            config.args.append(str(folder))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a program that lies under a corpus folder or was named itself."""
    if file_path.suffix not in SUFFIXES or file_path.name.startswith("."):
        return None
    real = Path(os.path.realpath(file_path))
    under = any(real.is_relative_to(folder) for folder in parent.config.stash[_FOLDERS])
    if not under and not parent.session.isinitpath(file_path):
        return None
    collected: pytest.Collector = ProgramFile.from_parent(parent, path=file_path)
    return collected


class ProgramFile(pytest.File):
    """One program file."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield its one item."""
        yield ProgramItem.from_parent(self, name="verdict")


class ProgramItem(pytest.Item):
    """Runs one program and compares what it gives with the verdict of its header."""

    def runtest(self) -> None:
        """Run. Errors: VerdictChanged; UsageError for a file that is no program."""
        from zsfuzz.campaign.running import Choice, Runners
        from zsfuzz.campaign.verdict import judge
        from zsfuzz.program.files import load_program
        from zsfuzz.report.trace import Trace

        program = load_program(self.path)
        runners = self.config.stash.setdefault(_RUNNERS, Runners())
        targets = Choice().targets(program.header)
        runner = runners.get(*targets)
        if not judge(program, runner, targets, self._shown_path()).as_kept:
            trace = Trace(program.steps)  # only now: most programs are as they should be, and a trace costs time
            raise VerdictChanged(judge(program, runner, targets, self._shown_path(), trace), trace)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what a failed program says: the trace for a changed verdict, one line for a bad file."""
        from zsfuzz.errors import UsageError

        if isinstance(excinfo.value, VerdictChanged):
            return "\n".join(excinfo.value.lines(self._shown_path()))
        if isinstance(excinfo.value, UsageError):
            return f"zsfuzz: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return what the report calls this item."""
        return self.path, None, f"zsfuzz {self._shown_path()}"

    def _shown_path(self) -> str:
        """Return the path as the user would type it."""
        start = self.config.invocation_params.dir
        return str(self.path.relative_to(start)) if self.path.is_relative_to(start) else str(self.path)


class VerdictChanged(Exception):
    """A program gave something else than its header says."""

    def __init__(self, verdict: Verdict, trace: Trace) -> None:
        super().__init__(f"gives {verdict.gives}, kept for {verdict.kept_for or 'clean'}")
        self._verdict = verdict
        self._trace = trace

    def lines(self, where: str) -> Iterator[str]:
        """Yield the failure for people."""
        from zsfuzz.campaign.findings import replay_command
        from zsfuzz.report.trace import trace_lines
        from zsfuzz.report.verdict import changed_lines

        yield f"zsfuzz: {where} ({' | '.join(self._verdict.targets)})"
        yield from changed_lines(self._verdict, overridden=False)
        yield ""
        yield from trace_lines(self._trace, self._verdict.finding, last=LAST_STEPS)
        yield ""
        yield f"replay: {replay_command(where)} --trace"
