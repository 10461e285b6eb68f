"""Exit statuses.

In:    nothing.
Out:   the four numbers that scripts rely on, and the shell's own for an interrupt.
Never: another number.
Next:  zsfuzz/cli/main.py turns exceptions into them.
"""

from __future__ import annotations

NOTHING_FOUND = 0
FINDING = 1
USER_MISTAKE = 2
HARNESS_FAULT = 3
INTERRUPTED = 130
"""128 + SIGINT, for commands without a partial result; `run` and `minimize` end by their results."""
