"""Lane faults: bugs of the candidate that only lanes running at the same time can show, hazards aside.

In:    the target and the rules of this package.
Out:   LANE_FAULTS, in catalogue order.
Never: two changes in one fault; a hazard of the conversion (candidate/hazards.py).
Next:  the catalogue: candidate/faults.py; what one lane shows: candidate/slips.py.
"""

from __future__ import annotations

from typing import Any, Final

from candidate.allocator import Candidate
from candidate.descriptor import MemdescRules
from candidate.fullness import ZS_EMPTY
from candidate.layout import POOL_FREE_WORK, POOL_ISOLATED_PAGES, POOL_MAPPING
from candidate.migration import PINNED
from zsfuzz.machine.layout import PG_REFCOUNT, PG_hwpoison
from zsfuzz.target.fault import Fault


class LookThenGet(MemdescRules):
    """get_page_unless_zero() in two steps: a count that has fallen to 0 is raised again."""

    def get_page_unless_zero(self, page: int) -> bool:
        counted = self.page_memdesc(page) or page
        if not self._load32(counted + PG_REFCOUNT):
            return False
        self.m.atomic_add32(counted + PG_REFCOUNT, 1)
        return True


class FreezeWithoutLook(Candidate):
    """page_ref_freeze() in two steps: a reference that comes in between is lost."""

    def freeze_zspage(self, zspage: int, references: int) -> bool:
        if self.d.page_ref_count(zspage) != references:
            return False
        self.k.store32(zspage + self.REFCOUNT, 0)
        return True


class AttachWithoutFreeze(Candidate):
    """A page becomes a tail while a scanner has a reference on it."""

    def attach_page(self, zspage: int, page: int) -> bool:
        self.set_compound_head(page, zspage)
        return True


class DestroyAtOnce(Candidate):
    """zs_destroy_pool() does not wait for pages that are isolated."""

    def zs_unregister_migration(self, pool: int) -> None:
        if self.k.compaction_enabled:
            self.k.flush_work(pool + POOL_FREE_WORK)
            self.k.iput(self.k.load(pool + POOL_MAPPING))


class NobodyIsWoken(Candidate):
    """Whoever destroys a pool is not told when the last page came back."""

    def zs_pool_dec_isolated(self, pool: int) -> None:
        self.k.atomic_add_return(pool + POOL_ISOLATED_PAGES, -1)


class OneAreaForAll(Candidate):
    """Straddling objects of all CPUs go through one buffer."""

    def this_cpu_area(self) -> int:
        return self.zs_map_area[0]


class PinnedIsGoodEnough(Candidate):
    """An object that somebody has mapped counts as pinned by whoever tries."""

    def trypin_tag(self, handle: int) -> bool:
        return super().trypin_tag(handle) or bool(self.k.load(handle) & PINNED)


class PutbackUnlocked(Candidate):
    """The packed word is changed outside class->lock."""

    def zs_page_putback(self, page: int) -> None:
        zspage = self.get_zspage(page)
        pool = self.k.mapping_private_data(self.d.page_mapping(page))
        class_ = self.zspage_class(pool, zspage)
        self.dec_zspage_isolation(zspage)
        self.lock_class(class_)
        if not self.is_zspage_isolated(zspage):
            self.putback_zspage_deferred(pool, class_, zspage)
            self.zs_pool_dec_isolated(pool)
        self.unlock_class(class_)


class FreeWithoutLock(Candidate):
    """free_zspage() does not ask for the page lock: a page may be on its way."""

    def trylock_zspage(self, zspage: int) -> int:
        return super().trylock_zspage(zspage) or zspage


class EmptyByLook(Candidate):
    """zs_free() looks at the fullness again after class->lock was let go."""

    def zspage_emptied(self, pool: int, class_: int, zspage: int, isolated: bool) -> None:
        self.unlock_class(class_)
        self.lock_class(class_)
        if not isolated and self.zspage_fullness(zspage) == ZS_EMPTY:
            self.free_zspage(pool, class_, zspage)


class SizeOfOneCpu(Candidate):
    """zs_huge_class_size() is kept for each CPU, and filled in for one."""

    def zs_huge_class_size(self, pool: int) -> int:
        return 0 if self.k.smp_processor_id() else super().zs_huge_class_size(pool)


class PoisonedElsewhere(MemdescRules):
    """A frame that is freed on one CPU is marked as broken, and never comes back."""

    def memdesc_detach(self, page: int) -> None:
        super().memdesc_detach(page)
        lanes = self.m.lanes
        if lanes is not None and lanes.on and lanes.current.number == 1:
            self.m.set_bit(PG_hwpoison, page)


class CountedByDifference(Candidate):
    """zs_compact() reports how far the pool has shrunk meanwhile, whoever freed the pages."""

    def zs_compact(self, pool: int) -> int:
        before = self.zs_get_total_pages(pool)
        super().zs_compact(pool)
        return max(0, before - self.zs_get_total_pages(pool))


def _fault(
    fault_id: str, mechanism: str, oracle: str, override: type[Any] | None = None, rules: type[Any] | None = None
) -> Fault:
    return Fault(fault_id, "candidate", "generic", mechanism, True, oracle, override, rules)


LANE_FAULTS: Final = (
    _fault("L-get", "get_page_unless_zero() looks first and adds then", "invariant I6, memory, bug", None, LookThenGet),
    _fault("L-freeze", "page_ref_freeze() looks first and stores then", "invariant I6, bug", FreezeWithoutLook),
    _fault(
        "L-attach", "pages are attached while somebody holds them", "invariant I6, bug, memory", AttachWithoutFreeze
    ),
    _fault("L-destroy", "a pool is destroyed while pages of it are isolated", "memory", DestroyAtOnce),
    _fault("L-wake", "the destroyer of a pool is not woken", "progress lost wake-up", NobodyIsWoken),
    _fault("L-area", "all CPUs share one buffer for straddling objects", "contract not linearizable", OneAreaForAll),
    _fault("L-trypin", "a mapped object counts as pinned", "invariant I5, bug", PinnedIsGoodEnough),
    _fault(
        "L-putback", "isolation is counted outside class->lock", "invariant I10, invariant I3, bug", PutbackUnlocked
    ),
    _fault("L-free", "a zspage is freed without its page lock", "invariant I5, bug, memory", FreeWithoutLock),
    _fault("L-empty", "class->lock is let go before an empty zspage is freed", "bug, memory, invariant", EmptyByLook),
    _fault("L-size", "zs_huge_class_size() is right on one CPU", "divergence outcome in lanes", SizeOfOneCpu),
    _fault("L-poison", "frames freed on one CPU are lost", "divergence drained state", None, PoisonedElsewhere),
    _fault(
        "L-compact-count",
        "zs_compact() counts what others free",
        "divergence end state, by explore",
        CountedByDifference,
    ),
)
