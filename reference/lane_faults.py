"""Lane faults: bugs of the legacy allocator that only lanes running at the same time can show.

In:    nothing.
Out:   LANE_FAULTS: bugs that zsmalloc had (A..), then what is easily got wrong (L-..).
Never: two changes in one fault; A07, the unlocked walk of 2505a981114d: in 5.10 it cannot be seen. An empty zspage
       cannot be isolated and an isolated one is on no list, so the worker never meets a page that moves; `zsfuzz
       explore` finds nothing with it planted. It takes the isolation of 5.17 as well.
Next:  those that one lane shows: reference/faults.py; reproducers in corpus/hazards/.
"""

from __future__ import annotations

from typing import Final

from reference.layout import (
    CLASS_FULLNESS_LIST,
    CLASS_LOCK,
    CLASS_SPINLOCK,
    HANDLE_PIN_BIT,
    POOL_DESTROYING,
    POOL_FREE_WORK,
    POOL_INODE,
    POOL_ISOLATED_PAGES,
    POOL_MIGRATION_WAIT,
)
from reference.lifetime import ZS_EMPTY
from reference.zsmalloc import Zsmalloc
from zsfuzz.target.fault import Fault


class _DestroyDoesNotWait(Zsmalloc):
    def zs_unregister_migration(self, pool: int) -> None:
        """A migration in flight schedules the worker of a pool that is gone."""
        if self.k.compaction_enabled:
            self.k.flush_work(pool + POOL_FREE_WORK)
            self.k.iput(self.load(pool + POOL_INODE))


class _NoBarrierAfterDec(Zsmalloc):
    def zs_pool_dec_isolated(self, pool: int) -> None:
        """Whoever destroys the pool may see the count late, and is not seen himself."""
        self.k.atomic_add(pool + POOL_ISOLATED_PAGES, -1)
        if not self.load(pool + POOL_ISOLATED_PAGES) and self.load(pool + POOL_DESTROYING):
            self.k.wake_up_all(pool + POOL_MIGRATION_WAIT)


class _IsolationCountedUnlocked(Zsmalloc):
    def zs_page_putback(self, page: int) -> None:
        """The packed word is read and written outside class->lock: one of two changes of it is lost."""
        zspage = self.get_zspage(page)
        self.dec_zspage_isolation(zspage)
        class_idx, _ = self.get_zspage_mapping(zspage)
        pool = self.pool_of_page(page)
        size_class = self.class_of(pool, class_idx)
        self.k.spin_lock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        if not self.is_zspage_isolated(zspage):
            self.putback_zspage_deferred(pool, size_class, zspage)
            self.zs_pool_dec_isolated(pool)
        self.k.spin_unlock(size_class + CLASS_LOCK, CLASS_SPINLOCK)


class _OneAreaForAll(Zsmalloc):
    def get_cpu_area(self) -> int:
        """Two straddling objects that are mapped at once share a buffer."""
        return self.zs_map_areas[0]


class _NobodyIsWoken(Zsmalloc):
    def zs_pool_dec_isolated(self, pool: int) -> None:
        self.k.atomic_add(pool + POOL_ISOLATED_PAGES, -1)


class _WokenTooEarly(Zsmalloc):
    def zs_pool_dec_isolated(self, pool: int) -> None:
        if self.load(pool + POOL_DESTROYING):
            self.k.wake_up_all(pool + POOL_MIGRATION_WAIT)
        self.k.atomic_add(pool + POOL_ISOLATED_PAGES, -1)


class _SplicedUnlocked(Zsmalloc):
    def splice_empty_zspages(self, pool: int, head: int) -> None:
        """An EMPTY zspage is taken by the worker and revived by a malloc."""
        self.k.INIT_LIST_HEAD(head)
        for class_idx in self.class_indices:
            size_class = self.class_of(pool, class_idx)
            self.k.list_splice_init(size_class + CLASS_FULLNESS_LIST + ZS_EMPTY * 16, head)


class _PinnedIsGoodEnough(Zsmalloc):
    def trypin_tag(self, handle: int) -> bool:
        """An object that somebody has mapped is moved under him."""
        return super().trypin_tag(handle) or self.k.bit_spin_is_locked(HANDLE_PIN_BIT, handle)


class _PlainIsolatedPages(Zsmalloc):
    def isolate_component(self, pool: int, size_class: int, zspage: int) -> None:
        """pool->isolated_pages is changed under the locks of two classes, and not atomically."""
        before = self.load(pool + POOL_ISOLATED_PAGES)
        super().isolate_component(pool, size_class, zspage)
        if self.load(pool + POOL_ISOLATED_PAGES) != before:
            self.store(pool + POOL_ISOLATED_PAGES, before + 1)


class _SourceUnlocked(Zsmalloc):
    def putback_source(self, pool: int, size_class: int, src_zspage: int) -> int:
        """class->lock is dropped while the source is on no list."""
        self.k.spin_unlock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        self.k.spin_lock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        return super().putback_source(pool, size_class, src_zspage)


class _WaitsUnderTheLock(Zsmalloc):
    def wait_for_component(self, zspage: int, page: int) -> None:
        """Whoever has the page lock waits for the migrate lock."""
        self.d.wait_on_page_locked(page)


def _fault(fault_id: str, override: type[Zsmalloc], oracle: str, mechanism: str, origin: str = "generic") -> Fault:
    return Fault(fault_id, Zsmalloc.name, origin, mechanism, concurrent=True, oracle=oracle, override=override)


LANE_FAULTS: Final = (
    _fault(
        "A05",
        _DestroyDoesNotWait,
        "memory",
        "a pool is destroyed while a migration of its pages is in flight",
        origin="701d678599d0, Henry Burns, 2019",
    ),
    _fault(
        "A06",
        _NoBarrierAfterDec,
        "progress lost wake-up",
        "no barrier between the decrement of isolated_pages and the look at destroying",
        origin="afe8605ca454, Miaohe Lin, 2021",
    ),
    _fault(
        "A11",
        _IsolationCountedUnlocked,
        "invariant I10, invariant I3, bug VM_BUG_ON",
        "isolated and fullness share a word and are changed under different locks",
        origin="4b5d1e47b694, Andrew Yang, 2023",
    ),
    _fault(
        "A19",
        _OneAreaForAll,
        "contract not linearizable",
        "straddling objects of all CPUs go through one buffer",
        origin="1aedcafbf32b, Sergey Senozhatsky, 2017",
    ),
    _fault("L-no-wake", _NobodyIsWoken, "progress lost wake-up", "nobody wakes the destroyer of a pool"),
    _fault("L-early-wake", _WokenTooEarly, "progress lost wake-up", "the destroyer is woken before the count falls"),
    _fault("L-splice", _SplicedUnlocked, "invariant, memory", "the worker takes EMPTY zspages without class->lock"),
    _fault("L-pinned", _PinnedIsGoodEnough, "invariant I5", "a mapped object counts as pinned by whoever tries"),
    _fault(
        "L-isolated-plain",
        _PlainIsolatedPages,
        "bug VM_BUG_ON, invariant, progress",
        "pool->isolated_pages is read and written in two steps",
    ),
    _fault("L-source", _SourceUnlocked, "bug VM_BUG_ON, invariant", "compaction lets the lock go between two lists"),
    _fault(
        "L-wait-locked", _WaitsUnderTheLock, "progress deadlock", "the worker waits for a page under the migrate lock"
    ),
)
