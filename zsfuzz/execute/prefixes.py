"""Prefixes: where to keep checkpoints, and which one a program may go on from.

In:    the steps of programs, in the order in which they run on one pair of machines at one cadence.
Out:   the deepest checkpoint that fits a program; the number of steps after which a new one is worth its time.
Never: a guess that could change a result: a program goes on from a checkpoint only if all its steps are the same.
Next:  the checkpoint itself in zsfuzz/execute/checkpoint.py; who asks: zsfuzz/execute/runner.py.

Nobody has to announce anything. A program that begins like one of the few before it, for LEAST steps or more, shows
that somebody is trying out one beginning with many ends (an engine its mutants, a shrinker its attempts): the place
where the two part is kept, and the third of the family goes on from there. Programs that have nothing in common cost
a comparison of their first steps and nothing else.
"""

from __future__ import annotations

from zsfuzz.execute.checkpoint import Checkpoint
from zsfuzz.program.ops import Operation

LEAST = 12
"""Steps that a checkpoint must save. To keep one takes as long as two or three steps, to put one back as one."""

KEPT = 4
"""Checkpoints of one pair of machines; the one that was not used for longest goes. Each has the size of its arenas."""

REMEMBERED = 3
"""Programs that a new one is compared with: two engines may take turns."""

Steps = tuple[Operation, ...]


class Prefixes:
    """The checkpoints of one pair of machines at one cadence."""

    def __init__(self) -> None:
        self._kept: list[Checkpoint] = []  # the one used last stands last
        self._before: list[Steps] = []

    def find(self, steps: Steps) -> Checkpoint | None:
        """Return the deepest checkpoint that fits, None for none."""
        fitting = [each for each in self._kept if each.fits(steps)]
        if not fitting:
            return None
        found = max(fitting, key=lambda each: len(each.steps))
        self._kept = [each for each in self._kept if each is not found] + [found]
        return found

    def place(self, steps: Steps, found: Checkpoint | None, *, goes_on: bool = False) -> int:
        """Return after how many steps of the next program to keep a checkpoint, -1 for nowhere.

        found: what find() gave for it. goes_on: something follows the last step. To be asked once for each program that
        runs.
        """
        common = max([common_length(before, steps) for before in self._before], default=0)
        self._before = [*self._before[-(REMEMBERED - 1) :], steps]
        known = 0 if found is None else len(found.steps)
        return common if common - known >= LEAST and common < len(steps) + goes_on else -1

    def add(self, checkpoint: Checkpoint | None) -> None:
        """Keep a checkpoint; the one that was not used for longest has to go."""
        if checkpoint is not None:
            self._kept = [*self._kept[-(KEPT - 1) :], checkpoint]


def common_length(one: Steps, other: Steps) -> int:
    """Return how many first steps two programs share."""
    length = 0
    for left, right in zip(one, other, strict=False):
        if left is not right and left != right:
            break
        length += 1
    return length
