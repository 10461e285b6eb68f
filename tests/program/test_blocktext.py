"""The text of blocks: read in any order, written in one, refused with the line that is at fault."""

from __future__ import annotations

import tracemalloc

import pytest

from tests.program.refusal import WHERE, read_or_refused, refused, short
from zsfuzz.program import limits, ops
from zsfuzz.program.block import Block, Chance, Switch
from zsfuzz.program.blocktext import SCHEDULE_CHARS
from zsfuzz.program.program import Header, Program
from zsfuzz.program.text import format_program, parse_program

SAMPLE = """\
zsfuzz 2
geometry linux-5.10
switch store_buffers
---
h1 = malloc 3256
parallel {
  lane {
    free h1
    run_work
  }
  lane {
    migrate h1.0 sync
  }
  schedule 0.0+17>1 0.1+5~>1 1.0+3^>0 1.end>0
}
"""

BLOCK = Block(
    ((ops.Free(1), ops.RunWork()), (ops.Migrate((ops.Component(1, 0),), ops.MigrateMode.SYNC),)),
    (Switch(0, 0, 17, 1), Switch(0, 1, 5, 1, held=1), Switch(1, 0, 3, 0, held=2), Switch(1, 1, 0, 0)),
)


def block_of_lines(*lines: str) -> Block | None:
    return parse_program("\n".join(("zsfuzz 2", "---", *lines))).block


def test_a_canonical_sample_stays_as_it_is() -> None:
    assert format_program(parse_program(SAMPLE)) == SAMPLE


def test_the_sample_means_what_it_says() -> None:
    program = parse_program(SAMPLE)
    assert program == Program(Header(switches=("store_buffers",)), (ops.Malloc(1, 3256),), BLOCK)


def test_spacing_comments_and_the_order_of_switches_are_read_over() -> None:
    edited = (
        SAMPLE.replace("  schedule 0.0+17>1 ", "schedule 1.end>0 # first\n\n# why\n\tschedule 0x0.0+0x11>1  ")
        .replace(" 1.0+3^>0 1.end>0", "   1.0+3^>0 # last")
        .replace("lane {", "lane   {   # a CPU")
        .replace("  }\n", "}#\n")
    )
    assert edited.count("schedule") == 2
    assert format_program(parse_program(edited)) == SAMPLE


def test_the_end_of_a_lane_may_be_written_as_a_number() -> None:
    assert parse_program(SAMPLE.replace("1.end>0", "1.1+0>0")) == parse_program(SAMPLE)


def test_lanes_and_schedule_may_be_empty() -> None:
    lines = ("parallel {", "  lane {", "  }", "  lane {", "  }", "}")
    assert block_of_lines(*lines) == Block(((), ()))
    assert format_program(parse_program("\n".join(("zsfuzz 2", "---", *lines)))).endswith("\n".join(lines) + "\n")


def test_an_empty_lane_ends_where_it_begins() -> None:
    assert block_of_lines("parallel {", "lane {", "}", "lane {", "}", "schedule 0.end>1", "}") == Block(
        ((), ()), (Switch(0, 0, 0, 1),)
    )


def test_a_schedule_that_is_still_to_be_made_is_written_as_a_chance() -> None:
    lines = ("parallel {", "  lane {", "  }", "  lane {", "  }", "  chance pct3 17 reference 40 60", "}")
    block = block_of_lines(*lines)
    assert block == Block(((), ()), (), Chance("pct3", 17, (40, 60), leader=0))
    assert format_program(Program(Header(), (), block)).endswith("\n".join(lines) + "\n")
    assert block_of_lines(*lines[:5], "chance pos 0x10 candidate # why", "}") == Block(((), ()), (), Chance("pos", 16))


def test_a_long_schedule_takes_several_lines() -> None:
    schedule = tuple(Switch(0, 0, 1000 * point, 1) for point in range(1000))
    program = Program(Header(), (), Block(((ops.Trim(),), ()), schedule))
    lines = [line for line in format_program(program).splitlines() if "schedule" in line]
    assert 100 < len(lines) < 200
    assert max(map(len, lines)) <= SCHEDULE_CHARS
    assert min(map(len, lines[:-1])) > SCHEDULE_CHARS - len(" 0.0+999000>1")
    assert parse_program(format_program(program)) == program


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        (
            "  lane {\n    free",
            "  free h1\n  lane {\n    free",
            7,
            "a block holds 'lane {', 'schedule', 'chance' and its end",
        ),
        ("  lane {\n    free", "  parallel {\n    free", 7, "a block holds 'lane {', 'schedule', 'chance' and its end"),
        ("  lane {\n    free", "  lane\n    free", 7, "a lane begins with a line 'lane {', not 'lane'"),
        ("  lane {\n    free", "  lane { free h1\n  free", 7, "a lane begins with a line 'lane {'"),
        ("free h1", "parallel {", 8, "a lane holds operations and its end, a line '}', not 'parallel {'"),
        ("free h1", "lane {", 8, "a lane holds operations and its end"),
        ("free h1", "schedule 0.end>1", 8, "a lane holds operations and its end"),
        ("free h1", "} }", 8, "a lane holds operations and its end"),
        ("free h1", "free 1", 8, "a handle is a number after 'h', not '1'; write: free h1"),
        ("free h1", "free h1048576", 8, "a handle slot must be a whole number from 0 to 1048575"),
        ("free h1", "frob", 8, "'frob' is no operation"),
        ("parallel {", "parallel", 6, "a block begins with a line 'parallel {'"),
        ("  }\n  schedule", "  }\n  lane {\n  }\n  schedule 0.end>2\n  lane {\n  }\n  schedule", 17, "come before its"),
        ("  lane {\n    free h1\n    run_work\n  }\n", "", 10, "lane 1, but the block has 1, counted from 0"),
        (SAMPLE[SAMPLE.index("  lane {\n    m") : SAMPLE.index("  schedule")], "", 11, "lane 1, but the block has 1"),
        (SAMPLE[SAMPLE.index("  lane {\n    m") : -2], "", 11, "a block has 2 to 4 lanes, not 1"),
        (SAMPLE[SAMPLE.index("  lane {\n    f") : -2], "", 7, "a block has 2 to 4 lanes, not 0"),
        ("  schedule", "  lane {\n  }\n" * 3 + "  schedule", 18, "the block has more than 4 lanes; drop one"),
        ("    run_work\n", "    run_work\n" * 64, 72, "the lane has more than 64 operations; drop some"),
        (
            "0.0+17>1 0.1+5~>1 1.0+3^>0 1.end>0",
            "",
            14,
            "the schedule is empty; leave it out, or write: schedule LANE.",
        ),
        ("1.end>0", "1.end", 14, "'1.end' is no switch; write: schedule LANE.OPERATION+POINT>TO or LANE.end>TO"),
        ("1.end>0", "1.end+0>0", 14, "the operation of a switch must be a whole number, not 'end'"),
        ("1.end>0", "1.0>0", 14, "'1.0>0' is no switch"),
        ("1.end>0", "1.0+>0", 14, "'1.0+>0' is no switch"),
        ("1.end>0", "1.0+3 >0", 14, "'1.0+3' is no switch"),
        ("1.end>0", "1.0+3~~>0", 14, "'1.0+3~~>0' is no switch"),
        ("1.end>0", "1.0+-3>0", 14, "is no switch"),
        ("1.end>0", "1.end^~>0", 14, "'1.end^~>0' is no switch"),
        ("1.end>0", "1.end1>0", 14, "'1.end1>0' is no switch"),
        ("1.end>0", "0 1 1 0", 14, "'0' is no switch"),
        ("1.end>0", "x.end>0", 14, "a lane must be a whole number, not 'x'"),
        ("1.end>0", "1.x+3>0", 14, "the operation of a switch must be a whole number, not 'x'"),
        ("1.end>0", "1.0+1e3>0", 14, "a point must be a whole number, not '1e3'"),
        ("1.end>0", "1.end>\u0661", 14, "a lane must be a whole number, not '\\u0661'"),
        ("1.end>0", "1.end>" + "9" * 5000, 14, "a lane must be a whole number"),
        ("1.end>0", "1.end>1", 14, "lane 1 cannot switch to itself; drop the switch"),
        ("1.end>0", "1.end>2", 14, "a switch names lane 2, but the block has 2, counted from 0"),
        ("1.end>0", "2.end>1", 14, "a switch names lane 2, but the block has 2, counted from 0"),
        ("1.end>0", "1.end>4", 14, "a lane must be a whole number from 0 to 3, not 4"),
        ("1.end>0", "9999999.end>0", 14, "a lane must be a whole number from 0 to 3"),
        ("1.end>0", "1.2+0>0", 14, "point 0 of operation 2 lies behind the end of lane 1, which has 1 operations"),
        ("1.end>0", "1.1+1>0", 14, "point 1 of operation 1 lies behind the end of lane 1, which has 1 operations"),
        ("1.end>0", "1.65+0>0", 14, "the operation of a switch must be a whole number from 0 to 64, not 65"),
        ("1.end>0", "1.0+1048576>0", 14, "a point must be a whole number from 0 to 1048575"),
        ("1.end>0", "1.0+3~>0", 14, "two switches are at point 3 of operation 0; drop one"),
        ("1.end>0\n", "1.end>0\n\n  schedule 1.end>0\n", 16, "two switches are at point 0 of operation 1; drop one"),
        ("1.end>0\n", "1.end>0\n  chance\n", 15, "its seed and the side that it drives are missing; write: chance"),
        (
            "1.end>0\n",
            "1.end>0\n  chance pos 1 both\n",
            15,
            "write: chance POLICY SEED reference|candidate [LENGTH]...",
        ),
        ("1.end>0\n", "1.end>0\n  chance pos x candidate\n", 15, "the seed of a policy must be a whole number"),
        ("1.end>0\n", "1.end>0\n  chance pos 1 candidate 1\n", 15, "the length of each of the 2 lanes, or of none"),
        ("1.end>0\n", "1.end>0\n  chance pos 1 candidate 1 y\n", 15, "the length of a lane must be a whole number"),
        ("1.end>0\n", "1.end>0\n" + "chance pos 1 reference\n" * 2, 16, "the block has two chances; drop one"),
        ("  schedule 0", "  chance pos 1 reference\n  lane {\n  }\n  schedule 0", 15, "come before its schedule"),
        ("1.end>0\n}", "1.end>0\n} }", 15, "a block holds 'lane {'"),
        ("1.end>0\n}", "1.end>0\n", 14, "the block has no end here; put a line '}'"),
        ("  }\n  schedule 0.0+17>1 0.1+5~>1 1.0+3^>0 1.end>0\n}\n", "", 12, "the block has no end here"),
        ("1.end>0\n}", "1.end>0\n}\n\ntrim", 17, "'trim' comes behind the block, which is the last thing"),
        ("1.end>0\n}", "1.end>0\n}\n}", 16, "'}' comes behind the block"),
        ("1.end>0\n}", "1.end>0\n}\nparallel {\n}\n", 16, "'parallel {' comes behind the block"),
    ],
    ids=short,
)
def test_a_bad_block_is_refused_with_its_line(old: str, new: str, line: int, reason: str) -> None:
    assert SAMPLE.count(old) == 1
    written = SAMPLE.replace(old, new)
    message = refused(parse_program, written, WHERE)
    assert message.startswith(f"{WHERE}:{line}: "), message
    assert reason in message


def test_every_flipped_bit_of_a_sample_is_read_or_refused() -> None:
    sample = SAMPLE.encode()
    for at in range(len(sample) * 8):
        damaged = bytearray(sample)
        damaged[at // 8] ^= 1 << at % 8
        program = read_or_refused(parse_program, damaged.decode("latin-1"))
        assert program is None or parse_program(format_program(program)) == program


def test_every_beginning_of_a_sample_is_read_or_refused() -> None:
    """Read are those that end before the block, or behind all of it."""
    begin, header = SAMPLE.index("parallel"), SAMPLE.index("---") + 3
    for length in range(header, len(SAMPLE) - 1):
        read = read_or_refused(parse_program, SAMPLE[:length])
        assert read is None or length <= begin
    assert read_or_refused(parse_program, SAMPLE[:-1]) == parse_program(SAMPLE)


def test_a_schedule_without_end_costs_no_more_than_the_longest_one() -> None:
    """A line of hostile switches is left at the first one too many, not gathered to its end."""
    words = " ".join(f"0.0+{point}>1" for point in range(1000))
    lines = [f"schedule {words.replace('+', f'+{number}')}" for number in range(1, 100)]
    written = "\n".join(("zsfuzz 2", "---", "parallel {", "lane {", "trim", "}", "lane {", "}", *lines, "}"))
    tracemalloc.start()
    message = refused(parse_program, written, WHERE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"the schedule has more than {limits.MAX_SWITCHES} switches" in message
    assert peak < len(written) * 4 + 8_000_000
