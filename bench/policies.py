"""Policies: how often each way to schedule meets a bug that only few orders of the accesses show.

In:    planted bugs of a known depth: lanes, the points that they pass, the order of accesses that is the bug.
Out:   PolicyFigures: for each bug and policy the share of seeds that hit it, between bounds.
Never: a clock: seeds are counted, so that the same settings give the same figures everywhere.
Next:  the policies in zsfuzz/machine/policies.py; who asserts PCT's guarantee: tests/machine/test_policies.py.

PCT with depth d promises at least 1 / (n * k**(d - 1)) for n lanes and k points, whatever the bug of that depth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import sqrt
from random import Random
from typing import Final

from bench.work import must
from zsfuzz.machine import points
from zsfuzz.machine.lanes import Lane, Lanes, Policy
from zsfuzz.machine.policies import MAKERS, RandomWalk, make_policy

Z: Final = 1.96
"""Of a confidence of 95 %."""

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """lanes: the accesses of each by name; `.` is one that nobody else makes. shows: whether an order is the bug."""

    name: str
    depth: int
    lanes: tuple[Names, ...]
    shows: Callable[[Names], bool]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Return the points of each lane: its beginning, and one for each access."""
        return tuple(len(lane) + 1 for lane in self.lanes)

    @property
    def promise(self) -> float:
        """Return what PCT promises for this bug at its depth."""
        return float(1 / (len(self.lanes) * sum(self.lengths) ** (self.depth - 1)))


def in_order(*names: str) -> Callable[[Names], bool]:
    """Return whether accesses are made in this order."""

    def shows(made: Names) -> bool:
        places = [made.index(name) for name in names]
        return places == sorted(places)

    return shows


def waiting(count: int) -> Names:
    """Return accesses that make a lane longer and change nothing."""
    return (".",) * count


WINDOW: Final = PlantedBug(
    "window",
    2,
    ((*waiting(2), "a1", *waiting(2), "a2", *waiting(6)), (*waiting(24), "b", *waiting(2))),
    in_order("a1", "b", "a2"),
)
"""One lane has to stop between two close accesses until a far one of the other lane is made."""

LAST: Final = PlantedBug(
    "last of four",
    2,
    (
        *((*waiting(6), f"{name}1", *waiting(6), f"{name}2") for name in "abc"),
        (*waiting(2), "d1", *waiting(2), "d2", *waiting(2)),
    ),
    lambda made: all(
        made.index("d1") < made.index(f"{name}1") and made.index(f"{name}2") < made.index("d2") for name in "abc"
    ),
)
"""The last lane has to come first and to stop between two accesses until all others are through."""

TWICE: Final = PlantedBug(
    "stop twice",
    3,
    (("a1", "a2", *waiting(6), "a3"), (*waiting(8), "b1", "b2", *waiting(1))),
    in_order("a1", "b1", "a2", "a3", "b2"),
)
"""The first lane stops at one place, the second one at another, then the first one goes on."""

BUGS: Final = (WINDOW, LAST, TWICE)

POLICIES: Final[Mapping[str, Callable[[Random, tuple[int, ...]], Policy]]] = {
    "any lane each time": lambda rng, lengths: RandomWalk(rng, 2),
    **{name: partial(make_policy, name) for name in MAKERS if name != "stores"},
}
"""A random walk that may switch at every point, and the words of a schedule that is still to be made."""


class Synthetic:
    """Lanes whose accesses are names. made: in the order of this run."""

    def __init__(self, bug: PlantedBug) -> None:
        self._bug = bug
        self.lanes = Lanes()
        self.made: list[str] = []
        addresses = {name: 0x1000 for lane in bug.lanes for name in lane}  # one word, on which all accesses race
        self._bodies = [self._body(number, lane, addresses) for number, lane in enumerate(bug.lanes)]

    def _body(self, number: int, names: Names, addresses: Mapping[str, int]) -> Callable[[Lane], None]:
        steps = [(name, 0x2000 + 64 * number if name == "." else addresses[name]) for name in names]

        def body(lane: Lane) -> None:
            self.lanes.begin(0)
            for name, address in steps:
                self.lanes.point(points.STORE, address)
                self.made.append(name)

        return body

    def run(self, policy: Policy) -> Names:
        """Return the accesses of one run as they were made."""
        self.made.clear()
        self.lanes.run(self._bodies, [1] * len(self._bodies), policy)
        return tuple(self.made)


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of so many runs hit."""

    hits: int
    runs: int

    @property
    def share(self) -> float:
        """Return the share of runs that hit."""
        return self.hits / self.runs

    @property
    def bounds(self) -> tuple[float, float]:
        """Return Wilson's interval around the share."""
        share, runs = self.share, self.runs
        middle = (share + Z * Z / (2 * runs)) / (1 + Z * Z / runs)
        wide = Z / (1 + Z * Z / runs) * sqrt(share * (1 - share) / runs + Z * Z / (4 * runs * runs))
        return middle - wide, middle + wide


def measure_rate(bug: PlantedBug, policy: str, runs: int, seed: int = 0) -> Rate:
    """Return how often a policy hits a bug with the seeds from `seed` on."""
    world = Synthetic(bug)
    make = POLICIES[policy]
    hits = 0
    for number in range(seed, seed + runs):
        made = world.run(make(Random(number), bug.lengths))
        must(len(made) == sum(map(len, bug.lanes)), f"policies: {policy} left accesses of {bug.name} out")
        hits += bug.shows(made)
    return Rate(hits, runs)


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """rates: by the name of a bug, then by that of a policy."""

    runs: int
    rates: dict[str, dict[str, Rate]]


def measure_policies(runs: int) -> PolicyFigures:
    """Measure every policy on every bug."""
    must(runs > 0, "policies: no run")
    return PolicyFigures(runs, {bug.name: {name: measure_rate(bug, name, runs) for name in POLICIES} for bug in BUGS})
