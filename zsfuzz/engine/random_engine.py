"""The engine `random`: every program new, no feedback.

In:    a seeded random.Random, settings.
Out:   RandomEngine, an Engine of zsfuzz/engine/base.py.
Never: memory of what was run.
Next:  generation in zsfuzz/engine/generate.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from zsfuzz.engine.deck import Deck
from zsfuzz.engine.generate import generate_program
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.rng import Dice
from zsfuzz.execute.result import RunResult
from zsfuzz.program.program import Program


class RandomEngine:
    """Swarm generation: each program draws its own subset of operations, weights, sizes and ranges."""

    name = "random"

    def __init__(self, rng: Random, settings: GenerateSettings | None = None) -> None:
        self._dice = Dice(rng)
        self._settings = settings or GenerateSettings()
        self._deck = Deck(self._dice, self._settings)
        self._generated = 0

    def next_program(self) -> Program:
        """Return a new program."""
        self._generated += 1
        return generate_program(self._dice, self._deck.deal(), self._settings.steps)

    def feedback(self, program: Program, result: RunResult) -> None:
        """Nothing is learned: this is the blind engine that others are measured against."""

    def statistics(self) -> Mapping[str, int]:
        """Return {"generated": programs}."""
        return {"generated": self._generated}
