"""Pages: the struct page words that the legacy design writes, and what they mean.

In:    struct page addresses of a zspage's component pages.
Out:   PageWords, the lowest layer of the allocator: chain links, first-object offsets, huge handles, the
       movable mark.
Never: looks into a frame, takes a lock.
Next:  the zspage that page->private names: reference/zspage.py.

    page->private    the zspage
    page->freelist   the next component page; in a huge zspage (same word, index) the handle | tag
    page->units      offset of the first object that starts in the page (over _mapcount, 32 bits)
    page->mapping    mapping of the pool's inode | PAGE_MAPPING_MOVABLE
    PG_private       marks the first component page
    PG_owner_priv_1  marks the page of a huge zspage

Source: mm/zsmalloc.c, v5.10.223, the comment at its top and the helpers around get_first_page().
"""

from __future__ import annotations

from zsfuzz.machine.layout import (
    MASK32,
    NR_ZSPAGES,
    PAGE_MAPPING_MOVABLE,
    PG_INDEX,
    PG_MAPCOUNT,
    PG_MAPPING,
    PG_PRIVATE,
    PG_owner_priv_1,
    PG_private,
    signed32,
)
from zsfuzz.machine.machine import Kernel
from zsfuzz.policy.size_class import object_encoding
from zsfuzz.target.protocol import Target


class PageWords(Target):
    """What the design keeps in struct page. Arguments called `page` are struct page addresses."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.load, self.store = kernel.load, kernel.store
        self.load32, self.store32 = kernel.load32, kernel.store32
        self.page_size = kernel.page_size
        self.page_shift = kernel.page_shift
        encoding = object_encoding(kernel.page_size)
        self.obj_index_bits = encoding.obj_index_bits
        self.obj_index_mask = encoding.obj_index_mask

    # -- flags

    def is_first_page(self, page: int) -> bool:
        """Return PagePrivate. Source: is_first_page(), v5.10. Strays: no."""
        return self.d.PagePrivate(page)

    def PageHugeObject(self, page: int) -> bool:
        """Return PageOwnerPriv1. Source: PageHugeObject(), v5.10. Strays: no."""
        return self.d.PageOwnerPriv1(page)

    def SetPageHugeObject(self, page: int) -> None:
        """Mark the page of a huge zspage. Source: SetPageHugeObject(), v5.10. Strays: no."""
        self.k.set_bit(PG_owner_priv_1, page)

    def ClearPageHugeObject(self, page: int) -> None:
        """Undo SetPageHugeObject(). Source: ClearPageHugeObject(), v5.10. Strays: no."""
        self.k.clear_bit(PG_owner_priv_1, page)

    # -- words

    def get_next_page(self, page: int) -> int:
        """Return the next component page, 0 at the end; a huge zspage's word holds its handle instead.

        Source: get_next_page(), v5.10. Strays: no.
        """
        if self.PageHugeObject(page):
            return 0
        return self.load(page + PG_INDEX)

    def get_first_obj_offset(self, page: int) -> int:
        """Return page->units, in bytes; it is a signed int.

        Source: get_first_obj_offset(), v5.10. Strays: no.
        """
        return signed32(self.load32(page + PG_MAPCOUNT))

    def set_first_obj_offset(self, page: int, offset: int) -> None:
        """Set page->units, in bytes. Source: set_first_obj_offset(), v5.10. Strays: no."""
        self.store32(page + PG_MAPCOUNT, offset & MASK32)

    def set_page_private(self, page: int, private: int) -> None:
        """Set page->private. Source: set_page_private(), include/linux/mm.h, v5.10. Strays: no."""
        self.store(page + PG_PRIVATE, private)

    def page_mapcount_reset(self, page: int) -> None:
        """Set _mapcount to -1. Source: page_mapcount_reset(), include/linux/mm.h, v5.10. Strays: no."""
        self.store32(page + PG_MAPCOUNT, MASK32)

    # -- the movable mark

    def set_page_movable(self, page: int, mapping: int) -> None:
        """Point page->mapping to the pool's inode, marked movable.

        mapping: an address_space without low bits. Errors: Report for an unlocked page or a mapping that is
        marked. Source: __SetPageMovable(), mm/compaction.c, v5.10; without CONFIG_COMPACTION an empty stub.
        Strays: no.
        """
        if not self.k.compaction_enabled:
            return
        if not self.d.PageLocked(page):
            self.k.BUG("VM_BUG_ON !PageLocked", "__SetPageMovable", "__SetPageMovable() of an unlocked page")
        if mapping & PAGE_MAPPING_MOVABLE:
            self.k.BUG("VM_BUG_ON mapping & PAGE_MAPPING_MOVABLE", "__SetPageMovable", "mapping is marked")
        self.store(page + PG_MAPPING, mapping | PAGE_MAPPING_MOVABLE)

    def clear_page_movable(self, page: int) -> None:
        """Drop the mapping and keep the mark, so that the core knows a page whose owner let it go.

        Errors: Report for an unlocked page or one that is not movable. Source: __ClearPageMovable(),
        mm/compaction.c, v5.10; without CONFIG_COMPACTION an empty stub. Strays: no.
        """
        if not self.k.compaction_enabled:
            return
        if not self.d.PageMovable(page):  # asks for the lock as well
            self.k.BUG("VM_BUG_ON !PageMovable", "__ClearPageMovable", "page is not movable")
        mapping = self.load(page + PG_MAPPING)
        self.store(page + PG_MAPPING, mapping & PAGE_MAPPING_MOVABLE)

    def reset_page(self, page: int) -> None:
        """Wipe what the design wrote into a page, before it is let go.

        Source: reset_page(), v5.10. Strays: no.
        """
        self.clear_page_movable(page)
        self.k.clear_bit(PG_private, page)
        self.set_page_private(page, 0)
        self.page_mapcount_reset(page)
        self.ClearPageHugeObject(page)
        self.store(page + PG_INDEX, 0)

    # -- NR_ZSPAGES

    def inc_zone_page_state(self, page: int) -> None:
        """Count a page in its zone's NR_ZSPAGES. Source: inc_zone_page_state(), mm/vmstat.c, v5.10."""
        self.k.mod_zone_page_state(self.d.page_zone(page), NR_ZSPAGES, 1)

    def dec_zone_page_state(self, page: int) -> None:
        """Undo inc_zone_page_state(). Errors: Report when the counter would fall below zero."""
        self.k.mod_zone_page_state(self.d.page_zone(page), NR_ZSPAGES, -1)
