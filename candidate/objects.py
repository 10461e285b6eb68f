"""Objects: places of objects in frames, the free list that runs through them, handles and their pin bit.

In:    zspages and size classes by address, object indices, handles.
Out:   obj_malloc(), obj_free() and the encodings, as in mm/zsmalloc.c.
Never: fullness lists, the lifetime of a zspage, a store to a struct page.
Next:  lists in candidate/fullness.py.

Source: mm/zsmalloc.c, v5.10: location_to_obj() to find_alloced_obj(), init_zspage(), obj_malloc(),
obj_free(), zs_object_copy(). A free slot holds the next index << 1; a live one holds its handle | 1, a huge
one nothing.
"""

from __future__ import annotations

from candidate.fullness import FullnessLists
from candidate.layout import OBJ_USED
from zsfuzz.machine.layout import MASK32, MASK64
from zsfuzz.policy.size_class import OBJ_ALLOCATED_TAG, OBJ_TAG_BITS

HANDLE_PIN_BIT = 0
PIN_LOCK = "pin bit"


class Objects(FullnessLists):
    """Objects of a zspage."""

    # -- encodings

    def location_to_obj(self, page: int, obj_idx: int) -> int:
        """Return the object value of a place, pin bit clear."""
        return self.encoding.location_to_obj(self.k.page_to_pfn(page), obj_idx)

    def obj_to_location(self, obj: int) -> tuple[int, int]:
        """Return (page, obj_idx) of an object value. Errors: Report for a pfn outside the memmap."""
        pfn, obj_idx = self.encoding.obj_to_location(obj)
        return self.k.pfn_to_page(pfn), obj_idx

    def handle_to_obj(self, handle: int) -> int:
        """Return the object value behind a handle, pin bit included."""
        return self.k.load(handle)

    def record_obj(self, handle: int, obj: int) -> None:
        """Point a handle at an object value; bit 0 becomes the pin bit."""
        self.k.write_once(handle, obj)

    # -- pin bit

    def testpin_tag(self, handle: int) -> bool:
        """Return whether a handle is pinned."""
        return self.k.bit_spin_is_locked(HANDLE_PIN_BIT, handle)

    def trypin_tag(self, handle: int) -> bool:
        """Pin a handle if nobody has."""
        return self.k.bit_spin_trylock(HANDLE_PIN_BIT, handle, PIN_LOCK)

    def pin_tag(self, handle: int) -> None:
        """Pin a handle."""
        self.k.bit_spin_lock(HANDLE_PIN_BIT, handle, PIN_LOCK)

    def unpin_tag(self, handle: int) -> None:
        """Unpin a handle."""
        self.k.bit_spin_unlock(HANDLE_PIN_BIT, handle, PIN_LOCK)

    # -- slots

    def slot_offset(self, class_: int, obj_idx: int) -> int:
        """Return the offset of an object in the page that it starts in, bytes."""
        return self.class_size(class_) * obj_idx & self.offset_mask

    def obj_to_head(self, class_: int, zspage: int, slot: int) -> int:
        """Return the header word of the slot at address `slot`."""
        return self.get_huge_handle(zspage) if self.is_huge(class_) else self.k.load(slot)

    def live_handle(self, class_: int, zspage: int, slot: int) -> int:
        """Return the handle in a slot's header, 0 for a free slot."""
        head = self.obj_to_head(class_, zspage, slot)
        return head & ~OBJ_ALLOCATED_TAG if head & OBJ_ALLOCATED_TAG else 0

    def init_zspage(self, class_: int, zspage: int) -> None:
        """Chain the free slots through all pages of a new zspage, phantom slot included."""
        size, page_size, store = self.class_size(class_), self.k.page_size, self.k.store
        freeobj, off = 1, 0
        pages = self.zspage_pages(zspage)
        for page in pages:
            vaddr = self.k.kmap(page)
            while off + size < page_size:
                store(vaddr + off, freeobj << OBJ_TAG_BITS)
                freeobj += 1
                off += size
            if page != pages[-1]:
                store(vaddr + off, freeobj << OBJ_TAG_BITS)
                freeobj += 1
            else:
                store(vaddr + off, -1 << OBJ_TAG_BITS & MASK64)
            off = (off + size) % page_size
        self.set_freeobj(zspage, 0)

    def obj_malloc(self, class_: int, zspage: int, handle: int) -> int:
        """Take the first free slot for a handle and return its object value. The caller records it."""
        obj_idx = self.get_freeobj(zspage)
        page = self.nth_page(zspage, obj_idx * self.class_size(class_) >> self.k.page_shift)
        link = self.k.kmap(page) + self.slot_offset(class_, obj_idx)
        self.set_freeobj(zspage, self.k.load(link) >> OBJ_TAG_BITS)
        self.record_head(class_, zspage, link, handle | OBJ_ALLOCATED_TAG)
        self.mod_zspage_inuse(zspage, 1)
        self.zs_stat_inc(class_, OBJ_USED, 1)
        return self.location_to_obj(page, obj_idx)

    def record_head(self, class_: int, zspage: int, slot: int, head: int) -> None:
        """Write the header word of a slot: in band, or in the zspage for a huge one."""
        if self.is_huge(class_):
            self.set_huge_handle(zspage, head)
        else:
            self.k.store(slot, head)

    def obj_free(self, class_: int, obj: int) -> None:
        """Put an object's slot at the front of its zspage's free list.

        The link is cut to 32 bits, as in C.
        """
        page, obj_idx = self.obj_to_location(obj)
        zspage = self.get_zspage(page)
        link = self.k.kmap(page) + self.slot_offset(class_, obj_idx)
        self.k.store(link, self.get_freeobj(zspage) << OBJ_TAG_BITS & MASK32)
        self.set_freeobj(zspage, obj_idx)
        self.mod_zspage_inuse(zspage, -1)
        self.zs_stat_dec(class_, OBJ_USED, 1)

    # -- copies

    def zs_object_copy(self, class_: int, dst: int, src: int) -> None:
        """Copy one object, header included; either end may straddle two pages."""
        size, page_size = self.class_size(class_), self.k.page_size
        s_page, s_idx = self.obj_to_location(src)
        d_page, d_idx = self.obj_to_location(dst)
        s_off, d_off = self.slot_offset(class_, s_idx), self.slot_offset(class_, d_idx)
        left = size
        while True:
            length = min(left, page_size - s_off, page_size - d_off)
            self.k.memcpy(self.k.kmap(d_page) + d_off, self.k.kmap(s_page) + s_off, length)
            left -= length
            if not left:
                return
            s_page, s_off = self._advance(s_page, s_off + length)
            d_page, d_off = self._advance(d_page, d_off + length)

    def _advance(self, page: int, offset: int) -> tuple[int, int]:
        """Return (page, offset), on the next page when the offset has left this one."""
        if offset < self.k.page_size:
            return page, offset
        return self.get_next_page(self.get_zspage(page), page), 0

    def find_alloced_obj(self, class_: int, zspage: int, page: int, obj_idx: int) -> tuple[int, int]:
        """Return (handle, index in the page) of the next live object, pinned; handle 0 for none left."""
        size, vaddr = self.class_size(class_), self.k.kmap(page)
        offset = self.get_first_obj_offset(class_, zspage, page) + size * obj_idx
        while offset < self.k.page_size:
            handle = self.live_handle(class_, zspage, vaddr + offset)
            if handle and self.trypin_tag(handle):
                return handle, obj_idx
            offset += size
            obj_idx += 1
        return 0, obj_idx
