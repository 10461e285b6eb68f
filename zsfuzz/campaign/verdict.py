"""The verdict on one program that is kept: what it gives now, beside what its header says.

In:    a program, a runner.
Out:   Verdict. Everything is compared after every step; in a huge program, as often as time allows.
Never: files, exit statuses.
Next:  `replay` in zsfuzz/cli/replay.py, `corpus check` in zsfuzz/cli/corpus.py, zsfuzz/pytest_plugin.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from zsfuzz.campaign.fault import ProgramFault, reason_of
from zsfuzz.campaign.running import ProgramRunner
from zsfuzz.errors import UsageError
from zsfuzz.execute.result import Observer, RunResult
from zsfuzz.machine.geometry import geometry
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.program import Program

CLEAN = "clean"
"""The verdict of a program that must not give a finding."""

EVERY_STEP_UP_TO = 2_000
"""Steps of the longest program that is compared after every step; those of engines are far shorter."""

PAGES_COMPARED = 50_000
"""How many pages the full comparisons of a longer program may look at; there are two at least."""


def careful_cadence(program: Program) -> int:
    """Return how many steps lie between two full comparisons when a program is judged: 1, unless it is huge.

    A pure function of the program, so that a file is always judged in the same way.
    Errors: UsageError for an unknown geometry.
    """
    header, steps_count = program.header, len(program.steps)
    shape = geometry(header.geometry)
    if steps_count <= EVERY_STEP_UP_TO:
        return 1
    pages = (header.normal_pages or shape.normal_pages) + (header.movable_pages or shape.movable_pages)
    return -(-steps_count // max(2, PAGES_COMPARED // pages))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one program gave. kept_for: the header's word ("clean", a signature), None when it has none."""

    targets: tuple[str, str]
    kept_for: str | None
    result: RunResult

    @property
    def finding(self) -> Finding | None:
        """Return the finding, None for a clean run."""
        return self.result.findings[0] if self.result.findings else None

    @property
    def gives(self) -> str:
        """Return "clean" or the signature that the program gives now."""
        return self.finding.signature if self.finding is not None else CLEAN

    @property
    def as_kept(self) -> bool:
        """Return whether the program gives what its header says; one without a verdict must be clean."""
        return self.gives == (self.kept_for or CLEAN)


def judge(
    program: Program,
    runner: ProgramRunner,
    targets: tuple[str, str],
    where: str,
    observer: Observer | None = None,
    cadence: int | None = None,
) -> Verdict:
    """Run a program with full comparisons and return its verdict.

    where: the program's file, for messages. cadence: steps between two comparisons, None for
    careful_cadence(). Errors: UsageError when the header asks for what does not exist;
    ProgramFault for anything else the run raises.
    """
    try:
        result = runner.run(program, cadence=cadence or careful_cadence(program), observer=observer)
    except UsageError as error:
        text = str(error)
        raise UsageError(text if where in text else f"{where}: {text}") from error
    except Exception as error:
        raise ProgramFault(reason_of(error), where) from error
    return Verdict(targets, program.header.verdict, result)
