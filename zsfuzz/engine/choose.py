"""Choose: one operation of a wanted kind that probably acts in the sketched state.

In:    dice, a profile, a sketch.
Out:   one Operation per call; the table CHOOSERS from a kind's name to its method.
Never: a change of the sketch: whoever takes the operation applies it.
Next:  arguments in zsfuzz/engine/pick.py, sequences with a purpose in zsfuzz/engine/idioms.py, the loop in
       zsfuzz/engine/generate.py.

A chooser whose kind makes no sense right now (a free with nothing live) returns the nearest thing that
does, most often a malloc.
"""

from __future__ import annotations

from collections.abc import Callable

from zsfuzz.engine.nonsense import anything
from zsfuzz.engine.pick import Picker
from zsfuzz.engine.vocabulary import (
    BLOCKED_BY_ISOLATION,
    BLOCKED_BY_REFERENCE,
    BYSTANDER_SLOTS,
    CHAIN,
    COMPACT,
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
    SPECULATIVE_PUT,
    STATS,
    TRIM,
    UNMAP,
)
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
    Isolate,
    Malloc,
    MapMode,
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


class Chooser(Picker):
    """Chooses operations by kind, one method each."""

    def malloc(self) -> Operation:
        """A malloc; a free instead when the program has many objects or the memory is filling up."""
        sketch = self.sketch
        if not sketch.pools.members:
            return self.unblock(CreatePool) or CreatePool(0)
        if len(sketch.live) >= self.profile.live_cap or sketch.used_pages > self.most_pages:
            if sketch.live.members and self.dice.percent(85):
                return self.free()
        self.focus = self.dead_slot()
        return Malloc(self.focus, self.size(), self.gfp(), self.pool())

    def free(self) -> Operation:
        """A free; rather of an object whose zspage has an isolated page."""
        sketch = self.sketch
        if not sketch.live.members:
            return self.malloc()
        group = self.isolated_group()
        if group is not None and group.members and self.dice.percent(30):
            return FREE[self.dice.pick(group.members)]
        return FREE[self.dice.pick(sketch.live.members)]

    def map(self) -> Operation:
        """zs_map_object() of a live slot, in any mode."""
        if not self.sketch.live.members:
            return self.malloc()
        return MAP[self.live_slot()][self.dice.below(len(MAP_MODES))]

    def while_held(self) -> Operation:
        """While a map is held: mostly what the contract allows, now and then what it forbids."""
        held, mode = self.sketch.held, self.sketch.held_mode
        chance = self.dice.below(100)
        if chance < 45:
            return UNMAP[held]
        if chance >= 94:
            return self.anything()
        if mode is MapMode.RW:
            mode = MapMode.RO if chance < 70 else MapMode.WO
        return self.read_of(held) if mode is MapMode.RO else self.write_of(held)

    def unblock(self, kind: type[Operation]) -> Operation | None:
        """Return a step towards a state in which a kind acts; None if it does already, or now and then."""
        sketch, dice = self.sketch, self.dice
        if kind in BLOCKED_BY_REFERENCE and sketch.refs.members and dice.percent(90):
            return SPECULATIVE_PUT[dice.pick(sketch.refs.members)]
        if kind in BLOCKED_BY_ISOLATION and sketch.isolated.members and dice.percent(90):
            if dice.percent(50):
                return self.putback()
            pages: tuple[PageName, ...] = tuple([ISOLATED[slot] for slot in sketch.isolated.members])
            return Migrate(pages[: dice.few(8)], dice.pick(MODES))
        return None

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

    def compact_zone(self) -> Operation:
        """The two compaction scanners over a range."""
        start, end = self.range()
        return self.unblock(CompactZone) or CompactZone(start, end, self.dice.pick(MODES))

    def offline(self) -> Operation:
        """offline_pages() of a section; brings one back when some are gone already."""
        if self.sketch.offlined and self.dice.percent(60):
            return self.online()
        return self.unblock(Offline) or Offline(*self.section())

    def online(self) -> Operation:
        """online_pages() of a section that probably went."""
        offlined = self.sketch.offlined
        return Online(*(self.dice.pick(offlined) if offlined else self.section()))

    def contig(self) -> Operation:
        """alloc_contig_range() of a short range."""
        start, end = self.range()
        if end - start > 16 and self.dice.percent(85):
            start += self.dice.below(end - start - 15)
            end = start + self.dice.between(1, 16)
        return self.unblock(Contig) or Contig(start, end)

    def poison(self) -> Operation:
        """memory_failure() or soft_offline_page()."""
        return self.unblock(Poison) or Poison(self.page(), self.dice.pick(self.profile.poison_kinds))

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
        if not missing:
            return self.malloc()
        return self.unblock(CreatePool) or CreatePool(self.dice.pick(missing))

    def destroy_pool(self) -> Operation:
        """zs_destroy_pool() of a pool that is not in use; a free when all are."""
        idle = [pool for pool in self.sketch.pools.members if not self.sketch.has_objects(pool)]
        if not idle:
            return self.free()
        return self.unblock(DestroyPool) or DestroyPool(self.dice.pick(idle))

    def anything(self) -> Operation:
        """An operation without regard to the state: any kind, any slot."""
        return anything(self.dice, self.sketch.page_size, self.sketch.memory_pages)


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
