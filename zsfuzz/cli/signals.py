"""Signals: the first asks a campaign to end after the program it runs, the second ends it there.

In:    SIGINT (Ctrl-C) and SIGTERM.
Out:   a StopFlag that is set; KeyboardInterrupt for the second signal.
Never: a lost finding: what was confirmed is on disk before the next program starts.
Next:  looked at by zsfuzz/campaign/loop.py.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from zsfuzz.campaign.loop import StopFlag

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping_on_signals(stop: StopFlag) -> Iterator[None]:
    """Set the flag on the first signal and raise KeyboardInterrupt on the second."""

    def handler(number: int, _frame: FrameType | None) -> None:
        if stop.reason:
            raise KeyboardInterrupt
        stop.reason = f"stopped by {signal.Signals(number).name}"

    yield from _handled_by(handler)


@contextmanager
def interrupting_on_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM too."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    yield from _handled_by(handler)


def _handled_by(handler: signal._HANDLER) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
