"""The public strategies: well-formed, able to say everything, small when shrunk."""

from __future__ import annotations

from hypothesis import find, given, settings
from hypothesis import strategies as st

from tests.program.strategies import words_of
from zsfuzz.execute.runner import Runner
from zsfuzz.program import ops
from zsfuzz.program.limits import check_program
from zsfuzz.program.program import Header, Program
from zsfuzz.strategies.programs import blocks, headers, operations, programs

ONCE = settings(database=None, deadline=None, max_examples=30)


@ONCE
@given(programs(parallel=True))
def test_every_program_is_well_formed(program: Program) -> None:
    check_program(program)


@ONCE
@given(programs(geometry="small", max_steps=7))
def test_geometry_and_length_are_kept(program: Program) -> None:
    assert program.header.geometry == "small"
    assert len(program.steps) <= 7


def test_every_operation_is_said() -> None:
    for kind in ops.OPERATIONS:
        step = find(operations(kinds=[kind]), lambda step: True, settings=ONCE)
        assert type(step) is kind
        check_program(Program(Header(), (step,)))


def test_every_word_of_an_enumeration_is_said() -> None:
    seen: set[str] = set()

    @settings(database=None, deadline=None, max_examples=200)
    @given(operations(kinds=[ops.Scan]))
    def collect(step: ops.Operation) -> None:
        assert isinstance(step, ops.Scan)
        seen.add(step.scanner.value)

    collect()
    assert seen == words_of(ops.Scanner)


@ONCE
@given(st.data())
def test_a_block_has_lanes_that_its_schedule_fits(data: st.DataObject) -> None:
    block = data.draw(blocks())
    check_program(Program(Header(), (), block))
    assert all(0 <= switch.to < len(block.lanes) for switch in block.schedule)


def test_a_header_shrinks_to_the_plain_one() -> None:
    assert find(headers(), lambda header: True, settings=ONCE).switches == ()


def test_a_planted_fault_is_found_and_shrunk_by_a_users_own_test() -> None:
    """An isolated page whose zspage has died is put back, and the worker is not told (A04)."""
    runner = Runner("reference", "reference", faults=("A04",))
    frame = (ops.Malloc(0, 808), ops.Isolate(0, ops.Component(0, 0)))

    def fails(ends: list[ops.Operation]) -> bool:
        return bool(runner.run(Program(Header("small"), (*frame, *ends))).findings)

    kinds = st.sampled_from((ops.Free(0), ops.Putback(0), ops.RunWork(), ops.Compact()))
    assert len(find(st.lists(kinds, max_size=6), fails, settings=settings(database=None, max_examples=400))) <= 2
