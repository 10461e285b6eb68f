"""Which return belongs to which call.

In:    zsfuzz/trace/calls.py.
Out:   nothing.
Never: a trace line.
"""

from __future__ import annotations

import pytest

from zsfuzz.program.ops import Gfp
from zsfuzz.trace import calls
from zsfuzz.trace.calls import OpenCalls
from zsfuzz.trace.lines import CompactCall, MallocCall


def malloc(task: str, size: int) -> MallocCall:
    """A call that is told apart by its size."""
    return MallocCall(task, 1, size, Gfp.MOVABLE)


def test_tasks_interleave_and_calls_of_one_task_nest() -> None:
    """a( b( a( b) a) a): each return ends the innermost call of its own task."""
    open_calls = OpenCalls()
    for call in (malloc("a", 1), malloc("b", 2), malloc("a", 3)):
        open_calls.enter(call)
    assert open_calls.leave("b", MallocCall) == malloc("b", 2)
    assert open_calls.leave("a", MallocCall) == malloc("a", 3)
    assert open_calls.leave("a", MallocCall) == malloc("a", 1)
    assert (open_calls.unmatched_calls, open_calls.unmatched_returns) == (0, 0)


def test_a_lost_return_does_not_take_the_next_one() -> None:
    open_calls = OpenCalls()
    open_calls.enter(CompactCall("a", 1))
    open_calls.enter(malloc("a", 2))
    assert open_calls.leave("a", CompactCall) == CompactCall("a", 1)
    assert open_calls.unmatched_calls == 1
    assert open_calls.leave("a", MallocCall) is None
    assert open_calls.unmatched_returns == 1


def test_a_return_of_another_task_finds_nothing() -> None:
    open_calls = OpenCalls()
    open_calls.enter(malloc("a", 1))
    assert open_calls.leave("b", MallocCall) is None
    open_calls.give_up()
    assert (open_calls.unmatched_calls, open_calls.unmatched_returns) == (1, 1)


def test_many_lost_returns_cost_bounded_memory_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_DEPTH", 4)
    monkeypatch.setattr(calls, "MAX_TASKS", 3)
    open_calls = OpenCalls()
    for size in range(10):
        open_calls.enter(malloc("deep", size))
    assert open_calls.unmatched_calls == 6
    assert open_calls.leave("deep", MallocCall) == malloc("deep", 9)
    for task in range(10):
        open_calls.enter(malloc(str(task), task))
    assert open_calls.leave("9", MallocCall) == malloc("9", 9)
    assert open_calls.leave("0", MallocCall) is None
    open_calls.give_up()
    # 20 calls were entered, two found their returns.
    assert open_calls.unmatched_calls == 18
