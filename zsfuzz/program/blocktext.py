"""A parallel block as lines of text, both ways.

In:    a Block, or the lines behind `parallel {`, one after the other, without their comments.
Out:   format_block(), BlockReader.
Never: limits (zsfuzz/program/limits.py); how one operation is written (zsfuzz/program/steps.py).
Next:  the document around it in zsfuzz/program/text.py; the same for people in docs/program-format.md.

    parallel {
      lane {
        free h1
      }
      lane {
        migrate h1.0 sync
      }
      schedule 0.0+17>1 0.end>1 1.0+3~>0        LANE.OPERATION+POINT>TO, ~> holds all stores back, ^> all but the newest
    }
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from zsfuzz.program.block import Block, Chance, Switch, block_of
from zsfuzz.program.limits import BlockChecker, Malformed, StepChecker, shown
from zsfuzz.program.ops import Operation
from zsfuzz.program.steps import format_step, parse_number, parse_step

BEGIN = "parallel"
BLOCK_WORDS = frozenset({BEGIN, "lane", "schedule", "chance", "{", "}"})
SCHEDULE_CHARS = 110
"""Of a line of the schedule; a longer schedule takes several lines."""

_CHANCE_USAGE = "write: chance POLICY SEED reference|candidate [LENGTH]..."
_SIDES = ("reference", "candidate")
_USAGE = "write: schedule LANE.OPERATION+POINT>TO or LANE.end>TO, with ~> or ^> for held stores"
_SWITCH = re.compile(r"(\w+)\.(?:(end)|(\w+)\+(\w+))([~^]?)>(\w+)")
_HELD = ("", "~", "^")


def format_block(block: Block) -> Iterator[str]:
    """Yield the canonical lines of a well-formed block."""
    yield f"{BEGIN} {{"
    for lane in block.lanes:
        yield "  lane {"
        for operation in lane:
            yield f"    {format_step(operation)}"
        yield "  }"
    yield from _format_schedule(block)
    if (chance := block.chance) is not None:
        yield " ".join(map(str, ("  chance", chance.policy, chance.seed, _SIDES[chance.leader], *chance.lengths)))
    yield "}"


def _format_schedule(block: Block) -> Iterator[str]:
    line = "  schedule"
    for switch in block.schedule:
        word = format_switch(switch, len(block.lanes[switch.lane]))
        if len(line) + 1 + len(word) > SCHEDULE_CHARS:
            yield line
            line = "  schedule"
        line = f"{line} {word}"
    if block.schedule:
        yield line


def format_switch(switch: Switch, operations_count: int) -> str:
    """Return 0.2+17>1, 0.2+17~>1, 0.2+17^>1 or 0.end>1. operations_count: of the lane that gives way."""
    place = "end" if switch.operation == operations_count else f"{switch.operation}+{switch.point}"
    return f"{switch.lane}.{place}{_HELD[switch.held]}>{switch.to}"


class BlockReader:
    """Takes the lines of one block. Whoever feeds it knows their numbers, for messages."""

    def __init__(self, line: str, steps: StepChecker) -> None:
        """line: the first one. steps: the program's checker. Errors: Malformed when it is not `parallel {`."""
        self.block: Block | None = None
        self._lanes: list[list[Operation]] = []
        self._schedule: list[Switch] = []
        self._chance: Chance | None = None
        self._checker = BlockChecker(steps)
        self._in_lane = False
        if line.split() != [BEGIN, "{"]:
            raise Malformed(f"a block begins with a line '{BEGIN} {{', not {shown(line)}")

    def line(self, line: str) -> None:
        """Take one line more; after the last one, `block` is set.

        Errors: Malformed for what is no line of a block, for a line behind it, for a block beyond a limit.
        """
        words = line.split()
        if self.block is not None:
            raise Malformed(f"{shown(line)} comes behind the block, which is the last thing that a program does")
        if self._in_lane:
            self._in_lane = words != ["}"]
            if self._in_lane:
                self._operation(line, words[0])
        elif words == ["}"]:
            self._schedule.sort()
            self._checker.end(self._schedule)
            self.block = block_of(self._lanes, self._schedule, self._chance)
        elif words[0] == "lane":
            self._lane(line, words)
        elif words[0] == "schedule":
            self._switches(words[1:])
        elif words[0] == "chance":
            self._take_chance(words[1:])
        else:
            raise Malformed(f"a block holds 'lane {{', 'schedule', 'chance' and its end '}}', not {shown(line)}")

    def _lane(self, line: str, words: list[str]) -> None:
        if words != ["lane", "{"]:
            raise Malformed(f"a lane begins with a line 'lane {{', not {shown(line)}")
        if self._schedule or self._chance is not None:
            raise Malformed("the lanes of a block come before its schedule; move it behind them")
        self._checker.lane()
        self._lanes.append([])
        self._in_lane = True

    def _operation(self, line: str, word: str) -> None:
        if word in BLOCK_WORDS:
            raise Malformed(f"a lane holds operations and its end, a line '}}', not {shown(line)}")
        operation = parse_step(line)
        self._checker.add(operation)
        self._lanes[-1].append(operation)

    def _switches(self, words: list[str]) -> None:
        if not words:
            raise Malformed(f"the schedule is empty; leave it out, or {_USAGE}")
        for word in words:
            switch = self._switch(word)
            self._checker.switch(switch)
            self._schedule.append(switch)

    def _take_chance(self, words: list[str]) -> None:
        if self._chance is not None:
            raise Malformed("the block has two chances; drop one")
        if len(words) < 3 or words[2] not in _SIDES:
            raise Malformed(f"a policy, its seed and the side that it drives are missing; {_CHANCE_USAGE}")
        seed = parse_number(words[1], "the seed of a policy")
        lengths = tuple([parse_number(word, "the length of a lane") for word in words[3:]])
        self._chance = Chance(words[0], seed, lengths, _SIDES.index(words[2]))
        self._checker.chance(self._chance)

    def _switch(self, word: str) -> Switch:
        parts = _SWITCH.fullmatch(word)
        if parts is None:
            raise Malformed(f"{shown(word)} is no switch; {_USAGE}")
        lane, end, operation, point, held, to = parts.groups()
        number = parse_number(lane, "a lane")
        if end:
            # A lane that is not there is refused as such, by the checker.
            at = len(self._lanes[number]) if number < len(self._lanes) else 0, 0
        else:
            at = parse_number(operation, "the operation of a switch"), parse_number(point, "a point")
        return Switch(number, *at, parse_number(to, "a lane"), _HELD.index(held))
