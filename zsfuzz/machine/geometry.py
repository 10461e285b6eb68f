"""Geometries: page size, size-class rule and default memory, by name.

In:    a name from a program's header.
Out:   Geometry, with its size-class table.
Never: state.
Next:  the table's formulas in zsfuzz/policy/size_class.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from zsfuzz.errors import UsageError
from zsfuzz.policy.size_class import SizeClassTable


@dataclass(frozen=True)
class Geometry:
    """One machine size. All counts are in pages unless the name says otherwise.

    pageblock_order, max_order: as in the kernel's page allocator; blocks have orders 0..max_order-1.
    section_pages: the unit of memory offline and online (a memory section).
    """

    name: str
    page_shift: int
    normal_pages: int = 128
    movable_pages: int = 128
    pageblock_order: int = 4
    max_order: int = 6
    section_pages: int = 32

    @property
    def page_size(self) -> int:
        """Return PAGE_SIZE in bytes."""
        return 1 << self.page_shift

    @cached_property
    def size_classes(self) -> SizeClassTable:
        """Return the table of size classes that zs_create_pool() would build."""
        return SizeClassTable(self.page_size)


GEOMETRIES: dict[str, Geometry] = {
    "linux-5.10": Geometry("linux-5.10", page_shift=12),
    "small": Geometry("small", page_shift=10),
}
"""linux-5.10: 4096-byte pages. small: 1024-byte pages, fewer objects a page, for speed."""


def geometry(name: str) -> Geometry:
    """Return the geometry of that name. Errors: UsageError for an unknown one."""
    found = GEOMETRIES.get(name)
    if found is None:
        raise UsageError(f"unknown geometry {name!r}; use one of {', '.join(GEOMETRIES)}")
    return found
