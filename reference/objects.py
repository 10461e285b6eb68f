"""Objects: handles, object values, slots in the frames and the free list that runs through them.

In:    zspages whose pages are chained (reference/lifetime.py).
Out:   Objects: obj_malloc(), obj_free(), init_zspage(), zs_object_copy() and the words they work on.
Never: moves a zspage between lists, takes class->lock (callers hold it).
Next:  zspages come and go in reference/lifetime.py; a user's view of an object in reference/mapping.py.

    handle word     [ pfn | index | pin bit ]                8 bytes of the slab cache zs_handle
    live slot       [ handle | 1 | the user's bytes ........ ]
    free slot       [ next index << 1 | stale bytes ........ ]
    huge page       the slot has no header: page->index holds handle | 1

The free list runs through 64-bit words in the frames, but its head, freeobj, is 32 bits: the -1 link of the
last slot comes back from there as another value that is no index either. Where a class leaves room behind its
last object, the list has a phantom slot more than there are objects.
"""

from __future__ import annotations

from reference.layout import (
    CLASS_SIZE,
    HANDLE_PIN_BIT,
    OBJ_USED,
    PIN_BIT,
    POOL_HANDLE_CACHEP,
    ZSPAGE_FIRST_PAGE,
)
from reference.zspage import ZspageWords
from zsfuzz.machine.layout import MASK32, MASK64, PG_INDEX
from zsfuzz.policy.size_class import OBJ_ALLOCATED_TAG, OBJ_TAG_BITS

_LAST_LINK = MASK64 << OBJ_TAG_BITS & MASK64  # -1UL << OBJ_TAG_BITS


class Objects(ZspageWords):
    """Object slots. `handle` is an address; an object value is what a handle's word holds."""

    # -- object values

    def obj_to_location(self, obj: int) -> tuple[int, int]:
        """Return (struct page, object index) of an object value; the pin bit does not matter.

        Errors: Report for a pfn outside the memmap. Source: obj_to_location(), v5.10. Strays: no.
        """
        obj >>= OBJ_TAG_BITS
        return self.k.pfn_to_page(obj >> self.obj_index_bits), obj & self.obj_index_mask

    def location_to_obj(self, page: int, obj_idx: int) -> int:
        """Return the object value of a location. Source: location_to_obj(), v5.10. Strays: no."""
        obj = self.k.page_to_pfn(page) << self.obj_index_bits | obj_idx & self.obj_index_mask
        return obj << OBJ_TAG_BITS & MASK64

    # -- handles

    def cache_alloc_handle(self, pool: int) -> int:
        """Return a new handle, 0 without memory.

        Source: cache_alloc_handle(), v5.10. Strays: slabs know no gfp.
        """
        return self.k.kmem_cache_alloc(self.load(pool + POOL_HANDLE_CACHEP))

    def cache_free_handle(self, pool: int, handle: int) -> None:
        """Free a handle. Source: cache_free_handle(), v5.10. Strays: no."""
        self.k.kmem_cache_free(self.load(pool + POOL_HANDLE_CACHEP), handle)

    def handle_to_obj(self, handle: int) -> int:
        """Return the object value with the pin bit as it is. Source: handle_to_obj(), v5.10. Strays: no."""
        return self.load(handle)

    def record_obj(self, handle: int, obj: int) -> None:
        """Store an object value in one piece. Source: record_obj(), v5.10. Strays: no."""
        self.k.write_once(handle, obj)

    def pin_tag(self, handle: int) -> None:
        """Keep an object where it is. Source: pin_tag(), v5.10. Strays: no."""
        self.k.bit_spin_lock(HANDLE_PIN_BIT, handle, PIN_BIT)

    def trypin_tag(self, handle: int) -> bool:
        """Pin unless somebody has. Source: trypin_tag(), v5.10. Strays: no."""
        return self.k.bit_spin_trylock(HANDLE_PIN_BIT, handle, PIN_BIT)

    def testpin_tag(self, handle: int) -> bool:
        """Return whether an object is pinned. Source: testpin_tag(), v5.10. Strays: no."""
        return self.k.bit_spin_is_locked(HANDLE_PIN_BIT, handle)

    def unpin_tag(self, handle: int) -> None:
        """Undo pin_tag(). Source: unpin_tag(), v5.10. Strays: no."""
        self.k.bit_spin_unlock(HANDLE_PIN_BIT, handle, PIN_BIT)

    def obj_to_head(self, page: int, address: int) -> int:
        """Return an object's header: handle | tag for a live one, a link or a stale word otherwise.

        page: the component page; address: the slot in its frame, not looked at for a huge page.
        Errors: Report for a huge page that is not marked first. Source: obj_to_head(), v5.10. Strays: no.
        """
        if not self.PageHugeObject(page):
            return self.load(address)
        if not self.is_first_page(page):
            self.k.BUG("VM_BUG_ON !is_first_page", "obj_to_head", "a huge page lacks PG_private")
        return self.load(page + PG_INDEX)

    # -- the free list

    def init_zspage(self, size_class: int, zspage: int) -> None:
        """Write every page's first-object offset and chain all slots, phantom slot included.

        Source: init_zspage(), v5.10. Strays: no.
        """
        size = self.load32(size_class + CLASS_SIZE)
        page, freeobj, offset = self.get_first_page(zspage), 1, 0
        while page:
            self.set_first_obj_offset(page, offset)
            slots_count = -(-(self.page_size - offset) // size)
            next_page = self.get_next_page(page)
            self.link_slots(self.k.kmap(page) + offset, size, range(freeobj, freeobj + slots_count), not next_page)
            freeobj += slots_count
            offset = (offset + slots_count * size) % self.page_size
            page = next_page
        self.set_freeobj(zspage, 0)

    def link_slots(self, link: int, size: int, following: range, ends: bool) -> None:
        """Chain the slots that start in one page.

        link: address of the first one. following: the index that each links to. ends: the last one links to
        -1. Source: init_zspage(), v5.10. Strays: no.
        """
        store = self.store
        for freeobj in following[:-1]:
            store(link, freeobj << OBJ_TAG_BITS)
            link += size
        store(link, _LAST_LINK if ends else following[-1] << OBJ_TAG_BITS)

    def obj_malloc(self, size_class: int, zspage: int, handle: int) -> int:
        """Take the first free slot for a handle and return its object value.

        The caller has seen that the zspage is not full. Source: obj_malloc(), v5.10. Strays: no.
        """
        load, store, kmap = self.load, self.store, self.k.kmap
        obj = self.get_freeobj(zspage)
        offset = obj * self.load32(size_class + CLASS_SIZE)
        page = self.get_first_page(zspage)
        for _ in range(offset >> self.page_shift):
            page = self.get_next_page(page)
        link = kmap(page) + (offset & self.page_size - 1)
        self.set_freeobj(zspage, load(link) >> OBJ_TAG_BITS)
        if self.PageHugeObject(page):
            store(load(zspage + ZSPAGE_FIRST_PAGE) + PG_INDEX, handle | OBJ_ALLOCATED_TAG)
        else:
            store(link, handle | OBJ_ALLOCATED_TAG)
        self.mod_zspage_inuse(zspage, 1)
        self.zs_stat_inc(size_class, OBJ_USED, 1)
        return self.location_to_obj(page, obj)

    def obj_free(self, size_class: int, obj: int) -> None:
        """Put the slot of an object value at the head of its zspage's free list.

        Source: obj_free(), v5.10: the link is shifted as 32 bits, so an index beyond 31 bits loses its top.
        Strays: no.
        """
        page, obj_idx = self.obj_to_location(obj)
        offset = self.load32(size_class + CLASS_SIZE) * obj_idx & self.page_size - 1
        zspage = self.get_zspage(page)
        self.store(self.k.kmap(page) + offset, self.get_freeobj(zspage) << OBJ_TAG_BITS & MASK32)
        self.set_freeobj(zspage, obj_idx)
        self.mod_zspage_inuse(zspage, -1)
        self.zs_stat_dec(size_class, OBJ_USED, 1)

    # -- moving objects

    def zs_object_copy(self, size_class: int, dst: int, src: int) -> None:
        """Copy a whole slot, header included, between two object values; either may straddle two pages.

        Source: zs_object_copy(), v5.10. Strays: frames stay mapped, so nothing is mapped again after a step.
        """
        size = self.load32(size_class + CLASS_SIZE)
        s_page, s_idx = self.obj_to_location(src)
        d_page, d_idx = self.obj_to_location(dst)
        s_off, d_off = size * s_idx & self.page_size - 1, size * d_idx & self.page_size - 1
        left = size
        while True:
            step = min(left, self.page_size - s_off, self.page_size - d_off)
            self.k.memcpy(self.k.kmap(d_page) + d_off, self.k.kmap(s_page) + s_off, step)
            left -= step
            if not left:
                return
            s_off, d_off = s_off + step, d_off + step
            if s_off >= self.page_size:
                s_page, s_off = self.get_next_page(s_page), 0
            if d_off >= self.page_size:
                d_page, d_off = self.get_next_page(d_page), 0

    def find_alloced_obj(self, size_class: int, page: int, obj_idx: int) -> tuple[int, int]:
        """Return (handle, index) of the next live object of a page that can be pinned, pinned; handle 0 for
        none.

        obj_idx: counts the slots that start in the page, from 0. Source: find_alloced_obj(), v5.10. Strays:
        the index is returned, not stored through a pointer.
        """
        size = self.load32(size_class + CLASS_SIZE)
        offset = self.get_first_obj_offset(page) + size * obj_idx
        frame = self.k.kmap(page)
        while offset < self.page_size:
            head = self.obj_to_head(page, frame + offset)
            if head & OBJ_ALLOCATED_TAG:
                handle = head & ~OBJ_ALLOCATED_TAG
                if self.trypin_tag(handle):
                    return handle, obj_idx
            offset += size
            obj_idx += 1
        return 0, obj_idx
