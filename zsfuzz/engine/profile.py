"""Profile: what one generated program is made of, drawn anew for each (swarm testing).

In:    dice, a header (zsfuzz/engine/deck.py), a typical length.
Out:   GenerateSettings, what a user may fix. Profile: length, sizes, ranges, and which kinds of operation
       take part how often.
Never: state of a program; that is zsfuzz/engine/sketch.py.
Next:  who fills it with operations: zsfuzz/engine/generate.py.

Swarm testing (Groce et al., ISSTA 2012): leaving whole kinds out of a program finds bugs that a mix of
everything hides, because what is missing cannot undo what a bug needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from zsfuzz.engine.rng import Dice, weighted
from zsfuzz.engine.swarm import Swarm
from zsfuzz.errors import UsageError
from zsfuzz.machine.geometry import Geometry, geometry
from zsfuzz.policy.size_class import SizeClass
from zsfuzz.program.ops import BystanderKind, PoisonKind, Scanner
from zsfuzz.program.program import Header

CORE_WEIGHTS: tuple[tuple[str, int], ...] = (
    ("migrate", 10),
    ("scan", 12),
    ("compact", 6),
    ("compact_zone", 4),
    ("offline", 1),
    ("contig", 1),
)
"""The kinds of the published mix's quarter, and how they share it."""

OTHER_WEIGHTS: tuple[tuple[str, int], ...] = (
    ("malloc", 28),
    ("free", 24),
    ("map", 5),
    ("write", 18),
    ("read", 14),
    ("isolate", 10),
    ("putback", 6),
    ("run_work", 4),
    ("shrink", 2),
    ("poison", 1),
    ("speculative_get", 1),
    ("speculative_put", 3),
    ("bystander", 3),
    ("drop_bystander", 2),
    ("fail", 3),
    ("stats", 1),
    ("huge_class_size", 1),
    ("create_pool", 1),
    ("destroy_pool", 1),
    ("trim", 1),
)

IDIOM_WEIGHTS: tuple[tuple[str, int], ...] = (
    ("isolate_free_finish", 6),
    ("references_across_free", 2),
    ("neighbours_then_scan", 5),
    ("failing_malloc", 3),
    ("failing_request", 2),
    ("poison_free_migrate", 3),
    ("offline_online", 2),
    ("contig_over_zspages", 2),
    ("pool_life", 2),
    ("fragment_and_compact", 3),
    ("huge_object_moves", 2),
    ("revive_the_empty", 2),
)

_SELDOM = {"speculative_get": 20, "references_across_free": 20}
"""Percent of programs that keep these kinds: a reference held across operations lets the designs part early."""

_ALWAYS = ("malloc", "free")  # a program without them is a program about nothing
_KERNEL_PERCENT = (0, 0, 10, 30, 60, 100)
_CORE_PERCENT = (26, 28, 30, 32, 36)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GenerateSettings:
    """What the user may fix about generated programs.

    geometry: a name of zsfuzz/machine/geometry.py, None for a mix of all. steps: typical program length;
    lengths vary from a tenth of it to twice it. max_steps: mutated programs never grow beyond it.
    Errors: UsageError for an unknown geometry or a length below 1.
    """

    geometry: str | None = None
    steps: int = 100
    max_steps: int = 400

    def __post_init__(self) -> None:
        if self.geometry is not None:
            geometry(self.geometry)
        if self.steps < 1:
            raise UsageError(f"programs of {self.steps} steps; ask for at least 1 step")
        if self.max_steps < self.steps:
            raise UsageError(f"at most {self.max_steps} steps but {self.steps} asked for; raise the former")


@dataclass(frozen=True, slots=True)
class Profile:
    """The traits of one program; tables are weighted by repetition.

    kernel_percent: share of mallocs with GFP_KERNEL. core_percent: share of steps that are of the published
    mix's kinds. idiom_percent, nonsense_percent: chances per step. live_cap: live objects to stay under.
    ranges: [start, end) pfn ranges that most scans use. drain: free everything at the end.
    """

    header: Header
    geometry: Geometry
    steps: int
    kinds: tuple[str, ...]
    core_kinds: tuple[str, ...]
    idioms: tuple[str, ...]
    palette: tuple[SizeClass, ...]
    ranges: tuple[tuple[int, int], ...]
    scanners: tuple[Scanner, ...]
    bystander_kinds: tuple[BystanderKind, ...]
    poison_kinds: tuple[PoisonKind, ...]
    bystanders: int
    kernel_percent: int
    core_percent: int
    idiom_percent: int
    nonsense_percent: int
    live_cap: int
    drain: bool


@cache
def class_table(name: str) -> tuple[SizeClass, ...]:
    """Return the size classes of a geometry, weighted by how much they have to do with migration.

    Chains of several pages with few objects come first: each of their pages is moved by itself, and few
    frees empty them. A class of 128 objects makes one migration as slow as thirty others.
    """
    return weighted([(each, _class_weight(each)) for each in geometry(name).size_classes.classes])


def _class_weight(size_class: SizeClass) -> int:
    if size_class.huge:
        return 24
    if size_class.objs_per_zspage > 24:
        return 1
    if size_class.pages_per_zspage == 1:
        return 4 if size_class.objs_per_zspage <= 4 else 2
    if size_class.objs_per_zspage <= 7:
        return 4 * size_class.pages_per_zspage
    return 3


UNLEARNED = Swarm()
"""What nobody teaches."""


def draw_profile(dice: Dice, header: Header, steps: int, swarm: Swarm = UNLEARNED) -> Profile:
    """Return the traits of a program with that header. steps: its typical length. swarm: what was learned."""
    shape = geometry(header.geometry)
    normal_pages = header.normal_pages or shape.normal_pages
    memory_pages = normal_pages + (header.movable_pages or shape.movable_pages)
    classes = class_table(header.geometry)
    return Profile(
        header=header,
        geometry=shape,
        steps=_draw_steps(dice, steps),
        kinds=_swarm(dice, swarm, OTHER_WEIGHTS, 75, _ALWAYS),
        core_kinds=_swarm(dice, swarm, CORE_WEIGHTS, 70, ()),
        idioms=_swarm(dice, swarm, IDIOM_WEIGHTS, 50, ()),
        palette=tuple([dice.pick(classes) for _ in range(dice.between(1, 4))]),
        ranges=tuple([_draw_range(dice, normal_pages, memory_pages) for _ in range(dice.between(1, 3))]),
        scanners=_some(dice, tuple(Scanner)),
        bystander_kinds=_some(dice, tuple(BystanderKind)),
        poison_kinds=_some(dice, tuple(PoisonKind)),
        bystanders=dice.between(1, 8) if dice.percent(80) else 0,
        kernel_percent=dice.pick(_KERNEL_PERCENT),
        core_percent=dice.pick(_CORE_PERCENT),
        idiom_percent=dice.between(0, 5),
        nonsense_percent=dice.between(0, 6),
        live_cap=dice.between(6, 40),
        drain=dice.percent(20),
    )


def _draw_steps(dice: Dice, typical: int) -> int:
    if dice.percent(50):
        return typical
    return max(1, dice.between(typical // 10, typical * 2))


def _swarm(
    dice: Dice, swarm: Swarm, weights: tuple[tuple[str, int], ...], keep_percent: int, always: tuple[str, ...]
) -> tuple[str, ...]:
    """Return a weighted table of a random subset that is not empty; each weight stands 1, 2 or 4 times."""
    random = dice.random
    table: list[str] = []
    for name, weight in weights:
        draw = int(random() * 300)  # one throw says both whether and how often
        if draw < _SELDOM.get(name, keep_percent) * 3 or name in always:
            table += [name] * swarm.weight(name, weight << draw % 3)
    if not table:
        name, weight = dice.pick(weights)
        table = [name] * weight
    return tuple(table)


def _some(dice: Dice, items: tuple[T, ...]) -> tuple[T, ...]:
    kept = tuple([each for each in items if dice.percent(60)])
    return kept or (dice.pick(items),)


def _draw_range(dice: Dice, normal_pages: int, memory_pages: int) -> tuple[int, int]:
    """Return a range inside one zone: all of it, aligned to a pageblock, or any small one.

    Zones are handed out from their low end, so that is where the zspages are. Most ranges are short: a scan costs
    by the page, and what two scans of short ranges meet, one of a long range meets too, at twice the price.
    """
    low, high = (0, normal_pages) if dice.percent(60) else (normal_pages, memory_pages)
    form = dice.below(10)
    if form == 0:
        return low, high
    start = low + min(dice.below(high - low), dice.below(high - low), dice.below(high - low))
    if form == 1:
        start -= start % 16
    return start, min(high, start + 1 + dice.below(8 << dice.below(3)))
