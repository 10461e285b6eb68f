"""A driver that runs programs by itself is asked for them instead."""

from __future__ import annotations

import pytest

from zsfuzz.engine.pulled import Ask, Pulled
from zsfuzz.errors import HarnessError
from zsfuzz.execute.result import RunResult
from zsfuzz.program import ops
from zsfuzz.program.program import Header, Program


def numbered(number: int) -> Program:
    return Program(Header(), (ops.Malloc(number, 1),))


def result_of(number: int) -> RunResult:
    return RunResult((), number, 0, (), {}, {})


def three(ask: Ask) -> None:
    for number in range(3):
        ask(numbered(number))


def test_the_driver_gets_each_result_where_it_asked() -> None:
    got: list[int] = []

    def drive(ask: Ask) -> None:
        while True:
            got.append(ask(numbered(len(got))).operations)

    pulled = Pulled(drive)
    for number in range(4):
        program = pulled.next_program()
        assert program == numbered(number)
        assert pulled.feedback(program, result_of(number * 10))
    pulled.next_program()
    assert got == [0, 10, 20, 30]


def test_a_foreign_program_is_left_alone() -> None:
    pulled = Pulled(three)
    mine = pulled.next_program()
    assert not pulled.feedback(numbered(0), result_of(1)), "equal, but not the one that is out"
    assert pulled.feedback(mine, result_of(1))


def test_a_program_is_not_given_out_while_another_one_is_out() -> None:
    pulled = Pulled(three)
    pulled.next_program()
    with pytest.raises(HarnessError, match="before the last one's result"):
        pulled.next_program()


def test_a_driver_that_ends_is_a_fault_and_one_that_raises_raises_here() -> None:
    ended = Pulled(lambda ask: None)
    with pytest.raises(HarnessError, match="come to an end"):
        ended.next_program()

    def broken(ask: Ask) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Pulled(broken).next_program()


def test_a_guarded_callback_raises_here_and_never_unwinds_its_caller() -> None:
    unwound: list[str] = []

    def drive(ask: Ask) -> None:
        def callback() -> None:
            ask(numbered(1))
            raise ZeroDivisionError

        try:
            pulled.guarded(callback)()
        finally:
            unwound.append("C frames are gone")

    pulled = Pulled(drive)
    pulled.feedback(pulled.next_program(), result_of(1))
    with pytest.raises(ZeroDivisionError):
        pulled.next_program()
    assert unwound == []
