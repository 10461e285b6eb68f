"""Features: what was new about the state that an operation met and left, as small numbers.

In:    the kind of an operation, its outcome, the reference side after it.
Out:   a set of integers, the same on every Python, that the coverage engine feeds on.
Never: addresses, slots, Python's hash().

A feature is (previous kind, kind, class of outcome, how free and zsmalloc pages moved, isolated pages, pending work):
an order of two operations that met in a new state is new. Objects add the shape of their size class.
"""

from __future__ import annotations

from zsfuzz.execute.side import Side
from zsfuzz.program.ops import OPERATIONS

_NUMBER = {operation: number for number, operation in enumerate(OPERATIONS)}


class Features:
    """The features of one run."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._seen: dict[int, None] = {}
        self._previous = 0
        self._counters = side.machine.buddy.vmstat()

    def note(self, kind: type, outcome: object) -> None:
        """Take in one effective operation."""
        number = _NUMBER[kind]
        side = self._side
        before, after = self._counters, side.machine.buddy.vmstat()
        self._counters = after
        state = 0
        for position in (0, 1, 3, 4):
            delta = after[position] - before[position]
            state = state * 5 + (0 if not delta else 1 + (delta > 0) + 2 * (abs(delta) > 4))
        state = state * 4 + min(len(side.pages), 3)
        state = state * 2 + bool(side.machine.has_pending_work)
        state = state * 3 + min(len(side.references), 2)
        word = class_of(outcome)
        self._seen[((number * 32 + word) << 20) | state] = None
        self._seen[1 << 40 | (self._previous * 64 + number) * 32 + word] = None
        self._previous = number

    def copy(self) -> Features:
        """Return a copy that later operations do not reach."""
        other = Features(self._side)
        other._seen, other._previous, other._counters = self._seen.copy(), self._previous, self._counters
        return other

    def sorted(self) -> tuple[int, ...]:
        """Return the features in ascending order."""
        return tuple(sorted(self._seen))


def class_of(outcome: object) -> int:
    """Return a small number for the sort of outcome: errors apart, sizes by powers of two."""
    if isinstance(outcome, tuple):
        first = outcome[0] if outcome else 0
        return 16 + min(class_of(first) if isinstance(first, int) else len(outcome).bit_length(), 15)
    if isinstance(outcome, int):
        return 8 + min(-outcome, 24) % 8 if outcome < 0 else min(outcome.bit_length(), 7)
    return 0
