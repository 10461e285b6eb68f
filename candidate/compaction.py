"""Compaction: zs_compact() moves objects from emptier zspages to fuller ones; the shrinker around it.

In:    pools.
Out:   the pages freed or about to be freed.
Never: a page lock or a struct page: this is compaction of objects, not of pages.
Next:  compaction of pages calls candidate/migration.py.

Source: mm/zsmalloc.c, v5.10: migrate_zspage(), __zs_compact(), zs_compact(), zs_shrinker_scan(),
zs_shrinker_count().
"""

from __future__ import annotations

from dataclasses import dataclass

from candidate.fullness import ZS_EMPTY
from candidate.layout import POOL_PAGES_COMPACTED
from candidate.migration import PINNED, Migration

SHRINK_STOP = -1


@dataclass(slots=True)
class zs_compact_control:
    """Where the source stands. s_page: 0 when every page was scanned. obj_idx: next object in s_page."""

    s_zspage: int
    s_page: int
    obj_idx: int = 0


class Compaction(Migration):
    """Object compaction of a pool."""

    def migrate_zspage(self, class_: int, d_zspage: int, cc: zs_compact_control) -> bool:
        """Move objects from where cc stands to d_zspage; pinned ones stay where they are.

        Returns True when the source was scanned to its end, False when d_zspage is full first.
        """
        while cc.s_page:
            handle, cc.obj_idx = self.find_alloced_obj(class_, cc.s_zspage, cc.s_page, cc.obj_idx)
            if not handle:
                self.next_source_page(cc)
                continue
            if self.zspage_full(class_, d_zspage):
                self.unpin_tag(handle)
                return False
            self.move_object(class_, d_zspage, handle)
            cc.obj_idx += 1
        return True

    def next_source_page(self, cc: zs_compact_control) -> None:
        """Go on to the first object of the source's next page."""
        cc.s_page = self.get_next_page(cc.s_zspage, cc.s_page)
        cc.obj_idx = 0

    def move_object(self, class_: int, d_zspage: int, handle: int) -> None:
        """Move one pinned object; its handle stays pinned until the new place is recorded."""
        used_obj = self.handle_to_obj(handle)
        free_obj = self.obj_malloc(class_, d_zspage, handle)
        self.zs_object_copy(class_, free_obj, used_obj)
        self.record_obj(handle, free_obj | PINNED)
        self.unpin_tag(handle)
        self.obj_free(class_, used_obj)

    def compact_class(self, pool: int, class_: int) -> int:
        """__zs_compact(): compact one class; return the pages freed, those left to the worker included."""
        pages_freed, rounds = 0, 0
        self.lock_class(class_)
        while src_zspage := self.isolate_zspage(class_, source=True):
            if not self.zs_can_compact(class_) or not self.empty_source(class_, src_zspage):
                self.putback_zspage(class_, src_zspage)
                break
            if self.putback_zspage(class_, src_zspage) == ZS_EMPTY:
                self.free_zspage(pool, class_, src_zspage)
                pages_freed += self.pages_per_zspage(class_)
            self.unlock_class(class_)
            rounds += 1
            self.k.cond_resched(rounds)
            self.lock_class(class_)
        self.unlock_class(class_)
        return pages_freed

    def empty_source(self, class_: int, src_zspage: int) -> bool:
        """Fill destinations from a source until it is scanned. Returns False when no destination is left."""
        cc = zs_compact_control(src_zspage, self.get_first_page(src_zspage))
        while dst_zspage := self.isolate_zspage(class_, source=False):
            scanned = self.migrate_zspage(class_, dst_zspage, cc)
            self.putback_zspage(class_, dst_zspage)
            if scanned:
                return True
        return False

    def zs_compact(self, pool: int) -> int:
        """Compact every class, largest first."""
        pages_freed = 0
        for class_ in reversed(self.classes_of(pool)):
            pages_freed += self.compact_class(pool, class_)
        self.k.atomic_add(pool + POOL_PAGES_COMPACTED, pages_freed)
        return pages_freed

    def zs_shrinker_scan(self, pool: int) -> int:
        """Compact; SHRINK_STOP when nothing was freed."""
        return self.zs_compact(pool) or SHRINK_STOP

    def zs_shrinker_count(self, pool: int) -> int:
        """Return the pages that compaction could free."""
        return sum(self.zs_can_compact(class_) for class_ in self.classes_of(pool))
