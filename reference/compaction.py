"""Compaction: zs_compact(), which moves objects between zspages of one class, and the pool's shrinker.

In:    a pool.
Out:   Compaction: fuller zspages, and pages given back.
Never: moves a page (that is migration), waits for a pinned object.
Next:  migration of pages in reference/migration.py.

An object that a user has mapped is pinned and stays. A zspage under compaction is off its list and not
isolated: that is how zs_page_isolate() knows to leave it alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from reference.layout import (
    CLASS_INDEX,
    CLASS_LOCK,
    CLASS_OBJS_PER_ZSPAGE,
    CLASS_PAGES_PER_ZSPAGE,
    CLASS_SPINLOCK,
    HANDLE_PIN_BIT,
    OBJ_ALLOCATED,
    OBJ_USED,
    POOL_PAGES_COMPACTED,
    POOL_SIZE_CLASS,
)
from reference.lifetime import ZS_EMPTY, Lifetime
from zsfuzz.machine.machine import Kernel
from zsfuzz.policy.size_class import FullnessGroup

ZS_ALMOST_EMPTY = int(FullnessGroup.ZS_ALMOST_EMPTY)
ZS_ALMOST_FULL = int(FullnessGroup.ZS_ALMOST_FULL)
SHRINK_STOP = -1  # ~0UL, as the target protocol spells it


@dataclass(slots=True)
class ZsCompactControl:
    """struct zs_compact_control: where the source is read, and the destination's first page."""

    s_page: int
    d_page: int
    obj_idx: int


class Compaction(Lifetime):
    """Compaction of objects."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        # The raw indices whose pool->size_class[i]->index is i: merging is fixed by the geometry.
        self.class_indices = tuple(size_class.index for size_class in kernel.size_classes.classes)

    def class_of(self, pool: int, class_idx: int) -> int:
        """Return pool->size_class[class_idx], 0 in a pool that was never finished."""
        return self.load(pool + POOL_SIZE_CLASS + class_idx * 8)

    # -- one zspage into another

    def migrate_zspage(self, size_class: int, cc: ZsCompactControl) -> bool:
        """Move live objects of the source to the destination. Returns whether the source was read to its end.

        False: the destination is full; cc says where to go on. Source: migrate_zspage(), v5.10. Strays: True
        for 0, False for -ENOMEM; cc is kept up to date on the way, and nobody else sees it.
        """
        while True:
            handle, cc.obj_idx = self.find_alloced_obj(size_class, cc.s_page, cc.obj_idx)
            if not handle:
                if not self.next_source_page(cc):
                    return True
                continue
            if self.zspage_full(size_class, self.get_zspage(cc.d_page)):
                self.unpin_tag(handle)
                return False
            self.migrate_object(size_class, cc, handle)
            cc.obj_idx += 1

    def next_source_page(self, cc: ZsCompactControl) -> bool:
        """Go on to the first slot of the source's next page. Returns whether there is one.

        Source: migrate_zspage(), v5.10. Strays: no.
        """
        cc.s_page = self.get_next_page(cc.s_page)
        cc.obj_idx = 0
        return bool(cc.s_page)

    def migrate_object(self, size_class: int, cc: ZsCompactControl, handle: int) -> None:
        """Move one pinned object; the handle keeps its pin bit until it names the new place.

        Source: migrate_zspage(), v5.10. Strays: no.
        """
        used_obj = self.handle_to_obj(handle)
        free_obj = self.obj_malloc(size_class, self.get_zspage(cc.d_page), handle)
        self.zs_object_copy(size_class, free_obj, used_obj)
        self.record_obj(handle, free_obj | 1 << HANDLE_PIN_BIT)
        self.unpin_tag(handle)
        self.obj_free(size_class, used_obj)

    def isolate_zspage(self, size_class: int, source: bool) -> int:
        """Take a zspage off its list and return it, 0 for none. A source is emptier, a destination fuller.

        Errors: Report for a listed zspage that is isolated. Source: isolate_zspage(), v5.10. Strays: no.
        """
        groups = (ZS_ALMOST_EMPTY, ZS_ALMOST_FULL) if source else (ZS_ALMOST_FULL, ZS_ALMOST_EMPTY)
        for fullness in groups:
            zspage = self.first_zspage_of_group(size_class, fullness)
            if zspage:
                self.check_not_isolated(zspage, "isolate_zspage")
                self.remove_zspage(size_class, zspage, fullness)
                return zspage
        return 0

    def putback_zspage(self, size_class: int, zspage: int) -> int:
        """Put a zspage back on the list that its inuse calls for; return the group.

        Errors: Report for an isolated zspage. Source: putback_zspage(), v5.10. Strays: no.
        """
        self.check_not_isolated(zspage, "putback_zspage")
        fullness = self.get_fullness_group(size_class, zspage)
        self.insert_zspage(size_class, zspage, fullness)
        self.set_zspage_mapping(zspage, self.load32(size_class + CLASS_INDEX), fullness)
        return fullness

    def check_not_isolated(self, zspage: int, caller: str) -> None:
        """Errors: Report for an isolated zspage.

        Source: VM_BUG_ON(is_zspage_isolated()), v5.10. Strays: no.
        """
        if self.is_zspage_isolated(zspage):
            self.k.BUG("VM_BUG_ON is_zspage_isolated", caller, "a zspage in hand is isolated")

    # -- a class, a pool

    def zs_can_compact(self, size_class: int) -> int:
        """Return the pages that a class could free. Source: zs_can_compact(), v5.10. Strays: no."""
        obj_allocated = self.zs_stat_get(size_class, OBJ_ALLOCATED)
        obj_used = self.zs_stat_get(size_class, OBJ_USED)
        if obj_allocated <= obj_used:
            return 0
        wasted = (obj_allocated - obj_used) // self.load32(size_class + CLASS_OBJS_PER_ZSPAGE)
        return wasted * self.load32(size_class + CLASS_PAGES_PER_ZSPAGE)

    def compact_class(self, pool: int, size_class: int) -> int:
        """Compact one class; return the pages freed, those left to the worker included.

        class->lock is dropped after each source. Source: __zs_compact(), v5.10. Strays: no.
        """
        pages_freed = rounds = 0
        lock = size_class + CLASS_LOCK
        self.k.spin_lock(lock, CLASS_SPINLOCK)
        while src_zspage := self.isolate_zspage(size_class, source=True):
            if not self.zs_can_compact(size_class):
                break
            dst_zspage = self.compact_source(size_class, src_zspage)
            if not dst_zspage:
                break
            self.putback_zspage(size_class, dst_zspage)
            pages_freed += self.putback_source(pool, size_class, src_zspage)
            self.k.spin_unlock(lock, CLASS_SPINLOCK)
            rounds += 1
            self.k.cond_resched(rounds)
            self.k.spin_lock(lock, CLASS_SPINLOCK)
        if src_zspage:
            self.putback_zspage(size_class, src_zspage)
        self.k.spin_unlock(lock, CLASS_SPINLOCK)
        return pages_freed

    def compact_source(self, size_class: int, src_zspage: int) -> int:
        """Read a source to its end into one destination after the other.

        Returns the last destination, off its list; 0 when destinations ran out first.
        Source: the inner loop of __zs_compact(), v5.10. Strays: no.
        """
        cc = ZsCompactControl(s_page=self.get_first_page(src_zspage), d_page=0, obj_idx=0)
        while dst_zspage := self.isolate_zspage(size_class, source=False):
            cc.d_page = self.get_first_page(dst_zspage)
            if self.migrate_zspage(size_class, cc):
                return dst_zspage
            self.putback_zspage(size_class, dst_zspage)
        return 0

    def putback_source(self, pool: int, size_class: int, src_zspage: int) -> int:
        """List a source again and free it when it is empty; return the pages counted as freed.

        Source: __zs_compact(), v5.10. Strays: no.
        """
        if self.putback_zspage(size_class, src_zspage) != ZS_EMPTY:
            return 0
        self.free_zspage(pool, size_class, src_zspage)
        return self.load32(size_class + CLASS_PAGES_PER_ZSPAGE)

    def zs_compact(self, pool: int) -> int:
        """Compact every class, largest first; return the pages freed.

        Source: zs_compact(), v5.10. Strays: no.
        """
        pages_freed = 0
        for class_idx in reversed(self.class_indices):
            pages_freed += self.compact_class(pool, self.class_of(pool, class_idx))
        self.k.atomic_add(pool + POOL_PAGES_COMPACTED, pages_freed)
        return pages_freed

    def zs_shrinker_scan(self, pool: int) -> int:
        """Compact; return the pages freed or SHRINK_STOP. Source: zs_shrinker_scan(), v5.10. Strays: no."""
        return self.zs_compact(pool) or SHRINK_STOP

    def zs_shrinker_count(self, pool: int) -> int:
        """Return the pages that compaction could free, read without locks.

        Source: zs_shrinker_count(), v5.10.
        """
        return sum(self.zs_can_compact(self.class_of(pool, class_idx)) for class_idx in reversed(self.class_indices))
