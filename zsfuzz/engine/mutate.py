"""Mutate: a program changed a little, or crossed with another.

In:    programs, dice, settings.
Out:   new programs; every one is well-formed (zsfuzz/program/limits.py), few of their steps are wasted.
Never: execution, a judgement which program is worth mutating (zsfuzz/engine/coverage_engine.py).
Next:  new steps that fit behind a prefix: generate_addition() of zsfuzz/engine/generate.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from zsfuzz.engine.deck import Deck
from zsfuzz.engine.generate import generate_addition
from zsfuzz.engine.nonsense import anything
from zsfuzz.engine.rng import Dice
from zsfuzz.engine.shares import Shares
from zsfuzz.engine.tweak import Bounds, tweaked
from zsfuzz.engine.vocabulary import SLOTS
from zsfuzz.machine.geometry import geometry
from zsfuzz.program.block import Block
from zsfuzz.program.ops import Operation
from zsfuzz.program.program import Header, Program
from zsfuzz.program.rewrite import Space, renamed, rescaled, rescaled_program

_END_STEPS = (10, 100)
"""How many steps a new end has: many, since the end of a run costs as much as ten of them."""


@dataclass(slots=True)
class _Draft:
    """A program under change."""

    header: Header
    steps: list[Operation]
    bounds: Bounds
    block: Block | None
    before: tuple[Operation, ...] = ()  # steps that come first and are not changed


class Mutator:
    """Makes mutants; it learns which mutations pay from note()."""

    def __init__(self, dice: Dice, deck: Deck, max_steps: int) -> None:
        self._dice = dice
        self._deck = deck
        self._max_steps = max_steps
        self._shares: Shares[Mutation] = Shares(_MUTATIONS)
        self.used: tuple[Mutation, ...] = ()

    def mutate(self, program: Program, other: Program) -> Program:
        """Return a mutant of `program`, crossed with `other` now and then; it may equal neither or one.

        The mutant has at most max_steps steps and a header of the deck.
        """
        header = self._deck.fit(program.header)
        draft = _Draft(header, list(program.steps), Bounds.of(header), program.block)
        used = []
        for _ in range(self._dice.few(5)):
            mutation = self._shares.pick(self._dice) if draft.steps else Mutator._insert
            mutation(self, draft, other)
            used.append(mutation)
        self.used = tuple(used)
        return Program(draft.header, tuple(draft.steps[: self._max_steps]), draft.block)

    def note(self, used: tuple[Mutation, ...], gain: float) -> None:
        """Take in what a mutant brought. used: what `used` was when it was made."""
        self._shares.note(used, 1.0, gain)

    def mutate_end(self, program: Program, other: Program, cut: int) -> Program:
        """Return a program with the same header and first `cut` steps, and an end that differs.

        cut: 0..len(steps). The first steps are the very objects of the program. `other` goes on from there sometimes.
        """
        steps, dice = program.steps, self._dice
        self.used = ()
        form = dice.below(10)
        if form < 5 or cut == len(steps):
            end = generate_addition(dice, program.header, steps[:cut], dice.between(*_END_STEPS))
        elif form < 7 and other.steps:
            end = _rescaled_steps(other, program.header)[dice.below(len(other.steps)) :]
        else:
            end = self._mutated_end(program, other, cut)
        return Program(program.header, (steps[:cut] + tuple(end))[: self._max_steps], program.block)

    def _mutated_end(self, program: Program, other: Program, cut: int) -> list[Operation]:
        steps = program.steps
        draft = _Draft(program.header, list(steps[cut:]), Bounds.of(program.header), program.block, steps[:cut])
        used = []
        for _ in range(self._dice.few(5)):
            mutation = self._shares.pick(self._dice) if draft.steps else Mutator._insert
            if mutation is not Mutator._header:  # another header would make another machine
                mutation(self, draft, other)
                used.append(mutation)
        self.used = tuple(used)
        return draft.steps

    def _insert(self, draft: _Draft, other: Program) -> None:
        steps = draft.steps
        at = len(steps) if self._dice.percent(35) else self._dice.below(len(steps) + 1)
        count = self._dice.few(6)
        steps[at:at] = generate_addition(self._dice, draft.header, (*draft.before, *steps[:at]), count)

    def _delete(self, draft: _Draft, other: Program) -> None:
        del draft.steps[self._dice.below(len(draft.steps))]

    def _chunk(self, length: int) -> tuple[int, int]:
        """Return [start, end) of a part of `length` steps, rather short."""
        start = self._dice.below(length)
        longest = length - start
        size = self._dice.few(min(12, longest)) if self._dice.percent(70) else self._dice.between(1, longest)
        return start, start + size

    def _delete_chunk(self, draft: _Draft, other: Program) -> None:
        start, end = self._chunk(len(draft.steps))
        del draft.steps[start:end]

    def _duplicate(self, draft: _Draft, other: Program) -> None:
        start, end = self._chunk(len(draft.steps))
        at = self._dice.between(start, len(draft.steps))
        draft.steps[at:at] = self._elsewhere(draft.steps[start:end])

    def _elsewhere(self, steps: list[Operation]) -> list[Operation]:
        """Return steps, half the time with their objects in other slots: they act beside the old ones."""
        if self._dice.percent(50):
            return steps
        shift = self._dice.between(1, SLOTS - 1)
        names = {slot: (slot + shift) % SLOTS for slot in range(SLOTS)}
        return [renamed(step, Space.HANDLE, names) for step in steps]

    def _swap(self, draft: _Draft, other: Program) -> None:
        steps = draft.steps
        one = self._dice.below(len(steps))
        two = min(len(steps) - 1, one + self._dice.few(8)) if self._dice.percent(70) else self._dice.below(len(steps))
        steps[one], steps[two] = steps[two], steps[one]

    def _move(self, draft: _Draft, other: Program) -> None:
        start, end = self._chunk(len(draft.steps))
        moved = draft.steps[start:end]
        del draft.steps[start:end]
        at = self._dice.below(len(draft.steps) + 1)
        draft.steps[at:at] = moved

    def _replace(self, draft: _Draft, other: Program) -> None:
        at = self._dice.below(len(draft.steps))
        if self._dice.percent(25):
            draft.steps[at] = anything(self._dice, draft.bounds.page_size, draft.bounds.memory_pages)
            return
        draft.steps[at : at + 1] = generate_addition(self._dice, draft.header, (*draft.before, *draft.steps[:at]), 1)

    def _cross(self, draft: _Draft, other: Program) -> None:
        """Go on as `other` does from some point, or take a part of it in."""
        if not other.steps:
            return
        start, end = self._chunk(len(other.steps))
        foreign = _rescaled_steps(other, draft.header)[start:]
        at = self._dice.below(len(draft.steps) + 1)
        if self._dice.percent(40):
            draft.steps[at:] = foreign
        else:
            draft.steps[at:at] = self._elsewhere(foreign[: end - start])

    def _tweak(self, draft: _Draft, other: Program) -> None:
        at = self._dice.below(len(draft.steps))
        draft.steps[at] = tweaked(self._dice, draft.steps[at], draft.bounds)

    def _reslot(self, draft: _Draft, other: Program) -> None:
        """Let a part of the program use one object slot for another."""
        start, end = self._chunk(len(draft.steps))
        names = {self._dice.below(SLOTS): self._dice.below(SLOTS)}
        for step in draft.steps[start:end]:
            value = getattr(step, "slot", None)
            if value is not None:
                names[value] = self._dice.below(SLOTS)
                break
        draft.steps[start:end] = [renamed(step, Space.HANDLE, names) for step in draft.steps[start:end]]

    def _header(self, draft: _Draft, other: Program) -> None:
        dealt = self._deck.deal()
        changed = with_geometry(Program(draft.header, tuple(draft.steps), draft.block), dealt.geometry)
        draft.header, draft.steps, draft.block = dealt, list(changed.steps), changed.block
        draft.bounds = Bounds.of(dealt)


Mutation = Callable[[Mutator, _Draft, Program], None]

_MUTATIONS: tuple[tuple[Mutation, int], ...] = (
    (Mutator._insert, 24),
    (Mutator._delete, 8),
    (Mutator._delete_chunk, 10),
    (Mutator._duplicate, 8),
    (Mutator._swap, 6),
    (Mutator._move, 6),
    (Mutator._replace, 8),
    (Mutator._cross, 14),
    (Mutator._tweak, 14),
    (Mutator._reslot, 4),
    (Mutator._header, 2),
)


def _rescaled_steps(program: Program, header: Header) -> list[Operation]:
    """Return the steps of a program, its sizes scaled to the page size of another header."""
    before, after = geometry(program.header.geometry).page_size, geometry(header.geometry).page_size
    return [rescaled(step, before, after) for step in program.steps]


def with_geometry(program: Program, name: str) -> Program:
    """Return the program under another geometry, its sizes scaled with the page size."""
    if program.header.geometry == name:
        return program
    before = geometry(program.header.geometry).page_size
    after = geometry(name).page_size
    return replace(rescaled_program(program, before, after), header=replace(program.header, geometry=name))
