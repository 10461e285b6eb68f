"""Lifetime: how a zspage is built from pages, and how it is freed.

In:    a pool, a size class, a gfp mask; page locks.
Out:   Lifetime: alloc_zspage(), free_zspage() and what they are made of.
Never: decides when: that is zs_malloc()'s, zs_free()'s, the compactor's and the worker's business.
Next:  the compactor in reference/compaction.py; the worker, async_free_zspage(), in reference/migration.py.

A zspage may be freed only with every one of its page locks held, for a lock is what keeps it alive under the
core's isolation. Where one is taken, freeing is left to the worker.
"""

from __future__ import annotations

from reference.layout import (
    CLASS_OBJS_PER_ZSPAGE,
    CLASS_PAGES_PER_ZSPAGE,
    MAGIC_MASK,
    MAGIC_SHIFT,
    OBJ_ALLOCATED,
    POOL_FREE_WORK,
    POOL_PAGES_ALLOCATED,
    POOL_ZSPAGE_CACHEP,
    SIZEOF_ZSPAGE,
    ZSPAGE_FIRST_PAGE,
    ZSPAGE_LIST,
    ZSPAGE_MAGIC,
    ZSPAGE_PACKED,
)
from reference.objects import Objects
from zsfuzz.machine.layout import GFP_MOVABLE, PG_INDEX, PG_private
from zsfuzz.policy.size_class import FullnessGroup

ZS_EMPTY = int(FullnessGroup.ZS_EMPTY)


class Lifetime(Objects):
    """Zspages come and go."""

    # -- allocation

    def cache_alloc_zspage(self, pool: int) -> int:
        """Return a struct zspage, its bytes undefined; 0 without memory.

        Source: cache_alloc_zspage(), v5.10.
        """
        return self.k.kmem_cache_alloc(self.load(pool + POOL_ZSPAGE_CACHEP))

    def cache_free_zspage(self, pool: int, zspage: int) -> None:
        """Free a struct zspage. Source: cache_free_zspage(), v5.10. Strays: no."""
        self.k.kmem_cache_free(self.load(pool + POOL_ZSPAGE_CACHEP), zspage)

    def page_gfp(self, gfp: int) -> int:
        """Return the gfp mask for component pages: pages that nobody can migrate must not be asked for as
        movable.

        Source: alloc_zspage(), v6.17 (694d6b99923e). Strays: 5.10 passes the caller's mask on, which puts
        unmovable pages into ZONE_MOVABLE where compaction is off.
        """
        return gfp if self.k.compaction_enabled else gfp & ~GFP_MOVABLE

    def alloc_zspage(self, pool: int, size_class: int, gfp: int) -> int:
        """Return a new zspage with all slots free, 0 without memory. Source: alloc_zspage(), v5.10.

        Strays: page_gfp().
        """
        zspage = self.cache_alloc_zspage(pool)
        if not zspage:
            return 0
        self.k.memset(zspage, 0, SIZEOF_ZSPAGE)
        packed = self.load32(zspage + ZSPAGE_PACKED) & ~(MAGIC_MASK << MAGIC_SHIFT)
        self.store32(zspage + ZSPAGE_PACKED, packed | ZSPAGE_MAGIC << MAGIC_SHIFT)
        self.migrate_lock_init(zspage)
        pages: list[int] = []
        for _ in range(self.load32(size_class + CLASS_PAGES_PER_ZSPAGE)):
            page = self.k.alloc_page(self.page_gfp(gfp))
            if not page:
                self.undo_alloc_pages(pages)
                self.cache_free_zspage(pool, zspage)
                return 0
            self.inc_zone_page_state(page)
            pages.append(page)
        self.create_page_chain(size_class, zspage, pages)
        self.init_zspage(size_class, zspage)
        return zspage

    def undo_alloc_pages(self, pages: list[int]) -> None:
        """Give back the pages of a zspage that got not all of them, last one first.

        Source: the error path of alloc_zspage(), v5.10. Strays: no.
        """
        for page in reversed(pages):
            self.dec_zone_page_state(page)
            self.d.free_page(page)

    def create_page_chain(self, size_class: int, zspage: int, pages: list[int]) -> None:
        """Link pages as a zspage's components, one word after the other: a walker may meet it half done.

        Source: create_page_chain(), v5.10. Strays: no.
        """
        store = self.store
        previous = 0
        for number in range(self.load32(size_class + CLASS_PAGES_PER_ZSPAGE)):
            page = pages[number]
            self.set_page_private(page, zspage)
            store(page + PG_INDEX, 0)
            if number == 0:
                store(zspage + ZSPAGE_FIRST_PAGE, page)
                self.k.set_bit(PG_private, page)
                if self.is_huge_class(size_class):
                    self.SetPageHugeObject(page)
            else:
                store(previous + PG_INDEX, page)
            previous = page

    def is_huge_class(self, size_class: int) -> bool:
        """Return whether the class has one object in one page.

        Source: create_page_chain(), v5.10. Strays: no.
        """
        objs_per_zspage = self.load32(size_class + CLASS_OBJS_PER_ZSPAGE)
        return objs_per_zspage == 1 and self.load32(size_class + CLASS_PAGES_PER_ZSPAGE) == 1

    def find_get_zspage(self, size_class: int) -> int:
        """Return the zspage to allocate from, 0 for none: ALMOST_FULL before ALMOST_EMPTY before EMPTY.

        An EMPTY one may be waiting for the worker; it is revived. Source: find_get_zspage(), v5.10. Strays:
        no.
        """
        for fullness in (2, 1, 0):
            zspage = self.first_zspage_of_group(size_class, fullness)
            if zspage:
                return zspage
        return 0

    # -- freeing

    def trylock_zspage(self, zspage: int) -> tuple[int, ...]:
        """Lock every component page, or none. Returns what unlock_page() wants, in chain order; () for
        failure.

        Source: trylock_zspage(), v5.10. Strays: returns the locks instead of 1 or 0.
        """
        locks: list[int] = []
        cursor = self.get_first_page(zspage)
        while cursor:
            lock = self.d.trylock_page(cursor)
            if not lock:
                self._unlock_first_pages(zspage, locks)
                return ()
            locks.append(lock)
            cursor = self.get_next_page(cursor)
        return tuple(locks)

    def _unlock_first_pages(self, zspage: int, locks: list[int]) -> None:
        cursor = self.get_first_page(zspage)
        for lock in locks:
            self.d.unlock_page(cursor, lock)
            cursor = self.get_next_page(cursor)

    def free_zspage(self, pool: int, size_class: int, zspage: int) -> None:
        """Free an empty zspage that is on the EMPTY list, or have the worker do it when a page is locked.

        Called with class->lock held. Errors: Report for a zspage in use or on no list.
        Source: free_zspage(), v5.10. Strays: no.
        """
        self.check_unused(zspage, "free_zspage")
        if self.k.list_empty(zspage + ZSPAGE_LIST):
            self.k.BUG("VM_BUG_ON list_empty", "free_zspage", "a zspage to be freed is on no list")
        locks = self.trylock_zspage(zspage)
        if not locks:
            self.kick_deferred_free(pool)
            return
        self.remove_zspage(size_class, zspage, ZS_EMPTY)
        self.free_zspage_locked(pool, size_class, zspage, locks)

    def check_unused(self, zspage: int, caller: str) -> None:
        """Errors: Report for a zspage in use.

        Source: VM_BUG_ON in free_zspage() and __free_zspage(), v5.10.
        """
        if self.get_zspage_inuse(zspage):
            self.k.BUG("VM_BUG_ON inuse", caller, "a zspage with live objects is freed")

    def free_zspage_locked(self, pool: int, size_class: int, zspage: int, locks: tuple[int, ...]) -> None:
        """Let every page go and free the zspage. locks: of its pages, in chain order.

        Called with class->lock held. Errors: Report for a zspage in use or not EMPTY, or for an unlocked
        page. Source: __free_zspage(), v5.10. Strays: CLASS_EMPTY is the caller's business, as there.
        """
        _, fullness = self.get_zspage_mapping(zspage)
        self.check_unused(zspage, "__free_zspage")
        if fullness != ZS_EMPTY:
            self.k.BUG("VM_BUG_ON fg != ZS_EMPTY", "__free_zspage", f"fullness of a freed zspage is {fullness}")
        page, number = self.get_first_page(zspage), 0
        while page:
            following = self.get_next_page(page)
            self.free_component(page, locks[number] if number < len(locks) else 0)
            page, number = following, number + 1
        self.cache_free_zspage(pool, zspage)
        self.zs_stat_dec(size_class, OBJ_ALLOCATED, self.load32(size_class + CLASS_OBJS_PER_ZSPAGE))
        self.k.atomic_add(pool + POOL_PAGES_ALLOCATED, -self.load32(size_class + CLASS_PAGES_PER_ZSPAGE))

    def free_component(self, page: int, lock: int) -> None:
        """Reset, unlock, uncount and put one page; a reference that the core holds keeps it.

        Source: the loop of __free_zspage(), v5.10. Strays: no.
        """
        if not self.d.PageLocked(page):
            self.k.BUG("VM_BUG_ON !PageLocked", "__free_zspage", "a page of a freed zspage is not locked")
        self.reset_page(page)
        self.d.unlock_page(page, lock)
        self.dec_zone_page_state(page)
        self.d.put_page(page)

    # -- deferred freeing: an empty stub without CONFIG_COMPACTION

    def kick_deferred_free(self, pool: int) -> None:
        """Schedule async_free_zspage(). Source: kick_deferred_free(), v5.10. Strays: no."""
        if self.k.compaction_enabled:
            self.k.schedule_work(pool + POOL_FREE_WORK)
