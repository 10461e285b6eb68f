"""Mapping: zs_map_object() and zs_unmap_object(), with the copy buffer for objects that straddle two pages.

In:    handles; ZS_MM_RW, ZS_MM_RO, ZS_MM_WO.
Out:   Mapping: the address of an object's bytes, in its frame or in the buffer.
Never: two mappings on one CPU at a time; the caller's contract, not checked here.
Next:  the pin bit and the migrate lock that a mapping holds: reference/objects.py, reference/zspage.py.

    page n    [ ............. | handle | by ]     map:    both parts go to the buffer, unless WO
    page n+1  [ tes | ..................... ]     unmap:  what follows the handle goes back, unless RO

Source: mm/zsmalloc.c, v5.10.223. Strays: one CPU, so one mapping area; lanes get one each by their number.
kmap_atomic() is the direct map, so nothing is unmapped and no balance is kept.
"""

from __future__ import annotations

from reference.layout import (
    AREA_VM_ADDR,
    AREA_VM_BUF,
    AREA_VM_MM,
    CLASS_SIZE,
    SIZEOF_MAPPING_AREA,
)
from reference.migration import Migration
from zsfuzz.machine.machine import Kernel
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE
from zsfuzz.target.protocol import ZS_MM_RO, ZS_MM_WO


class Mapping(Migration):
    """A user's access to objects."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.zs_map_areas = tuple(self.zs_cpu_prepare() for _ in range(kernel.nr_cpus))

    def zs_cpu_prepare(self) -> int:
        """Return a mapping area with its buffer of one page. Source: zs_cpu_prepare(), v5.10.

        Strays: areas are made with the target and stay as long.
        """
        area = self.k.kzalloc(SIZEOF_MAPPING_AREA)
        self.store(area + AREA_VM_BUF, self.k.kmalloc(self.page_size))
        return area

    def get_cpu_area(self) -> int:
        """Return the mapping area of this CPU. Source: get_cpu_var(zs_map_area), v5.10."""
        return self.zs_map_areas[self.k.smp_processor_id()]

    def zs_map_object(self, pool: int, handle: int, mode: int) -> int:
        """Return the address of an object's bytes, its header left out; pin and migrate lock stay taken.

        mode: ZS_MM_*. A straddling object is mapped in the CPU's buffer, whose bytes are stale for ZS_MM_WO.
        Errors: Report for a straddling object without a second page. Source: zs_map_object(), v5.10. Strays:
        no.
        """
        self.pin_tag(handle)
        page, obj_idx = self.obj_to_location(self.handle_to_obj(handle))
        zspage = self.get_zspage(page)
        self.migrate_read_lock(zspage)
        size = self.size_of_zspage(pool, zspage)
        offset = size * obj_idx & self.page_size - 1
        area = self.get_cpu_area()
        self.store(area + AREA_VM_MM, mode)
        if offset + size <= self.page_size:
            frame = self.k.kmap(page)
            self.store(area + AREA_VM_ADDR, frame)
            address = frame + offset
        else:
            address = self.map_straddling(area, self.two_pages(page, "zs_map_object"), offset, size)
        return address if self.PageHugeObject(page) else address + ZS_HANDLE_SIZE

    def zs_unmap_object(self, pool: int, handle: int) -> None:
        """End a mapping: write the buffer back where one was used, release migrate lock and pin.

        Source: zs_unmap_object(), v5.10. Strays: no.
        """
        page, obj_idx = self.obj_to_location(self.handle_to_obj(handle))
        zspage = self.get_zspage(page)
        size = self.size_of_zspage(pool, zspage)
        offset = size * obj_idx & self.page_size - 1
        if offset + size > self.page_size:
            pages = self.two_pages(page, "zs_unmap_object")
            self.unmap_straddling(self.get_cpu_area(), pages, offset, size)
        self.migrate_read_unlock(zspage)
        self.unpin_tag(handle)

    def size_of_zspage(self, pool: int, zspage: int) -> int:
        """Return the slot size of a zspage's class, in bytes. Source: zs_map_object(), v5.10. Strays: no."""
        class_idx, _ = self.get_zspage_mapping(zspage)
        return self.load32(self.class_of(pool, class_idx) + CLASS_SIZE)

    def two_pages(self, page: int, caller: str) -> tuple[int, int]:
        """Return a page and the one after it.

        Errors: Report for the last page. Source: BUG_ON(!pages[1]), v5.10.
        """
        second = self.get_next_page(page)
        if not second:
            self.k.BUG("BUG_ON !pages[1]", caller, "a straddling object has no second page")
        return page, second

    def map_straddling(self, area: int, pages: tuple[int, int], offset: int, size: int) -> int:
        """Return the buffer's address, the whole slot copied to it unless the mode is WO.

        offset, size: bytes; the slot starts at `offset` of the first page. Source: __zs_map_object(), v5.10.
        Strays: no.
        """
        buffer = self.load(area + AREA_VM_BUF)
        if self.load(area + AREA_VM_MM) != ZS_MM_WO:
            first = self.page_size - offset
            self.copy_from_first_page(buffer, pages[0], offset, first)
            self.copy_from_second_page(buffer + first, pages[1], size - first)
        return buffer

    def copy_from_first_page(self, buffer: int, page: int, offset: int, length: int) -> None:
        """Copy the part of a slot before the page's end. Source: __zs_map_object(), v5.10. Strays: no."""
        self.k.memcpy(buffer, self.k.kmap(page) + offset, length)

    def copy_from_second_page(self, buffer: int, page: int, length: int) -> None:
        """Copy the part of a slot in the following page. Source: __zs_map_object(), v5.10. Strays: no."""
        self.k.memcpy(buffer, self.k.kmap(page), length)

    def unmap_straddling(self, area: int, pages: tuple[int, int], offset: int, size: int) -> None:
        """Copy the buffer back, the handle left out, unless the mode is RO. Source: __zs_unmap_object(),
        v5.10.

        Strays: no.
        """
        if self.load(area + AREA_VM_MM) == ZS_MM_RO:
            return
        buffer = self.load(area + AREA_VM_BUF) + ZS_HANDLE_SIZE
        first = self.page_size - offset - ZS_HANDLE_SIZE
        self.k.memcpy(self.k.kmap(pages[0]) + offset + ZS_HANDLE_SIZE, buffer, first)
        self.k.memcpy(self.k.kmap(pages[1]), buffer + first, size - ZS_HANDLE_SIZE - first)
