"""The engine `coverage`: works on the programs that reached something rare.

In:    a seeded random.Random, settings, seed programs, the results of runs.
Out:   CoverageEngine, an Engine of zsfuzz/engine/base.py.
Never: files: a program that is worth keeping goes to the function `keep`, which may be a corpus store's.
Next:  the corpus in zsfuzz/engine/entries.py, changes in zsfuzz/engine/mutate.py, new programs in
       zsfuzz/engine/generate.py, weights that follow what pays in zsfuzz/engine/shares.py; a store in
       zsfuzz/corpus/store.py.

    seeds, then   generated   a new program
                  mutated     an entry changed anywhere, crossed with another
                  deep        a family: an entry's first steps, kept as they are, with FAMILY different ends

How often which way is taken follows what it brought for its cost, in steps. A family costs its ends only: a runner
goes on from a checkpoint of the first steps (zsfuzz/execute/prefixes.py), so that a state many steps deep is
as cheap to try things in as a state after boot.

A program that ends in a finding is not an entry: its mutants would run into the same finding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random

from zsfuzz.engine.deck import Deck
from zsfuzz.engine.entries import Entries
from zsfuzz.engine.generate import generate_program
from zsfuzz.engine.mutate import Mutation, Mutator, with_geometry
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.rng import Dice
from zsfuzz.engine.shares import Shares
from zsfuzz.engine.swarm import Swarm
from zsfuzz.execute.result import FEATURE_KIND_SHIFT, RunResult
from zsfuzz.machine.geometry import geometry
from zsfuzz.program.program import Header, Program

FAMILY = 6
"""Programs with the same first steps, one after the other; the third and all later ones go on from a checkpoint."""

WAYS = (("generated", 80), ("mutated", 10), ("deep", 10))
"""Ways to make a program, and how often they are taken before anything is known. One time deep is FAMILY programs."""

LEAST_CORPUS = 16  # entries, below which all programs are new ones
_WHOLE_PERCENT = 60  # of families that keep all steps of their entry
_MOST_PENDING = 4096  # programs without feedback that are remembered
_END_STEPS = 10.0  # what the end of a run costs, in steps
_END_SHARE = 0.1  # and what it costs for each step of the program: more objects to look at and to give back


@dataclass(frozen=True, slots=True)
class _Origin:
    """How a program came about. cost: steps that its run takes, about."""

    way: str
    cost: float
    mutations: tuple[Mutation, ...] = ()


_SEED = _Origin("seeds", 0.0)


@dataclass(frozen=True, slots=True)
class _Family:
    """What the programs of a family have in common: the first `cut` steps of the program."""

    program: Program
    cut: int


class CoverageEngine:
    """Feeds on RunResult.features."""

    name = "coverage"

    def __init__(
        self,
        rng: Random,
        settings: GenerateSettings | None = None,
        seeds: Iterable[Program] = (),
        keep: Callable[[Program], object] | None = None,
    ) -> None:
        """seeds: run first, in their order. keep: told of every new entry that is no seed."""
        self._dice = Dice(rng)
        self._settings = settings or GenerateSettings()
        self._deck = Deck(self._dice, self._settings)
        self._mutator = Mutator(self._dice, self._deck, self._settings.max_steps)
        self._swarm = Swarm()
        self._ways: Shares[str] = Shares(WAYS, lowest=0.1, highest=10.0)
        self._keep = keep
        self._entries = Entries()
        self._seeds: deque[Program] = deque()
        self._family: _Family | None = None
        self._siblings_left = 0
        self._pending: deque[tuple[Program, _Origin]] = deque(maxlen=_MOST_PENDING)
        self._counts = {"generated": 0, "mutated": 0, "deep": 0, "seeds": 0}
        for seed in seeds:
            self.add_seed(seed)

    def add_seed(self, program: Program) -> None:
        """Let a foreign program run soon.

        It is cut to settings.max_steps, put under settings.geometry, and loses what its file was kept for:
        targets, faults, verdict, a memory larger than the geometry's own.
        """
        program = replace(program, header=_plain(program.header), steps=program.steps[: self._settings.max_steps])
        if self._settings.geometry is not None:
            program = with_geometry(program, self._settings.geometry)
        self._counts["seeds"] += 1
        self._seeds.append(program)

    # -- programs

    def next_program(self) -> Program:
        """Return a seed, a new program or a mutant."""
        program, origin = self._next()
        if origin is not _SEED:
            self._counts[origin.way] += 1
        self._pending.append((program, origin))
        return program

    def _next(self) -> tuple[Program, _Origin]:
        if self._seeds:
            return self._seeds.popleft(), _SEED
        if self._family is not None and self._siblings_left:
            return self._sibling(self._family)
        way = "generated" if len(self._entries) < LEAST_CORPUS else self._ways.pick(self._dice)
        if way == "generated":
            return self._generated()
        if way == "mutated":
            return self._mutated()
        self._family, self._siblings_left = self._new_family(), FAMILY
        return self._sibling(self._family)

    def _generated(self) -> tuple[Program, _Origin]:
        program = generate_program(self._dice, self._deck.deal(), self._settings.steps, self._swarm)
        return program, _Origin("generated", _cost(program, 0))

    def _mutated(self) -> tuple[Program, _Origin]:
        parent, other = self._entries.choose(self._dice), self._entries.any(self._dice)
        program = self._mutator.mutate(parent, other)
        return program, _Origin("mutated", _cost(program, 0), self._mutator.used)

    def _new_family(self) -> _Family:
        program = self._entries.choose(self._dice)
        program = replace(program, header=self._deck.fit(program.header))
        steps_count = len(program.steps)
        whole = self._dice.percent(_WHOLE_PERCENT)
        cut = steps_count if whole else self._dice.between(steps_count // 3, steps_count)
        return _Family(program, min(cut, self._settings.max_steps * 7 // 8))

    def _sibling(self, family: _Family) -> tuple[Program, _Origin]:
        self._siblings_left -= 1
        other = self._entries.any(self._dice)
        program = self._mutator.mutate_end(family.program, other, family.cut)
        return program, _Origin("deep", _cost(program, family.cut), self._mutator.used)

    # -- feedback

    def feedback(self, program: Program, result: RunResult) -> None:
        """Make an entry of a program that reached something new without a finding."""
        origin = self._take_pending(program)
        if result.findings:
            return
        new = self._entries.add(program, result.features)
        self._swarm.learn(program.steps, [feature >> FEATURE_KIND_SHIFT for feature in new])
        if origin is None or origin is _SEED:
            return
        self._ways.note((origin.way,), origin.cost, len(new))
        if origin.mutations:
            self._mutator.note(origin.mutations, len(new))
        if new and self._keep is not None:
            self._keep(program)

    def _take_pending(self, program: Program) -> _Origin | None:
        for position, (sent, origin) in enumerate(self._pending):
            if sent is program:
                del self._pending[position]
                return origin
        return None

    def corpus(self) -> tuple[Program, ...]:
        """Return the programs that are mutated, in the order in which they came."""
        return self._entries.programs

    def statistics(self) -> Mapping[str, int]:
        """Return counts: programs by origin, entries of the corpus and those that were dropped, features seen."""
        entries = self._entries
        found = {"entries": len(entries), "dropped": entries.dropped, "features": entries.features_count}
        return {**self._counts, **found}


def _cost(program: Program, resumed: int) -> float:
    """Return what a run takes, in steps. resumed: steps that a checkpoint saves."""
    length = len(program.steps)
    return length - resumed + _END_STEPS + _END_SHARE * length


def _plain(header: Header) -> Header:
    shape = geometry(header.geometry)
    normal_pages = header.normal_pages if header.normal_pages <= shape.normal_pages else 0
    movable_pages = header.movable_pages if header.movable_pages <= shape.movable_pages else 0
    return Header(header.geometry, normal_pages, movable_pages, header.switches)
