"""The runner as this layer sees it: something that gives a RunResult for a program.

In:    the names of two targets and the faults to plant.
Out:   ProgramRunner (a protocol: tests put a stand-in behind it) and open_runner().
Never: what a run does; that is zsfuzz/execute/.
Next:  the fuzz loop in zsfuzz/campaign/loop.py, single verdicts in zsfuzz/campaign/verdict.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.execute.result import Observer, RunResult
from zsfuzz.program.program import Header, Program

DEFAULT_REFERENCE = "reference"
DEFAULT_CANDIDATE = "candidate"


class ProgramRunner(Protocol):
    """Runs programs on one pair of targets. A run is a pure function of the program."""

    def run(self, program: Program, *, cadence: int | None = None, observer: Observer | None = None) -> RunResult:
        """Run one program; cadence: steps between full comparisons, 1 = after every step."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The targets and further faults a user asked for; None: whatever the program's header says."""

    reference: str | None = None
    candidate: str | None = None
    faults: tuple[str, ...] = ()

    @property
    def overrides(self) -> bool:
        """Return whether anything differs from what a program's header asks for."""
        return self.reference is not None or self.candidate is not None or bool(self.faults)

    def extra_faults(self, header: Header) -> tuple[str, ...]:
        """Return the faults that a runner has to add to those of the header."""
        return tuple(fault for fault in self.faults if fault not in header.faults)

    def targets(self, header: Header) -> tuple[str, str]:
        """Return (reference, candidate): the user's word first, then the header's, then the built-in pair."""
        return (
            self.reference or header.reference or DEFAULT_REFERENCE,
            self.candidate or header.candidate or DEFAULT_CANDIDATE,
        )


def open_runner(reference: str, candidate: str, faults: tuple[str, ...] = ()) -> ProgramRunner:
    """Return a runner of the two targets.

    Errors: UsageError for an unknown target or fault, or a user's own target that raises when it is made.
    """
    from zsfuzz.execute.runner import Runner  # here, so that `--help` and `show` start without the machine

    if any(name.startswith("kernel:") for name in (reference, candidate)):
        from zsfuzz.kernel.runner import KernelRunner

        return KernelRunner(reference, candidate, faults)
    runner = Runner(reference, candidate, faults)
    for name in (reference, candidate):
        if _is_own(name):
            _boot(runner, name)
    return runner


def _is_own(name: str) -> bool:
    """Return whether a name is module:attribute."""
    return ":" in name and not name.startswith(("candidate-literal:", "kernel:"))


def _boot(runner: ProgramRunner, name: str) -> None:
    """Run nothing, once, to tell a class that cannot be made from a finding and from our faults."""
    try:
        runner.run(Program(Header(), ()), cadence=1)
    except (UsageError, HarnessError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(f"target {name!r} cannot be made: {reason}; see `zsfuzz conform {name}`") from error


class Runners:
    """Opens each pair of targets once and hands it out again."""

    def __init__(self) -> None:
        self._opened: dict[tuple[str, str, tuple[str, ...]], ProgramRunner] = {}

    def get(self, reference: str, candidate: str, faults: tuple[str, ...] = ()) -> ProgramRunner:
        """Return the runner of this pair. Errors: UsageError as open_runner()."""
        key = (reference, candidate, faults)
        if key not in self._opened:
            self._opened[key] = open_runner(reference, candidate, faults)
        return self._opened[key]
