"""Idioms: short sequences in the shape of bugs that zsmalloc and its neighbours really had.

In:    a Writer (zsfuzz/engine/generate.py), which follows what it is given.
Out:   operations emitted to it.
Never: an expectation; whether a sequence went wrong is the oracles' business.
Next:  the table IDIOMS; the weights in zsfuzz/engine/profile.py.

Random steps alone reach "isolate two pages of one zspage, free its last object, put one back, migrate the
other, run the worker" about once in a million programs. Each idiom draws its own variations, so that it
covers the neighbourhood of a bug and not only the bug.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from zsfuzz.engine.choose import Chooser
from zsfuzz.engine.profile import class_table
from zsfuzz.engine.sketch import Group
from zsfuzz.engine.vocabulary import (
    COMPACT,
    COMPONENT,
    FREE,
    ISOLATED,
    MODES,
    POOLS,
    PUTBACK,
    REF_SLOTS,
    RUN_WORK,
    SCANNERS,
    SPECULATIVE_PUT,
)
from zsfuzz.policy.size_class import SizeClass
from zsfuzz.program.ops import (
    Contig,
    CreatePool,
    DestroyPool,
    Fail,
    FailOperation,
    FailWhat,
    Gfp,
    Isolate,
    Malloc,
    Migrate,
    Offline,
    Online,
    Operation,
    PageName,
    Poison,
    PoisonKind,
    Scan,
    Scanner,
    SpeculativeGet,
)


class Writer(Protocol):
    """What an idiom writes to: a chooser over the sketch, and the end of the program."""

    @property
    def choose(self) -> Chooser:
        """Return the chooser; its sketch knows everything emitted so far."""

    def emit(self, operation: Operation) -> None:
        """Append one operation."""

    def noise(self) -> None:
        """Perhaps append one ordinary step, so that no idiom is always the same."""


def _chain_class(writer: Writer) -> SizeClass:
    """Return a class with several pages and few objects, or the huge one."""
    choose = writer.choose
    for _ in range(4):
        size_class = choose.dice.pick(choose.profile.palette)
        if size_class.objs_per_zspage <= 9:
            return size_class
    table = class_table(choose.profile.geometry.name)
    for _ in range(8):
        size_class = choose.dice.pick(table)
        if size_class.objs_per_zspage <= 9:
            return size_class
    return table[-1]


def _malloc(writer: Writer, size_class: SizeClass, pool: int = 0) -> int:
    choose = writer.choose
    slot = choose.dead_slot()
    writer.emit(Malloc(slot, choose.size_of_class(size_class), choose.gfp(), pool))
    return slot


def _group(writer: Writer, slot: int) -> Group | None:
    return writer.choose.sketch.group_of[slot]


def _isolate_some(writer: Writer, slot: int) -> list[int]:
    """Isolate some component pages, each once; return the page slots."""
    choose = writer.choose
    group = _group(writer, slot)
    indexes = list(range(group.pages if group is not None else 1))
    taken = []
    for _ in range(choose.dice.few(len(indexes)) if choose.dice.percent(60) else len(indexes)):
        page_slot = choose.empty_page_slot()
        writer.emit(Isolate(page_slot, COMPONENT[slot][choose.dice.take(indexes)]))
        taken.append(page_slot)
    return taken


def _free_sharers(writer: Writer, slot: int) -> None:
    """Free every object of the zspage that holds a slot, the slot itself last."""
    group = _group(writer, slot)
    if group is not None:
        for member in list(group.members):
            if member != slot:
                writer.emit(FREE[member])
    writer.emit(FREE[slot])


def _finish(writer: Writer, page_slots: list[int]) -> None:
    """Put back or migrate isolated pages, one by one or together, in any order."""
    choose = writer.choose
    if choose.dice.percent(20):
        pages: tuple[PageName, ...] = tuple([ISOLATED[page_slot] for page_slot in page_slots])
        writer.emit(Migrate(pages, choose.dice.pick(MODES)))
        return
    while page_slots:
        page_slot = choose.dice.take(page_slots)
        if choose.dice.percent(50):
            writer.emit(PUTBACK[page_slot])
        else:
            writer.emit(Migrate((ISOLATED[page_slot],), choose.dice.pick(MODES)))


def _settle(writer: Writer, isolated: bool) -> None:
    """Drop references, and put back what is isolated if that is in the way too."""
    sketch = writer.choose.sketch
    for ref_slot in list(sketch.refs.members):
        writer.emit(SPECULATIVE_PUT[ref_slot])
    if isolated:
        for page_slot in list(sketch.isolated.members):
            writer.emit(PUTBACK[page_slot])


def isolate_free_finish(writer: Writer) -> None:
    """Isolate pages of one zspage, free its last object meanwhile, migrate and put back; run the worker."""
    dice = writer.choose.dice
    slot = _malloc(writer, _chain_class(writer))
    page_slots = _isolate_some(writer, slot)
    if dice.percent(25):
        writer.noise()
    if dice.percent(75):
        _free_sharers(writer, slot)
    if dice.percent(25):
        writer.noise()
    _finish(writer, page_slots)
    if dice.percent(80):
        writer.emit(RUN_WORK)


def references_across_free(writer: Writer) -> None:
    """Hold a PFN walker's reference while the zspage under it is freed, reused or moved."""
    choose = writer.choose
    dice = choose.dice
    size_class = _chain_class(writer)
    slot = _malloc(writer, size_class)
    group = _group(writer, slot)
    pages = group.pages if group is not None else 1
    refs = []
    for _ in range(dice.few(3)):
        ref_slot = dice.below(REF_SLOTS)
        writer.emit(SpeculativeGet(ref_slot, COMPONENT[slot][dice.below(pages)]))
        refs.append(ref_slot)
    if dice.percent(70):
        _free_sharers(writer, slot)
    else:
        writer.emit(Migrate((COMPONENT[slot][dice.below(pages)],), dice.pick(MODES)))
    if dice.percent(60):
        _malloc(writer, size_class)
    if dice.percent(30):
        writer.noise()
    for ref_slot in refs:
        writer.emit(SPECULATIVE_PUT[ref_slot])


def neighbours_then_scan(writer: Writer) -> None:
    """Zspages beside other people's pages, then scanners from any start pfn."""
    choose = writer.choose
    dice = choose.dice
    size_class = _chain_class(writer)
    for _ in range(dice.between(1, 4)):
        slot = choose.dead_slot()
        gfp = Gfp.KERNEL if dice.percent(60) else Gfp.MOVABLE
        writer.emit(Malloc(slot, choose.size_of_class(size_class), gfp, choose.pool()))
        writer.emit(choose.bystander())
    low, high = dice.pick(choose.profile.ranges)
    scanner = dice.pick(SCANNERS)
    for _ in range(dice.between(2, 6)):
        if dice.percent(50):
            scanner = dice.pick(SCANNERS)
        start = dice.between(low, high - 1)
        writer.emit(Scan(scanner, start, high if dice.percent(70) else dice.between(start, high)))


def failing_malloc(writer: Writer) -> None:
    """A malloc that needs a new zspage and cannot have one of its parts."""
    choose = writer.choose
    dice = choose.dice
    table = class_table(choose.profile.geometry.name)
    size_class = dice.pick(table)
    what = FailWhat.PAGE if dice.percent(70) else dice.pick(tuple(FailWhat))
    ordinal = dice.below(size_class.pages_per_zspage) if what is FailWhat.PAGE else 0
    writer.emit(Fail(FailOperation.MALLOC, what, ordinal))
    slot = _malloc(writer, size_class)
    if dice.percent(50):
        low, high = dice.pick(choose.profile.ranges)
        writer.emit(Scan(dice.pick(SCANNERS), low, high))
    if dice.percent(60):
        writer.emit(Malloc(slot, choose.size_of_class(size_class), choose.gfp(), 0))


def failing_request(writer: Writer) -> None:
    """A request of the core that cannot have its target pages, or a pool that cannot be made."""
    choose = writer.choose
    dice = choose.dice
    requests: tuple[tuple[FailOperation, Callable[[], Operation]], ...] = (
        (FailOperation.MIGRATE, choose.migrate),
        (FailOperation.COMPACT_ZONE, choose.compact_zone),
        (FailOperation.OFFLINE, choose.offline),
        (FailOperation.CONTIG, choose.contig),
        (FailOperation.POISON, choose.poison),
        (FailOperation.CREATE_POOL, choose.create_pool),
    )
    operation, request = dice.pick(requests)
    if not choose.sketch.live.members:
        _malloc(writer, _chain_class(writer))
    _settle(writer, isolated=operation in (FailOperation.OFFLINE, FailOperation.POISON))
    following = request()
    writer.emit(Fail(operation, FailWhat.PAGE if dice.percent(80) else dice.pick(tuple(FailWhat)), dice.below(4)))
    writer.emit(following)


def poison_free_migrate(writer: Writer) -> None:
    """A poisoned component page, before and after its zspage goes."""
    choose = writer.choose
    dice = choose.dice
    _settle(writer, isolated=True)
    slot = _malloc(writer, _chain_class(writer))
    group = _group(writer, slot)
    page = COMPONENT[slot][dice.below(group.pages if group is not None else 1)]
    writer.emit(Poison(page, dice.pick(tuple(PoisonKind))))
    if dice.percent(40):
        writer.emit(Isolate(choose.empty_page_slot(), page))
    if dice.percent(50):
        _free_sharers(writer, slot)
    else:
        writer.emit(Migrate((page,), dice.pick(MODES)))
    _settle(writer, isolated=True)
    if dice.percent(40):
        writer.emit(Poison(choose.page(), PoisonKind.SOFT))


def offline_online(writer: Writer) -> None:
    """A memory section with zspages goes offline and comes back."""
    choose = writer.choose
    dice = choose.dice
    _settle(writer, isolated=True)
    for _ in range(dice.between(0, 3)):
        _malloc(writer, _chain_class(writer))
    pages = choose.profile.geometry.section_pages
    low = dice.pick(choose.profile.ranges)[0]
    start = low - low % pages
    end = start + pages * dice.few(2)
    writer.emit(Offline(start, end))
    if dice.percent(40):
        writer.noise()
    if dice.percent(40):
        writer.emit(Scan(dice.pick(SCANNERS), start, end))
    if dice.percent(80):
        writer.emit(Online(start, end))


def contig_over_zspages(writer: Writer) -> None:
    """A contiguous range wanted where zspages are, from any alignment."""
    choose = writer.choose
    dice = choose.dice
    _settle(writer, isolated=False)
    for _ in range(dice.between(1, 3)):
        _malloc(writer, _chain_class(writer))
    low, high = dice.pick(choose.profile.ranges)
    for _ in range(dice.few(3)):
        start = dice.between(low, high - 1)
        writer.emit(Contig(start, min(high, start + dice.between(1, 16))))


def pool_life(writer: Writer) -> None:
    """A second pool lives, has pages isolated, and is destroyed."""
    choose = writer.choose
    dice = choose.dice
    pool = dice.between(1, POOLS - 1)
    _settle(writer, isolated=True)
    writer.emit(CreatePool(pool))
    size_class = _chain_class(writer)
    slots = [_malloc(writer, size_class, pool) for _ in range(dice.few(4))]
    page_slots = _isolate_some(writer, slots[0]) if dice.percent(60) else []
    if dice.percent(30):
        writer.emit(COMPACT[pool])
    for slot in slots:
        writer.emit(FREE[slot])
    _finish(writer, page_slots)
    if dice.percent(50):
        writer.emit(RUN_WORK)
    writer.emit(DestroyPool(pool))
    if dice.percent(30):
        writer.emit(CreatePool(pool))


def fragment_and_compact(writer: Writer) -> None:
    """Fill zspages of one class, free every other object, compact, and read what moved."""
    choose = writer.choose
    dice = choose.dice
    size_class = _chain_class(writer)
    count = min(16, max(4, size_class.objs_per_zspage * 2 + 1))
    slots = []
    for _ in range(count):
        slot = _malloc(writer, size_class)
        slots.append(slot)
        if dice.percent(40):
            writer.emit(choose.write_of(slot))
    keep = dice.below(2)
    for position, slot in enumerate(slots):
        if position % 2 == keep:
            writer.emit(FREE[slot])
    if dice.percent(30):
        _isolate_some(writer, slots[1 - keep])
    writer.emit(COMPACT[0] if dice.percent(80) else choose.compact_zone())
    writer.emit(choose.read_of(slots[1 - keep]))


def huge_object_moves(writer: Writer) -> None:
    """An object with a page of its own, whose handle is not in the page, is moved and read."""
    choose = writer.choose
    dice = choose.dice
    slot = choose.dead_slot()
    page_size = choose.sketch.page_size
    size = page_size - (dice.below(64) if dice.percent(40) else 0)
    writer.emit(Malloc(slot, size, choose.gfp(), 0))
    writer.emit(choose.write_of(slot))
    if dice.percent(50):
        page_slot = choose.empty_page_slot()
        writer.emit(Isolate(page_slot, COMPONENT[slot][0]))
        _finish(writer, [page_slot])
    else:
        writer.emit(Migrate((COMPONENT[slot][0],), dice.pick(MODES)))
    writer.emit(choose.read_of(slot))
    writer.emit(FREE[slot])


def revive_the_empty(writer: Writer) -> None:
    """A zspage that waits for the worker, empty, gets an object again before the worker comes."""
    choose = writer.choose
    dice = choose.dice
    size_class = _chain_class(writer)
    slot = _malloc(writer, size_class)
    page_slots = _isolate_some(writer, slot)
    _free_sharers(writer, slot)
    if dice.percent(50):
        _finish(writer, page_slots)
        page_slots = []
    again = _malloc(writer, size_class)
    writer.emit(RUN_WORK if dice.percent(60) else COMPACT[0])
    _finish(writer, page_slots)
    if dice.percent(50):
        writer.emit(Scan(Scanner.HAS_UNMOVABLE, *dice.pick(choose.profile.ranges)))
    writer.emit(FREE[again])


IDIOMS: dict[str, Callable[[Writer], None]] = {
    "isolate_free_finish": isolate_free_finish,
    "references_across_free": references_across_free,
    "neighbours_then_scan": neighbours_then_scan,
    "failing_malloc": failing_malloc,
    "failing_request": failing_request,
    "poison_free_migrate": poison_free_migrate,
    "offline_online": offline_online,
    "contig_over_zspages": contig_over_zspages,
    "pool_life": pool_life,
    "fragment_and_compact": fragment_and_compact,
    "huge_object_moves": huge_object_moves,
    "revive_the_empty": revive_the_empty,
}
