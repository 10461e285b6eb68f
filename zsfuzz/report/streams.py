"""Streams whose reader has gone.

In:    a standard stream that could not be written.
Out:   the same stream, leading nowhere.
Never: a word about it: nobody reads it.
Next:  who writes to them: zsfuzz/cli/output.py, zsfuzz/report/progress.py.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO


def abandon(stream: TextIO) -> None:
    """Point a standard stream to nowhere, so that what is still buffered cannot fail at the interpreter's exit.

    The interpreter would turn that failure into exit status 120. Any other stream is left alone.
    """
    if stream is sys.__stdout__ or stream is sys.__stderr__:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
