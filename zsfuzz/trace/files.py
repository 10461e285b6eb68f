"""Captures on disk, plain or compressed.

In:    a path.
Out:   the TraceImport of zsfuzz/trace/account.py.
Never: what a line means (zsfuzz/trace/lines.py); a decision by the file's name, the first bytes decide.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from zsfuzz.errors import UsageError
from zsfuzz.trace.account import TraceImport
from zsfuzz.trace.ftrace import import_ftrace

MAX_LINE_BYTES = 4096
"""A page, which is what the kernel's trace_seq holds: no real line is longer. The rest of one is dropped."""

MAX_TRACE_BYTES = 1 << 30
"""After decompression. The captures kept here have 30 MB; a bomb has no end."""

MAX_TRACE_LINES = 1 << 24

_GZIP_MAGIC = b"\x1f\x8b"

Stream = IO[bytes] | gzip.GzipFile


def import_trace_file(path: Path | str) -> TraceImport:
    """Make a program of a capture on disk.

    Errors: UsageError, one line, when the file cannot be read or holds no event of zsmalloc. Compressed data
    that ends early or is damaged gives what could be read, with the reason in TraceImport.truncated.
    """
    try:
        with open(path, "rb") as raw:
            lines = _Lines(_decompressed(raw))
            imported = import_ftrace(lines)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{path}: {reason}; name a readable file of ftrace text, plain or gzip") from error
    if not imported.programs:
        why = f" ({lines.stopped})" if lines.stopped else ""
        raise UsageError(
            f"{path}: no event of zsmalloc in {imported.counts.lines} lines{why}; record the kprobe events"
            " that the header of corpus/traces/zram-swap-6.1.trace.gz lists"
        )
    return replace(imported, truncated=lines.stopped)


def _decompressed(raw: IO[bytes]) -> Stream:
    compressed = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if compressed else raw


class _Lines:
    """The lines of a stream; `stopped` says why they ended before the stream did, or is ""."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.stopped = ""

    def __iter__(self) -> Iterator[str]:
        bytes_left = MAX_TRACE_BYTES
        inside_a_line = False
        for _ in range(MAX_TRACE_LINES):
            piece = self._piece()
            if not piece:
                return
            bytes_left -= len(piece)
            if bytes_left < 0:
                self.stopped = f"more than {MAX_TRACE_BYTES} bytes of text"
                return
            if not inside_a_line:
                yield piece.decode("utf-8", "replace")
            inside_a_line = not piece.endswith(b"\n")
        self.stopped = f"more than {MAX_TRACE_LINES} lines"

    def _piece(self) -> bytes:
        try:
            return self._stream.readline(MAX_LINE_BYTES)
        except EOFError:
            self.stopped = "the compressed data ends early"
        except (gzip.BadGzipFile, zlib.error) as error:
            self.stopped = f"the compressed data is damaged: {error}"
        return b""
