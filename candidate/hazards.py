"""Hazards undone: for each decision of candidate/DESIGN.md that stands alone, the override that undoes it.

In:    the target and the rules of this package.
Out:   HAZARDS, one Fault for a hazard, or two where it has two decisions (the second id has a suffix).
Never: two decisions in one fault; a question for a fault in the code that it overrides.
Next:  bugs that are no hazard of the conversion: candidate/slips.py; the catalogue: candidate/faults.py.

A mixin is put in front of the target class, or of its descriptor rules; where a core patch is taken out it
calls the method of Descriptor. Not here, since the candidate has no decision to undo: H21, H24 to H27, H29,
H30, H32, H33.
"""

from __future__ import annotations

from typing import ClassVar, Final

from candidate.allocator import Candidate
from candidate.descriptor import MemdescRules
from candidate.layout import FULLNESS_BITS
from candidate.lifetime import OWNER_REFERENCES
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.layout import (
    HUGETLB_PAGE_DTOR,
    PG_COMPOUND_DTOR,
    PG_COMPOUND_HEAD,
    PG_COMPOUND_MAPCOUNT,
    PG_INDEX,
    STRUCT_PAGE_SIZE,
    PG_writeback,
    signed32,
)
from zsfuzz.target.fault import Fault

PROPOSAL: Final = "the proposal of October 2021 read literally"

# -- the core patches, taken out one at a time


class CompoundToCompaction(MemdescRules):
    """H01: PageCompound() holds for a tail; PageTransCompound() and PageHuge() stay as patched."""

    def PageCompound(self, page: int) -> bool:
        return Descriptor.PageCompound(self, page)

    def PageTransCompound(self, page: int) -> bool:
        return MemdescRules.PageCompound(self, page)

    def PageHuge(self, page: int) -> bool:
        return not self.page_memdesc(page) and super().PageHuge(page)


class RawMapping(MemdescRules):
    """H02: page->mapping is read from the page, where the proposal stores nothing."""

    def mapping_word(self, page: int) -> int:
        return Descriptor.mapping_word(self, page)


class LinkedByLru(MemdescRules):
    """H03: the core links isolated pages through page->lru, over compound_head."""

    def core_link(self, page: int) -> int:
        return Descriptor.core_link(self, page)

    def core_unlink(self, page: int) -> None:
        Descriptor.core_unlink(self, page)


class RawGet(MemdescRules):
    """H04: the reference is taken on the page and dropped on the zspage."""

    def get_page_unless_zero(self, page: int) -> bool:
        return Descriptor.get_page_unless_zero(self, page)


class UnlockByHead(MemdescRules):
    """H05: unlock_page() goes by the head of now."""

    def unlock_page(self, page: int, lock: int) -> None:
        Descriptor.unlock_page(self, page, lock)


class SharedIsolation(MemdescRules):
    """H07: PG_isolated is kept in the flags of the zspage."""

    def PageIsolated(self, page: int) -> bool:
        return super().PageIsolated(self.compound_head(page))

    def set_page_isolated(self, page: int) -> None:
        super().set_page_isolated(self.compound_head(page))

    def clear_page_isolated(self, page: int) -> None:
        super().clear_page_isolated(self.compound_head(page))


class CompoundToUnmovable(MemdescRules):
    """H11: PageTransCompound() holds for a tail: has_unmovable_pages() skips by the distance to the slab."""

    def PageTransCompound(self, page: int) -> bool:
        return Descriptor.PageCompound(self, page)


class TransHugeAsserts(MemdescRules):
    """H11: to ask a memdesc tail for THP is a bug."""

    def PageTransHuge(self, page: int) -> bool:
        return Descriptor.PageTransHuge(self, page)


class HugeBySecondPage(MemdescRules):
    """H12: PageHuge() of a memdesc tail reads 80 bytes from the start of the zspage."""

    def PageHuge(self, page: int) -> bool:
        memdesc = self.page_memdesc(page)
        if not memdesc:
            return super().PageHuge(page)
        return self._load8(memdesc + STRUCT_PAGE_SIZE + PG_COMPOUND_DTOR) == HUGETLB_PAGE_DTOR


class InuseOverDtor(Candidate):
    """H12: inuse lies where a second struct page has its destructor."""

    INUSE: ClassVar[int] = STRUCT_PAGE_SIZE + PG_COMPOUND_DTOR


class MappedBySecondPage(MemdescRules):
    """H13: page_mapped() and page_mapcount() of a memdesc tail read 84 bytes from the start of the zspage."""

    def page_mapped(self, page: int) -> bool:
        return self.page_mapcount(page) > 0

    def page_mapcount(self, page: int) -> int:
        memdesc = self.page_memdesc(page)
        if not memdesc:
            return super().page_mapcount(page)
        return signed32(self._load32(memdesc + STRUCT_PAGE_SIZE + PG_COMPOUND_MAPCOUNT)) + 1


class NoSecondPage(Candidate):
    """H13: nothing there says that the zspage is not mapped."""

    SECOND_VALUE: ClassVar[int] = 0


class NoDestructor(MemdescRules):
    """H14: the last put hands the zspage to the buddy allocator."""

    def put_last(self, head: int) -> None:
        Descriptor.put_last(self, head)


class NoSecondLook(MemdescRules):
    """H15: the head is not looked at again after the get."""

    def head_is_still(self, page: int, memdesc: int) -> bool:
        return True


class PoisonOnZspage(MemdescRules):
    """H23: the reference of a poisoned page stays on the zspage."""

    def keep_poisoned(self, page: int, head: int) -> None:
        Descriptor.keep_poisoned(self, page, head)


class SoftOfflineHead(MemdescRules):
    """H23: soft offline isolates and migrates the head."""

    def soft_offline_unit(self, page: int) -> int:
        return Descriptor.soft_offline_unit(self, page)


class UnlinkLeavesPoison(MemdescRules):
    """H28: index and private keep what list_del() leaves in them."""

    def core_unlink(self, page: int) -> None:
        Descriptor.core_unlink(self, page)


# -- the allocator's own decisions


class LockEachPage(Candidate):
    """H06: SetZsPageMovable() locks page after page, then unlocks them: they share one lock."""

    def SetZsPageMovable(self, pool: int, zspage: int) -> None:
        for page in self.zspage_pages(zspage)[1:]:
            if not self.d.trylock_page(page):
                self.k.BUG("WARN_ON !trylock_page", "SetZsPageMovable", "a page of a new zspage is locked")
        super().SetZsPageMovable(pool, zspage)


class OffsetLost(Candidate):
    """H08: with page->units gone, every page is taken to begin with an object."""

    def first_obj_offset(self, size: int, index: int) -> int:
        return 0


class FullnessInFlags(Candidate):
    """H09: fullness shares the word with PG_locked and is written without an atomic."""

    SHIFT: ClassVar[int] = 40

    def get_packed(self, zspage: int, bits: tuple[int, int]) -> int:
        if bits == FULLNESS_BITS:
            return self.k.load(zspage + self.FLAGS) >> self.SHIFT & 3
        return super().get_packed(zspage, bits)

    def set_packed(self, zspage: int, bits: tuple[int, int], value: int) -> None:
        if bits == FULLNESS_BITS:
            word = self.k.load(zspage + self.FLAGS)
            self.k.store(zspage + self.FLAGS, word & ~(3 << self.SHIFT) | value << self.SHIFT)
        else:
            super().set_packed(zspage, bits, value)


class OwnBitInFlags(Candidate):
    """H10: a bit of the design's own in the flags word, where the core has PG_writeback."""

    def set_zspage_zone(self, zspage: int) -> None:
        super().set_zspage_zone(zspage)
        self.k.set_bit(PG_writeback, zspage + self.FLAGS)


class FreedWhileIsolated(Candidate):
    """H16: an empty zspage is freed though the core has pages of it: a count of 1 would be the core's."""

    def zspage_emptied(self, pool: int, class_: int, zspage: int, isolated: bool) -> None:
        super().zspage_emptied(pool, class_, zspage, isolated=False)


class FreeTail(Candidate):
    """H17: a frame goes back to the buddy allocator before its compound_head is cleared."""

    def detach_freed_page(self, page: int) -> None:
        self.d.free_page(page)
        self.k.store(page + PG_COMPOUND_HEAD, 0)


class AttachOneByOne(Candidate):
    """H18: each page is attached as it is allocated, and the error path gives tails back."""

    def alloc_zspage_pages(self, class_: int, zspage: int, gfp: int) -> bool:
        for index in range(self.pages_per_zspage(class_)):
            page = self.k.alloc_page(self.page_gfp(gfp))
            if not page:
                self.free_zspage_pages(zspage)
                return False
            self.mod_nr_zspages(page, 1)
            self.set_nth_page(zspage, index, page)
            self.attach_page(zspage, page)
        return True

    def publish_zspage(self, zspage: int) -> None:
        self.k.store32(zspage + self.REFCOUNT, OWNER_REFERENCES)


class PublishHalfBuilt(Candidate):
    """H19: the pages name the zspage, and it can be referenced, before its flags word is complete."""

    def set_zspage_zone(self, zspage: int) -> None:
        self.publish_zspage(zspage)
        super().set_zspage_zone(zspage)


class ResetAll(Candidate):
    """H20: to reset one page clears the mapping that all pages of the zspage share."""

    def detach_exchanged_page(self, zspage: int, page: int) -> None:
        self.ClearZsPageMovable(zspage)
        super().detach_exchanged_page(zspage, page)


class FrozenTails(Candidate):
    """H22: a component page's own count is 0, as that of a real tail."""

    def attach_page(self, zspage: int, page: int) -> bool:
        if not self.d.page_ref_freeze(page, OWNER_REFERENCES):
            return False
        self.set_compound_head(page, zspage)
        return True

    def detach_freed_page(self, page: int) -> None:
        self.d.page_ref_unfreeze(page, OWNER_REFERENCES)
        super().detach_freed_page(page)

    def detach_exchanged_page(self, zspage: int, page: int) -> None:
        super().detach_exchanged_page(zspage, page)
        self.d.page_ref_unfreeze(page, OWNER_REFERENCES)


class HandleInIndex(Candidate):
    """H31: the handle of a huge zspage's object stays in page->index."""

    def get_huge_handle(self, zspage: int) -> int:
        return self.k.load(self.get_first_page(zspage) + PG_INDEX)

    def set_huge_handle(self, zspage: int, handle: int) -> None:
        self.k.store(self.get_first_page(zspage) + PG_INDEX, handle)


class WordAligned(Candidate):
    """H34: the slab cache aligns to 8 bytes, as kmem_cache_create() does when not asked."""

    ALIGN: ClassVar[int] = 8


def _hazard(
    id: str,
    mechanism: str,
    oracle: str,
    override: type[Candidate] | None = None,
    rules_override: type[MemdescRules] | None = None,
    *,
    concurrent: bool = False,
) -> Fault:
    return Fault(id, "candidate", PROPOSAL, mechanism, concurrent, oracle, override, rules_override)


HAZARDS: Final = (
    _hazard(
        "H01",
        "compaction passes tails by",
        "divergence isolation, memory, progress wrong answer",
        rules_override=CompoundToCompaction,
    ),
    _hazard(
        "H02",
        "__PageMovable() of a tail reads the page",
        "divergence isolation, progress wrong answer",
        rules_override=RawMapping,
    ),
    _hazard("H03", "the isolated list overwrites compound_head", "invariant I9", rules_override=LinkedByLru),
    _hazard("H04", "get is raw, put redirects", "bug VM_BUG_ON, invariant I6", rules_override=RawGet),
    _hazard("H05", "unlock goes by the head of now", "invariant I5", rules_override=UnlockByHead),
    _hazard("H06", "page locks are taken one by one, they are one", "bug WARN_ON, invariant I5", LockEachPage),
    _hazard(
        "H07",
        "PG_isolated is shared by the pages of a zspage",
        "bug WARN_ON, invariant I10, divergence scanner view",
        rules_override=SharedIsolation,
    ),
    _hazard("H08", "the first object's offset is lost", "invariant I11", OffsetLost),
    _hazard("H09", "fullness is written beside PG_locked", "invariant I5", FullnessInFlags, concurrent=True),
    _hazard(
        "H10",
        "a bit of zsmalloc's own reads as PG_writeback",
        "divergence outcome, progress self-deadlock",
        OwnBitInFlags,
    ),
    _hazard("H11", "has_unmovable_pages() skips to the slab", "progress I8", rules_override=CompoundToUnmovable),
    _hazard("H11-thp", "PageTransHuge() of a tail asserts", "bug VM_BUG_ON", rules_override=TransHugeAsserts),
    _hazard(
        "H12",
        "inuse 2 reads as hugetlb's destructor",
        "divergence scanner view, memory false PageHuge",
        InuseOverDtor,
        HugeBySecondPage,
    ),
    _hazard("H13", "a zero second page reads as mapped", "divergence scanner view", NoSecondPage, MappedBySecondPage),
    _hazard(
        "H14", "the last put frees a zspage as a page", "memory, divergence scanner view", rules_override=NoDestructor
    ),
    _hazard(
        "H15",
        "no re-check of the head after a get",
        "invariant I6",
        rules_override=NoSecondLook,
        concurrent=True,
    ),
    _hazard("H16", "a zspage is freed while the core has a page of it", "bug VM_BUG_ON", FreedWhileIsolated),
    _hazard("H17", "a tail is given to the buddy allocator", "bug VM_BUG_ON", FreeTail),
    _hazard("H18", "the error path of alloc_zspage() frees tails", "bug VM_BUG_ON", AttachOneByOne),
    _hazard("H19", "tails name a half-built zspage", "invariant I6", PublishHalfBuilt, concurrent=True),
    _hazard("H20", "one reset takes the mapping from all pages", "bug VM_BUG_ON", ResetAll),
    _hazard("H22", "tails have a count of 0", "invariant I6", FrozenTails),
    _hazard("H23", "a memory error holds the whole zspage", "invariant I6", rules_override=PoisonOnZspage),
    _hazard("H23-soft", "soft offline migrates the zspage", "bug BUG_ON", rules_override=SoftOfflineHead),
    _hazard("H28", "list pointers stay in index and private", "invariant I6", rules_override=UnlinkLeavesPoison),
    _hazard("H31", "the huge handle is stored in page->index", "contract store", HandleInIndex),
    _hazard("H34", "zspages are 8-byte aligned", "bug VM_BUG_ON", WordAligned),
)
"""In the order of the hazards. oracle: what is expected to fire first."""
