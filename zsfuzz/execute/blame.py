"""Blame: from an exception in a model to a finding that names the model function.

In:    an exception, its traceback.
Out:   a Finding; HarnessError for what is the fuzzer's own fault.
Never: swallows.
Next:  what becomes of the name: zsfuzz/oracle/signature.py.

The innermost function of the target, or of the core that both targets run on, is the one that is named: the way that
led there depends on the trigger, that function does not. Two things are told apart:

* a lock is released by a primitive of the descriptor rules, but whoever uses the primitive is to blame for it;
* an oracle that looks inside and finds nonsense has found a wrong state: no function is to blame for being asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Final

from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.report import Report
from zsfuzz.oracle.finding import Finding

_HARNESS = ("zsfuzz.execute", "zsfuzz.oracle", "zsfuzz.program", "zsfuzz.engine", "zsfuzz.campaign")
_CORE = ("zsfuzz.machine.core", "zsfuzz.machine.scanners")
_USED_BY_OTHERS: Final = "I5"  # rules about locks
_INSPECTION: Final = frozenset(
    {
        "class_row",
        "fullness_list",
        "isolated_zspages",
        "lock_words",
        "object_header",
        "page_owner",
        "placement",
        "shown_to_scanners",
        "zspage_of",
        "zspage_view",
    }
)
"""The methods of zsfuzz/target/protocol.py by which oracles look inside."""


def finding_of_exception(error: Exception, side: str, step: int) -> Finding:
    """Return the finding of an exception. Errors: HarnessError when the fuzzer itself raised it."""
    if isinstance(error, (UsageError, HarnessError)):
        raise error
    frames = _frames(error.__traceback__)
    if isinstance(error, Report):
        functions = _model_functions(frames, past_primitives=error.rule.startswith(_USED_BY_OTHERS))
        return Finding(error.kind, error.rule, functions, error.field, side, step, error.message)
    if _module(frames[-1]).startswith(_HARNESS):
        raise HarnessError(f"{type(error).__name__} in the harness at step {step}: {error}") from error
    name = type(error).__name__
    functions = _model_functions(frames, past_primitives=False)
    return Finding("crash", name, functions, "", side, step, f"{side} raised {name}: {error}".splitlines()[0])


def role_at_fault(error: Exception, parts: Sequence[tuple[object, str]]) -> str:
    """Return the role of the innermost object at work when an exception was raised, "" for none of them.

    parts: (target, core or the like, role of its side).
    """
    for frame in reversed(_frames(error.__traceback__)):
        for name in ("self", "core"):
            at_work = frame.f_locals.get(name)
            for part, role in parts:
                if at_work is part:
                    return role
    return ""


def _frames(traceback: TracebackType | None) -> list[FrameType]:
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def _module(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name


def _model_functions(frames: list[FrameType], *, past_primitives: bool) -> tuple[str, ...]:
    """Return the innermost function of a model; nothing when there is none, or when an oracle was looking inside."""
    models = [frame for frame in frames if _is_model(_module(frame))]
    if any(frame.f_code.co_name in _INSPECTION for frame in models):
        return ()
    for frame in reversed(models):
        if not past_primitives or not isinstance(frame.f_locals.get("self"), Descriptor):
            return (frame.f_code.co_name,)
    return ()


def _is_model(module: str) -> bool:
    return not module.startswith("zsfuzz.") or module.startswith(_CORE)
