"""LibFuzzer at the wheel: its own flags and loop, our programs, verdicts and findings folder.

In:    an Order (from the environment: the words of the command line are libFuzzer's), libFuzzer's flags.
Out:   run_libfuzzer(), which does not come back: libFuzzer ends the process. Findings in their folder, a line for each
       in the order's journal.
Never: an exception through libFuzzer's C++ frames, but for the one that stands for a crash.
Next:  who starts it and reads the journal: zsfuzz/cli/atheris.py; the same engine under `zsfuzz run`:
       zsfuzz/engine/atheris_engine.py.

A finding is no crash to libFuzzer: it is confirmed and kept inside the target function, and the run goes on. It is a
crash where libFuzzer's own work is about one input: when it runs single files, and when it minimizes one
(-minimize_crash=1); there only the finding that the order names counts, so that no other bug takes its place.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar

from zsfuzz.campaign.engines import target_modules
from zsfuzz.campaign.loop import Campaign, StopFlag
from zsfuzz.campaign.running import DEFAULT_CANDIDATE, DEFAULT_REFERENCE, open_runner
from zsfuzz.campaign.settings import RunSettings
from zsfuzz.engine.atheris_engine import FEATURE_COUNTERS, FeatureTable, atheris_module, instrument
from zsfuzz.engine.libfuzzer import MOST_BYTES, ProgramBytes
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.execute.result import RunResult
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.program import Program

VARIABLE = "ZSFUZZ_ATHERIS"
"""Environment variable that holds an Order as JSON. It reaches the processes that libFuzzer starts, as flags do not."""

HARNESS_FAULT = 3
"""Exit status for a fault of ours; libFuzzer's own are 77 a crash, 70 a timeout, 71 out of memory, 72 interrupted."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Order:
    """What the target function is to do. journal: file that gets a line for each hit of a finding, "" for none.

    signature: the only finding that counts as a crash, "" for any.
    """

    reference: str = DEFAULT_REFERENCE
    candidate: str = DEFAULT_CANDIDATE
    faults: tuple[str, ...] = ()
    findings: str = "zsfuzz-findings"
    geometry: str | None = None
    parallel_percent: int = 0
    journal: str = ""
    signature: str = ""

    def as_text(self) -> str:
        """Return the order for the environment variable."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Order:
        """Return the order of an environment variable."""
        plain = json.loads(text)
        return cls(**{**plain, "faults": tuple(plain["faults"])})


class FindingCrash(Exception):
    """Stands for a crash where libFuzzer works on one input."""


def minimizes(flags: Sequence[str]) -> bool:
    """Return whether libFuzzer is to make one input smaller."""
    return any(flag.startswith("-minimize_crash") and not flag.endswith("=0") for flag in flags)


def crashes_on_findings(flags: Sequence[str]) -> bool:
    """Return whether a finding is a crash under these flags: one input is minimized, or single files are run."""
    inputs = [flag for flag in flags if not flag.startswith("-")]
    return minimizes(flags) or (bool(inputs) and all(Path(each).is_file() for each in inputs))


class _NoEngine:
    """libFuzzer decides what runs next."""

    name = "atheris"

    def next_program(self) -> Program:
        raise NotImplementedError

    def feedback(self, program: Program, result: RunResult) -> None:
        """libFuzzer learns from its counters."""

    def statistics(self) -> Mapping[str, int]:
        return {}


class LibFuzzerTarget:
    """The target function, with what it keeps between calls."""

    def __init__(self, order: Order, flags: Sequence[str]) -> None:
        """Errors: UsageError for unknown targets or faults."""
        self._order = order
        self._crashes = crashes_on_findings(flags)
        settings = RunSettings(
            order.reference,
            order.candidate,
            "atheris",
            None,
            None,
            0,
            Path(order.findings),
            faults=order.faults,
            geometry=order.geometry,
        )
        runner = open_runner(order.reference, order.candidate, order.faults)
        self._campaign = Campaign(settings, _NoEngine(), runner, time.monotonic, lambda _: None, StopFlag())
        self.bytes = ProgramBytes(0, GenerateSettings(geometry=order.geometry), order.parallel_percent)
        self._table = FeatureTable(0 if self._crashes else FEATURE_COUNTERS)
        if not self._crashes:  # one input needs no coverage, and this is most of the time that a start takes
            instrument(target_modules(order.reference, order.candidate))

    def __call__(self, data: bytes) -> None:
        """Run one input. Errors: FindingCrash, if findings are crashes."""
        result = self._campaign.run_program(self.bytes.program_of(data))
        self._table.show(result.features)
        for finding in result.findings:
            self._tell(finding)

    def _tell(self, finding: Finding) -> None:
        if self._order.journal:
            line = f"{finding.id} {finding.signature}\n".encode()
            journal = os.open(self._order.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(journal, line)  # in one piece: processes that libFuzzer starts write to it too
            os.close(journal)
        if self._crashes and self._order.signature in ("", finding.signature):
            raise FindingCrash(finding.signature)


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Return a callback that ends the process, loudly, on a fault of ours."""

    def call(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return function(*arguments, **named)
        except FindingCrash:
            raise
        except Exception:  # noqa: BLE001  told in full, then the end: nothing may unwind through libFuzzer
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(HARNESS_FAULT)

    return call


def run_libfuzzer(entry: str, flags: Sequence[str]) -> NoReturn:
    """Give this process to libFuzzer. entry: an executable that does the same, for the processes that it starts.

    Errors: UsageError before libFuzzer has begun.
    """
    order = Order.of(os.environ[VARIABLE])
    target = LibFuzzerTarget(order, flags)
    atheris = atheris_module()
    atheris.Setup(
        [entry, *flags],
        guarded(target),
        custom_mutator=guarded(target.bytes.shrunk if minimizes(flags) else target.bytes.mutated),
        custom_crossover=guarded(target.bytes.crossed),
    )
    atheris.Fuzz()
    raise AssertionError("libFuzzer ends the process")


def usual_flags(flags: Sequence[str], findings: Path) -> list[str]:
    """Return flags with ours in front, where the user gave none: libFuzzer takes the last of two."""
    return [f"-max_len={MOST_BYTES}", f"-artifact_prefix={findings}/", *flags]
