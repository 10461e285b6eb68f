"""Progress while a command works: a live line on a terminal, a plain line every few seconds elsewhere.

In:    figures, a few times a second.
Out:   text on the stream of errors, which is handed in; standard output stays free for results.
Never: a clock: figures carry their own time. A stream that was closed is no reason to stop the work.
Next:  driven by zsfuzz/cli/run.py and zsfuzz/cli/minimize.py.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from zsfuzz.campaign.loop import Progress
from zsfuzz.report.streams import abandon

PLAIN_SECONDS = 5.0
"""How many seconds lie between two plain lines."""

_ENGINE_COUNTS = (("entries", "corpus"), ("features", "features"))
"""Of an engine's counts, those that say whether it still gets anywhere, and what they are called here."""


class ProgressView(Protocol):
    """Shows one line of progress after the other, as a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, seconds: float, line: str, done: float | None = None) -> None:
        """Show the line. seconds: since the start of the work. done: 0.0..1.0, None when nobody knows."""


class LiveProgress:
    """A few lines that are drawn over, with a bar when it is known how much is left; for terminals."""

    def __init__(self, console: Console) -> None:
        self._live = Live(
            Text(""),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, seconds: float, line: str, done: float | None = None) -> None:
        """Draw the line over the last one, below how long the work has taken and how much of it is done."""
        head = Table.grid(padding=(0, 1))
        cells: list[RenderableType] = [Text(f"zsfuzz {seconds:6.0f} s")]
        if done is not None:
            cells += [ProgressBar(total=1.0, completed=done, width=30), Text(f"{done:.0%}")]
        head.add_row(*cells)
        self._live.update(Group(head, Text(line)), refresh=True)


class PlainProgress:
    """A line now and then, for logs and pipes."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._next = PLAIN_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, seconds: float, line: str, done: float | None = None) -> None:
        """Print the line if the last one is long enough ago."""
        if self._stream is None or seconds < self._next:
            return
        self._next = seconds + PLAIN_SECONDS
        try:
            print(f"zsfuzz {seconds:6.0f} s  {line}", file=self._stream, flush=True)
        except OSError:
            abandon(self._stream)
            self._stream = None  # whoever read it has gone; the results still go to their own place


def progress_view(stream: TextIO | None) -> ProgressView:
    """Return the view that fits the stream."""
    if stream is not None and stream.isatty():
        console = Console(file=stream, highlight=False)
        if not console.is_dumb_terminal:
            return LiveProgress(console)
    return PlainProgress(stream)


def run_done(progress: Progress) -> float | None:
    """Return the part of a campaign that is over, by the limit that is nearer; None without limits."""
    parts = []
    if progress.seconds_left is not None:
        parts.append(progress.seconds / max(progress.seconds + progress.seconds_left, 1e-9))
    if progress.programs_left is not None:
        parts.append(progress.programs / max(progress.programs + progress.programs_left, 1))
    return max(parts, default=None)


def run_line(progress: Progress) -> str:
    """Return the figures of a campaign in one line."""
    parts = [
        f"{progress.programs:,} programs",
        f"{progress.operations / max(progress.seconds, 1e-9):,.0f} ops/s",
        f"{progress.findings} findings ({progress.hits} hits)",
    ]
    parts += [f"{shown} {progress.engine[name]:,}" for name, shown in _ENGINE_COUNTS if name in progress.engine]
    if progress.seconds_left is not None:
        parts.append(f"{progress.seconds_left:.0f} s left")
    if progress.programs_left is not None:
        parts.append(f"{progress.programs_left:,} programs left")
    return ", ".join(parts)
