"""Core: the state of the mm core that both targets run on, and the few things that all of it uses.

In:    a Machine, whose descriptor rules say what a page looks like.
Out:   list heads, zone and lru locks, the table of bystanders; walks over a list of isolated pages.
Never: looks at a page but through the descriptor interface; keeps state outside the arena, but for notes to oracles.
Next:  migration in zsfuzz/machine/core/migrate.py, compaction in zsfuzz/machine/core/compaction.py, memory
       hotplug in zsfuzz/machine/core/memory_hotplug.py, memory errors in
       zsfuzz/machine/core/memory_failure.py.

The algorithms are functions that take the Core first. What the kernel keeps on the stack (a compact_control,
the two pages being migrated) is on the stack here too; what other code could see meanwhile is in the arena.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Final

from zsfuzz.machine.core.words import PAGES_PER_CLUSTER_SHIFT
from zsfuzz.machine.layout import PG_COMPOUND_HEAD, ZONE_NAMES
from zsfuzz.machine.machine import Machine
from zsfuzz.machine.preemption import LaneBuddy
from zsfuzz.machine.report import Report
from zsfuzz.program.ops import MAX_LANES

BYSTANDER_RECORDS: Final = 64
BYSTANDER_WORDS: Final = 5  # [slot + 1, page, kind, order, pte]

ZONE_LOCK: Final = "zone->lock"
LRU_LOCK: Final = "pgdat->lru_lock"
MEM_HOTPLUG_LOCK: Final = "mem_hotplug_lock"


class Core:
    """The mm core of one machine.

    isolated: the list of pages that a program isolated by name. batch: the list that its requests hand to
    migrate_pages() and putback_movable_pages(). migratepages, freepages: those of a compact_control. source:
    that of do_migrate_range(), pagelist: that of soft offline. Between operations all but `isolated` are
    empty. alone: nothing else runs at the same time, so that an answer may be held against the truth.
    isolations: (page, result) of isolate_movable_page(), and each page that has_unmovable_pages() stopped a
    request for, as (page, -EBUSY); for whoever compares two machines, it is no state.
    """

    def __init__(self, machine: Machine) -> None:
        self.m = machine
        self.d = machine.d
        self.buddy = machine.buddy
        self.lists = machine.lists
        self.alone = True
        self._make_lists()
        self.num_poisoned_pages = machine.slab.core_alloc(2)
        self.anon_vma = machine.slab.core_alloc(2)
        self.bystanders = machine.slab.core_alloc(BYSTANDER_RECORDS * BYSTANDER_WORDS)
        self._zone_locks = machine.slab.core_alloc(len(ZONE_NAMES))
        if isinstance(self.buddy, LaneBuddy):
            self.buddy.zone_locks = tuple((ZONE_LOCK, self._zone_lock(zone)) for zone in range(len(ZONE_NAMES)))
        self._lru_lock = machine.slab.core_alloc(2)
        self._mem_hotplug_lock = machine.slab.core_alloc(2)
        self.isolations: list[tuple[int, int]] = []
        self.ignored_errors: set[int] = set()  # pages in use that a lane marked as poisoned, and holds no reference on
        self.batched_migration = "batched_migration" in machine.switches
        self.cluster_max = machine.buddy.pageblock_pages >> PAGES_PER_CLUSTER_SHIFT

        self._lanes = tuple(self._lane_core() for _ in range(MAX_LANES if machine.lanes is not None else 0))

    def _make_lists(self) -> None:
        self.isolated = self._list_head()
        self.batch = self._list_head()
        self.migratepages = self._list_head()
        self.freepages = self._list_head()
        self.source = self._list_head()
        self.pagelist = self._list_head()

    def _lane_core(self) -> Core:
        """Return the core as another CPU has it: the same state, and lists of its own where the kernel's are on the
        stack.
        """
        lane = copy.copy(self)
        lane.alone = False
        lane.isolations = []
        lane._make_lists()
        return lane

    def for_lane(self, number: int) -> Core:
        """Return the core of a lane; the core itself for -1, one CPU that does everything."""
        return self if number < 0 else self._lanes[number]

    def _list_head(self) -> int:
        head = self.m.slab.core_alloc(2)
        self.lists.INIT_LIST_HEAD(head)
        return head

    # -- lists of pages

    def link(self, page: int, head: int) -> None:
        """list_add() of a page. Errors: Report when that would overwrite the head that a tail names (I9)."""
        self.lists.list_add(self._link_address(page), head)

    def link_tail(self, page: int, head: int) -> None:
        """list_add_tail() of a page. Errors: as link()."""
        self.lists.list_add_tail(self._link_address(page), head)

    def _link_address(self, page: int) -> int:
        link = self.d.core_link(page)
        if link == page + PG_COMPOUND_HEAD and self.m.load(link) & 1:
            text = "a tail page is put on a list through page->lru, over its compound_head"
            raise Report("invariant", "I9 head overwritten", "compound_head", text)
        return link

    def is_empty(self, head: int) -> bool:
        """Return whether a list holds no page."""
        return self.lists.list_empty(head)

    def each_page(self, head: int) -> Iterator[int]:
        """Walk a list as list_for_each_entry_safe() does: the page in hand may leave the list.

        Errors: Report when the list is longer than the memory has pages.
        """
        load, core_page = self.m.load, self.d.core_page
        entry = load(head)
        for _ in range(self.buddy.pages_count + 1):
            if entry == head:
                return
            following = load(entry)
            yield core_page(entry)
            entry = following
        raise Report("memory", "list corruption", "walk", "a list of isolated pages does not return to its head")

    def pages_on(self, head: int) -> tuple[int, ...]:
        """Return the pages of a list, first to last."""
        return tuple(self.each_page(head))

    def count_on(self, head: int) -> int:
        """Return how many pages are on a list. Compound pages count whole."""
        return sum(self.d.compound_nr(page) for page in self.each_page(head))

    def must_count(self, there: int, counted: int, name: str) -> None:
        """Report a count of pages on a list that is not what was on it (I10)."""
        if there != counted:
            text = f"{name}() counts {counted} pages, {there} are on its list"
            raise Report("invariant", "I10 count of a scan", name, text)

    def lists_of_pages(self) -> tuple[tuple[str, int], ...]:
        """Return (name, head) of every list that isolated pages can be on (for I10)."""
        names = ("isolated", "batch", "migratepages", "source", "pagelist")
        cores = (self, *self._lanes) if self.alone else (self,)
        return tuple((name, getattr(core, name)) for core in cores for name in names)

    def must_be_listed(self, page: int) -> None:
        """Report a page that says it is isolated and is on no list of the core (I10).

        Not asked beside other lanes: there the page may be on its way to a list.
        """
        if self.alone and not any(page in self.pages_on(head) for _, head in self.lists_of_pages()):
            text = "PageIsolated() holds for a page that the core has not isolated"
            raise Report("invariant", "I10 isolated flag", "PG_isolated", text)

    # -- locks

    def lock_zone(self, zone: int) -> None:
        """spin_lock_irqsave(&zone->lock).

        Errors: Report for a zone number read from what is no struct page.
        """
        self.m.locks.spin_lock(self._zone_lock(zone), ZONE_LOCK)

    def unlock_zone(self, zone: int) -> None:
        """spin_unlock_irqrestore(&zone->lock)."""
        self.m.locks.spin_unlock(self._zone_lock(zone), ZONE_LOCK)

    def _zone_lock(self, zone: int) -> int:
        if zone >= len(ZONE_NAMES):
            raise Report("memory", "wild zone", "page_zone", f"page_zone() says {zone}: there is no such zone")
        return self._zone_locks + zone * 8

    def lock_lru(self) -> None:
        """spin_lock_irq(&pgdat->lru_lock)."""
        self.m.locks.spin_lock(self._lru_lock, LRU_LOCK)

    def trylock_lru(self) -> bool:
        """spin_trylock_irqsave(&pgdat->lru_lock)."""
        return self.m.locks.spin_trylock(self._lru_lock, LRU_LOCK)

    def unlock_lru(self) -> None:
        """spin_unlock_irq(&pgdat->lru_lock)."""
        self.m.locks.spin_unlock(self._lru_lock, LRU_LOCK)

    def mem_hotplug_begin(self) -> None:
        """One at a time changes what memory there is. Source: mem_hotplug_begin(), mm/memory_hotplug.c, v5.10."""
        self.m.locks.spin_lock(self._mem_hotplug_lock, MEM_HOTPLUG_LOCK)

    def mem_hotplug_done(self) -> None:
        """Let the next one in. Source: mem_hotplug_done(), v5.10."""
        self.m.locks.spin_unlock(self._mem_hotplug_lock, MEM_HOTPLUG_LOCK)

    # -- pages

    def PageHuge(self, page: int) -> bool:
        """Return whether a page is hugetlb's: False, or a Report.

        Errors: Report for a page that says it is. This machine has no hugetlb page, so the kernel would go on
        with page_hstate() of something else. Source: PageHuge(), mm/hugetlb.c, v5.10. Strays: the yes is the
        finding.
        """
        if self.d.PageHuge(page):
            text = "PageHuge() holds for a page that is not hugetlb's: page_hstate() of its head is wild"
            raise Report("memory", "false PageHuge", "compound_dtor", text)
        return False

    def num_poisoned_pages_inc(self) -> None:
        """num_poisoned_pages_inc()."""
        self.m.atomic_add(self.num_poisoned_pages, 1)

    def first_valid_page(self, pfn: int, pages_count: int) -> int:
        """Return the first online struct page of a range, 0 if none. Source: __first_valid_page(), v5.10."""
        for number in range(pfn, pfn + pages_count):
            page = self.m.pfn_to_online_page(number)
            if page:
                return page
        return 0
