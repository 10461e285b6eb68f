"""Lifetime: how pages become tails of a zspage, how they stop, and who frees what.

In:    pools, size classes, zspages and struct pages by address.
Out:   alloc_zspage(), free_zspage(), the destructor; attach and detach, the only stores to a struct page.
Never: a store to a struct page word other than compound_head.
Next:  the exchange of one page in candidate/migration.py; the core's side in candidate/descriptor.py.

    zs_free() of the last object        last put of the zspage
            |                                   |
      __free_zspage()  ---- owner's put --->  zspage_destructor()
      statistics, mapping, unlock             detach every page, frames to the buddy, slab object back

A zspage is freed in two steps (H14). Logically, under its page lock and class->lock: lists and statistics
forget it, and its mapping lets go. Physically, when its count is 0: usually at once; while a scanner holds a
reference its frames stay tails of it, so that the scanner's put finds the count that its get raised (R1 in
candidate/descriptor.py).

Source: mm/zsmalloc.c, v5.10, for the functions that have a name there; the two steps are this design's.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from candidate.descriptor import MemdescRules
from candidate.fullness import ZS_EMPTY
from candidate.layout import (
    MAGIC_BITS,
    MEMDESC_ALIGN,
    OBJ_ALLOCATED,
    POOL_FREE_WORK,
    POOL_MAPPING,
    POOL_PAGES_ALLOCATED,
    ZSPAGE_MAGIC,
)
from candidate.objects import Objects
from zsfuzz.machine.layout import (
    GFP_MOVABLE,
    MASK32,
    NR_ZSPAGES,
    PAGE_MAPPING_FLAGS,
    PAGE_MAPPING_MOVABLE,
    PG_COMPOUND_HEAD,
    ZONES_PGSHIFT,
)
from zsfuzz.machine.machine import Kernel

OWNER_REFERENCES: Final = 1  # what the allocator itself holds on a zspage, and on a frame of it


class Lifetime(Objects):
    """Allocation and freeing of zspages."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        # One cache for all pools: a scanner's reference may keep a zspage longer than its pool lives. The
        # cache is type-stable, so that a get on a stale head at least touches the count of a zspage (H15).
        self.zspage_cachep = kernel.kmem_cache_create("zspage", self.SIZE, self.ALIGN, typesafe_by_rcu=True)
        self.register_memdesc()

    def register_memdesc(self) -> None:
        """Tell the core who frees a zspage that loses its last reference."""
        self.memdesc_rules().register_destructor(self.zspage_destructor)

    def memdesc_rules(self) -> MemdescRules:
        """Return the core's rules as those that know memory descriptors."""
        if not isinstance(self.d, MemdescRules):
            raise TypeError(f"{type(self).__name__} needs a core with the patches of MemdescRules")
        return self.d

    # -- attach and detach

    def set_compound_head(self, page: int, zspage: int) -> None:
        """Make a page a tail of a zspage that is fully initialised (H19).

        Errors: VM_BUG_ON a misaligned zspage (H34).
        """
        if zspage % MEMDESC_ALIGN:
            self.k.BUG("VM_BUG_ON memdesc alignment", "compound_head", f"zspage {zspage:#x} is not 16-byte aligned")
        self.k.store_release(page + PG_COMPOUND_HEAD, zspage | 1)

    def attach_page(self, zspage: int, page: int) -> bool:
        """Make a page a tail while nobody else has a reference on it (R1). Returns False if somebody has.

        Its own count stays 1: that is the frame's, and what has_unmovable_pages() reads (H22).
        """
        if not self.d.page_ref_freeze(page, OWNER_REFERENCES):
            return False
        self.set_compound_head(page, zspage)
        self.d.page_ref_unfreeze(page, OWNER_REFERENCES)
        return True

    # -- allocation

    def cache_alloc_zspage(self) -> int:
        """Return a zspage of the slab cache, 0 without memory. Its count is 0: nobody can get it yet."""
        return self.k.kmem_cache_alloc(self.zspage_cachep)

    def cache_free_zspage(self, zspage: int) -> None:
        """Give a zspage back to its cache; its count has to be 0."""
        self.k.kmem_cache_free(self.zspage_cachep, zspage)

    def init_zspage_head(self, zspage: int) -> None:
        """Make fresh slab memory a zspage without pages that reads as a plain unlocked page; count 0."""
        for offset in range(0, self.SIZE, 8):
            self.k.store(zspage + offset, 0)
        self.k.store(zspage + self.SECOND, self.SECOND_VALUE)
        self.k.store32(zspage + self.PAGE_TYPE, MASK32)
        self.k.INIT_LIST_HEAD(zspage + self.LIST)
        self.set_packed(zspage, MAGIC_BITS, ZSPAGE_MAGIC)
        self.migrate_lock_init(zspage)

    def alloc_zspage(self, class_: int, gfp: int) -> int:
        """Return a new zspage with empty slots, not yet movable and on no list, or 0 without memory."""
        zspage = self.cache_alloc_zspage()
        if not zspage:
            return 0
        self.init_zspage_head(zspage)
        if not self.alloc_zspage_pages(class_, zspage, gfp):
            self.cache_free_zspage(zspage)
            return 0
        self.init_zspage(class_, zspage)
        self.set_zspage_zone(zspage)
        self.publish_zspage(zspage)
        return zspage

    def alloc_zspage_pages(self, class_: int, zspage: int, gfp: int) -> bool:
        """Allocate the pages of a zspage, none attached yet; on failure give back those it got (H18)."""
        gfp = self.page_gfp(gfp)
        for index in range(self.pages_per_zspage(class_)):
            page = self.k.alloc_page(gfp)
            if not page:
                self.free_zspage_pages(zspage)
                return False
            self.mod_nr_zspages(page, 1)
            self.set_nth_page(zspage, index, page)
        return True

    def page_gfp(self, gfp: int) -> int:
        """Return the mask for component pages: not movable without CONFIG_COMPACTION (694d6b99923e)."""
        return gfp if self.k.compaction_enabled else gfp & ~GFP_MOVABLE

    def free_zspage_pages(self, zspage: int) -> None:
        """Give back the pages of a zspage that was never published, last one first."""
        pages = self.zspage_pages(zspage)
        for index in reversed(range(len(pages))):
            self.set_nth_page(zspage, index, 0)
            self.mod_nr_zspages(pages[index], -1)
            self.d.free_page(pages[index])

    def set_zspage_zone(self, zspage: int) -> None:
        """Write the zone bits: the zone that the first page was in when the zspage was made.

        A zspage may have pages in two zones, so no caller can ask it for the zone of a frame; NR_ZSPAGES goes
        by each page's own bits. A constant needs no read-modify-write of the word that holds PG_locked (H09).
        """
        self.k.store(zspage + self.FLAGS, self.d.page_zone(self.get_first_page(zspage)) << ZONES_PGSHIFT)

    def publish_zspage(self, zspage: int) -> None:
        """Give a complete zspage its owner's reference, then let its pages name it (H19)."""
        self.k.store32(zspage + self.REFCOUNT, OWNER_REFERENCES)
        for page in self.zspage_pages(zspage):
            self.k.spin_until(partial(self.attach_page, zspage, page), "speculative reference")

    def mod_nr_zspages(self, page: int, delta: int) -> None:
        """Count a page in the statistic of its own zone."""
        self.k.mod_zone_page_state(self.d.page_zone(page), NR_ZSPAGES, delta)

    # -- the one page lock

    def trylock_zspage(self, zspage: int) -> int:
        """Take the one PG_locked that all pages of a zspage share.

        Returns the locked word, 0 if somebody has it.
        """
        return self.d.trylock_page(zspage)

    def lock_zspage(self, zspage: int) -> int:
        """Take it, waiting. The caller is the only one who could free the zspage."""
        return self.d.lock_page(zspage)

    def unlock_zspage(self, zspage: int, lock: int) -> None:
        """Release it, through the word it was taken on, while that word is still there."""
        self.d.unlock_page(zspage, lock)

    # -- freeing

    def free_zspage(self, pool: int, class_: int, zspage: int) -> None:
        """Free an empty zspage, or leave it to the worker when somebody has its page lock."""
        if self.get_zspage_inuse(zspage):
            self.k.BUG("VM_BUG_ON inuse", "inuse", "free_zspage() of a zspage in use")
        if not self.is_listed(zspage):
            self.k.BUG("VM_BUG_ON list_empty", "list", "free_zspage() of a zspage on no list")
        lock = self.trylock_zspage(zspage)
        if not lock:
            self.kick_deferred_free(pool)
            return
        self.remove_zspage(class_, zspage, ZS_EMPTY)
        self.free_locked_zspage(pool, class_, zspage, lock)

    def free_locked_zspage(self, pool: int, class_: int, zspage: int, lock: int) -> None:
        """__free_zspage(): the logical free, under class->lock and the page lock."""
        if self.get_zspage_inuse(zspage) or self.zspage_fullness(zspage) != ZS_EMPTY:
            self.k.BUG("VM_BUG_ON inuse", "fullness", "__free_zspage() of a zspage that is not empty")
        if not self.d.PageLocked(zspage):
            self.k.BUG("VM_BUG_ON !PageLocked", "flags", "__free_zspage() of an unlocked zspage")
        for page in self.zspage_pages(zspage):
            self.mod_nr_zspages(page, -1)
        self.ClearZsPageMovable(zspage)
        self.unlock_zspage(zspage, lock)
        self.put_zspage(zspage)
        self.zs_stat_dec(class_, OBJ_ALLOCATED, self.objs_per_zspage(class_))
        self.k.atomic_add(pool + POOL_PAGES_ALLOCATED, -self.pages_per_zspage(class_))

    def put_zspage(self, zspage: int) -> None:
        """Drop the owner's reference."""
        if self.d.put_page_testzero(zspage):
            self.zspage_destructor(zspage)

    def zspage_destructor(self, zspage: int) -> None:
        """Free the frames and the descriptor of a zspage whose count is 0: nobody can reach it any more."""
        if self.get_zspage_inuse(zspage):
            self.k.BUG("VM_BUG_ON inuse", "_refcount", "a zspage in use lost its last reference")
        if self.k.load(zspage + self.MAPPING) & ~PAGE_MAPPING_FLAGS:
            self.k.BUG("VM_BUG_ON mapping", "_refcount", "a zspage that was not freed lost its last reference")
        for index, page in enumerate(self.zspage_pages(zspage)):
            self.set_nth_page(zspage, index, 0)
            self.detach_freed_page(page)
        self.cache_free_zspage(zspage)

    def detach_freed_page(self, page: int) -> None:
        """Turn a component page into an ordinary one (H17), then give its frame back.

        A frame that a memory error pinned stays, and reads as a released movable page like an exchanged one
        (H20).
        """
        self.memdesc_rules().memdesc_detach(page)
        self.d.free_page(page)

    def kick_deferred_free(self, pool: int) -> None:
        """Let the worker free what is empty."""
        if self.k.compaction_enabled:
            self.k.schedule_work(pool + POOL_FREE_WORK)

    # -- movable or not

    def SetZsPageMovable(self, pool: int, zspage: int) -> None:
        """Let the core migrate the pages of a complete zspage: one lock, one store.

        Errors: WARN_ON a taken lock.
        """
        if not self.k.compaction_enabled:
            return
        lock = self.trylock_zspage(zspage)
        if not lock:
            self.k.BUG("WARN_ON !trylock_page", "SetZsPageMovable", "somebody has locked a new zspage")
        mapping = self.k.load(pool + POOL_MAPPING)
        self.k.store_release(zspage + self.MAPPING, mapping | PAGE_MAPPING_MOVABLE)
        self.unlock_zspage(zspage, lock)

    def ClearZsPageMovable(self, zspage: int) -> None:
        """Let the mapping go and keep the bit, as __ClearPageMovable() does: a released movable page."""
        mapping = zspage + self.MAPPING
        self.k.write_once(mapping, self.k.load(mapping) & PAGE_MAPPING_MOVABLE)
