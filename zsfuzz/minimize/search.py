"""Search: the best program so far, and the one way to get a better one.

In:    a start, a predicate, a limit on its calls.
Out:   Search.attempt(); whatever ends the search, `best` is good.
Never: the same program twice through the predicate, or a step up in zsfuzz/minimize/order.py's order.
Next:  the passes that propose: zsfuzz/minimize/steps.py, zsfuzz/minimize/arguments.py,
       zsfuzz/minimize/slots.py, zsfuzz/minimize/headers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from zsfuzz.errors import HarnessError
from zsfuzz.minimize.order import simpler
from zsfuzz.program.ops import Operation
from zsfuzz.program.program import Program

_MOST_REMEMBERED_STEPS = 4_000_000  # of rejected programs, some 32 MB of references


@dataclass(frozen=True, slots=True)
class MinimizeProgress:
    """Where a minimization is. executions: calls of the predicate. steps: operations of the best program."""

    phase: str
    executions: int
    steps: int


class BudgetSpent(Exception):
    """The limit on executions is reached; ends the passes, not the program."""


class Search:
    """Holds the best program; passes propose others."""

    def __init__(
        self,
        start: Program,
        interesting: Callable[[Program], bool],
        progress: Callable[[MinimizeProgress], None] | None,
        budget: int | None,
    ) -> None:
        self.best = start
        self.phase = "start"
        self.executions = 0
        self.repeats = 0
        self._interesting = interesting
        self._progress = progress
        self._budget = budget
        self._rejected: dict[Program, None] = {}  # oldest first
        self._remembered_steps = 0

    def execute(self, program: Program) -> bool:
        """Return the predicate's word. Errors: BudgetSpent instead of one execution too many."""
        if self._budget is not None and self.executions >= self._budget:
            raise BudgetSpent
        self.executions += 1
        verdict = self._interesting(program)
        self.report()
        return verdict

    def report(self) -> None:
        """Tell the progress callback where the search is."""
        if self._progress is not None:
            self._progress(MinimizeProgress(self.phase, self.executions, self.best.operations_count))

    def attempt(self, candidate: Program) -> bool:
        """Make the candidate the best program if it is interesting; return whether it is.

        Errors: HarnessError when an interesting candidate is not simpler than the best program: a pass
        that goes up could go round for ever.
        """
        if candidate == self.best:
            return False
        if candidate in self._rejected:
            self.repeats += 1
            return False
        if not self.execute(candidate):
            self._remember(candidate)
            return False
        if not simpler(candidate, self.best):
            raise HarnessError(f"minimize: pass {self.phase!r} proposed a program that is not simpler")
        self.best = candidate
        self.report()
        return True

    def attempt_steps(self, steps: Sequence[Operation]) -> bool:
        """attempt() of the best program with these steps; header and block stay."""
        return self.attempt(replace(self.best, steps=tuple(steps)))

    def attempt_step(self, index: int, operation: Operation) -> bool:
        """attempt() of the best program with one step replaced."""
        steps = list(self.best.steps)
        steps[index] = operation
        return self.attempt_steps(steps)

    def _remember(self, program: Program) -> None:
        self._rejected[program] = None
        self._remembered_steps += program.operations_count
        while self._remembered_steps > _MOST_REMEMBERED_STEPS:
            oldest = next(iter(self._rejected))
            del self._rejected[oldest]
            self._remembered_steps -= oldest.operations_count


def smallest(low: int, high: int, works: Callable[[int], bool]) -> int:
    """Return a value in low..high that works although the one below it does not; low if that works.

    works(high) is known to be true and is not called. Takes about log2(high - low) calls, but only three
    where nothing gets smaller, which is the usual case once a program has been gone through.
    """
    if high <= low or works(low):
        return min(low, high)
    fails = low
    if high - fails > 1 and works(high - 1):
        high -= 1
    elif high - fails > 2:
        middle = (fails + high) // 2  # what works may have gaps, as sizes of four-page classes have
        if not works(middle):
            return high
        high = middle
    while high - fails > 1:
        middle = (fails + high) // 2
        if works(middle):
            high = middle
        else:
            fails = middle
    return high
