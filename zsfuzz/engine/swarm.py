"""Swarm: how often which kind of operation takes part in new programs, as far as that can be learned.

In:    the kinds of operations in a program, and the kinds that its new features are about.
Out:   weight(): how often a kind stands in a program's table.
Never: a kind that is left out for good.
Next:  who draws: zsfuzz/engine/profile.py; who learns: zsfuzz/engine/coverage_engine.py.

A kind whose every use shows something new is asked for more often, one that has nothing new to show less often.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from zsfuzz.engine.shares import Shares
from zsfuzz.program.ops import OPERATIONS, Operation

_NAMES = tuple([re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower() for kind in OPERATIONS])
_NAME_OF = dict(zip(OPERATIONS, _NAMES, strict=True))


class Swarm:
    """Weights of kinds. Without learn() they stay as they were made."""

    def __init__(self) -> None:
        self._shares: Shares[str] = Shares([(name, 1) for name in _NAMES])

    def weight(self, name: str, usual: int) -> int:
        """Return how often a kind stands in a table, at least once. name: of an operation or an idiom."""
        factor = self._shares.factor(name) if name in _NAMES else 1.0
        return max(1, int(usual * factor + 0.5))

    def learn(self, steps: Iterable[Operation], new: Iterable[int]) -> None:
        """Take in a program. new: numbers in OPERATIONS, one for each feature that no run had before.

        Numbers that are none are features of a parallel block, which is made elsewhere.
        """
        gains: dict[str, int] = {}
        for number in new:
            if number < len(_NAMES):
                name = _NAMES[number]
                gains[name] = gains.get(name, 0) + 1
        uses: dict[str, int] = {}
        for step in steps:
            name = _NAME_OF[type(step)]
            uses[name] = uses.get(name, 0) + 1
        self._shares.note_each(uses, gains)
