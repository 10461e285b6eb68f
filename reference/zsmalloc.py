"""Zsmalloc: the legacy struct-page allocator, whole; here are zs_malloc() and zs_free().

In:    a Kernel; pools, sizes, gfp masks, handles.
Out:   Zsmalloc, the target called "reference".
Never: shares code with the other allocator; keeps state outside the arena.
Next:  the layers it stands on, from the bottom: reference/pages.py, reference/zspage.py,
       reference/objects.py, reference/lifetime.py, reference/compaction.py, reference/migration.py,
       reference/mapping.py, reference/pool.py, reference/views.py; its planted bugs: reference/faults.py.

Lock order: page lock > pin bit > zspage rwlock > class->lock; what is taken the other way round is only
tried. Every layer is a class with one method for each kernel function, so that a planted bug can replace
exactly one.
"""

from __future__ import annotations

from typing import ClassVar

from reference.layout import (
    CLASS_INDEX,
    CLASS_LOCK,
    CLASS_OBJS_PER_ZSPAGE,
    CLASS_PAGES_PER_ZSPAGE,
    CLASS_SPINLOCK,
    OBJ_ALLOCATED,
    POOL_PAGES_ALLOCATED,
)
from reference.lifetime import ZS_EMPTY
from reference.views import Views
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE


class Zsmalloc(Views):
    """mm/zsmalloc.c of v5.10.223."""

    name: ClassVar[str] = "reference"

    def get_size_class_index(self, size: int) -> int:
        """Return the raw class index for a request, handle included, in bytes.

        Source: get_size_class_index(), v5.10. Strays: no.
        """
        return self.k.size_classes.get_size_class_index(size)

    def zs_malloc(self, pool: int, size: int, gfp: int) -> int:
        """Return a handle for `size` bytes; 0 for 0 bytes, more than a page, or no memory.

        class->lock is dropped while a new zspage is built. Source: zs_malloc(), v5.10. Strays: no.
        """
        if not size or size > self.page_size:
            return 0
        handle = self.cache_alloc_handle(pool)
        if not handle:
            return 0
        size_class = self.class_of(pool, self.get_size_class_index(size + ZS_HANDLE_SIZE))
        lock = size_class + CLASS_LOCK
        self.k.spin_lock(lock, CLASS_SPINLOCK)
        zspage = self.find_get_zspage(size_class)
        if zspage:
            obj = self.obj_malloc(size_class, zspage, handle)
            self.fix_fullness_group(size_class, zspage)
            self.record_obj(handle, obj)
            self.k.spin_unlock(lock, CLASS_SPINLOCK)
            return handle
        self.k.spin_unlock(lock, CLASS_SPINLOCK)
        zspage = self.alloc_zspage(pool, size_class, gfp)
        if not zspage:
            self.drop_unused_handle(pool, handle)
            return 0
        self.k.spin_lock(lock, CLASS_SPINLOCK)
        self.start_zspage(pool, size_class, zspage, handle)
        self.k.spin_unlock(lock, CLASS_SPINLOCK)
        return handle

    def drop_unused_handle(self, pool: int, handle: int) -> None:
        """Free the handle of a request that got no zspage. Source: zs_malloc(), v5.10. Strays: no."""
        self.cache_free_handle(pool, handle)

    def start_zspage(self, pool: int, size_class: int, zspage: int, handle: int) -> None:
        """Put the first object into a new zspage, list and count it, and last of all mark it movable.

        Called with class->lock held. Source: zs_malloc(), v5.10. Strays: no.
        """
        obj = self.obj_malloc(size_class, zspage, handle)
        newfg = self.get_fullness_group(size_class, zspage)
        self.insert_zspage(size_class, zspage, newfg)
        self.set_zspage_mapping(zspage, self.load32(size_class + CLASS_INDEX), newfg)
        self.record_obj(handle, obj)
        self.k.atomic_add(pool + POOL_PAGES_ALLOCATED, self.load32(size_class + CLASS_PAGES_PER_ZSPAGE))
        self.zs_stat_inc(size_class, OBJ_ALLOCATED, self.load32(size_class + CLASS_OBJS_PER_ZSPAGE))
        self.SetZsPageMovable(pool, zspage)

    def may_free(self, zspage: int) -> bool:
        """Return whether an empty zspage may be freed: an isolated one is left to whoever puts it back.

        Source: zs_free(), v5.10. Strays: no.
        """
        return not self.is_zspage_isolated(zspage)

    def zs_free(self, pool: int, handle: int) -> None:
        """Free an object, and its zspage when that was the last one and no page is isolated; 0 is ignored.

        Source: zs_free(), v5.10. Strays: no.
        """
        if not handle:
            return
        self.pin_tag(handle)
        obj = self.handle_to_obj(handle)
        page, _ = self.obj_to_location(obj)
        zspage = self.get_zspage(page)
        self.migrate_read_lock(zspage)
        class_idx, _ = self.get_zspage_mapping(zspage)
        size_class = self.class_of(pool, class_idx)
        self.k.spin_lock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        self.obj_free(size_class, obj)
        fullness = self.fix_fullness_group(size_class, zspage)
        frees = fullness == ZS_EMPTY and self.may_free(zspage)
        self.migrate_read_unlock(zspage)
        if frees:
            self.free_zspage(pool, size_class, zspage)
        self.k.spin_unlock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        self.unpin_tag(handle)
        self.cache_free_handle(pool, handle)
