"""Choose: one operation of a wanted kind that probably acts in the sketched state.

In:    dice, a profile, a sketch.
Out:   one Operation per call; the table CHOOSERS from a kind's name to its method.
Never: a change of the sketch: whoever takes the operation applies it.
Next:  sequences with a purpose in zsfuzz/engine/idioms.py; the loop in zsfuzz/engine/generate.py.

A chooser whose kind makes no sense right now (a free with nothing live) returns the nearest thing that
does, most often a malloc.
"""

from __future__ import annotations

from collections.abc import Callable

from zsfuzz.engine.profile import Profile, class_table
from zsfuzz.engine.rng import Dice
from zsfuzz.engine.sketch import Group, Sketch
from zsfuzz.engine.vocabulary import (
    BYSTANDER_SLOTS,
    CHAIN,
    COMPACT,
    COMPONENT,
    DROP_BYSTANDER,
    FREE,
    HUGE_CLASS_SIZE,
    ISOLATED,
    MAP,
    MAP_MODES,
    MODES,
    PAGE_SLOTS,
    POOLS,
    PUTBACK,
    REF_SLOTS,
    RUN_WORK,
    SLOTS,
    SPECULATIVE_PUT,
    STATS,
    TRIM,
    UNMAP,
    pfn_name,
)
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE, SizeClass
from zsfuzz.program.ops import (
    Bystander,
    BystanderKind,
    CompactZone,
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
    Read,
    Scan,
    Shrink,
    ShrinkKind,
    SpeculativeGet,
    Write,
)

_FAILING = (FailOperation.MALLOC,) * 4 + tuple(FailOperation)
_FAIL_WHAT = (FailWhat.PAGE,) * 3 + tuple(FailWhat)
_SHRINK = tuple(ShrinkKind)


class Chooser:
    """Chooses operations. It owns no state but a focus: the slot that was allocated last."""

    def __init__(self, dice: Dice, profile: Profile, sketch: Sketch) -> None:
        self.dice = dice
        self.profile = profile
        self.sketch = sketch
        self.focus = 0
        self._most_pages = sketch.memory_pages * 3 // 4

    def dead_slot(self) -> int:
        """Return a slot without an object; any slot when all are taken."""
        slot = self.dice.below(SLOTS)
        for _ in range(8):
            if slot not in self.sketch.live:
                break
            slot = (slot + 11) % SLOTS
        return slot

    def empty_page_slot(self) -> int:
        """Return a page slot that holds no page; any when all are taken."""
        start = self.dice.below(PAGE_SLOTS)
        for step in range(PAGE_SLOTS):
            slot = (start + step) % PAGE_SLOTS
            if slot not in self.sketch.isolated:
                return slot
        return start

    def pool(self) -> int:
        """Return a pool that exists, mostly pool 0."""
        pools = self.sketch.pools.members
        if len(pools) < 2 or self.dice.percent(50):
            return pools[0] if pools else 0
        return self.dice.pick(pools)

    def size_of_class(self, size_class: SizeClass) -> int:
        """Return a request in bytes that this class serves."""
        largest = size_class.size_bytes - (0 if size_class.huge else ZS_HANDLE_SIZE)
        if self.dice.percent(60):
            return largest
        if size_class.huge:
            lowest = self.sketch.classes.huge_class_size
            return self.dice.between(lowest, largest)
        return max(1, largest - self.dice.below(8))

    def size(self) -> int:
        """Return a request in bytes: of the program's palette, of any class, or on an edge."""
        dice = self.dice
        chance = dice.below(100)
        if chance < 82:
            return self.size_of_class(dice.pick(self.profile.palette))
        if chance < 91:
            return self.size_of_class(dice.pick(class_table(self.profile.geometry.name)))
        if chance < 96:
            return max(0, dice.pick(self.profile.palette).size_bytes + dice.between(-16, 8))
        page_size = self.sketch.page_size
        huge = self.sketch.classes.huge_class_size
        return dice.pick((0, 1, huge - 1, huge, page_size - 8, page_size, page_size + 1))

    def gfp(self) -> Gfp:
        """Return the program's mix of the two masks."""
        return Gfp.KERNEL if self.dice.percent(self.profile.kernel_percent) else Gfp.MOVABLE

    def malloc(self) -> Operation:
        """A malloc; a free instead when the program has many objects or the memory is filling up."""
        sketch = self.sketch
        if not sketch.pools.members:
            return CreatePool(0)
        if len(sketch.live) >= self.profile.live_cap or sketch.used_pages > self._most_pages:
            if sketch.live.members and self.dice.percent(85):
                return self.free()
        self.focus = self.dead_slot()
        return Malloc(self.focus, self.size(), self.gfp(), self.pool())

    def live_slot(self) -> int:
        """Return a slot with an object, the last allocated one more often; the sketch has at least one."""
        if self.dice.percent(25) and self.focus in self.sketch.live:
            return self.focus
        return self.dice.pick(self.sketch.live.members)

    def free(self) -> Operation:
        """A free; rather of an object whose zspage has an isolated page."""
        sketch = self.sketch
        if not sketch.live.members:
            return self.malloc()
        group = self.isolated_group()
        if group is not None and group.members and self.dice.percent(30):
            return FREE[self.dice.pick(group.members)]
        return FREE[self.dice.pick(sketch.live.members)]

    def isolated_group(self) -> Group | None:
        """Return the zspage behind one isolated page, None if there is none or it was given by pfn."""
        if not self.sketch.isolated.members:
            return None
        origin = self.sketch.isolated_from[self.dice.pick(self.sketch.isolated.members)]
        return origin[0] if origin is not None else None

    def map(self) -> Operation:
        """zs_map_object() of a live slot, in any mode."""
        if not self.sketch.live.members:
            return self.malloc()
        return MAP[self.live_slot()][self.dice.below(len(MAP_MODES))]

    def while_held(self) -> Operation:
        """While a map is held: mostly what the contract allows, now and then what it forbids."""
        held = self.sketch.held
        chance = self.dice.below(100)
        if chance < 45:
            return UNMAP[held]
        if chance < 70:
            return self.write_of(held)
        if chance < 94:
            return self.read_of(held)
        return self.anything()

    def extent(self, size: int) -> tuple[int, int]:
        """Return (offset, length) in bytes: all of the object, its ends, or anything in it."""
        dice = self.dice
        form = dice.below(4)
        if form == 0 or size <= 1:
            return 0, size
        if form == 1:
            length = dice.few(min(16, size))
            return size - length, length
        offset = dice.below(size)
        return offset, dice.between(1, size - offset)

    def write_of(self, slot: int) -> Operation:
        """A write inside the object of a slot."""
        offset, length = self.extent(self.sketch.size_of[slot])
        return Write(slot, offset, length, self.dice.below(256))

    def read_of(self, slot: int) -> Operation:
        """A read inside the object of a slot."""
        offset, length = self.extent(self.sketch.size_of[slot])
        return Read(slot, offset, length)

    def write(self) -> Operation:
        """A write to a live slot."""
        return self.write_of(self.live_slot()) if self.sketch.live.members else self.malloc()

    def read(self) -> Operation:
        """A read of a live slot."""
        return self.read_of(self.live_slot()) if self.sketch.live.members else self.malloc()

    def compact(self) -> Operation:
        """zs_compact() of a pool."""
        return COMPACT[self.pool()]

    def shrink(self) -> Operation:
        """The shrinker of a pool."""
        return Shrink(self.dice.pick(_SHRINK), self.pool())

    def component(self) -> PageName:
        """A component page of a live object's zspage; of any slot when nothing lives."""
        sketch, dice = self.sketch, self.dice
        if not sketch.live.members:
            return COMPONENT[dice.below(SLOTS)][dice.below(CHAIN)]
        slot = self.live_slot()
        group = sketch.group_of[slot]
        return COMPONENT[slot][dice.below(group.pages if group is not None else CHAIN)]

    def sibling(self) -> PageName | None:
        """A component page of a zspage that already has an isolated page, if there is one."""
        group = self.isolated_group()
        if group is None or not group.members:
            return None
        return COMPONENT[self.dice.pick(group.members)][self.dice.below(group.pages)]

    def pfn(self) -> PageName:
        """A page by number, rather inside the program's ranges."""
        if self.dice.percent(70):
            start, end = self.dice.pick(self.profile.ranges)
            return pfn_name(self.dice.between(start, end - 1))
        return pfn_name(self.dice.below(self.sketch.memory_pages + 4))

    def page(self) -> PageName:
        """A page by any of its names."""
        chance = self.dice.below(100)
        if chance < 80 and self.sketch.live.members:
            return self.component()
        if chance < 88 and self.sketch.isolated.members:
            return ISOLATED[self.dice.pick(self.sketch.isolated.members)]
        return self.pfn()

    def isolate(self) -> Operation:
        """isolate_movable_page(), half the time of a page beside one that is isolated already."""
        if len(self.sketch.isolated) >= PAGE_SLOTS - 2 and self.dice.percent(80):
            return self.putback()
        page = self.sibling() if self.dice.percent(50) else None
        if page is None:
            page = self.component() if self.dice.percent(90) else self.pfn()
        return Isolate(self.empty_page_slot(), page)

    def migrate(self) -> Operation:
        """migrate_pages() of a short list, isolated pages first."""
        dice, isolated = self.dice, list(self.sketch.isolated.members)
        pages: list[PageName] = []
        for _ in range(dice.few(6)):
            if isolated and dice.percent(60):
                pages.append(ISOLATED[dice.take(isolated)])
            else:
                pages.append(self.component() if dice.percent(85) else self.pfn())
        if not self.sketch.live.members and not self.sketch.isolated.members:
            return self.malloc()
        return Migrate(tuple(pages), dice.pick(MODES))

    def putback(self) -> Operation:
        """putback_movable_pages() of an isolated page; isolates one when there is none."""
        isolated = self.sketch.isolated.members
        if isolated:
            return PUTBACK[self.dice.pick(isolated)]
        return self.isolate() if self.sketch.live.members else self.malloc()

    def run_work(self) -> Operation:
        """The deferred worker."""
        return RUN_WORK

    def trim(self) -> Operation:
        """Everything that gives memory back."""
        return TRIM

    def range(self) -> tuple[int, int]:
        """Return [start, end): one of the program's ranges, a part of one, any, or nonsense."""
        dice = self.dice
        chance = dice.below(100)
        if chance < 55:
            return dice.pick(self.profile.ranges)
        limit = self.sketch.memory_pages
        if chance < 78:
            start, end = dice.pick(self.profile.ranges)
            start = dice.between(start, end - 1)
            return start, dice.between(start + 1, end)
        if chance < 96:
            start = dice.below(limit)
            return start, min(limit, start + dice.between(1, 32))
        start, end = dice.below(limit + 32), dice.below(limit + 64)
        return (start, end) if start <= end else (end, start)

    def compact_zone(self) -> Operation:
        """The two compaction scanners over a range."""
        start, end = self.range()
        return CompactZone(start, end, self.dice.pick(MODES))

    def section(self) -> tuple[int, int]:
        """Return the pfns of one memory section."""
        pages = self.profile.geometry.section_pages
        start = self.dice.below(self.sketch.memory_pages // pages) * pages
        return start, start + pages

    def offline(self) -> Operation:
        """offline_pages() of a section; brings one back when some are gone already."""
        if self.sketch.offlined and self.dice.percent(60):
            return self.online()
        return Offline(*self.section())

    def online(self) -> Operation:
        """online_pages() of a section that probably went."""
        offlined = self.sketch.offlined
        return Online(*(self.dice.pick(offlined) if offlined else self.section()))

    def contig(self) -> Operation:
        """alloc_contig_range() of a short range."""
        start, end = self.range()
        if end - start > 16 and self.dice.percent(60):
            start += self.dice.below(end - start - 15)
            end = start + self.dice.between(1, 16)
        return Contig(start, end)

    def poison(self) -> Operation:
        """memory_failure() or soft_offline_page()."""
        return Poison(self.page(), self.dice.pick(self.profile.poison_kinds))

    def scan(self) -> Operation:
        """One scanner of the program's set over a range."""
        start, end = self.range()
        return Scan(self.dice.pick(self.profile.scanners), start, end)

    def speculative_get(self) -> Operation:
        """A reference to a page, taken as a PFN walker takes it."""
        return SpeculativeGet(self.dice.below(REF_SLOTS), self.page())

    def speculative_put(self) -> Operation:
        """Drop a reference; takes one when none is held."""
        refs = self.sketch.refs.members
        return SPECULATIVE_PUT[self.dice.pick(refs)] if refs else self.speculative_get()

    def bystander(self) -> Operation:
        """A page of somebody else."""
        kind = self.dice.pick(self.profile.bystander_kinds)
        order = 0 if kind is BystanderKind.LRU else self.dice.few(4) - 1
        if kind is BystanderKind.COMPOUND:
            order += 1
        slot = self.dice.below(BYSTANDER_SLOTS)
        if slot in self.sketch.bystanders:
            slot = (slot + 5) % BYSTANDER_SLOTS
        return Bystander(slot, kind, order)

    def drop_bystander(self) -> Operation:
        """Free a bystander; makes one when there is none."""
        bystanders = self.sketch.bystanders.members
        return DROP_BYSTANDER[self.dice.pick(bystanders)] if bystanders else self.bystander()

    def fail(self) -> Operation:
        """A failure of a later allocation, rather of a malloc's pages."""
        return Fail(self.dice.pick(_FAILING), self.dice.pick(_FAIL_WHAT), self.dice.below(CHAIN))

    def stats(self) -> Operation:
        """The statistics of a pool."""
        return STATS[self.pool()]

    def huge_class_size(self) -> Operation:
        """zs_huge_class_size() of a pool."""
        return HUGE_CLASS_SIZE[self.pool()]

    def create_pool(self) -> Operation:
        """zs_create_pool() of a pool that is not there; a malloc when all are."""
        missing = [pool for pool in range(POOLS) if pool not in self.sketch.pools]
        return CreatePool(self.dice.pick(missing)) if missing else self.malloc()

    def destroy_pool(self) -> Operation:
        """zs_destroy_pool() of a pool that is not in use; a free when all are."""
        idle = [pool for pool in self.sketch.pools.members if not self.sketch.pool_in_use(pool)]
        return DestroyPool(self.dice.pick(idle)) if idle else self.free()

    def anything(self) -> Operation:
        """An operation without regard to the state: any kind, any slot."""
        return anything(self.dice, self.sketch.page_size, self.sketch.memory_pages)


def anything(dice: Dice, page_size: int, memory_pages: int) -> Operation:
    """Return an operation without regard to any state: any kind, any slot, odd sizes and ranges."""
    kind = dice.below(len(_NONSENSE))
    return _NONSENSE[kind](dice, page_size, memory_pages)


def _any_page(dice: Dice, memory_pages: int) -> PageName:
    form = dice.below(3)
    if form == 0:
        return COMPONENT[dice.below(SLOTS)][dice.below(CHAIN)]
    if form == 1:
        return ISOLATED[dice.below(PAGE_SLOTS)]
    return pfn_name(dice.below(memory_pages + 2))


Nonsense = Callable[[Dice, int, int], Operation]

_NONSENSE: tuple[Nonsense, ...] = (
    lambda dice, page_size, pages: Malloc(
        dice.below(8), dice.below(page_size + 2), Gfp.MOVABLE, dice.below(4)
    ),
    lambda dice, page_size, pages: Malloc(dice.below(SLOTS), dice.pick((0, 1, 24, page_size, page_size + 1))),
    lambda dice, page_size, pages: FREE[dice.below(SLOTS)],
    lambda dice, page_size, pages: MAP[dice.below(SLOTS)][dice.below(len(MAP_MODES))],
    lambda dice, page_size, pages: UNMAP[dice.below(SLOTS)],
    lambda dice, page_size, pages: Write(dice.below(SLOTS), dice.below(page_size), dice.below(page_size), 90),
    lambda dice, page_size, pages: Read(dice.below(SLOTS), dice.below(page_size), dice.below(page_size)),
    lambda dice, page_size, pages: COMPACT[dice.below(POOLS)],
    lambda dice, page_size, pages: Isolate(dice.below(PAGE_SLOTS), _any_page(dice, pages)),
    lambda dice, page_size, pages: Migrate(
        (_any_page(dice, pages), _any_page(dice, pages)), dice.pick(MODES)
    ),
    lambda dice, page_size, pages: PUTBACK[dice.below(PAGE_SLOTS)],
    lambda dice, page_size, pages: Contig(dice.below(pages), pages + dice.below(32)),
    lambda dice, page_size, pages: Online(0, dice.below(pages + 40)),
    lambda dice, page_size, pages: SpeculativeGet(dice.below(REF_SLOTS), _any_page(dice, pages)),
    lambda dice, page_size, pages: SPECULATIVE_PUT[dice.below(REF_SLOTS)],
    lambda dice, page_size, pages: DROP_BYSTANDER[dice.below(BYSTANDER_SLOTS)],
    lambda dice, page_size, pages: STATS[dice.below(POOLS)],
    lambda dice, page_size, pages: CreatePool(dice.below(POOLS)),
    lambda dice, page_size, pages: DestroyPool(dice.below(POOLS)),
)

CHOOSERS: dict[str, Callable[[Chooser], Operation]] = {
    "malloc": Chooser.malloc,
    "free": Chooser.free,
    "map": Chooser.map,
    "write": Chooser.write,
    "read": Chooser.read,
    "isolate": Chooser.isolate,
    "putback": Chooser.putback,
    "migrate": Chooser.migrate,
    "compact": Chooser.compact,
    "compact_zone": Chooser.compact_zone,
    "scan": Chooser.scan,
    "offline": Chooser.offline,
    "contig": Chooser.contig,
    "shrink": Chooser.shrink,
    "run_work": Chooser.run_work,
    "trim": Chooser.trim,
    "poison": Chooser.poison,
    "speculative_get": Chooser.speculative_get,
    "speculative_put": Chooser.speculative_put,
    "bystander": Chooser.bystander,
    "drop_bystander": Chooser.drop_bystander,
    "fail": Chooser.fail,
    "stats": Chooser.stats,
    "huge_class_size": Chooser.huge_class_size,
    "create_pool": Chooser.create_pool,
    "destroy_pool": Chooser.destroy_pool,
}
