"""Generate: whole programs, most of whose steps act.

In:    dice, a header, a typical length.
Out:   generate_program(); additions to a program for zsfuzz/engine/mutate.py.
Never: execution.
Next:  traits in zsfuzz/engine/profile.py, single steps in zsfuzz/engine/choose.py, sequences in
       zsfuzz/engine/idioms.py, the guessed state in zsfuzz/engine/sketch.py.

    program = bystanders, then steps until the length is reached, then perhaps a drain
    step    = what a held map allows | an idiom | nonsense | a core kind, if they are behind their share
              | any kind of the program's swarm
"""

from __future__ import annotations

from collections.abc import Sequence

from zsfuzz.engine.choose import CHOOSERS, Chooser
from zsfuzz.engine.idioms import IDIOMS
from zsfuzz.engine.profile import UNLEARNED, Profile, draw_profile
from zsfuzz.engine.rng import Dice
from zsfuzz.engine.sketch import NOBODY, Sketch
from zsfuzz.engine.swarm import Swarm
from zsfuzz.engine.vocabulary import CORE_KINDS, FREE, PUTBACK, RUN_WORK, SPECULATIVE_PUT, TRIM, UNMAP
from zsfuzz.program.ops import Operation
from zsfuzz.program.program import Header, Program


class StepWriter:
    """Writes steps behind those it has, following all of them in a sketch."""

    def __init__(self, dice: Dice, profile: Profile) -> None:
        self.steps: list[Operation] = []
        self.dice = dice
        self.profile = profile
        self.sketch = Sketch(profile.geometry, profile.header.normal_pages, profile.header.movable_pages)
        self.choose = Chooser(dice, profile, self.sketch)
        self._core_count = 0

    def emit(self, operation: Operation) -> None:
        """Append one operation."""
        self.steps.append(operation)
        self.sketch.apply(operation)
        if type(operation) in CORE_KINDS:
            self._core_count += 1

    def noise(self) -> None:
        """Perhaps append one ordinary step."""
        if self.dice.percent(70):
            self.emit(self._ordinary())
        if self.sketch.held != NOBODY:
            self.emit(UNMAP[self.sketch.held])  # while it is held, the idiom would do nothing

    def write(self) -> None:
        """Append one step, or the several steps of an idiom."""
        random, profile = self.dice.random, self.profile
        if self.sketch.held != NOBODY:
            self.emit(self.choose.while_held())
            return
        chance = random() * 100.0
        if chance < profile.idiom_percent:
            IDIOMS[profile.idioms[int(random() * len(profile.idioms))]](self)
        elif chance < profile.idiom_percent + profile.nonsense_percent:
            self.emit(self.choose.anything())
        else:
            self.emit(self._ordinary())

    def _ordinary(self) -> Operation:
        profile = self.profile
        if self._core_count * 100 < profile.core_percent * len(self.steps):
            kinds = profile.core_kinds
        else:
            kinds = profile.kinds
        return CHOOSERS[kinds[int(self.dice.random() * len(kinds))]](self.choose)

    def drain(self) -> None:
        """Give everything back: the map, isolated pages, references, objects; then the worker."""
        sketch = self.sketch
        if sketch.held != NOBODY:
            self.emit(UNMAP[sketch.held])
        for page_slot in list(sketch.isolated.members):
            self.emit(PUTBACK[page_slot])
        for ref_slot in list(sketch.refs.members):
            self.emit(SPECULATIVE_PUT[ref_slot])
        for slot in list(sketch.live.members):
            self.emit(FREE[slot])
        self.emit(RUN_WORK if self.dice.percent(50) else TRIM)


def generate_program(dice: Dice, header: Header, steps: int, swarm: Swarm = UNLEARNED) -> Program:
    """Return a new program. steps: typical length; an idiom is not cut short."""
    profile = draw_profile(dice, header, steps, swarm)
    writer = StepWriter(dice, profile)
    for _ in range(profile.bystanders):
        writer.emit(writer.choose.bystander())
    while len(writer.steps) < profile.steps:
        writer.write()
    if profile.drain:
        writer.drain()
    return Program(profile.header, tuple(writer.steps))


def generate_addition(dice: Dice, header: Header, before: Sequence[Operation], count: int) -> list[Operation]:
    """Return `count` or a few more new steps that make sense behind the steps `before` of a program."""
    writer = StepWriter(dice, draw_profile(dice, header, count))
    apply = writer.sketch.apply
    for operation in before:
        apply(operation)
    while len(writer.steps) < count:
        writer.write()
    return writer.steps
