"""MemdescRules: the core patches, that is how a core that knows memory descriptors looks at a page.

In:    the primitives of 5.10 (zsfuzz/machine/descriptor.py).
Out:   MemdescRules, a subclass that answers differently for a memdesc tail; CORE_PATCHES, the list that is
       counted.
Never: zsmalloc: these rules would serve any memory descriptor; the destructor is all they know of the owner.
Next:  why each patch is needed, and which were not: docs/adr/0004-candidate-core-patches.md,
       candidate/DESIGN.md.

A *memdesc tail* is a page whose compound_head word has bit 0 set and names an address outside the memmap. A
real tail names a struct page. The test needs two constants and no load from the head, so it is safe for a
stale head, and it holds wherever the slab lies, below the memmap or above it.

One rule carries the reference counting (R1): the head of a page changes only while the count it redirects to
is frozen: a fresh page's own when it is attached, the zspage's when a page is exchanged, zero when the zspage
dies. So whoever holds a reference finds the same head when he drops it, and put_page() needs no patch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from zsfuzz.machine.descriptor import PAGE_LOCK, Descriptor
from zsfuzz.machine.layout import (
    PAGE_MAPPING_MOVABLE,
    PG_COMPOUND_HEAD,
    PG_INDEX,
    PG_LRU,
    PG_MAPPING,
    PG_PRIVATE,
    PG_REFCOUNT,
    VMEMMAP_START,
    PG_locked,
)

if TYPE_CHECKING:
    from zsfuzz.machine.machine import Machine


@dataclass(frozen=True, slots=True)
class CorePatch:
    """One change that somebody has to get merged. functions: methods of MemdescRules, new ones included."""

    id: str
    functions: tuple[str, ...]
    hazards: tuple[str, ...]
    reason: str


CORE_PATCHES: Final = (
    CorePatch("K1", ("PageCompound",), ("H01", "H11", "H12", "H13"), "a memdesc tail is no part of a compound page"),
    CorePatch("K2", ("PageTransHuge",), ("H11",), "asking a memdesc tail for THP is no bug, the answer is no"),
    CorePatch("K3", ("mapping_word",), ("H02", "H20"), "page->mapping of a memdesc tail is the memdesc's"),
    CorePatch("K4", ("unlock_page",), ("H05",), "a lock is released on the word it was taken on"),
    CorePatch(
        "K5",
        ("get_page_unless_zero",),
        ("H04", "H15"),
        "a speculative reference redirects as put_page() does",
    ),
    CorePatch("K6", ("put_last", "register_destructor"), ("H14",), "the last put of a memdesc calls its destructor"),
    CorePatch(
        "K7",
        ("core_link", "core_unlink"),
        ("H03", "H28"),
        "isolated memdesc tails are linked through index, private",
    ),
    CorePatch("K8", ("keep_poisoned",), ("H23",), "a poisoned page keeps its frame, not the memdesc"),
    CorePatch("K9", ("soft_offline_unit",), ("H23",), "soft offline moves one page of a memdesc"),
    CorePatch(
        "K10",
        ("memdesc_detach",),
        ("H20",),
        "an exchanged page reads as released movable, as __ClearPageMovable() leaves it",
    ),
)


class MemdescRules(Descriptor):
    """The rules of 5.10.223 with the core patches K1 to K10."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._vmemmap_end = VMEMMAP_START + machine.memory.memmap_bytes
        self._destructor: Callable[[int], None] | None = None

    # -- what a memdesc tail is

    def in_memmap(self, address: int) -> bool:
        """Return whether an address is that of a struct page. Strays: one flat vmemmap."""
        return VMEMMAP_START <= address < self._vmemmap_end

    def page_memdesc(self, page: int) -> int:
        """Return the memory descriptor that a page names, 0 for none; a real tail names none."""
        word = self._load(page + PG_COMPOUND_HEAD)
        return word - 1 if word & 1 and not self.in_memmap(word - 1) else 0

    # -- K1, K2: no compound page

    def PageCompound(self, page: int) -> bool:
        """K1.

        Head or real tail. PageTail() stays true: PageTransCompound() and PageHuge() follow this one.
        """
        return self.PageHead(page) or (self.PageTail(page) and not self.page_memdesc(page))

    def PageTransHuge(self, page: int) -> bool:
        """K2. PageHead. Errors: VM_BUG_ON for a real tail."""
        return False if self.page_memdesc(page) else super().PageTransHuge(page)

    # -- K3: mapping

    def mapping_word(self, page: int) -> int:
        """K3. Redirects for a memdesc tail. PageMappingFlags() and __PageMovable() follow."""
        return self._load((self.page_memdesc(page) or page) + PG_MAPPING)

    # -- K4: lock

    def unlock_page(self, page: int, lock: int) -> None:
        """K4. Release the word that lock_page() or trylock_page() returned, whatever the head is by now."""
        self.m.locks.bit_spin_unlock(PG_locked, lock, PAGE_LOCK)

    # -- K5, K6: references

    def get_page_unless_zero(self, page: int) -> bool:
        """K5. Redirects for a memdesc tail. False for a count of 0: free, frozen, or not yet complete."""
        while True:
            memdesc = self.page_memdesc(page)
            if not super().get_page_unless_zero(memdesc or page):
                return False
            if self.head_is_still(page, memdesc):
                return True
            self.drop_reference(memdesc or page)

    def head_is_still(self, page: int, memdesc: int) -> bool:
        """Return whether a page still names what it named before the get: only then is the count right."""
        return self.page_memdesc(page) == memdesc

    def drop_reference(self, counted: int) -> None:
        """Drop a reference on the very address it was counted on."""
        if self.put_page_testzero(counted):
            self.put_last(counted)

    def register_destructor(self, destructor: Callable[[int], None]) -> None:
        """K6. Note what frees a memory descriptor whose last reference is gone; called with its address."""
        self._destructor = destructor

    def put_last(self, head: int) -> None:
        """K6. A memdesc goes to its destructor, a struct page to the buddy allocator."""
        if self._destructor is None or self.in_memmap(head):
            super().put_last(head)
        else:
            self._destructor(head)

    # -- K7: the core's list of isolated pages

    def linked_by_index(self, page: int) -> bool:
        """Return whether a page is or was linked while a memdesc tail.

        memdesc_detach() leaves a zero word where a page on an lru list has its next pointer.
        """
        return bool(self.page_memdesc(page)) or not self._load(page + PG_COMPOUND_HEAD)

    def core_link(self, page: int) -> int:
        """K7.

        A memdesc tail is linked through page->index and page->private: page->lru would overwrite its head.
        """
        return page + (PG_INDEX if self.linked_by_index(page) else PG_LRU)

    def core_unlink(self, page: int) -> None:
        """K7. list_del(), and scrub the two words: owner and buddy allocator get them back as 0."""
        by_index = self.linked_by_index(page)
        super().core_unlink(page)
        if by_index:
            self._store(page + PG_INDEX, 0)
            self._store(page + PG_PRIVATE, 0)

    # -- K8, K9: mm/memory-failure.c

    def keep_poisoned(self, page: int, head: int) -> None:
        """K8.

        Turn the reference on the memdesc into one on the frame, which so never goes back to the buddy.
        """
        if self.page_memdesc(page):
            self.m.atomic_add32(page + PG_REFCOUNT, 1)
            self.drop_reference(head)

    def soft_offline_unit(self, page: int) -> int:
        """K9. A memdesc has no frames that belong together: the page alone is isolated and migrated."""
        return page if self.page_memdesc(page) else super().soft_offline_unit(page)

    # -- K10: exchange

    def memdesc_detach(self, page: int) -> None:
        """K10. clear_compound_head() for a page that leaves its memdesc, exchanged or freed.

        The page then reads as a movable page whose owner let it go: what __ClearPageMovable() leaves behind
        in 5.10. Errors: VM_BUG_ON for a page that is no memdesc tail, or that is not locked while somebody
        can still have a reference on its memdesc.
        """
        memdesc = self.page_memdesc(page)
        if not memdesc:
            self.m.BUG("VM_BUG_ON !PageTail", "memdesc_detach", "memdesc_detach() of a page without a memdesc")
        if not self.PageLocked(page) and self.page_ref_count(memdesc):
            self.m.BUG("VM_BUG_ON !PageLocked", "memdesc_detach", "memdesc_detach() of an unlocked page")
        self._store(page + PG_MAPPING, self._load(memdesc + PG_MAPPING) & PAGE_MAPPING_MOVABLE)
        self._store(page + PG_COMPOUND_HEAD, 0)
