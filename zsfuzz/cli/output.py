"""Standard output for results, standard error for everything else.

In:    lines; one JSON object.
Out:   Output. A reader that goes away (`| head`) stops the printing, not the work, and not the exit status.
Never: a traceback for a full disk behind a redirection: that is the user's to mend, in one line.
Next:  every command in zsfuzz/cli/ is handed one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from zsfuzz.errors import UsageError
from zsfuzz.report.streams import abandon


class Output:
    """Where a command prints. stdout, stderr: None when the user closed them."""

    def __init__(self, stdout: TextIO | None, stderr: TextIO | None) -> None:
        self._stdout = stdout
        self.stderr = stderr

    def lines(self, lines: Iterable[str]) -> None:
        """Print lines. Errors: UsageError when the output cannot be written, a closed pipe excepted."""
        for line in lines:
            if self._stdout is None:
                return
            self._write(printable(line) + "\n")
        self._flush()

    def line(self, line: str = "") -> None:
        """Print one line. Errors: as lines()."""
        self.lines([line])

    def raw(self, text: str) -> None:
        """Print text as it is, for output that is read back. Errors: as lines()."""
        self._write(text)
        self._flush()

    def json(self, document: Mapping[str, Any]) -> None:
        """Print one JSON object. Errors: as lines()."""
        self.raw(json.dumps(document, indent=2) + "\n")

    def note(self, line: str) -> None:
        """Print one line for people to standard error; if nobody can read it, that is no error."""
        if self.stderr is None:
            return
        try:
            print(printable(line), file=self.stderr, flush=True)
        except OSError:
            abandon(self.stderr)
            self.stderr = None

    def trouble(self, text: str) -> None:
        """Print several lines, a traceback for one, to standard error."""
        for line in text.splitlines():
            self.note(line)

    def _write(self, text: str) -> None:
        if self._stdout is None:
            return
        try:
            self._stdout.write(text)
        except OSError as error:
            self._failed(error)

    def _flush(self) -> None:
        if self._stdout is None:
            return
        try:
            self._stdout.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        """Give up standard output, so that the flush at the interpreter's exit has nothing to say."""
        stream, self._stdout = self._stdout, None
        if stream is not None:
            abandon(stream)
        if not isinstance(error, BrokenPipeError):
            raise UsageError(f"cannot write to standard output: {error.strerror}; send it elsewhere") from error


def printable(line: str) -> str:
    """Return one line without control characters, which file names and messages may hold."""
    return "".join(c if c.isprintable() or c == " " else repr(c)[1:-1] for c in line)
