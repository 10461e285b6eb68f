"""Pool: zs_create_pool(), zs_destroy_pool(), zs_malloc(), zs_free() and the statistics.

In:    sizes in bytes, gfp masks, handles, pools.
Out:   handles and pools, 0 for failure.
Never: a struct page: that is candidate/lifetime.py's and candidate/migration.py's.
Next:  how oracles look inside: candidate/views.py.

Source: mm/zsmalloc.c, v5.10, functions of the same names. Strays: a pool has no name; the huge class size is
the size class table's, which is computed by the kernel's rule.
"""

from __future__ import annotations

from candidate.compaction import Compaction
from candidate.fullness import ZS_ALMOST_EMPTY, ZS_ALMOST_FULL, ZS_EMPTY
from candidate.layout import (
    CLASS_BYTES,
    CLASS_INDEX,
    CLASS_OBJS,
    CLASS_PAGES,
    CLASS_SIZE,
    OBJ_ALLOCATED,
    OBJ_USED,
    POOL_FREE_WORK,
    POOL_HANDLE_CACHE,
    POOL_PAGES_ALLOCATED,
    POOL_PAGES_COMPACTED,
    POOL_SIZE_CLASS,
)
from zsfuzz.policy.size_class import NR_ZS_FULLNESS, ZS_HANDLE_SIZE
from zsfuzz.target.protocol import ClassRow


class Pool(Compaction):
    """The interface of include/linux/zsmalloc.h."""

    # -- pools

    def zs_create_pool(self) -> int:
        """Return a new pool, 0 without memory."""
        size = POOL_SIZE_CLASS + 8 * self.raw_classes_count
        pool = self.k.kzalloc(size)
        if not pool:
            return 0
        self.k.INIT_WORK(pool + POOL_FREE_WORK, self.free_work_function)
        self.k.store(pool + POOL_HANDLE_CACHE, self.k.kmem_cache_create("zs_handle", ZS_HANDLE_SIZE))
        if not self.create_classes(pool) or not self.zs_register_migration(pool):
            self.destroy_classes(pool)
            self.k.kfree(pool, size)
            return 0
        self.k.register_shrinker(pool)
        return pool

    def create_classes(self, pool: int) -> bool:
        """Make the distinct size classes, largest first; merged ones share a struct.

        Returns False without memory.
        """
        table = self.k.size_classes
        class_ = 0
        for index in reversed(range(self.raw_classes_count)):
            size_class = table.class_at(index)
            if size_class.index == index:
                class_ = self.k.kzalloc(CLASS_BYTES)
                if not class_:
                    return False
                self.k.store(class_ + CLASS_INDEX, index)
                self.k.store(class_ + CLASS_SIZE, size_class.size_bytes)
                self.k.store(class_ + CLASS_OBJS, size_class.objs_per_zspage)
                self.k.store(class_ + CLASS_PAGES, size_class.pages_per_zspage)
                for fullness in range(NR_ZS_FULLNESS):
                    self.k.INIT_LIST_HEAD(self.list_of(class_, fullness))
            self.k.store(pool + POOL_SIZE_CLASS + 8 * index, class_)
        return True

    def destroy_classes(self, pool: int) -> None:
        """Free the size classes, whatever is on their lists."""
        for class_ in self.classes_of(pool):
            self.k.kfree(class_, CLASS_BYTES)

    def zs_destroy_pool(self, pool: int) -> None:
        """Destroy a pool. Errors: Report for live handles, and for isolated pages nobody can put back."""
        self.k.unregister_shrinker(pool)
        self.zs_unregister_migration(pool)
        self.destroy_classes(pool)
        self.k.kmem_cache_destroy(self.k.load(pool + POOL_HANDLE_CACHE))
        self.k.kfree(pool, POOL_SIZE_CLASS + 8 * self.raw_classes_count)

    # -- objects

    def cache_alloc_handle(self, pool: int) -> int:
        """Return memory for a handle, 0 without memory."""
        return self.k.kmem_cache_alloc(self.k.load(pool + POOL_HANDLE_CACHE))

    def cache_free_handle(self, pool: int, handle: int) -> None:
        """Give a handle's memory back."""
        self.k.kmem_cache_free(self.k.load(pool + POOL_HANDLE_CACHE), handle)

    def size_class_of(self, pool: int, size: int) -> int:
        """pool->size_class[get_size_class_index(size)]. size: bytes, handle included."""
        return self.k.load(pool + POOL_SIZE_CLASS + 8 * self.k.size_classes.get_size_class_index(size))

    def zs_malloc(self, pool: int, size: int, gfp: int) -> int:
        """Return a handle, 0 for size 0, size > PAGE_SIZE or no memory. size in bytes."""
        if not 0 < size <= self.k.page_size:
            return 0
        handle = self.cache_alloc_handle(pool)
        if not handle:
            return 0
        class_ = self.size_class_of(pool, size + ZS_HANDLE_SIZE)
        self.lock_class(class_)
        zspage = self.find_get_zspage(class_)
        if zspage:
            obj = self.obj_malloc(class_, zspage, handle)
            self.fix_fullness_group(class_, zspage)
            self.record_obj(handle, obj)
            self.unlock_class(class_)
            return handle
        self.unlock_class(class_)
        zspage = self.alloc_zspage(class_, gfp)
        if not zspage:
            self.drop_unused_handle(pool, handle)
            return 0
        self.lock_class(class_)
        self.insert_new_zspage(pool, class_, zspage, handle)
        self.unlock_class(class_)
        return handle

    def drop_unused_handle(self, pool: int, handle: int) -> None:
        """Free the handle of a request that got no zspage."""
        self.cache_free_handle(pool, handle)

    def insert_new_zspage(self, pool: int, class_: int, zspage: int, handle: int) -> None:
        """Allocate the first object of a new zspage, list and count the zspage, then make it movable."""
        obj = self.obj_malloc(class_, zspage, handle)
        newfg = self.get_fullness_group(class_, zspage)
        self.insert_zspage(class_, zspage, newfg)
        self.set_zspage_mapping(zspage, self.class_index(class_), newfg)
        self.record_obj(handle, obj)
        self.k.atomic_add(pool + POOL_PAGES_ALLOCATED, self.pages_per_zspage(class_))
        self.zs_stat_inc(class_, OBJ_ALLOCATED, self.objs_per_zspage(class_))
        self.SetZsPageMovable(pool, zspage)

    def zs_free(self, pool: int, handle: int) -> None:
        """Free an object; handle 0 is ignored."""
        if not handle:
            return
        self.pin_tag(handle)
        obj = self.handle_to_obj(handle)
        page, _ = self.obj_to_location(obj)
        zspage = self.get_zspage(page)
        self.migrate_read_lock(zspage)
        class_ = self.zspage_class(pool, zspage)
        self.lock_class(class_)
        self.obj_free(class_, obj)
        fullness = self.fix_fullness_group(class_, zspage)
        isolated = self.is_zspage_isolated(zspage)
        self.migrate_read_unlock(zspage)
        if fullness == ZS_EMPTY:
            self.zspage_emptied(pool, class_, zspage, isolated)
        self.unlock_class(class_)
        self.unpin_tag(handle)
        self.cache_free_handle(pool, handle)

    def zspage_emptied(self, pool: int, class_: int, zspage: int, isolated: bool) -> None:
        """Free a zspage whose last object is gone; if the core has pages of it, putback does that."""
        if not isolated:
            self.free_zspage(pool, class_, zspage)

    # -- statistics

    def zs_get_total_pages(self, pool: int) -> int:
        """Return the pool's pages."""
        return self.k.read_once(pool + POOL_PAGES_ALLOCATED)

    def zs_pool_stats(self, pool: int) -> int:
        """Return pages_compacted."""
        return self.k.read_once(pool + POOL_PAGES_COMPACTED)

    def zs_huge_class_size(self, pool: int) -> int:
        """Return the smallest request, in bytes, that lands in the huge class."""
        return self.k.size_classes.huge_class_size

    def zs_stats_size_show(self, pool: int) -> tuple[ClassRow, ...]:
        """Return the `classes` file, one row a distinct class, by index."""
        return tuple(self.class_row(pool, self.class_index(class_)) for class_ in self.classes_of(pool))

    def class_row(self, pool: int, class_index: int) -> ClassRow:
        """Return one row, read under class->lock."""
        class_ = self.k.load(pool + POOL_SIZE_CLASS + 8 * class_index)
        self.lock_class(class_)
        allocated = self.zs_stat_get(class_, OBJ_ALLOCATED)
        used = self.zs_stat_get(class_, OBJ_USED)
        almost_full = self.zs_stat_get(class_, ZS_ALMOST_FULL)
        almost_empty = self.zs_stat_get(class_, ZS_ALMOST_EMPTY)
        freeable = self.zs_can_compact(class_)
        self.unlock_class(class_)
        pages = self.pages_per_zspage(class_)
        return ClassRow(
            index=self.class_index(class_),
            size_bytes=self.class_size(class_),
            almost_full=almost_full,
            almost_empty=almost_empty,
            obj_allocated=allocated,
            obj_used=used,
            pages_used=allocated // self.objs_per_zspage(class_) * pages,
            pages_per_zspage=pages,
            freeable=freeable,
        )
