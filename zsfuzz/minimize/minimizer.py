"""Minimizer: a start and a predicate in, the simplest program found out.

In:    a program; interesting(program), which the caller makes say "the same signature".
Out:   MinimizeResult. The same start and predicate give the same result.
Never: knowledge of an oracle, a target or a file.
Next:  what is simpler: zsfuzz/minimize/order.py; one attempt: zsfuzz/minimize/search.py.

    block:     fewer switches, no block at all, fewer lanes and operations in them, later switches
    steps:     by slot and kind, by runs, one by one, in pairs, isolations inlined
    arguments: smaller size classes, smaller numbers, earlier words, shorter lists and ranges
    slots:     merged, numbered from 0
    header:    default geometry, no switches, default memory
    ... and all of it again until a round changes nothing
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zsfuzz.errors import UsageError
from zsfuzz.minimize.arguments import shrink_classes, simplify_arguments
from zsfuzz.minimize.headers import simplify_header
from zsfuzz.minimize.lanes import Reschedule, lane_passes
from zsfuzz.minimize.search import BudgetSpent, MinimizeProgress, Search
from zsfuzz.minimize.slots import number_slots
from zsfuzz.minimize.steps import delete_by_name, delete_chunks, delete_pairs, inline_isolations
from zsfuzz.program.program import Program

__all__ = ["MinimizeProgress", "MinimizeResult", "minimize"]

_STEP_PASSES: tuple[Callable[[Search], None], ...] = (
    delete_by_name,
    delete_chunks,
    delete_pairs,
    inline_isolations,
    shrink_classes,
    simplify_arguments,
    number_slots,
    simplify_header,
)


@dataclass(frozen=True, slots=True)
class MinimizeResult:
    """The simplest program found, and what it took.

    executions: calls of the predicate. repeats: proposals that had been tried before and were not run again.
    interrupted: by KeyboardInterrupt; exhausted: by the budget. Either way `program` is interesting.
    """

    program: Program
    executions: int
    repeats: int
    steps_before: int
    steps_after: int
    interrupted: bool
    exhausted: bool

    @property
    def complete(self) -> bool:
        """Return whether no pass can make the program simpler."""
        return not self.interrupted and not self.exhausted


def minimize(
    program: Program,
    interesting: Callable[[Program], bool],
    *,
    progress: Callable[[MinimizeProgress], None] | None = None,
    budget: int | None = None,
    reschedule: Reschedule | None = None,
) -> MinimizeResult:
    """Return the simplest program that is still interesting.

    reschedule: returns a program with another schedule that is interesting, None when it finds none.
    interesting: a pure function of the program; what it raises comes through, KeyboardInterrupt aside.
    progress: told after every execution and every success. budget: most executions, None for no limit.
    Errors: UsageError when the start itself is not interesting, or for a budget below 1.
    """
    if budget is not None and budget < 1:
        raise UsageError(f"minimize: a budget of {budget} executions; give at least 1")
    search = Search(program, interesting, progress, budget)
    interrupted = exhausted = False
    try:
        if not search.execute(program):
            raise UsageError("minimize: the program does not show what is to be kept; replay it with the same targets")
        _to_fixed_point(search, (*lane_passes(reschedule), *_STEP_PASSES))
    except KeyboardInterrupt:
        interrupted = True
    except BudgetSpent:
        exhausted = True
    return MinimizeResult(
        program=search.best,
        executions=search.executions,
        repeats=search.repeats,
        steps_before=program.operations_count,
        steps_after=search.best.operations_count,
        interrupted=interrupted,
        exhausted=exhausted,
    )


def _to_fixed_point(search: Search, passes: Sequence[Callable[[Search], None]]) -> None:
    before = None
    while before is not search.best:
        before = search.best
        for shrink in passes:
            shrink(search)
