"""The descriptor interface: the closed list of primitives through which the core looks at a page.

In:    a struct page address, or what compound_head() made of one.
Out:   answers and state changes by the rules of 5.10.223: what redirects through compound_head() and what is raw.
Never: a scanner loop or a core algorithm: those are in zsfuzz/machine/core/ and zsfuzz/machine/scanners/.
Next:  the rules that the memdesc design changes, each a core patch: candidate/descriptor.py.

A target may replace single methods of Descriptor by a subclass; each replaced method is a core patch that somebody
has to get merged. PRIMITIVES lists every method that may be replaced.

Three methods name what a caller did, so that a patch can tell it apart; 5.10 ignores the extra argument:
unlock_page(page, lock) is given what lock_page() or trylock_page() returned: the address of the locked flags word;
keep_poisoned(page, head) and soft_offline_unit(page) mark the two places of mm/memory-failure.c that use the head.

Source: include/linux/page-flags.h, mm.h, mm/util.c, mm/swap.c, mm/compaction.c, fs/proc/page.c, v5.10.
Strays: the isolated list is linked with list_head semantics through core_link(), never open-coded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zsfuzz.machine.layout import (
    HUGETLB_PAGE_DTOR,
    PAGE_MAPCOUNT_RESERVE,
    PAGE_MAPPING_ANON,
    PAGE_MAPPING_FLAGS,
    PAGE_MAPPING_MOVABLE,
    PAGE_TYPE_BASE,
    PG_COMPOUND_DTOR,
    PG_COMPOUND_HEAD,
    PG_COMPOUND_MAPCOUNT,
    PG_COMPOUND_NR,
    PG_COMPOUND_ORDER,
    PG_LRU,
    PG_MAPCOUNT,
    PG_MAPPING,
    PG_REFCOUNT,
    STRUCT_PAGE_SIZE,
    ZONES_PGSHIFT,
    PG_head,
    PG_hwpoison,
    PG_isolated,
    PG_locked,
    PG_lru,
    PG_owner_priv_1,
    PG_private,
    PG_reserved,
    PG_slab,
    PG_writeback,
    PT_buddy,
    PT_offline,
    signed32,
)
from zsfuzz.machine.report import Report

if TYPE_CHECKING:
    from zsfuzz.machine.machine import Machine

PAGE_LOCK: Final = "page lock"


class Descriptor:
    """The rules of 5.10.223. Every argument called `page` is an address; results are addresses, ints or bools."""

    def __init__(self, machine: Machine) -> None:
        self.m = machine
        self._load, self._store = machine.load, machine.store
        self._load32, self._load8 = machine.load32, machine.load8

    # -- heads and compound pages

    def compound_head(self, page: int) -> int:
        """Return the head that a tail names, or the page itself."""
        word = self._load(page + PG_COMPOUND_HEAD)
        return word - 1 if word & 1 else page

    def PageTail(self, page: int) -> bool:
        """Raw: bit 0 of compound_head."""
        return bool(self._load(page + PG_COMPOUND_HEAD) & 1)

    def PageHead(self, page: int) -> bool:
        """Raw: PG_head."""
        return bool(self._load(page) >> PG_head & 1)

    def PageCompound(self, page: int) -> bool:
        """Raw: head or tail."""
        return self.PageHead(page) or self.PageTail(page)

    def PageTransCompound(self, page: int) -> bool:
        """CONFIG_TRANSPARENT_HUGEPAGE=y: the same as PageCompound."""
        return self.PageCompound(page)

    def PageTransHuge(self, page: int) -> bool:
        """PageHead. Errors: VM_BUG_ON for a tail."""
        if self.PageTail(page):
            self.m.BUG("VM_BUG_ON PageTail", "PageTransHuge", "PageTransHuge() of a tail page")
        return self.PageHead(page)

    def PageHuge(self, page: int) -> bool:
        """Compound, and the destructor in the second struct page of the head is hugetlb's."""
        if not self.PageCompound(page):
            return False
        head = self.compound_head(page)
        return self._load8(head + STRUCT_PAGE_SIZE + PG_COMPOUND_DTOR) == HUGETLB_PAGE_DTOR

    def compound_order(self, page: int) -> int:
        """PG_head tested raw on `page`: a tail has order 0."""
        if not self.PageHead(page):
            return 0
        return self._load8(page + STRUCT_PAGE_SIZE + PG_COMPOUND_ORDER)

    def compound_nr(self, page: int) -> int:
        """PG_head tested raw on `page`: a tail counts 1."""
        if not self.PageHead(page):
            return 1
        return self._load32(page + STRUCT_PAGE_SIZE + PG_COMPOUND_NR)

    def thp_nr_pages(self, page: int) -> int:
        """Return the pages of a huge page. Errors: VM_BUG_ON_PGFLAGS for a tail, through PageTransHuge()."""
        return self.compound_nr(page) if self.PageTransHuge(page) else 1

    # -- page lock (PF_NO_TAIL: the head's word)

    def PageLocked(self, page: int) -> bool:
        """Redirects."""
        return bool(self._load(self.compound_head(page)) >> PG_locked & 1)

    def trylock_page(self, page: int) -> int:
        """Redirects. Returns the address of the word whose PG_locked was taken, 0 if somebody has it."""
        word = self.compound_head(page)
        return word if self.m.locks.bit_spin_trylock(PG_locked, word, PAGE_LOCK) else 0

    def lock_page(self, page: int) -> int:
        """Redirects. Returns the address of the word whose PG_locked was taken."""
        word = self.compound_head(page)
        self.m.locks.bit_spin_lock(PG_locked, word, PAGE_LOCK)
        return word

    def unlock_page(self, page: int, lock: int) -> None:
        """Redirects, by what compound_head() says now. lock: what the lock was taken on; 5.10 does not look."""
        self.m.locks.bit_spin_unlock(PG_locked, self.compound_head(page), PAGE_LOCK)

    def wait_on_page_locked(self, page: int) -> None:
        """Redirects. In one lane waiting for a locked page is a deadlock."""
        self.m.locks.wait_on_bit(PG_locked, self.compound_head(page), PAGE_LOCK)

    # -- reference counts

    def page_ref_count(self, page: int) -> int:
        """Raw."""
        return signed32(self._load32(page + PG_REFCOUNT))

    def page_count(self, page: int) -> int:
        """Redirects."""
        return signed32(self._load32(self.compound_head(page) + PG_REFCOUNT))

    def get_page_unless_zero(self, page: int) -> bool:
        """Raw."""
        return self.m.atomic_add_unless32(page + PG_REFCOUNT, 1, 0)

    def get_page(self, page: int) -> None:
        """Redirects. Errors: VM_BUG_ON for a count that is not positive."""
        head = self.compound_head(page)
        if self.page_ref_count(head) <= 0:
            self.m.BUG("VM_BUG_ON _refcount", "get_page", f"get_page() with a count of {self.page_ref_count(head)}")
        self.m.atomic_add32(head + PG_REFCOUNT, 1)

    def put_page(self, page: int) -> None:
        """Redirects; the last reference frees the head."""
        head = self.compound_head(page)
        if self.put_page_testzero(head):
            self.put_last(head)

    def put_page_testzero(self, page: int) -> bool:
        """Raw. Errors: Report when the count was not positive."""
        left = self.m.atomic_add32(page + PG_REFCOUNT, -1)
        if left < 0:
            raise Report("invariant", "I6 refcount below zero", "_refcount", f"_refcount fell to {left}")
        return left == 0

    def page_ref_freeze(self, page: int, count: int) -> bool:
        """Raw: set the count to 0 if it is `count`. Returns whether it was."""
        return self.m.atomic_cmpxchg32(page + PG_REFCOUNT, count, 0)

    def page_ref_unfreeze(self, page: int, count: int) -> None:
        """Raw: give a frozen count back. Errors: VM_BUG_ON when it is not 0."""
        if self._load32(page + PG_REFCOUNT):
            self.m.BUG("VM_BUG_ON page_count", "page_ref_unfreeze", "unfreeze of a count that is not frozen")
        self.m.store32(page + PG_REFCOUNT, count)

    def put_last(self, head: int) -> None:
        """Free what lost its last reference: __put_page() of mm/swap.c."""
        order = self.compound_order(head)
        if self._load(head) >> PG_lru & 1:
            self.m.clear_bit(PG_lru, head)
        self.m.buddy.free_unref_page(head, order)

    def free_page(self, page: int) -> None:
        """Raw: __free_page(). Frees when the count falls to zero, keeps the page otherwise."""
        if self.put_page_testzero(page):
            self.m.buddy.free_unref_page(page, 0)

    # -- mapping

    def mapping_word(self, page: int) -> int:
        """Raw: page->mapping with its low bits."""
        return self._load(page + PG_MAPPING)

    def PageMappingFlags(self, page: int) -> bool:
        """Raw: any low bit of page->mapping."""
        return bool(self.mapping_word(page) & PAGE_MAPPING_FLAGS)

    def page_has_movable_mapping(self, page: int) -> bool:
        """Raw: __PageMovable(), the low bits of page->mapping are those of a movable non-lru page."""
        return self.mapping_word(page) & PAGE_MAPPING_FLAGS == PAGE_MAPPING_MOVABLE

    def PageMovable(self, page: int) -> bool:
        """__PageMovable(), and the mapping still has operations. Errors: VM_BUG_ON when not locked."""
        if not self.PageLocked(page):
            self.m.BUG("VM_BUG_ON !PageLocked", "PageMovable", "PageMovable() of an unlocked page")
        return self.page_has_movable_mapping(page) and bool(self.page_mapping(page))

    def page_mapping(self, page: int) -> int:
        """Redirects: the mapping without its low bits, 0 for slab and anonymous pages."""
        head = self.compound_head(page)
        if self._load(head) >> PG_slab & 1:
            return 0
        word = self._load(head + PG_MAPPING)
        return 0 if word & PAGE_MAPPING_ANON else word & ~PAGE_MAPPING_FLAGS

    # -- PG_isolated (raw)

    def PageIsolated(self, page: int) -> bool:
        """Raw."""
        return bool(self._load(page) >> PG_isolated & 1)

    def set_page_isolated(self, page: int) -> None:
        """Raw: __SetPageIsolated()."""
        self.m.set_bit(PG_isolated, page)

    def clear_page_isolated(self, page: int) -> None:
        """Raw: __ClearPageIsolated()."""
        self.m.clear_bit(PG_isolated, page)

    # -- other flags

    def PageLRU(self, page: int) -> bool:
        """Redirects (PF_HEAD)."""
        return bool(self._load(self.compound_head(page)) >> PG_lru & 1)

    def PageSlab(self, page: int) -> bool:
        """Redirects (PF_NO_TAIL)."""
        return bool(self._load(self.compound_head(page)) >> PG_slab & 1)

    def PageAnon(self, page: int) -> bool:
        """Redirects."""
        return bool(self._load(self.compound_head(page) + PG_MAPPING) & PAGE_MAPPING_ANON)

    def PageWriteback(self, page: int) -> bool:
        """Redirects (PF_NO_TAIL)."""
        return bool(self._load(self.compound_head(page)) >> PG_writeback & 1)

    def PageReserved(self, page: int) -> bool:
        """Raw for tails of compound pages: PF_NO_COMPOUND reads the page itself."""
        return bool(self._load(page) >> PG_reserved & 1)

    def PagePrivate(self, page: int) -> bool:
        """Raw (PF_ANY)."""
        return bool(self._load(page) >> PG_private & 1)

    def PageOwnerPriv1(self, page: int) -> bool:
        """Raw (PF_ANY)."""
        return bool(self._load(page) >> PG_owner_priv_1 & 1)

    def PageHWPoison(self, page: int) -> bool:
        """Raw (PF_ANY)."""
        return bool(self._load(page) >> PG_hwpoison & 1)

    def TestSetPageHWPoison(self, page: int) -> bool:
        """Raw (PF_ANY). Returns whether it was set before."""
        return self.m.test_and_set_bit(PG_hwpoison, page)

    # -- page types and map counts

    def page_type(self, page: int) -> int:
        """Raw: the word that _mapcount, page_type and units share, unsigned."""
        return self._load32(page + PG_MAPCOUNT)

    def PageBuddy(self, page: int) -> bool:
        """Raw."""
        return self.page_type(page) & (PAGE_TYPE_BASE | PT_buddy) == PAGE_TYPE_BASE

    def PageOffline(self, page: int) -> bool:
        """Raw."""
        return self.page_type(page) & (PAGE_TYPE_BASE | PT_offline) == PAGE_TYPE_BASE

    def page_has_type(self, page: int) -> bool:
        """Raw."""
        return signed32(self.page_type(page)) < PAGE_MAPCOUNT_RESERVE

    def buddy_order(self, page: int) -> int:
        """Raw: page->private of a free block's first page."""
        return self._load(page + 40)

    def page_mapped(self, page: int) -> bool:
        """Raw for a single page; a compound page asks the second struct page of its head, then each page."""
        if not self.PageCompound(page):
            return signed32(self.page_type(page)) >= 0
        head = self.compound_head(page)
        if signed32(self._load32(head + STRUCT_PAGE_SIZE + PG_COMPOUND_MAPCOUNT)) >= 0:
            return True
        if self.PageHuge(page):
            return False
        return any(
            signed32(self.page_type(head + number * STRUCT_PAGE_SIZE)) >= 0 for number in range(self.compound_nr(head))
        )

    def page_mapcount(self, page: int) -> int:
        """_mapcount + 1; a compound page adds its head's. Source: __page_mapcount(), mm/util.c."""
        own = signed32(self.page_type(page)) + 1
        if not self.PageCompound(page):
            return own
        head = self.compound_head(page)
        if not self.PageAnon(page) and self.PageHuge(page):
            return signed32(self._load32(head + STRUCT_PAGE_SIZE + PG_COMPOUND_MAPCOUNT)) + 1
        return own + signed32(self._load32(head + STRUCT_PAGE_SIZE + PG_COMPOUND_MAPCOUNT)) + 1

    # -- zone and node

    def page_zone(self, page: int) -> int:
        """Raw: the zone bits of page->flags."""
        return self._load(page) >> ZONES_PGSHIFT

    # -- the core's list of isolated pages

    def core_link(self, page: int) -> int:
        """Return the address of the list_head by which the core links an isolated page: page->lru."""
        return page + PG_LRU

    def core_page(self, link: int) -> int:
        """Return the page of a link (struct pages are aligned to their size)."""
        return link & ~(STRUCT_PAGE_SIZE - 1)

    def core_unlink(self, page: int) -> None:
        """list_del() of an isolated page."""
        self.m.lists.list_del(self.core_link(page))

    # -- mm/memory-failure.c

    def keep_poisoned(self, page: int, head: int) -> None:
        """A page that memory_failure() could not handle keeps the reference that was taken on its head."""

    def soft_offline_unit(self, page: int) -> int:
        """Return what soft offline isolates and migrates: the head."""
        return self.compound_head(page)


def _kernel_name(name: str) -> bool:
    return not name.startswith("_") and callable(getattr(Descriptor, name))


PRIMITIVES: Final = tuple(sorted(name for name in vars(Descriptor) if _kernel_name(name)))
"""The closed list: every method that a design may replace, each replacement being one core patch."""
