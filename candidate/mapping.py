"""Mapping: zs_map_object() and zs_unmap_object(), with the two-page copy buffer of each CPU.

In:    pools and handles.
Out:   the address of an object's bytes, in its frame or in the copy buffer.
Never: a store to a struct page; allocation or freeing of objects.
Next:  the API that frees and allocates them in candidate/pool.py.

Source: mm/zsmalloc.c, v5.10: zs_map_object(), __zs_map_object(), zs_unmap_object(), __zs_unmap_object(). From
map to unmap the pin bit and the zspage's read lock are held. Strays: one CPU.
"""

from __future__ import annotations

from candidate.layout import AREA_ADDR, AREA_BUF, AREA_BYTES, AREA_MODE
from candidate.lifetime import Lifetime
from zsfuzz.machine.machine import Kernel
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE
from zsfuzz.target.protocol import ZS_MM_RO, ZS_MM_WO


class Mapping(Lifetime):
    """Access to objects."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.zs_map_area = tuple(self.make_area() for _ in range(kernel.nr_cpus))

    def make_area(self) -> int:
        """Return the mapping_area of one CPU, with its buffer of one page."""
        area = self.k.kzalloc(AREA_BYTES)
        self.k.store(area + AREA_BUF, self.k.kmalloc(self.k.page_size))
        return area

    def this_cpu_area(self) -> int:
        """Return the mapping_area of the CPU that asks."""
        return self.zs_map_area[self.k.smp_processor_id()]

    def object_place(self, pool: int, handle: int) -> tuple[int, int, int, int]:
        """Return (class, zspage, page, offset in the page) of a pinned handle's object."""
        page, obj_idx = self.obj_to_location(self.handle_to_obj(handle))
        zspage = self.get_zspage(page)
        class_ = self.zspage_class(pool, zspage)
        return class_, zspage, page, self.slot_offset(class_, obj_idx)

    def zs_map_object(self, pool: int, handle: int, mode: int) -> int:
        """Return the address of an object's bytes until zs_unmap_object(). mode: ZS_MM_*."""
        self.pin_tag(handle)
        page, _ = self.obj_to_location(self.handle_to_obj(handle))
        self.migrate_read_lock(self.get_zspage(page))
        class_, zspage, page, off = self.object_place(pool, handle)
        size = self.class_size(class_)
        area = self.this_cpu_area()
        self.k.store(area + AREA_MODE, mode)
        if off + size <= self.k.page_size:
            vm_addr = self.k.kmap(page)
            self.k.store(area + AREA_ADDR, vm_addr)
            address = vm_addr + off
        else:
            address = self.map_straddling(area, (page, self.second_page(zspage, page)), off, size)
        return address if self.is_huge(class_) else address + ZS_HANDLE_SIZE

    def second_page(self, zspage: int, page: int) -> int:
        """Return the page behind one. Errors: BUG_ON when there is none."""
        following = self.get_next_page(zspage, page)
        if not following:
            self.k.BUG("BUG_ON !pages[1]", "pages", "an object straddles the end of its zspage")
        return following

    def map_straddling(self, area: int, pages: tuple[int, int], off: int, size: int) -> int:
        """__zs_map_object(): copy an object in two pages to the CPU's buffer, if it may be read."""
        buf = self.k.load(area + AREA_BUF)
        if self.k.load(area + AREA_MODE) != ZS_MM_WO:
            first = self.k.page_size - off
            self.k.memcpy(buf, self.k.kmap(pages[0]) + off, first)
            self.k.memcpy(buf + first, self.k.kmap(pages[1]), size - first)
        return buf

    def zs_unmap_object(self, pool: int, handle: int) -> None:
        """End a mapping."""
        class_, zspage, page, off = self.object_place(pool, handle)
        size = self.class_size(class_)
        if off + size > self.k.page_size:
            self.unmap_straddling(self.this_cpu_area(), (page, self.second_page(zspage, page)), off, size)
        self.migrate_read_unlock(zspage)
        self.unpin_tag(handle)

    def unmap_straddling(self, area: int, pages: tuple[int, int], off: int, size: int) -> None:
        """__zs_unmap_object(): copy the buffer back, header excluded, but not for a read-only mapping."""
        if self.k.load(area + AREA_MODE) == ZS_MM_RO:
            return
        buf = self.k.load(area + AREA_BUF) + ZS_HANDLE_SIZE
        off += ZS_HANDLE_SIZE
        size -= ZS_HANDLE_SIZE
        first = self.k.page_size - off
        self.k.memcpy(self.k.kmap(pages[0]) + off, buf, first)
        self.k.memcpy(self.k.kmap(pages[1]), buf + first, size - first)
