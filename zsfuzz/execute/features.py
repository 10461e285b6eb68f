"""Features: what was new about the state that an operation met and left, as small numbers.

In:    an effective operation, its outcome, the reference side after it.
Out:   a set of integers, the same on every Python, that the engines feed on.
Never: addresses, slots, Python's hash().
Next:  zspages and their past in zsfuzz/execute/history.py.

A feature is one of three:

* (kind, class of outcome, how free and zsmalloc pages moved, isolated pages, pending work, references);
* (previous kind, kind, class of outcome): two operations in an order;
* of each zspage that the operation names: what was done to it last and now, what happened in between, and in which
  shape that found it. That is where bugs that take several steps lie: the steps are about one zspage,
  and others may stand between them.
"""

from __future__ import annotations

from zsfuzz.execute.history import Histories
from zsfuzz.execute.result import FEATURE_KIND_SHIFT
from zsfuzz.execute.side import Side
from zsfuzz.program.ops import OPERATIONS, Operation

_NUMBER = {operation: number for number, operation in enumerate(OPERATIONS)}


class Features:
    """The features of one run."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._seen: dict[int, None] = {}
        self._previous = 0
        self._counters = side.machine.buddy.vmstat()
        self._histories = Histories()

    def note(self, step: Operation, outcome: object) -> None:
        """Take in one effective operation."""
        number = _NUMBER[type(step)]
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
        seen, kind = self._seen, number << FEATURE_KIND_SHIFT
        seen[kind | word << 20 | state] = None
        seen[kind | 1 << 40 | self._previous * 32 + word] = None
        for feature in self._histories.note(step, word, side):
            seen[kind | 2 << 40 | feature] = None
        self._previous = number

    def copy(self) -> Features:
        """Return a copy that later operations do not reach."""
        other = Features(self._side)
        other._seen, other._previous, other._counters = self._seen.copy(), self._previous, self._counters
        other._histories = self._histories.copy()
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
