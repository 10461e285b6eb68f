"""Side: one target on its own machine, with the core that works on its pages.

In:    a target class and a machine configuration; operations whose sense the runner has checked.
Out:   outcomes as plain values that two sides can be compared by.
Never: decides whether an operation makes sense (the runner does, once for both sides), compares anything.
Next:  zsfuzz/execute/runner.py above; zsfuzz/machine/core/core.py and the target below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zsfuzz.execute.result import PageRow
from zsfuzz.machine.core import bystander, compaction, contig, memory_failure, memory_hotplug, migrate
from zsfuzz.machine.core.core import Core
from zsfuzz.machine.lanes import Lanes
from zsfuzz.machine.layout import (
    GFP_HIGHMEM,
    GFP_KERNEL,
    GFP_MOVABLE,
    GFP_NOIO,
    NR_VM_ZONE_STAT_ITEMS,
    PG_FLAGS,
    VMSTAT_NAMES,
    ZONE_NAMES,
    PG_hwpoison,
)
from zsfuzz.machine.machine import Kernel, Machine, MachineConfig
from zsfuzz.machine.memory import Snapshot
from zsfuzz.machine.scanners.probe import scan
from zsfuzz.program.ops import BystanderKind, Gfp, MapMode, MigrateMode, PoisonKind, Scanner
from zsfuzz.target.protocol import (
    MIGRATE_ASYNC,
    MIGRATE_SYNC,
    MIGRATE_SYNC_LIGHT,
    MIGRATE_SYNC_NO_COPY,
    ZS_MM_RO,
    ZS_MM_RW,
    ZS_MM_WO,
    Target,
)

GFP = {Gfp.MOVABLE: GFP_NOIO | GFP_HIGHMEM | GFP_MOVABLE, Gfp.KERNEL: GFP_KERNEL}
MAP_MODE = {MapMode.RO: ZS_MM_RO, MapMode.WO: ZS_MM_WO, MapMode.RW: ZS_MM_RW}
MIGRATE_MODE = {
    MigrateMode.ASYNC: MIGRATE_ASYNC,
    MigrateMode.SYNC_LIGHT: MIGRATE_SYNC_LIGHT,
    MigrateMode.SYNC: MIGRATE_SYNC,
    MigrateMode.SYNC_NO_COPY: MIGRATE_SYNC_NO_COPY,
}

Outcome = int | tuple[object, ...]


@dataclass(frozen=True, slots=True)
class SavedSide:
    """A side between two steps."""

    arena: Snapshot
    lock_order: dict[str, dict[str, None]]
    acquired_count: int
    handles: dict[int, int]
    pools: dict[int, int]
    pages: dict[int, int]
    references: dict[int, tuple[int, int, bool]]


class Side:
    """One machine, one target, one core; what the program's slots stand for on it."""

    def __init__(
        self, role: str, target_class: type[Target], config: MachineConfig, lanes: Lanes | None = None
    ) -> None:
        """lanes: for a side on which parallel blocks can run."""
        self.role = role
        self.machine = Machine(config, target_class.rules, lanes)
        self.target = target_class(Kernel(self.machine, target_class.page_words))
        self.core = Core(self.machine)
        self.d = self.machine.d
        self.handles: dict[int, int] = {}
        self.pools: dict[int, int] = {0: self.target.zs_create_pool()}
        self.pages: dict[int, int] = {}
        self.references: dict[int, tuple[int, int, bool]] = {}
        self.unmovable: Callable[[], frozenset[int]] = frozenset
        self._boot_pool = self.pools[0]
        self._boot = self.machine.snapshot()
        self._boot_lock_order = _copied(self.machine.locks.order)
        self._boot_attributes = self._attributes()
        self.boot_projection = self.drained_projection()

    # -- whole side

    def reset(self) -> None:
        """Return to the state right after boot: pool 0 exists and is empty."""
        self.machine.restore(self._boot)
        self.machine.locks.order = _copied(self._boot_lock_order)
        self.handles.clear()
        self.pages.clear()
        self.references.clear()
        self.pools = {0: self._boot_pool}

    def save(self) -> SavedSide:
        """Return a copy of everything that a program can change. Errors: Report while a lock is held."""
        locks = self.machine.locks
        return SavedSide(
            self.machine.snapshot(),
            _copied(locks.order),
            locks.acquired_count,
            self.handles.copy(),
            self.pools.copy(),
            self.pages.copy(),
            self.references.copy(),
        )

    def load(self, saved: SavedSide) -> None:
        """Put back what save() kept."""
        self.machine.restore(saved.arena)
        locks = self.machine.locks
        locks.order = _copied(saved.lock_order)
        locks.acquired_count = saved.acquired_count
        self.handles, self.pools = saved.handles.copy(), saved.pools.copy()
        self.pages, self.references = saved.pages.copy(), saved.references.copy()

    def _attributes(self) -> dict[str, object]:
        """Return the target's attributes: plain values as they are, containers as text, the rest by identity."""
        return {
            name: repr(value) if isinstance(value, list | dict | set | bytearray) else value
            for name, value in vars(self.target).items()
        }

    @property
    def isolations(self) -> list[tuple[int, int]]:
        """Return the core's list of single pages that were isolated or refused since it was cleared."""
        return self.core.isolations

    def foreign_attribute(self) -> str:
        """Return the name of a target attribute that changed since boot, "" if none did."""
        now = self._attributes()
        for name, value in now.items():
            if name not in self._boot_attributes or self._boot_attributes[name] != value:
                return name
        return ""

    def drained_projection(self) -> dict[str, int]:
        """Return what must be as it was at boot once everything was given back (I12).

        In: counters of every zone, live slab objects, pages of each pool, isolated zspages, queued work.
        Not in: which frames are free first, the order of free lists, stale bytes of free memory.
        """
        projection: dict[str, int] = {}
        values = self.machine.buddy.vmstat()
        for number, value in enumerate(values):
            zone, item = divmod(number, NR_VM_ZONE_STAT_ITEMS)
            projection[f"{VMSTAT_NAMES[item]} {ZONE_NAMES[zone]}"] = value
        for name, live in self.machine.slab.live_by_cache():
            if not name.startswith("kmalloc"):
                projection[f"live {name}"] = live
        pool = self.pools.get(0)
        if pool == self._boot_pool:
            projection["pool pages"] = self.target.zs_get_total_pages(pool)
            projection["isolated zspages"] = self.target.isolated_zspages(pool)
        else:
            projection["pool pages"] = projection["isolated zspages"] = 0
        projection["queued work"] = len(self.machine.pending_work())
        return projection

    def unusable_pages(self) -> tuple[int, int]:
        """Return, per zone, the pages that are poisoned or offline and so never come back."""
        lost = [0, 0]
        buddy = self.machine.buddy
        all_online = buddy.all_online
        for pfn, flags in enumerate(self.machine.memory.page_words(PG_FLAGS)):
            if flags >> PG_hwpoison & 1 or not (all_online or buddy.section_online(pfn)):
                lost[buddy.zone_of_pfn(pfn)] += not buddy.is_free_buddy_page(pfn)
        return lost[0], lost[1]

    # -- zsmalloc's interface

    def malloc(self, slot: int, pool: int, size: int, gfp: Gfp) -> Outcome:
        """Return where the object went, 0 for failure."""
        handle = self.target.zs_malloc(self.pools[pool], size, GFP[gfp])
        if not handle:
            return 0
        self.handles[slot] = handle
        return (1, self.target.placement(handle))

    def free(self, slot: int, pool: int) -> Outcome:
        """Free the object of a slot."""
        self.target.zs_free(self.pools[pool], self.handles.pop(slot))
        return 0

    def map(self, slot: int, pool: int, mode: MapMode) -> int:
        """Return the address of the mapping."""
        return self.target.zs_map_object(self.pools[pool], self.handles[slot], MAP_MODE[mode])

    def unmap(self, slot: int, pool: int) -> None:
        """End the mapping."""
        self.target.zs_unmap_object(self.pools[pool], self.handles[slot])

    def write(self, address: int, data: bytes) -> None:
        """Store through a mapping."""
        self.machine.memory.write_bytes(address, data)

    def read(self, address: int, length: int) -> bytes:
        """Load through a mapping."""
        return self.machine.memory.read_bytes(address, length)

    def create_pool(self, number: int) -> Outcome:
        """Return 1 for a new pool, 0 without memory."""
        pool = self.target.zs_create_pool()
        if pool:
            self.pools[number] = pool
        return int(bool(pool))

    def destroy_pool(self, number: int) -> Outcome:
        """Destroy a pool."""
        self.target.zs_destroy_pool(self.pools.pop(number))
        return 0

    def pool_compact(self, number: int) -> Outcome:
        """Return zs_compact()'s result."""
        return self.target.zs_compact(self.pools[number])

    def shrink_count(self, number: int) -> Outcome:
        """Return what the pool's shrinker counts."""
        return self._shrink(number, self.target.zs_shrinker_count)

    def shrink_scan(self, number: int) -> Outcome:
        """Return what the pool's shrinker freed."""
        return self._shrink(number, self.target.zs_shrinker_scan)

    def _shrink(self, number: int, callback: Callable[[int], int]) -> int:
        """Call a pool's shrinker; 0 when another lane has begun to destroy the pool."""
        return self.machine.run_shrinker(lambda: callback(self.pools[number]) if number in self.pools else 0)

    def stats(self, number: int) -> Outcome:
        """Return pages, pages_compacted and the `classes` file."""
        pool, target = self.pools[number], self.target
        return (target.zs_get_total_pages(pool), target.zs_pool_stats(pool), target.zs_stats_size_show(pool))

    def huge_class_size(self, number: int) -> Outcome:
        """Return zs_huge_class_size()."""
        return self.target.zs_huge_class_size(self.pools[number])

    def run_work(self) -> Outcome:
        """Return how many work items ran."""
        return self.machine.run_work()

    def trim(self) -> Outcome:
        """Compact and run the worker until neither changes a pool's pages; at most 8 rounds."""
        freed = 0
        for _ in range(8):
            before = sum(self.target.zs_get_total_pages(pool) for pool in self.pools.values())
            for pool in self.pools.values():
                freed += self.target.zs_compact(pool)
            self.machine.run_work()
            if sum(self.target.zs_get_total_pages(pool) for pool in self.pools.values()) == before:
                break
        return freed

    # -- pages by name

    def component_page(self, slot: int, index: int) -> int:
        """Return the struct page of a component of the zspage that holds a slot's object."""
        pages = self.target.zspage_view(self.target.zspage_of(self.handles[slot])).pages
        return pages[index % len(pages)]

    def pfn(self, page: int) -> int:
        """Return a page's frame number."""
        return self.machine.buddy.page_to_pfn(page)

    # -- the core

    def isolate(self, page_slot: int, page: int) -> Outcome:
        """Return 0 for a page that is isolated now, the error otherwise."""
        result = migrate.isolate_movable_page(self.core, page)
        if result == 0:
            self.core.link_tail(page, self.core.isolated)
            self.pages[page_slot] = page
        return result

    def migrate(self, pages: list[int], mode: MigrateMode) -> Outcome:
        """Migrate a list of pages: isolate what is not isolated, migrate_pages(), put the rest back.

        Returns (result of migrate_pages, pages that left the list of the program's isolated ones).
        """
        head = self.core.batch
        refused = 0
        for page in pages:
            if page in self.pages.values():
                self.d.core_unlink(page)
            elif migrate.isolate_movable_page(self.core, page) != 0:
                refused += 1
                continue
            self.core.link_tail(page, head)
        result = migrate.migrate_pages_to_new(self.core, head, MIGRATE_MODE[mode])
        migrate.putback_movable_pages(self.core, head)
        for slot in [slot for slot, page in self.pages.items() if page in pages]:
            del self.pages[slot]
        return (result, refused)

    def putback(self, page_slot: int) -> Outcome:
        """Put one isolated page back."""
        page = self.pages.pop(page_slot)
        self.d.core_unlink(page)
        self.core.link_tail(page, self.core.batch)
        migrate.putback_movable_pages(self.core, self.core.batch)
        return 0

    def compact_zone(self, start: int, end: int, mode: MigrateMode) -> Outcome:
        """Compact [start, end) of the zone around start."""
        return compaction.compact_range(self.core, start, end, MIGRATE_MODE[mode])

    def offline(self, start: int, end: int) -> Outcome:
        """Take [start, end) offline."""
        return memory_hotplug.offline_pages(self.core, start, end, self.is_movable)

    def online(self, start: int, end: int) -> Outcome:
        """Bring [start, end) online."""
        return memory_hotplug.online_pages(self.core, start, end)

    def contig(self, start: int, end: int) -> Outcome:
        """Allocate [start, end) as one range, and free it again."""
        result = contig.alloc_contig_range(self.core, start, end)
        if result == 0:
            contig.free_contig_range(self.core, start, end - start)
        return result

    def poison(self, page: int, kind: PoisonKind) -> Outcome:
        """Report a memory error on a page."""
        pfn = self.pfn(page)
        if kind is PoisonKind.SOFT:
            return memory_failure.soft_offline_page(self.core, pfn)
        return memory_failure.memory_failure(self.core, pfn)

    def scan(self, scanner: Scanner, start: int, end: int) -> Outcome:
        """Run one scanner over [start, end)."""
        return scan(self.core, scanner, start, end, self.is_movable)

    def is_movable(self, pfn: int) -> bool | None:
        """Return whether the owner of a page would let it go: the truth that a scanner's answer is held against.

        Beside other lanes: False for a page that was nobody's to move all the time, None for the rest.
        """
        if not self.core.alone:
            return False if pfn in self.unmovable() else None
        page = self.machine.buddy.pfn_to_page(pfn)
        if self.machine.buddy.is_free_buddy_page(pfn):
            return True
        if self.target.page_owner(page):
            return "no_compaction" not in self.machine.switches
        return bystander.is_movable(self.core, page)

    def speculative_get(self, ref_slot: int, page: int) -> Outcome:
        """Take a reference as a speculative scanner does: head, get unless zero, look at the head again."""
        head = self.d.compound_head(page)
        if not self.d.get_page_unless_zero(head):
            return 0
        if self.d.compound_head(page) != head:
            self.d.put_page(head)
            return 0
        # Beside other lanes an oracle may not look: what it looks at may be freed between two points.
        self.references[ref_slot] = (page, head, self.core.alone and bool(self.target.page_owner(page)))
        return 1

    def speculative_put(self, ref_slot: int) -> Outcome:
        """Drop what speculative_get() took."""
        self.d.put_page(self.references.pop(ref_slot)[1])
        return 0

    def add_bystander(self, slot: int, kind: BystanderKind, order: int) -> Outcome:
        """Return the pfn of a new bystander, -1 without memory."""
        return bystander.add_bystander(self.core, slot, kind, order)

    def drop_bystander(self, slot: int) -> Outcome:
        """Free a bystander."""
        return bystander.drop_bystander(self.core, slot)

    # -- for people

    def page_rows(self, pfns: list[int]) -> list[PageRow]:
        """Return the state of some pages, read raw, so that it works on broken states too."""
        return [self._page_row(pfn) for pfn in pfns]

    def _page_row(self, pfn: int) -> PageRow:
        buddy, target = self.machine.buddy, self.target
        page = buddy.pfn_to_page(pfn)
        owner, index = "other", -1
        free = buddy.free_block_of(pfn)
        zspage = 0 if free >= 0 else target.page_owner(page)
        if not buddy.section_online(pfn):
            owner = "offline"
        elif free >= 0:
            owner = f"free/{buddy.buddy_order(free)}"
        elif zspage:
            view = target.zspage_view(zspage)
            owner = f"zspage of class {view.class_index}"
            index = view.pages.index(page) if page in view.pages else -1
        elif kind := bystander.kind_of(self.core, page):
            owner = f"bystander {kind}"
        head = self.d.compound_head(page)
        return PageRow(
            pfn=pfn,
            zone=ZONE_NAMES[buddy.zone_of_pfn(pfn)],
            owner=owner,
            index=index,
            locked=bool(self.machine.load(head) & 1),
            isolated=self.d.PageIsolated(page),
            refcount=self.d.page_count(page),
        )


def _copied(order: dict[str, dict[str, None]]) -> dict[str, dict[str, None]]:
    return {earlier: dict(later) for earlier, later in order.items()}
