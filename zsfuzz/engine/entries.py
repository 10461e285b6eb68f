"""Entries: the programs that an engine works on, as few as reach everything that was reached.

In:    programs with the state features of their runs.
Out:   Entries: add() says what was new; choose() an entry worth working on.
Never: an entry that is not the shortest known way to some feature; a feature without an entry.
Next:  the engine in zsfuzz/engine/coverage_engine.py.

Each feature belongs to one entry, the first that reached it, until a program comes that reaches it in far fewer
steps. An entry that no feature belongs to any more is dropped. So the corpus is minimal after its seeds have run, and
stays so.

Energy: a feature is worth one over the runs that reached it, squared; an entry the sum over its features, divided by
how often it was chosen. So what is hard to get to is worked on until it is not hard any more (compare Boehme et al.,
Coverage-based Greybox Fuzzing as Markov Chain, CCS 2016).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

from zsfuzz.engine.rng import Dice
from zsfuzz.program.program import Program

_SHORTER = 0.75  # of the owner's steps: a program that needs no more than that takes a feature over
_RENEWED = 24  # choices after which energies are reckoned again


@dataclass(slots=True, eq=False)
class _Entry:
    """A program of the corpus. features: those that belong to it. chosen: how often it was worked on."""

    program: Program
    features: dict[int, None] = field(default_factory=dict)
    chosen: int = 0


class Entries:
    """The corpus in memory, and how often each feature was reached."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._owner: dict[int, _Entry] = {}
        self._hits: dict[int, int] = {}
        self._bounds: list[float] = []
        self._choices = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def features_count(self) -> int:
        """Return how many features were reached."""
        return len(self._hits)

    @property
    def programs(self) -> tuple[Program, ...]:
        """Return the programs, in the order in which they came."""
        return tuple([entry.program for entry in self._entries])

    def add(self, program: Program, features: tuple[int, ...]) -> list[int]:
        """Take in a run; return those of its features that no run before it had.

        It becomes an entry if some were new, or if it is a far shorter way to others.
        """
        hits, owner = self._hits, self._owner
        steps = len(program.steps)
        new: list[int] = []
        mine: list[int] = []
        for feature in features:
            count = hits.get(feature, 0)
            hits[feature] = count + 1
            if not count:
                new.append(feature)
                mine.append(feature)
            elif steps <= len(owner[feature].program.steps) * _SHORTER:
                mine.append(feature)
        if mine:
            self._settle(_Entry(program), mine)
        return new

    def _settle(self, entry: _Entry, features: list[int]) -> None:
        losers: dict[_Entry, None] = {}
        for feature in features:
            before = self._owner.get(feature)
            if before is not None:
                del before.features[feature]
                losers[before] = None
            self._owner[feature] = entry
            entry.features[feature] = None
        gone = [loser for loser in losers if not loser.features]
        if gone:
            self._entries = [each for each in self._entries if each not in gone]
            self.dropped += len(gone)
        self._entries.append(entry)
        self._bounds = []

    def any(self, dice: Dice) -> Program:
        """Return any program; there is at least one."""
        return dice.pick(self._entries).program

    def choose(self, dice: Dice) -> Program:
        """Return a program, rather one with much energy; there is at least one."""
        if not self._bounds or self._choices % _RENEWED == 0:
            self._bounds = list(accumulate([self._energy(entry) for entry in self._entries]))
        self._choices += 1
        at = bisect_right(self._bounds, dice.random() * self._bounds[-1])
        entry = self._entries[min(at, len(self._entries) - 1)]
        entry.chosen += 1
        return entry.program

    def _energy(self, entry: _Entry) -> float:
        hits = self._hits
        worth = 0.0
        for feature in entry.features:
            count = hits[feature]
            worth += 1.0 / (count * count)
        return worth / (1 + entry.chosen)
