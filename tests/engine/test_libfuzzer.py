"""libFuzzer's bytes are programs, and stay programs whatever is done to them. Needs no atheris."""

from __future__ import annotations

from random import Random

import pytest

from zsfuzz.engine.libfuzzer import MOST_BYTES, ProgramBytes
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.program import ops
from zsfuzz.program.limits import check_program
from zsfuzz.program.packed import pack_program, unpack_program
from zsfuzz.program.program import Header, Program
from zsfuzz.program.text import format_program


@pytest.fixture
def made() -> ProgramBytes:
    return ProgramBytes(1, GenerateSettings(), parallel_percent=30)


def inputs(count: int = 12) -> list[bytes]:
    engine = RandomEngine(Random(5))
    return [pack_program(engine.next_program()) for _ in range(count)]


def test_packed_programs_and_text_are_read_as_what_they_are(made: ProgramBytes) -> None:
    program = Program(Header("small"), (ops.Malloc(0, 100), ops.Free(0)))
    assert made.program_of(pack_program(program)) == program
    assert made.program_of(format_program(program).encode()) == program
    assert made.replaced == 0


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"zsfuzz 1\nno program", pack_program(Program(Header(), ()))[:-2]])
def test_what_does_not_decode_stands_for_a_program_always_the_same(made: ProgramBytes, data: bytes) -> None:
    program = made.program_of(data)
    check_program(program)
    assert program.steps or program.block
    assert made.replaced == 1
    assert ProgramBytes(1, GenerateSettings(), parallel_percent=30).program_of(data) == program


def test_a_foreign_program_loses_what_its_file_was_kept_for(made: ProgramBytes) -> None:
    header = Header("linux-5.10", 320, 64, (), "reference", "candidate", ("A04",), "clean")
    program = made.program_of(pack_program(Program(header, (ops.Trim(),))))
    assert program == Program(Header("linux-5.10"), (ops.Trim(),))


def test_every_answer_is_a_packed_program_of_the_size_that_is_allowed(made: ProgramBytes) -> None:
    given = inputs()
    for number in range(300):
        one, two = given[number % len(given)], given[number * 5 % len(given)]
        most = (40, 300, 2000, MOST_BYTES)[number % 4]
        for data in (
            made.mutated(one, most, number),
            made.crossed(one, two, most, number),
            made.shrunk(one, most, number),
        ):
            assert len(data) <= most
            if data or most > 40:  # in 40 bytes some headers do not fit; nothing is libFuzzer's own sign for nothing
                check_program(unpack_program(data, "answer"))


def test_a_seed_gives_the_same_mutant_after_the_same_calls() -> None:
    runs = []
    for _ in range(2):
        made = ProgramBytes(1, GenerateSettings())
        runs.append([made.mutated(data, MOST_BYTES, 7) for data in inputs()])
    assert runs[0] == runs[1]
    assert len({ProgramBytes(1, GenerateSettings()).mutated(inputs(1)[0], MOST_BYTES, seed) for seed in range(8)}) > 6


def test_a_crossing_begins_as_one_and_goes_on_as_the_other(made: ProgramBytes) -> None:
    left = Program(Header("small"), tuple(ops.Malloc(slot, 100) for slot in range(20)))
    right = Program(Header("small"), tuple(ops.Free(slot) for slot in range(20)))
    seen = set()
    for seed in range(40):
        steps = unpack_program(made.crossed(pack_program(left), pack_program(right), MOST_BYTES, seed), "answer").steps
        kinds = [type(step) for step in steps]
        assert kinds == sorted(kinds, key=lambda kind: kind is ops.Free)
        seen.add(len(set(kinds)))
    assert 2 in seen


def test_shrinking_only_leaves_out(made: ProgramBytes) -> None:
    data = inputs(1)[0]
    before = list(made.program_of(data).steps)
    lengths = []
    for seed in range(60):
        steps = unpack_program(made.shrunk(data, len(data) - 1, seed), "answer").steps
        rest = iter(before)
        assert all(any(step == each for each in rest) for step in steps), "in their order, none new"
        lengths.append(len(steps))
    assert min(lengths) < len(before) // 2 < max(lengths) < len(before)


def test_blocks_come_with_a_schedule_that_bytes_can_hold(made: ProgramBytes) -> None:
    blocks = []
    for seed in range(400):
        block = unpack_program(made.mutated(b"", MOST_BYTES, seed), "answer").block
        if block is not None:
            blocks.append(block)
    assert len(blocks) > 5
    assert any(block.schedule for block in blocks)
    again = pack_program(Program(Header(), (), next(block for block in blocks if block.schedule)))
    changed = {unpack_program(made.mutated(again, MOST_BYTES, seed), "answer").block for seed in range(60)}
    assert len(changed) > 10
