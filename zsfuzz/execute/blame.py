"""Blame: from an exception in a model to a finding that names the model function.

In:    an exception, its traceback.
Out:   a Finding; HarnessError for what is the fuzzer's own fault.
Never: swallows.

The innermost function of the target, or of the core that both targets run on, is the one that is named: the way that
led there depends on the trigger, that function does not.
"""

from __future__ import annotations

from types import TracebackType

from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.machine.report import Report
from zsfuzz.oracle.finding import Finding

_HARNESS = ("zsfuzz.execute", "zsfuzz.oracle", "zsfuzz.program", "zsfuzz.engine", "zsfuzz.campaign")
_CORE = ("zsfuzz.machine.core", "zsfuzz.machine.scanners")


def finding_of_exception(error: Exception, side: str, step: int) -> Finding:
    """Return the finding of an exception. Errors: HarnessError when the fuzzer itself raised it."""
    if isinstance(error, (UsageError, HarnessError)):
        raise error
    functions = _model_functions(error.__traceback__)
    if isinstance(error, Report):
        return Finding(error.kind, error.rule, functions, error.field, side, step, error.message)
    if _innermost_module(error.__traceback__).startswith(_HARNESS):
        raise HarnessError(f"{type(error).__name__} in the harness at step {step}: {error}") from error
    name = type(error).__name__
    return Finding("crash", name, functions, "", side, step, f"{side} raised {name}: {error}".splitlines()[0])


def _frames(traceback: TracebackType | None) -> list[tuple[str, str]]:
    frames = []
    while traceback is not None:
        code = traceback.tb_frame
        frames.append((code.f_globals.get("__name__", ""), code.f_code.co_name))
        traceback = traceback.tb_next
    return frames


def _innermost_module(traceback: TracebackType | None) -> str:
    frames = _frames(traceback)
    return frames[-1][0] if frames else ""


def _model_functions(traceback: TracebackType | None) -> tuple[str, ...]:
    for module, function in reversed(_frames(traceback)):
        if not module.startswith("zsfuzz.") or module.startswith(_CORE):
            return (function,)
    return ()
