"""Open calls: which return belongs to which call.

In:    calls and returns of many tasks, interleaved.
Out:   the call that a return ends; how many of either found no partner.
Never: more memory than its caps allow, however many tasks a capture names and however many returns it lost.

    task 38:  malloc ---------------------------- malloc_ret      a task's calls nest, like its stack frames;
    task 121:         migrate - migrate_ret                       tasks interleave as they please
"""

from __future__ import annotations

from typing import TypeVar

from zsfuzz.trace.lines import Call

MAX_DEPTH = 64
MAX_TASKS = 1 << 16

CallT = TypeVar("CallT", bound=Call)


class OpenCalls:
    """A stack of calls per task. unmatched_calls and unmatched_returns count what lost its partner."""

    __slots__ = ("_stacks", "unmatched_calls", "unmatched_returns")

    def __init__(self) -> None:
        self.unmatched_calls = 0
        self.unmatched_returns = 0
        self._stacks: dict[str, list[Call]] = {}

    def enter(self, call: Call) -> None:
        """Note that a task entered a function. Beyond the caps the oldest calls are given up and counted."""
        stack = self._stacks.get(call.task)
        if stack is None:
            if len(self._stacks) >= MAX_TASKS:
                self.unmatched_calls += len(self._stacks.pop(next(iter(self._stacks))))
            self._stacks[call.task] = [call]
            return
        if len(stack) >= MAX_DEPTH:
            self.unmatched_calls += 1
            del stack[0]
        stack.append(call)

    def leave(self, task: str, kind: type[CallT]) -> CallT | None:
        """Return the task's innermost call of one kind and end it; None, counted, when there is none.

        Calls of other kinds that were entered later must have returned before: their returns were lost.
        """
        stack = self._stacks.get(task, [])
        for depth in range(len(stack) - 1, -1, -1):
            call = stack[depth]
            if isinstance(call, kind):
                self.unmatched_calls += len(stack) - depth - 1
                del stack[depth:]
                if not stack:
                    del self._stacks[task]
                return call
        self.unmatched_returns += 1
        return None

    def give_up(self) -> None:
        """Count every call that is still open: the capture has ended."""
        self.unmatched_calls += sum(len(stack) for stack in self._stacks.values())
        self._stacks.clear()
