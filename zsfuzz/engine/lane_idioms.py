"""Lane idioms: what happens at the same time in the shapes of bugs that zsmalloc and its neighbours really had.

In:    a StepWriter (zsfuzz/engine/generate.py) that may still write steps before the block.
Out:   lanes of operations, by the functions of the table LANE_IDIOMS.
Never: a schedule; an expectation.
Next:  who picks them and fills them up: zsfuzz/engine/blocks.py; the sequential ones: zsfuzz/engine/idioms.py.

Two lanes race only where they meet: each idiom has one zspage, or one pool, that all of its lanes are after.
"""

from __future__ import annotations

from collections.abc import Callable

from zsfuzz.engine.generate import StepWriter
from zsfuzz.engine.profile import class_table
from zsfuzz.engine.sketch import NOBODY
from zsfuzz.engine.vocabulary import COMPACT, COMPONENT, FREE, ISOLATED, MODES, PUTBACK, REF_SLOTS, RUN_WORK, UNMAP
from zsfuzz.policy.size_class import SizeClass
from zsfuzz.program.ops import (
    CompactZone,
    Component,
    Contig,
    CreatePool,
    DestroyPool,
    Isolate,
    Malloc,
    Map,
    MapMode,
    Migrate,
    Offline,
    Operation,
    Poison,
    PoisonKind,
    Read,
    Scan,
    Scanner,
    Shrink,
    ShrinkKind,
    SpeculativeGet,
    SpeculativePut,
    Write,
)

Lane = list[Operation]

BY_REFERENCE = (Scanner.SPECULATIVE_GET, Scanner.ISOLATE_MIGRATEPAGES, Scanner.PAGE_IDLE)
"""Scanners that take a reference on pages they know nothing of."""


class Place:
    """Some objects of one size class, which the lanes of an idiom meet at.

    slots: live ones, perhaps in several zspages. spare: slots that are free, for mallocs in the block.
    """

    def __init__(self, writer: StepWriter, objects: int, pool: int = 0) -> None:
        self.writer, self.pool = writer, pool
        choose = writer.choose
        self.dice = choose.dice
        self.size_class = self._draw_class()
        self.slots = [self.malloc_before() for _ in range(objects)]
        taken = set(writer.sketch.live.members)
        self.spare = [slot for slot in range(64) if slot not in taken]

    def _draw_class(self) -> SizeClass:
        """Return a class, mostly one whose zspages have several pages and few objects."""
        profile = self.writer.choose.profile
        table = class_table(profile.geometry.name)
        several = [each for each in table if each.pages_per_zspage > 1 and each.objs_per_zspage <= 9]
        return self.dice.pick(several) if several and self.dice.percent(70) else self.dice.pick(table)

    def malloc_before(self) -> int:
        """Allocate one object before the block."""
        choose = self.writer.choose
        slot = choose.dead_slot()
        self.writer.emit(Malloc(slot, choose.size_of_class(self.size_class), choose.gfp(), self.pool))
        return slot

    def malloc(self) -> Operation:
        """Allocate one object of the class."""
        choose = self.writer.choose
        return Malloc(self.dice.take(self.spare), choose.size_of_class(self.size_class), choose.gfp(), self.pool)

    def zspage_full(self) -> None:
        """Fill up to a whole zspage."""
        while len(self.slots) < min(self.size_class.objs_per_zspage, 9):
            self.slots.append(self.malloc_before())

    def page(self) -> Operation:
        """Migrate one page of the place."""
        return Migrate((self.component(),), self.dice.pick(MODES))

    def component(self) -> Component:
        """Return the name of one page."""
        return COMPONENT[self.dice.pick(self.slots)][self.dice.below(self.size_class.pages_per_zspage)]

    def some_pages(self) -> Operation:
        """Migrate several pages at once."""
        slot = self.dice.pick(self.slots)
        return Migrate(tuple(COMPONENT[slot][: self.size_class.pages_per_zspage]), self.dice.pick(MODES))

    def range(self) -> tuple[int, int]:
        """Return a range of pfns: all, or one of the program's."""
        sketch = self.writer.sketch
        if self.dice.percent(60):
            return 0, sketch.memory_pages
        return self.dice.pick(self.writer.choose.profile.ranges)

    def scan(self) -> Operation:
        """Let a scanner pass that takes references."""
        start, end = self.range()
        return Scan(self.dice.pick(BY_REFERENCE), start, end)

    def content(self) -> Operation:
        """Write or read an object."""
        slot = self.dice.pick(self.slots)
        length = max(1, self.writer.sketch.size_of[slot])
        if self.dice.percent(60):
            return Write(slot, 0, length, self.dice.below(256))
        return Read(slot, 0, length)


def free_against_scanner(writer: StepWriter) -> list[Lane]:
    """The last object goes, and another zspage may take the memory, while a scanner has looked at the head."""
    place = Place(writer, 1)
    freeing: Lane = [FREE[place.slots[0]]]
    freeing += [place.malloc() for _ in range(place.dice.below(3))]
    get = SpeculativeGet(place.dice.below(REF_SLOTS), place.component())
    scanning: Lane = [get, SpeculativePut(get.ref_slot)] if place.dice.percent(60) else [place.scan()]
    return [freeing, scanning]


def malloc_against_scanner(writer: StepWriter) -> list[Lane]:
    """A zspage is built while scanners pass."""
    place = Place(writer, 0)
    return [[place.malloc() for _ in range(place.dice.between(1, 3))], [place.scan()], [place.scan()]]


def worker_against_migration(writer: StepWriter) -> list[Lane]:
    """Deferred freeing walks a zspage whose pages move."""
    place = Place(writer, place_objects(writer))
    dice, isolated = place.dice, []
    for index in range(place.size_class.pages_per_zspage):
        if dice.percent(60):
            page_slot = writer.choose.empty_page_slot()
            writer.emit(Isolate(page_slot, COMPONENT[place.slots[0]][index]))
            isolated.append(page_slot)
    moving: Lane = [
        Migrate((ISOLATED[each],), dice.pick(MODES)) if dice.percent(60) else PUTBACK[each] for each in isolated
    ]
    if dice.percent(50):
        for slot in place.slots:
            writer.emit(FREE[slot])
        freeing: Lane = []
    else:
        freeing = [FREE[slot] for slot in place.slots]
    half = dice.below(len(moving) + 1)
    lanes = [moving[:half], moving[half:], [*freeing, RUN_WORK, RUN_WORK]]
    return [lane for lane in lanes if lane] if sum(map(bool, lanes)) > 1 else [[RUN_WORK], [place.scan()]]


def place_objects(writer: StepWriter) -> int:
    """Return how many objects a place begins with: few."""
    return 1 + writer.dice.below(2)


def worker_against_revival(writer: StepWriter) -> list[Lane]:
    """An empty zspage waits for the worker, and a malloc of its class wants it."""
    place = Place(writer, 1)
    dice = place.dice
    page_slot = writer.choose.empty_page_slot()
    writer.emit(Isolate(page_slot, place.component()))
    writer.emit(FREE[place.slots[0]])
    lanes: list[Lane] = [[place.malloc(), place.malloc()], [RUN_WORK, RUN_WORK]]
    if dice.percent(60):
        writer.emit(PUTBACK[page_slot])
    else:
        lanes.append([PUTBACK[page_slot]])
    if dice.percent(30):
        lanes[0].append(COMPACT[0])
    return lanes


def destroy_against_putback(writer: StepWriter) -> list[Lane]:
    """A pool is destroyed while pages of it come back."""
    dice = writer.dice
    pool = dice.between(1, 3)
    if pool not in writer.sketch.pools:
        writer.emit(CreatePool(pool))
    place = Place(writer, 1, pool)
    page_slot = writer.choose.empty_page_slot()
    writer.emit(Isolate(page_slot, place.component()))
    writer.emit(FREE[place.slots[0]])
    back: Lane = [PUTBACK[page_slot] if dice.percent(50) else Migrate((ISOLATED[page_slot],), dice.pick(MODES))]
    lanes: list[Lane] = [[DestroyPool(pool)], back]
    if dice.percent(50):
        lanes.append([RUN_WORK])
    if dice.percent(30):
        lanes[0].append(CreatePool(pool))
    return lanes


def isolation_against_users(writer: StepWriter) -> list[Lane]:
    """Pages are isolated and put back while objects come and go in the same zspage."""
    place = Place(writer, 2)
    slot = writer.choose.empty_page_slot()
    using: Lane = [place.malloc(), FREE[place.slots[0]], place.malloc()]
    taking: Lane = [Isolate(slot, COMPONENT[place.slots[1]][0]), PUTBACK[slot], place.page()]
    return [using, taking, [place.some_pages()]] if place.dice.percent(40) else [using, taking]


def map_against_movers(writer: StepWriter) -> list[Lane]:
    """An object is held while compaction and migration want to move it."""
    place = Place(writer, place_objects(writer))
    place.zspage_full()
    dice = place.dice
    for slot in place.slots[1::2]:
        if dice.percent(60):
            writer.emit(FREE[slot])
    kept = place.slots[0]
    length = max(1, writer.sketch.size_of[kept])
    holding: Lane = [
        Map(kept, dice.pick((MapMode.RW, MapMode.RO, MapMode.WO))),
        Write(kept, 0, length, dice.below(256)),
        Read(kept, 0, length),
        UNMAP[kept],
        Read(kept, 0, length),
    ]
    moving: Lane = [COMPACT[0], place.page()] if dice.percent(50) else [place.some_pages(), COMPACT[0]]
    return [holding, moving, [place.content(), place.content()]]


def compactors(writer: StepWriter) -> list[Lane]:
    """Two compactions, or compaction and the shrinker, over the same class."""
    place = Place(writer, 1)
    for _ in range(place.size_class.objs_per_zspage + 2 if place.size_class.objs_per_zspage <= 9 else 3):
        place.slots.append(place.malloc_before())
    for slot in place.slots[1::2]:
        writer.emit(FREE[slot])
    second: Lane = [COMPACT[0]] if place.dice.percent(50) else [Shrink(ShrinkKind.SCAN), Shrink(ShrinkKind.COUNT)]
    return [[COMPACT[0]], second, [place.malloc(), FREE[place.slots[0]], place.content()]]


def movers(writer: StepWriter) -> list[Lane]:
    """Several migrations of pages of one zspage, and its users."""
    place = Place(writer, 2)
    return [[place.page(), place.some_pages()], [place.some_pages(), place.page()], [place.content(), place.content()]]


def movers_against_scanner(writer: StepWriter) -> list[Lane]:
    """A scanner takes and drops references on a zspage whose pages are exchanged."""
    place = Place(writer, place_objects(writer))
    dice = place.dice
    scanning: Lane = []
    for _ in range(dice.between(1, 3)):
        ref_slot = dice.below(REF_SLOTS)
        scanning += [SpeculativeGet(ref_slot, place.component()), SpeculativePut(ref_slot)]
    lanes: list[Lane] = [[place.page(), place.page()], scanning]
    if dice.percent(50):
        lanes.append([place.scan(), place.some_pages()])
    return lanes


def free_against_mover(writer: StepWriter) -> list[Lane]:
    """The last object goes while a page is on its way."""
    place = Place(writer, 1)
    return [[FREE[place.slots[0]], place.malloc()], [place.page(), place.page()], [RUN_WORK]]


def core_against_users(writer: StepWriter) -> list[Lane]:
    """Compaction, hotplug, contiguous allocation or a memory error, beside users."""
    place = Place(writer, place_objects(writer))
    dice = place.dice
    start, end = place.range()
    requests: list[Operation] = [
        CompactZone(start, end, dice.pick(MODES)),
        Offline(start, end),
        Contig(start, end),
        Poison(place.component(), dice.pick(tuple(PoisonKind))),
    ]
    core = dice.pick(requests)
    users: Lane = [place.malloc(), FREE[place.slots[0]], place.malloc(), place.content()]
    third: Lane = [CompactZone(start, end, dice.pick(MODES))] if dice.percent(50) else [place.page()]
    return [[core], users, third]


def readers(writer: StepWriter) -> list[Lane]:
    """Several lanes write and read the same objects, straddling ones among them, while a page moves."""
    place = Place(writer, place_objects(writer))
    return [
        [place.content() for _ in range(3)],
        [place.content() for _ in range(3)],
        [place.some_pages(), COMPACT[0]],
    ]


LANE_IDIOMS: tuple[Callable[[StepWriter], list[Lane]], ...] = (
    free_against_scanner,
    malloc_against_scanner,
    worker_against_migration,
    worker_against_revival,
    destroy_against_putback,
    isolation_against_users,
    map_against_movers,
    compactors,
    movers,
    movers_against_scanner,
    free_against_mover,
    core_against_users,
    readers,
)

NEED_BARRIERS = (destroy_against_putback, malloc_against_scanner, free_against_scanner)
"""Idioms in which the order of single stores matters: picked more often where there are store buffers."""


def settle(writer: StepWriter) -> None:
    """End what no block begins with: a held map."""
    if writer.sketch.held != NOBODY:
        writer.emit(UNMAP[writer.sketch.held])
