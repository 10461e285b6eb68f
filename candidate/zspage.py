"""Zspage: one struct zspage, field by field, and what a component page says of it.

In:    addresses of zspages, struct pages, size classes and pools.
Out:   accessors named as in mm/zsmalloc.c; a BUG for a page whose head is no zspage.
Never: a load from a component page but its compound_head; a list; the lifetime of a zspage.
Next:  offsets in candidate/layout.py; objects in candidate/objects.py.

What struct page held for each page and one word cannot (H08) comes from here: a page's place in the chain is
its place in pages[], the first object's offset is arithmetic, hugeness is the class's, the huge handle is a
field.

Source: mm/zsmalloc.c, v5.10, for the functions that have a name there.
"""

from __future__ import annotations

from candidate.layout import (
    CLASS_BITS,
    CLASS_INDEX,
    CLASS_OBJS,
    CLASS_PAGES,
    CLASS_SIZE,
    FULLNESS_BITS,
    ISOLATED_BITS,
    MAGIC_BITS,
    POOL_SIZE_CLASS,
    ZSPAGE_MAGIC,
    ZspageLayout,
)
from zsfuzz.machine.layout import MASK32, PG_COMPOUND_HEAD
from zsfuzz.machine.machine import Kernel
from zsfuzz.policy.size_class import ZS_MAX_PAGES_PER_ZSPAGE, object_encoding
from zsfuzz.target.protocol import Target

ZSPAGE_LOCK = "zspage rwlock"


class ZspageFields(ZspageLayout, Target):
    """Accessors of one zspage.

    Every argument and result called zspage, page, class_ or pool is an address.
    """

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.offset_mask = kernel.page_size - 1
        self.encoding = object_encoding(kernel.page_size)

    # -- struct size_class, constants

    def class_size(self, class_: int) -> int:
        """class->size, bytes."""
        return self.k.load(class_ + CLASS_SIZE)

    def objs_per_zspage(self, class_: int) -> int:
        """class->objs_per_zspage."""
        return self.k.load(class_ + CLASS_OBJS)

    def pages_per_zspage(self, class_: int) -> int:
        """class->pages_per_zspage."""
        return self.k.load(class_ + CLASS_PAGES)

    def class_index(self, class_: int) -> int:
        """class->index."""
        return self.k.load(class_ + CLASS_INDEX)

    def is_huge(self, class_: int) -> bool:
        """One object that has its page for itself, without a header: PageHugeObject() of its pages."""
        return self.objs_per_zspage(class_) == 1 and self.pages_per_zspage(class_) == 1

    # -- counters

    def get_zspage_inuse(self, zspage: int) -> int:
        """zspage->inuse."""
        return self.k.load32(zspage + self.INUSE)

    def mod_zspage_inuse(self, zspage: int, val: int) -> None:
        """zspage->inuse += val, under class->lock."""
        inuse = zspage + self.INUSE
        self.k.store32(inuse, (self.k.load32(inuse) + val) & MASK32)

    def get_freeobj(self, zspage: int) -> int:
        """zspage->freeobj, unsigned 32 bits."""
        return self.k.load32(zspage + self.FREEOBJ)

    def set_freeobj(self, zspage: int, obj: int) -> None:
        """zspage->freeobj = obj, cut to 32 bits."""
        self.k.store32(zspage + self.FREEOBJ, obj & MASK32)

    # -- the packed word (not the flags word: H09), written under class->lock only

    def get_packed(self, zspage: int, bits: tuple[int, int]) -> int:
        """Return one field of the packed word. bits: (shift, width)."""
        shift, width = bits
        return self.k.load(zspage + self.PACKED) >> shift & ((1 << width) - 1)

    def set_packed(self, zspage: int, bits: tuple[int, int], value: int) -> None:
        """Write one field of the packed word, as a bit-field of C is written: read, change, write."""
        shift, width = bits
        mask = (1 << width) - 1
        word = self.k.load(zspage + self.PACKED)
        self.k.store(zspage + self.PACKED, word & ~(mask << shift) | (value & mask) << shift)

    def zspage_fullness(self, zspage: int) -> int:
        """zspage->fullness."""
        return self.get_packed(zspage, FULLNESS_BITS)

    def zspage_class_index(self, zspage: int) -> int:
        """zspage->class: constant while the zspage lives. Errors: BUG_ON a wrong magic."""
        self.check_magic(zspage)
        return self.get_packed(zspage, CLASS_BITS)

    def zspage_class(self, pool: int, zspage: int) -> int:
        """pool->size_class[zspage->class]."""
        return self.k.load(pool + POOL_SIZE_CLASS + 8 * self.zspage_class_index(zspage))

    def set_zspage_mapping(self, zspage: int, class_index: int, fullness: int) -> None:
        """Write class and fullness."""
        self.set_packed(zspage, CLASS_BITS, class_index)
        self.set_packed(zspage, FULLNESS_BITS, fullness)

    def get_isolation(self, zspage: int) -> int:
        """zspage->isolated: how many of its pages the core has."""
        return self.get_packed(zspage, ISOLATED_BITS)

    def is_zspage_isolated(self, zspage: int) -> bool:
        """Return whether the core has any of its pages."""
        return self.get_isolation(zspage) != 0

    def inc_zspage_isolation(self, zspage: int) -> None:
        """zspage->isolated++."""
        self.set_packed(zspage, ISOLATED_BITS, self.get_isolation(zspage) + 1)

    def dec_zspage_isolation(self, zspage: int) -> None:
        """zspage->isolated--."""
        self.set_packed(zspage, ISOLATED_BITS, self.get_isolation(zspage) - 1)

    def check_magic(self, zspage: int) -> None:
        """BUG_ON a wrong magic."""
        if self.get_packed(zspage, MAGIC_BITS) != ZSPAGE_MAGIC:
            self.k.BUG("BUG_ON zspage->magic", "magic", f"{zspage:#x} is no zspage")

    # -- pages

    def get_zspage(self, page: int) -> int:
        """Return the zspage that a component page names. Errors: BUG_ON for a page without one."""
        word = self.k.load(page + PG_COMPOUND_HEAD)
        if not word & 1:
            self.k.BUG("BUG_ON !PageTail", "compound_head", f"page {page:#x} names no zspage")
        zspage = word - 1
        self.check_magic(zspage)
        return zspage

    def nth_page(self, zspage: int, index: int) -> int:
        """zspage->pages[index], 0 behind the end of the chain."""
        return self.k.load(zspage + self.PAGES + 8 * index) if index < ZS_MAX_PAGES_PER_ZSPAGE else 0

    def set_nth_page(self, zspage: int, index: int, page: int) -> None:
        """zspage->pages[index] = page."""
        self.k.store(zspage + self.PAGES + 8 * index, page)

    def get_first_page(self, zspage: int) -> int:
        """Return the first component page."""
        return self.nth_page(zspage, 0)

    def zspage_pages(self, zspage: int) -> list[int]:
        """Return the component pages in chain order."""
        pages: list[int] = []
        while page := self.nth_page(zspage, len(pages)):
            pages.append(page)
        return pages

    def page_index(self, zspage: int, page: int) -> int:
        """Return a page's place in the chain, from 0. Errors: VM_BUG_ON for a page of another zspage."""
        index = 0
        while self.nth_page(zspage, index) != page:
            index += 1
            if index == ZS_MAX_PAGES_PER_ZSPAGE:
                self.k.BUG("VM_BUG_ON page not in zspage", "pages", f"page {page:#x} is not in pages[]")
        return index

    def get_next_page(self, zspage: int, page: int) -> int:
        """Return the page behind one, 0 behind the last."""
        return self.nth_page(zspage, self.page_index(zspage, page) + 1)

    def first_obj_offset(self, size: int, index: int) -> int:
        """Return the offset in bytes of the first object that starts in page `index`. size: class->size.

        Source: what init_zspage() stores in page->units, v5.10; computed here, for every class the same
        value.
        """
        return -(index * self.k.page_size) % size

    def get_first_obj_offset(self, class_: int, zspage: int, page: int) -> int:
        """Return the offset of the first object that starts in a component page."""
        return self.first_obj_offset(self.class_size(class_), self.page_index(zspage, page))

    # -- the lock against migration, and the handle of a huge zspage

    def migrate_lock_init(self, zspage: int) -> None:
        """rwlock_init()."""
        self.k.store(zspage + self.LOCK, 0)

    def migrate_read_lock(self, zspage: int) -> None:
        """read_lock(); nothing without CONFIG_COMPACTION."""
        if self.k.compaction_enabled:
            self.k.read_lock(zspage + self.LOCK, ZSPAGE_LOCK)

    def migrate_read_unlock(self, zspage: int) -> None:
        """read_unlock()."""
        if self.k.compaction_enabled:
            self.k.read_unlock(zspage + self.LOCK, ZSPAGE_LOCK)

    def migrate_write_lock(self, zspage: int) -> None:
        """write_lock()."""
        self.k.write_lock(zspage + self.LOCK, ZSPAGE_LOCK)

    def migrate_write_unlock(self, zspage: int) -> None:
        """write_unlock()."""
        self.k.write_unlock(zspage + self.LOCK, ZSPAGE_LOCK)

    def get_huge_handle(self, zspage: int) -> int:
        """Return the word that stands for the header of a huge zspage's object (H31)."""
        return self.k.load(zspage + self.HANDLE)

    def set_huge_handle(self, zspage: int, handle: int) -> None:
        """Record the tagged handle of a huge zspage's object."""
        self.k.store(zspage + self.HANDLE, handle)
