"""Pool: zs_create_pool(), zs_destroy_pool(), and what a pool tells about itself.

In:    the size-class table of the machine's geometry.
Out:   Pool: pools with their classes, caches, pseudo inode and shrinker; totals and the `classes` file.
Never: an object.
Next:  who asks: reference/zsmalloc.py; the table in zsfuzz/policy/size_class.py.
"""

from __future__ import annotations

from reference.layout import (
    CLASS_ALMOST_EMPTY,
    CLASS_ALMOST_FULL,
    CLASS_FULLNESS_LIST,
    CLASS_INDEX,
    CLASS_LOCK,
    CLASS_OBJS_PER_ZSPAGE,
    CLASS_PAGES_PER_ZSPAGE,
    CLASS_SIZE,
    CLASS_SPINLOCK,
    OBJ_ALLOCATED,
    OBJ_USED,
    POOL_DESTROYING,
    POOL_FREE_PAGES,
    POOL_FREE_WORK,
    POOL_HANDLE_CACHEP,
    POOL_INODE,
    POOL_ISOLATED_PAGES,
    POOL_MIGRATION_WAIT,
    POOL_PAGES_ALLOCATED,
    POOL_PAGES_COMPACTED,
    POOL_SHRINKER,
    POOL_SIZE_CLASS,
    POOL_ZSPAGE_CACHEP,
    SIZEOF_SIZE_CLASS,
    SIZEOF_ZSPAGE,
)
from reference.mapping import Mapping
from zsfuzz.machine.machine import Kernel
from zsfuzz.policy.size_class import NR_ZS_FULLNESS, ZS_HANDLE_SIZE, SizeClass, can_merge
from zsfuzz.target.protocol import ClassRow


class Pool(Mapping):
    """Pools. `pool` is the address of a struct zs_pool."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.zs_size_classes = len(kernel.size_classes.index_of)  # ZS_SIZE_CLASSES
        self.sizeof_pool = POOL_SIZE_CLASS + 8 * self.zs_size_classes

    # -- creation

    def zs_create_pool(self) -> int:
        """Return a new pool, 0 without memory. Source: zs_create_pool(), v5.10.

        Strays: sizes come from the geometry's table, whose rows tests compute a second time; caches never
        fail.
        """
        pool = self.k.kzalloc(self.sizeof_pool)
        if not pool:
            return 0
        self.init_deferred_free(pool)
        self.create_cache(pool)
        if not self.create_classes(pool) or not self.zs_register_migration(pool):
            self.zs_destroy_pool(pool)
            return 0
        self.zs_register_shrinker(pool)
        return pool

    def init_deferred_free(self, pool: int) -> None:
        """Set up the pool's work item. Source: init_deferred_free(), v5.10. Strays: no."""
        self.k.INIT_LIST_HEAD(pool + POOL_FREE_PAGES)
        if self.k.compaction_enabled:
            self.k.INIT_WORK(pool + POOL_FREE_WORK, self.free_work_function)

    def create_cache(self, pool: int) -> None:
        """Make the pool's two caches. Source: create_cache(), v5.10. Strays: cannot fail here."""
        self.store(pool + POOL_HANDLE_CACHEP, self.k.kmem_cache_create("zs_handle", ZS_HANDLE_SIZE))
        self.store(pool + POOL_ZSPAGE_CACHEP, self.k.kmem_cache_create("zspage", SIZEOF_ZSPAGE))

    def create_classes(self, pool: int) -> bool:
        """Make the classes from the largest size down, merging equal ones. Returns False without memory.

        Source: zs_create_pool(), v5.10. Strays: no.
        """
        previous: SizeClass | None = None
        size_class = 0
        for index in reversed(range(self.zs_size_classes)):
            row = self.k.size_classes.class_at(index)
            if not previous or not can_merge(previous, row.pages_per_zspage, row.objs_per_zspage):
                size_class = self.create_class(index, row)
                if not size_class:
                    return False
                previous = row
            self.store(pool + POOL_SIZE_CLASS + index * 8, size_class)
        return True

    def create_class(self, index: int, row: SizeClass) -> int:
        """Return a new size class, 0 without memory. Source: zs_create_pool(), v5.10. Strays: no."""
        size_class = self.k.kzalloc(SIZEOF_SIZE_CLASS)
        if not size_class:
            return 0
        self.store32(size_class + CLASS_SIZE, row.size_bytes)
        self.store32(size_class + CLASS_INDEX, index)
        self.store32(size_class + CLASS_PAGES_PER_ZSPAGE, row.pages_per_zspage)
        self.store32(size_class + CLASS_OBJS_PER_ZSPAGE, row.objs_per_zspage)
        for fullness in range(NR_ZS_FULLNESS):
            self.k.INIT_LIST_HEAD(size_class + CLASS_FULLNESS_LIST + fullness * 16)
        return size_class

    def zs_register_migration(self, pool: int) -> bool:
        """Give the pool its pseudo inode. Returns False without memory.

        Source: zs_register_migration(), v5.10; without CONFIG_COMPACTION a stub that succeeds. Strays: no.
        """
        if not self.k.compaction_enabled:
            return True
        self.store(pool + POOL_INODE, self.k.alloc_address_space(pool, self.zsmalloc_aops))
        return bool(self.load(pool + POOL_INODE))

    def zs_register_shrinker(self, pool: int) -> None:
        """Register the pool's shrinker. Source: zs_register_shrinker(), v5.10. Strays: cannot fail here."""
        self.k.register_shrinker(pool)
        self.store(pool + POOL_SHRINKER, 1)

    # -- destruction

    def zs_destroy_pool(self, pool: int) -> None:
        """Destroy a pool, finished or not. Waits until no zspage is isolated, then runs the deferred worker.

        Errors: Report for objects that were not freed. Source: zs_destroy_pool(), v5.10. Strays: what the
        kernel prints about a class that is not empty is a Report here.
        """
        self.zs_unregister_shrinker(pool)
        self.zs_unregister_migration(pool)
        for class_idx in self.class_indices:
            size_class = self.class_of(pool, class_idx)
            if size_class:
                self.destroy_class(size_class)
        self.destroy_cache(pool)
        self.k.kfree(pool, self.sizeof_pool)

    def zs_unregister_shrinker(self, pool: int) -> None:
        """Unregister the shrinker, if it was.

        Source: zs_unregister_shrinker(), mm/vmscan.c, v5.10. Strays: no.
        """
        if self.load(pool + POOL_SHRINKER):
            self.k.unregister_shrinker(pool)
            self.store(pool + POOL_SHRINKER, 0)

    def pool_isolated_are_drained(self, pool: int) -> bool:
        """Return whether no zspage is isolated. Source: pool_isolated_are_drained(), v5.10. Strays: no."""
        return self.load(pool + POOL_ISOLATED_PAGES) == 0

    def zs_unregister_migration(self, pool: int) -> None:
        """Wait for migrations in flight, run the worker, drop the inode.

        The barrier pairs with the one in zs_pool_dec_isolated(): one side sees the other's store. Source:
        zs_unregister_migration(), v5.10 with afe8605ca454; a stub without CONFIG_COMPACTION. Strays: no.
        """
        if not self.k.compaction_enabled:
            return
        self.store(pool + POOL_DESTROYING, 1)
        self.k.smp_mb()
        self.k.wait_event(
            pool + POOL_MIGRATION_WAIT, lambda: self.pool_isolated_are_drained(pool), "isolated pages of a pool"
        )
        self.zs_flush_migration(pool)
        inode = self.load(pool + POOL_INODE)
        if inode:
            self.k.iput(inode)

    def zs_flush_migration(self, pool: int) -> None:
        """Wait for the deferred worker. Source: zs_unregister_migration(), v5.10. Strays: named as in v5.17."""
        self.k.flush_work(pool + POOL_FREE_WORK)

    def destroy_class(self, size_class: int) -> None:
        """Free one class. Errors: Report when a list holds zspages. Source: zs_destroy_pool(), v5.10."""
        for fullness in range(NR_ZS_FULLNESS):
            if not self.k.list_empty(size_class + CLASS_FULLNESS_LIST + fullness * 16):
                size = self.load32(size_class + CLASS_SIZE)
                self.k.BUG(
                    "Freeing non-empty class",
                    "zs_destroy_pool",
                    f"class of {size} bytes, fullness group {fullness}",
                )
        self.k.kfree(size_class, SIZEOF_SIZE_CLASS)

    def destroy_cache(self, pool: int) -> None:
        """Destroy both caches.

        Errors: Report for live objects. Source: destroy_cache(), v5.10. Strays: no.
        """
        self.k.kmem_cache_destroy(self.load(pool + POOL_HANDLE_CACHEP))
        self.k.kmem_cache_destroy(self.load(pool + POOL_ZSPAGE_CACHEP))

    # -- what a pool tells

    def zs_get_total_pages(self, pool: int) -> int:
        """Return the pages of all zspages. Source: zs_get_total_pages(), v5.10. Strays: no."""
        return self.load(pool + POOL_PAGES_ALLOCATED)

    def zs_pool_stats(self, pool: int) -> int:
        """Return pages_compacted.

        Source: zs_pool_stats(), v5.10. Strays: it is the structure's only member.
        """
        return self.load(pool + POOL_PAGES_COMPACTED)

    def zs_huge_class_size(self, pool: int) -> int:
        """Return the smallest request in bytes that gets a page of its own.

        Source: zs_huge_class_size(), v5.10.
        """
        return self.k.size_classes.huge_class_size

    def zs_stats_size_show(self, pool: int) -> tuple[ClassRow, ...]:
        """Return the rows of the `classes` file by index.

        Source: zs_stats_size_show(), v5.10. Strays: no totals.
        """
        return tuple(self.class_row(pool, class_idx) for class_idx in self.class_indices)

    def class_row(self, pool: int, class_index: int) -> ClassRow:
        """Return one row, its counters read with class->lock held. Source: zs_stats_size_show(), v5.10."""
        load32 = self.load32
        size_class = self.class_of(pool, class_index)
        self.k.spin_lock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        almost_full = self.zs_stat_get(size_class, CLASS_ALMOST_FULL)
        almost_empty = self.zs_stat_get(size_class, CLASS_ALMOST_EMPTY)
        obj_allocated = self.zs_stat_get(size_class, OBJ_ALLOCATED)
        obj_used = self.zs_stat_get(size_class, OBJ_USED)
        freeable = self.zs_can_compact(size_class)
        self.k.spin_unlock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        pages_per_zspage = load32(size_class + CLASS_PAGES_PER_ZSPAGE)
        return ClassRow(
            index=load32(size_class + CLASS_INDEX),
            size_bytes=load32(size_class + CLASS_SIZE),
            almost_full=almost_full,
            almost_empty=almost_empty,
            obj_allocated=obj_allocated,
            obj_used=obj_used,
            pages_used=obj_allocated // load32(size_class + CLASS_OBJS_PER_ZSPAGE) * pages_per_zspage,
            pages_per_zspage=pages_per_zspage,
            freeable=freeable,
        )
