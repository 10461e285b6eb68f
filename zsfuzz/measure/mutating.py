"""Running one mutant: its module is compiled from changed text, then the fuzzer looks for it.

In:    a mutant as plain data, a budget, a seed, a clock of processor time.
Out:   what killed it, as plain data, or that it survived the budget.
Never: a mutant in a process that has imported the models already, or that goes on afterwards.
Next:  the process it runs in: zsfuzz/measure/worker.py.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final

from zsfuzz.errors import HarnessError
from zsfuzz.measure.mutants import Mutant

ENGINE: Final = "coverage"
PARALLEL_PERCENT: Final = 25
"""Of families of programs: a lock that is taken too late shows in a parallel block only."""
SURVIVED: Final = "survived"
HANG: Final = "hang"
HANG_SECONDS: Final = 5.0
"""Of processor time for one program, which takes a hundredth of a second: what takes so long loops for ever."""


class Hang(BaseException):
    """One program took too long. No Exception, since the harness takes every Exception of a model for a finding."""


@contextmanager
def hang_guard() -> Iterator[None]:
    """Raise Hang inside the block once it has taken HANG_SECONDS of processor time."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, handler)
    signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class _Changed(MetaPathFinder, Loader):
    """Finds one module, and loads it from the mutant's text."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a specification for the changed module, None for all others."""
        return spec_from_loader(fullname, self, origin="mutant") if fullname == self._mutant.module else None

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed text as the module."""
        exec(compile(self._mutant.mutated(), f"mutant of {self._mutant.path}", "exec"), vars(module))


def install(mutant: Mutant) -> None:
    """Let the mutant's module be imported changed, from now on in this process.

    Errors: HarnessError when it has been imported already.
    """
    if mutant.module in sys.modules:
        raise HarnessError(f"{mutant.module} is imported already: a mutant needs a process of its own")
    sys.meta_path.insert(0, _Changed(mutant))


def run_mutant(document: dict[str, Any], budget: float, seed: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Install a mutant and fuzz. Returns {"killed_by", "detail", "seconds", "programs", "budget"}."""
    install(Mutant(**document))
    started = clock()
    killed_by, detail, programs = _killer(budget, seed, clock)
    return {
        "killed_by": killed_by,
        "detail": detail,
        "seconds": round(clock() - started, 3),
        "programs": programs,
        "budget": budget,
    }


def _killer(budget: float, seed: int, clock: Callable[[], float]) -> tuple[str, str, int]:
    """Return (what killed the mutant, one line about it, programs run)."""
    programs = 0
    try:
        from zsfuzz.campaign.engines import open_engine
        from zsfuzz.campaign.settings import RunSettings
        from zsfuzz.execute.runner import Runner

        settings = RunSettings("reference", "candidate", ENGINE, None, None, seed, Path("unused"))
        engine = open_engine(replace(settings, parallel_percent=PARALLEL_PERCENT), lambda line: None)
        runner = Runner()
    except Exception as error:  # noqa: BLE001 - a model that cannot be imported is dead, whatever it raises
        return "import", _line(error), programs
    until = clock() + budget
    while clock() < until:
        program = engine.next_program()
        programs += 1
        try:
            with hang_guard():
                result = runner.run(program)
        except Hang:
            return HANG, "", programs
        except HarnessError as error:
            return "oracle crashed", _line(error), programs
        except Exception as error:  # noqa: BLE001 - a model that cannot even boot is dead, whatever it raises
            return "boot", _line(error), programs
        if result.findings:
            return result.findings[0].kind, result.findings[0].signature, programs
        engine.feedback(program, result)
    return SURVIVED, "", programs


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
