"""The engine `coverage`: mutants of the programs that reached something new.

In:    a seeded random.Random, settings, seed programs, the results of runs.
Out:   CoverageEngine, an Engine of zsfuzz/engine/base.py.
Never: files: a program that is worth keeping goes to the function `keep`, which may be a corpus store's.
Next:  changes in zsfuzz/engine/mutate.py, new programs in zsfuzz/engine/generate.py; a store in
       zsfuzz/corpus/store.py.

    seeds, then:  10 of 100  a new program
                  the rest   a mutant of an entry whose features are rare and which was not chosen often

Rare means: few runs have reached it until now. A state that is hard to get to is worked on until it is not
rare any more; so a bug many steps deep is reached one step at a time (compare Boehme et al., Coverage-based
Greybox Fuzzing as Markov Chain, CCS 2016).

A program that ends in a finding is not an entry: its mutants would run into the same finding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random

from zsfuzz.engine.deck import Deck
from zsfuzz.engine.generate import generate_program
from zsfuzz.engine.mutate import Mutator, with_geometry
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.rng import Dice
from zsfuzz.execute.result import RunResult
from zsfuzz.machine.geometry import geometry
from zsfuzz.program.program import Header, Program

FRESH_PERCENT = 10
ROUNDS = 8  # entries that compete to be mutated
_SMALL_CORPUS = 16  # below it, half of the programs are new ones
_MOST_PENDING = 4096  # programs without feedback that are remembered
_RARITY_WEIGHT = 4  # against the times an entry was chosen
_MOST_JUDGED = 16  # features of an entry that are looked at for the rarest


@dataclass(slots=True)
class _Entry:
    """A program of the corpus. features: those it reached first. chosen: how often it was mutated."""

    program: Program
    features: tuple[int, ...]
    chosen: int = 0


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
        self._keep = keep
        self._entries: list[_Entry] = []
        self._hits: dict[int, int] = {}  # feature -> runs that reached it
        self._seeds: deque[Program] = deque()
        self._pending: deque[tuple[Program, _Entry | None, bool]] = deque(maxlen=_MOST_PENDING)
        self._counts = {"generated": 0, "mutated": 0, "seeds": 0}
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

    def next_program(self) -> Program:
        """Return a seed, a new program or a mutant."""
        parent: _Entry | None = None
        seed = bool(self._seeds)
        if seed:
            program = self._seeds.popleft()
        elif self._wants_fresh():
            self._counts["generated"] += 1
            program = generate_program(self._dice, self._deck.deal(), self._settings.steps)
        else:
            self._counts["mutated"] += 1
            parent = self._choose_entry()
            other = self._dice.pick(self._entries)
            program = self._mutator.mutate(parent.program, other.program)
        self._pending.append((program, parent, seed))
        return program

    def _wants_fresh(self) -> bool:
        if not self._entries:
            return True
        return self._dice.percent(50 if len(self._entries) < _SMALL_CORPUS else FRESH_PERCENT)

    def _choose_entry(self) -> _Entry:
        best = self._dice.pick(self._entries)
        lowest = self._worn(best)
        for _ in range(ROUNDS - 1):
            rival = self._dice.pick(self._entries)
            worn = self._worn(rival)
            if worn < lowest:
                best, lowest = rival, worn
        best.chosen += 1
        return best

    def _worn(self, entry: _Entry) -> int:
        """Return how little an entry promises: how common its rarest feature is, how often it served."""
        hits = self._hits
        rarest = min([hits[feature] for feature in entry.features[:_MOST_JUDGED]])
        return _RARITY_WEIGHT * rarest + entry.chosen

    def feedback(self, program: Program, result: RunResult) -> None:
        """Make an entry of a program that reached something new without a finding."""
        parent, seed = self._take_pending(program)
        if result.findings:
            return
        new = self._count(result.features)
        if new:
            self._entries.append(_Entry(program, new))
            if self._keep is not None and not seed:
                self._keep(program)
        elif parent is not None:
            self._perhaps_shorter(parent, program, result)

    def _count(self, features: tuple[int, ...]) -> tuple[int, ...]:
        """Count the features of a run; return those that no run before it had."""
        hits = self._hits
        new = []
        for feature in features:
            count = hits.get(feature, 0)
            hits[feature] = count + 1
            if not count:
                new.append(feature)
        return tuple(new)

    def _take_pending(self, program: Program) -> tuple[_Entry | None, bool]:
        for position, (sent, parent, seed) in enumerate(self._pending):
            if sent is program:
                del self._pending[position]
                return parent, seed
        return None, False

    def _perhaps_shorter(self, parent: _Entry, program: Program, result: RunResult) -> None:
        """Let a shorter mutant that reaches all its parent was kept for take the parent's place."""
        shorter = program.operations_count < parent.program.operations_count
        if shorter and set(result.features).issuperset(parent.features):
            parent.program = program

    def corpus(self) -> tuple[Program, ...]:
        """Return the programs that are mutated, in the order in which they came."""
        return tuple([entry.program for entry in self._entries])

    def statistics(self) -> Mapping[str, int]:
        """Return counts: programs by origin, entries of the corpus, features seen."""
        return {**self._counts, "entries": len(self._entries), "features": len(self._hits)}


def _plain(header: Header) -> Header:
    shape = geometry(header.geometry)
    normal_pages = header.normal_pages if header.normal_pages <= shape.normal_pages else 0
    movable_pages = header.movable_pages if header.movable_pages <= shape.movable_pages else 0
    return Header(header.geometry, normal_pages, movable_pages, header.switches)
