"""Pulled: a driver that wants to run programs by itself, turned into an engine that is asked for them.

In:    drive(ask): a function that calls ask(program) for the result of each program, for as long as it likes.
Out:   Pulled: next_program() and feedback(), as zsfuzz/engine/base.py has them.
Never: a thread. The driver has a stack of its own, a greenlet, and stands still in ask() while the caller runs the
       program: exactly one of the two is at work, so a run stays a function of its seed.
Next:  the drivers: zsfuzz/strategies/hypothesis_engine.py, zsfuzz/engine/atheris_engine.py.

    caller:  next_program() ----.             .--> runs it --> feedback() --> next_program() ----.
    driver:                     '--> ask(p) --'                                                  '--> ask() returns
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

from zsfuzz.errors import HarnessError
from zsfuzz.execute.result import RunResult
from zsfuzz.program.program import Program

P = ParamSpec("P")
R = TypeVar("R")
Ask = Callable[[Program], RunResult]


class Pulled:
    """One driver. It is left where it stands when nobody asks any more."""

    def __init__(self, drive: Callable[[Ask], None]) -> None:
        self._driver = greenlet(lambda: drive(self._ask))
        self._caller = getcurrent()
        self._program: Program | None = None
        self._result: RunResult | None = None

    def next_program(self) -> Program:
        """Let the driver go on until it asks for the next program, and return that.

        Errors: HarnessError when the last one has no result yet, or when the driver came to an end; whatever the
        driver raises.
        """
        if self._program is not None and self._result is None:
            raise HarnessError("the next program was asked for before the last one's result was told")
        self._caller = self._driver.parent = getcurrent()
        program = self._driver.switch()
        if not isinstance(program, Program):
            raise HarnessError("the driver has come to an end")
        self._program, self._result = program, None
        return program

    def feedback(self, program: Program, result: RunResult) -> bool:
        """Take the result of the program that is out; return False for a foreign one, which is left alone."""
        if program is not self._program:
            return False
        self._result = result
        return True

    # -- drivers that C code stands between

    def guarded(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return a callback whose exceptions are raised in next_program(), and never unwind what called it."""

        def call(*arguments: P.args, **named: P.kwargs) -> R:
            try:
                return function(*arguments, **named)
            except GreenletExit:
                raise
            except BaseException as error:
                self._caller.throw(error)
                raise

        return call

    def _ask(self, program: Program) -> RunResult:
        """What the driver calls."""
        self._caller.switch(program)
        result = self._result
        if result is None:
            raise HarnessError("the driver was woken without a result")
        return result
