"""Parallel engine: puts programs with parallel blocks between those of another engine.

In:    an engine, a seeded random.Random, the share of blocks, the results of runs.
Out:   ParallelEngine, an Engine of zsfuzz/engine/base.py under the other one's name.
Never: a program of the other engine changed.
Next:  how blocks are made: zsfuzz/engine/blocks.py.

Families: a program with a block is followed by others with the same steps, whose lanes or schedules differ. Their run
goes on from the checkpoint behind the steps, so that most of the time goes into lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

from zsfuzz.engine.base import Engine
from zsfuzz.engine.blocks import generate_parallel, mutated_block, reblocked, rescheduled
from zsfuzz.engine.deck import Deck
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.rng import Dice
from zsfuzz.execute.result import RunResult
from zsfuzz.program.program import SWITCHES, Header, Program, with_schedule

FAMILY = 8
KEPT = 256
BUFFERED_PERCENT = 20


@dataclass(frozen=True, slots=True)
class _Kept:
    """A program that reached something new, with the points that its lanes passed."""

    program: Program
    lengths: tuple[int, ...]


class ParallelEngine:
    """Another engine's programs, and blocks. learns: mutates blocks that reached something new."""

    def __init__(
        self,
        inner: Engine,
        rng: Random,
        settings: GenerateSettings,
        percent: int,
        *,
        learns: bool,
        keep: Callable[[Program], object] | None = None,
    ) -> None:
        """percent: how often a family of blocks comes instead of a program of the other engine.

        keep: told of each program that reached something new.
        """
        self.inner = inner
        self._dice = Dice(rng)
        self._deck = Deck(self._dice, settings)
        self._percent = percent
        self._learns = learns
        self._keep = keep
        self._base: Program | None = None
        self._left = 0
        self._kept: list[_Kept] = []
        self._seen: set[int] = set()
        self._counts = {"blocks": 0, "block_features": 0, "block_entries": 0}

    @property
    def name(self) -> str:
        """Return the other engine's word."""
        return self.inner.name

    def next_program(self) -> Program:
        """Return a program of the other engine, or one with a block."""
        if not self._left and not self._dice.percent(self._percent):
            return self.inner.next_program()
        program = self._next_block()
        self._counts["blocks"] += 1
        return program

    def _next_block(self) -> Program:
        dice = self._dice
        if self._left and self._base is not None:
            self._left -= 1
            return rescheduled(dice, self._base) if dice.percent(60) else reblocked(dice, self._base)
        if self._learns and self._kept and dice.percent(50):
            chosen = dice.pick(self._kept)
            return mutated_block(dice, chosen.program, dice.pick(self._kept).program, chosen.lengths)
        header = self._deck.deal()
        if dice.percent(BUFFERED_PERCENT):
            header = _buffered(header)
        self._base = generate_parallel(dice, header)
        self._left = FAMILY - 1
        return self._base

    def feedback(self, program: Program, result: RunResult) -> None:
        """Keep a block that reached something new; everything else is the other engine's."""
        if program.block is None:
            self.inner.feedback(program, result)
            return
        new = not self._seen.issuperset(result.features)
        self._seen.update(result.features)
        self._counts["block_features"] = len(self._seen)
        if not self._learns or not new or result.findings:
            return
        kept = _Kept(with_schedule(program, result.schedule), result.lengths)
        if len(self._kept) >= KEPT:
            self._kept[self._dice.below(KEPT)] = kept
        else:
            self._kept.append(kept)
        self._counts["block_entries"] += 1
        if self._keep is not None:
            self._keep(kept.program)

    def statistics(self) -> Mapping[str, int]:
        """Return the other engine's counts and those of blocks."""
        return {**self.inner.statistics(), **self._counts}


def _buffered(header: Header) -> Header:
    """Return a header with store buffers; switches stand in the order of their table."""
    return replace(header, switches=tuple(each for each in SWITCHES if each in (*header.switches, "store_buffers")))
