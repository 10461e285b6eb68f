"""A fault of ours that one program brought out: the program is on disk, the traceback is attached.

In:    an exception that is no UsageError, and the program that ran.
Out:   ProgramFault, exit status 3.
Never: a finding about a target.
Next:  raised by zsfuzz/campaign/loop.py and zsfuzz/campaign/verdict.py, printed by zsfuzz/cli/main.py.
"""

from __future__ import annotations

from zsfuzz.errors import HarnessError


class ProgramFault(HarnessError):
    """The harness failed on one program. path: where that program is kept."""

    def __init__(self, reason: str, path: str) -> None:
        super().__init__(f"{reason}; the program that caused it is in {path}")
        self.reason = reason
        self.path = path


def reason_of(error: BaseException) -> str:
    """Return one line that names an exception; a HarnessError speaks for itself."""
    text = str(error).strip().splitlines()
    first = text[0] if text else "no message"
    return first if isinstance(error, HarnessError) else f"{type(error).__name__}: {first}"
