"""LibFuzzer's view of programs: bytes that are packed programs, changed as programs.

In:    bytes that libFuzzer keeps, the size it allows, the seed it gives.
Out:   ProgramBytes: program_of(), mutated(), crossed(), shrunk(). Every answer is a packed program
       (zsfuzz/program/packed.py).
Never: a change of single bytes; an input that is refused: what does not decode stands for a generated program.
Next:  mutations in zsfuzz/engine/mutate.py, blocks in zsfuzz/engine/blocks.py; who calls:
       zsfuzz/engine/atheris_engine.py.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import replace
from random import Random

from zsfuzz.engine.blocks import generate_parallel
from zsfuzz.engine.deck import Deck
from zsfuzz.engine.generate import generate_program
from zsfuzz.engine.mutate import Mutator, with_geometry
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.rng import Dice
from zsfuzz.errors import UsageError
from zsfuzz.machine.geometry import geometry
from zsfuzz.program.block import Block, Switch, block_of
from zsfuzz.program.packed import MAGIC, pack_program, unpack_program
from zsfuzz.program.program import Header, Program
from zsfuzz.program.text import parse_program

MOST_BYTES = 1 << 14
"""What libFuzzer is told as -max_len: packed programs of max_steps steps fit."""

_REMEMBERED = 256  # decoded inputs: libFuzzer asks for the one it has just been given
_FRESH_PERCENT = 10
_END_PERCENT = 30  # of mutants that keep their first steps
_MOST_POINT = 120  # where a new switch may be


class ProgramBytes:
    """Decodes, changes and encodes. One Dice, thrown anew from libFuzzer's seed at each call."""

    def __init__(self, seed: int, settings: GenerateSettings, parallel_percent: int = 0) -> None:
        """parallel_percent: how many new programs end in a block."""
        self._dice = Dice(Random(seed))
        self._settings = settings
        self._parallel_percent = parallel_percent
        self._deck = Deck(self._dice, settings)
        self._mutator = Mutator(self._dice, self._deck, settings.max_steps)
        self._decoded: OrderedDict[bytes, Program] = OrderedDict()
        self.replaced = 0

    def program_of(self, data: bytes) -> Program:
        """Return the program that bytes stand for, without what its file was kept for."""
        known = self._decoded.get(data)
        if known is not None:
            self._decoded.move_to_end(data)
            return known
        try:
            program = self._plain(_decoded(data))
        except UsageError:
            self.replaced += 1
            self._reseed(zlib.crc32(data))
            program = self._generated()
        self._remember(data, program)
        return program

    def mutated(self, data: bytes, most_bytes: int, seed: int) -> bytes:
        """Return a mutant of an input, a new program now and then."""
        program = self.program_of(data)
        self._reseed(seed)
        dice = self._dice
        if dice.percent(_FRESH_PERCENT):
            return self._packed(self._generated(), most_bytes)
        other = dice.pick(list(self._decoded.values()))
        if program.block is not None and dice.percent(50):
            return self._packed(replace(program, block=self._rescheduled(program.block)), most_bytes)
        if dice.percent(_END_PERCENT):
            steps_count = len(program.steps)
            program = self._mutator.mutate_end(program, other, dice.between(steps_count // 2, steps_count))
        else:
            program = self._mutator.mutate(program, other)
        return self._packed(program, most_bytes)

    def shrunk(self, data: bytes, most_bytes: int, seed: int) -> bytes:
        """Return an input with a few of its steps left out, as many as it takes: for libFuzzer's minimizer."""
        program = self.program_of(data)
        self._reseed(seed)
        dice, steps = self._dice, list(program.steps)
        for _ in range(dice.few(3)):  # large parts as often as small ones: each success is a new process
            size = max(1, len(steps) >> dice.between(1, 6))
            start = dice.below(len(steps) - size + 1) if size < len(steps) else 0
            del steps[start : start + size]
        packed = pack_program(replace(program, steps=tuple(steps)))
        while len(packed) > most_bytes and steps:
            del steps[dice.below(len(steps))]
            packed = pack_program(replace(program, steps=tuple(steps)))
        return self._packed(replace(program, steps=tuple(steps)), most_bytes)

    def crossed(self, one: bytes, two: bytes, most_bytes: int, seed: int) -> bytes:
        """Return a program that begins as one input does and goes on as another does."""
        left, right = self.program_of(one), self.program_of(two)
        right = with_geometry(right, left.header.geometry)
        self._reseed(seed)
        dice = self._dice
        start, end = dice.below(len(left.steps) + 1), dice.below(len(right.steps) + 1)
        steps = (left.steps[:start] + right.steps[end:])[: self._settings.max_steps]
        block = dice.pick((left.block, right.block))
        return self._packed(Program(left.header, steps, block), most_bytes)

    # -- parts

    def _reseed(self, seed: int) -> None:
        self._dice.random = Random(seed).random

    def _plain(self, program: Program) -> Program:
        """Return a foreign program as this campaign can run it: its machine is one that is kept."""
        if self._settings.geometry is not None:
            program = with_geometry(program, self._settings.geometry)
        geometry(program.header.geometry)
        header = self._deck.fit(Header(program.header.geometry, switches=program.header.switches))
        return replace(program, header=header, steps=program.steps[: self._settings.max_steps])

    def _generated(self) -> Program:
        dice = self._dice
        if not dice.percent(self._parallel_percent):
            return generate_program(dice, self._deck.deal(), self._settings.steps)
        program = generate_parallel(dice, self._deck.deal())
        block = program.block
        return program if block is None else replace(program, block=self._rescheduled(block_of(block.lanes, ())))

    def _rescheduled(self, block: Block) -> Block:
        """Return a block with a few switches moved, dropped or added. Bytes hold a schedule, not a policy."""
        dice, switches = self._dice, list(block.schedule)
        for _ in range(dice.few(5)):
            if switches and dice.percent(40):
                gone = dice.take(switches)
                if dice.percent(70):
                    switches.append(replace(gone, point=max(0, gone.point + dice.between(-8, 8))))
                continue
            lane = dice.below(len(block.lanes))
            if block.lanes[lane]:
                to = (lane + 1 + dice.below(len(block.lanes) - 1)) % len(block.lanes)
                switches.append(Switch(lane, dice.below(len(block.lanes[lane])), dice.below(_MOST_POINT), to))
        return block_of(block.lanes, switches)

    def _packed(self, program: Program, most_bytes: int) -> bytes:
        """Return the bytes of a program, shortened until they are few enough."""
        data = pack_program(program)
        while len(data) > most_bytes and (program.steps or program.block is not None):
            if program.steps:
                kept = min(len(program.steps) - 1, len(program.steps) * most_bytes // len(data))
                program = replace(program, steps=program.steps[:kept])
            else:
                program = replace(program, block=None)
            data = pack_program(program)
        if len(data) > most_bytes:
            return b""  # not even a header fits: libFuzzer's own sign for nothing
        self._remember(data, program)
        return data

    def _remember(self, data: bytes, program: Program) -> None:
        self._decoded[data] = program
        if len(self._decoded) > _REMEMBERED:
            self._decoded.popitem(last=False)


def _decoded(data: bytes) -> Program:
    """Return the program that bytes hold, packed or text. Errors: UsageError."""
    if data.startswith(MAGIC):
        return unpack_program(data, "input")
    try:
        return parse_program(data.decode(), "input")
    except UnicodeDecodeError as error:
        raise UsageError("input: no text") from error
