"""Size classes, fullness groups and object values: the part of zsmalloc that has no struct page in it.

In:    a page size, the longest chain of pages, the step between class sizes.
Out:   SizeClassTable and SizeClass; FullnessGroup and get_fullness_group(); ObjectEncoding.
Never: a page, a list, a lock, a statistic. Both allocators share this file, so a bug here is invisible to
       the differential check; that is why tests/policy/test_size_class.py computes it all a second time.
Next:  reference/ and candidate/ keep their zspages by these classes; zsfuzz/trace/sizing.py sizes
       memories with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache

ZS_ALIGN = 8
"""Bytes. Every class size is a multiple of it, so that a free-list link never spans two pages."""

ZS_HANDLE_SIZE = 8
"""Bytes that zs_malloc() adds to every request before it looks up the class."""

ZS_MAX_PAGES_PER_ZSPAGE = 4
"""1 << ZS_MAX_ZSPAGE_ORDER, 5.10 to 6.1."""

OBJ_ALLOCATED_TAG = 1
"""Bit of an object's header that tells a live object from a free-list link."""

OBJ_TAG_BITS = 1
"""Low bits of an object value that belong to the lock (the pin bit), not to the location."""

_MIN_ALLOC_FLOOR = 32
_CLASS_BITS = 8
_FULLNESS_THRESHOLD_FRAC = 4
_BITS_PER_LONG = 64
_MAX_POSSIBLE_PHYSMEM_BITS = 52  # x86-64 with five-level page tables compiled in
_WORD_MASK = (1 << _BITS_PER_LONG) - 1


class FullnessGroup(IntEnum):
    """enum fullness_group of mm/zsmalloc.c, v5.10; the values are the indexes of a class's lists."""

    ZS_EMPTY = 0
    ZS_ALMOST_EMPTY = 1
    ZS_ALMOST_FULL = 2
    ZS_FULL = 3


NR_ZS_FULLNESS = len(FullnessGroup)

# Module globals: an attribute look-up on the enumeration costs more than the comparison it would serve.
_EMPTY = FullnessGroup.ZS_EMPTY
_ALMOST_EMPTY = FullnessGroup.ZS_ALMOST_EMPTY
_ALMOST_FULL = FullnessGroup.ZS_ALMOST_FULL
_FULL = FullnessGroup.ZS_FULL


def get_fullness_group(inuse: int, objs_per_zspage: int) -> FullnessGroup:
    """Return the group of a zspage with `inuse` of its `objs_per_zspage` objects allocated.

    inuse: 0..objs_per_zspage. objs_per_zspage: 1 or more.
    Errors: none; a count outside the range is the caller's invariant (I2), and is classified as C would.
    Source: mm/zsmalloc.c get_fullness_group(), v5.10. The comment above it there speaks of n <= N / f; the
    code compares with 3 * N / f, and the code wins. Strays: no.
    """
    if inuse == 0:
        return _EMPTY
    if inuse == objs_per_zspage:
        return _FULL
    if inuse <= 3 * objs_per_zspage // _FULLNESS_THRESHOLD_FRAC:
        return _ALMOST_EMPTY
    return _ALMOST_FULL


def get_pages_per_zspage(class_size: int, page_size: int, max_pages_per_zspage: int) -> int:
    """Return the chain length that uses the largest whole percentage of its bytes.

    class_size, page_size: bytes. max_pages_per_zspage: 1 or more. The shortest chain wins a tie, and ties
    are common because the percentage is cut to an integer.
    Errors: none. Source: mm/zsmalloc.c get_pages_per_zspage(), v5.10. Strays: no.
    """
    best_pages = 1
    best_used_percent = 0
    for pages in range(1, max_pages_per_zspage + 1):
        zspage_size = pages * page_size
        used_percent = (zspage_size - zspage_size % class_size) * 100 // zspage_size
        if used_percent > best_used_percent:
            best_used_percent = used_percent
            best_pages = pages
    return best_pages


@dataclass(frozen=True, slots=True)
class SizeClass:
    """One distinct size class.

    index: raw index of the largest size that is served by it (class->index). size_bytes: bytes of one slot,
    the header included. pages_per_zspage, objs_per_zspage: counts.
    huge: one object in one page; such a zspage has no header in the page.
    Source: struct size_class, mm/zsmalloc.c, v5.10. Strays: lists, lock and statistics are the models'.
    """

    index: int
    size_bytes: int
    pages_per_zspage: int
    objs_per_zspage: int
    huge: bool


def can_merge(prev: SizeClass, pages_per_zspage: int, objs_per_zspage: int) -> bool:
    """Return whether a smaller size may share `prev`, the next larger class.

    Source: mm/zsmalloc.c can_merge(), v5.10. Strays: no.
    """
    return prev.pages_per_zspage == pages_per_zspage and prev.objs_per_zspage == objs_per_zspage


@dataclass(frozen=True, slots=True, eq=False)
class SizeClassTable:
    """The size classes of one page size.

    page_size: bytes, a power of two, 256 or more. max_pages_per_zspage: pages, 1 or more. min_alloc: the
    smallest class, in bytes. delta: bytes from one raw class to the next; None is max(16, page_size >> 8),
    which is ZS_SIZE_CLASS_DELTA wherever the kernel runs and keeps 16 for smaller pages.
    classes: the distinct classes, smallest first. index_of: raw index -> position in `classes`.
    huge_class_size: smallest request in bytes (handle not counted) that gets a page of its own; 0 when no
    class has more than one page and one object, as the kernel's static stays 0.
    Errors: ValueError for a geometry that would let a link or an index overflow its place.
    Source: mm/zsmalloc.c zs_create_pool() and ZS_MIN_ALLOC_SIZE, v5.10. Strays: page sizes below 4096.

    Two tables are equal when they are the same object; size_class_table() gives one per geometry.
    """

    page_size: int
    max_pages_per_zspage: int = ZS_MAX_PAGES_PER_ZSPAGE
    min_alloc: int = _MIN_ALLOC_FLOOR
    delta: int | None = None
    step: int = field(init=False)
    classes: tuple[SizeClass, ...] = field(init=False)
    index_of: tuple[int, ...] = field(init=False)
    huge_class_size: int = field(init=False)
    _class_of: tuple[SizeClass, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        step = max(16, self.page_size >> _CLASS_BITS) if self.delta is None else self.delta
        object.__setattr__(self, "step", step)
        _refuse_unsound(self.page_size, self.max_pages_per_zspage, self.min_alloc, step)
        classes, index_of, huge_class_size = self._walk_from_the_largest_down()
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "index_of", index_of)
        object.__setattr__(self, "huge_class_size", huge_class_size)
        object.__setattr__(self, "_class_of", tuple(classes[position] for position in index_of))

    def _walk_from_the_largest_down(self) -> tuple[tuple[SizeClass, ...], tuple[int, ...], int]:
        raw_count = -(-(self.page_size - self.min_alloc) // self.step) + 1
        descending: list[SizeClass] = []
        served_by: list[int] = []  # raw index, largest first -> position in `descending`
        huge_class_size = 0
        for index in reversed(range(raw_count)):
            size = min(self.min_alloc + index * self.step, self.page_size)
            pages = get_pages_per_zspage(size, self.page_size, self.max_pages_per_zspage)
            objs = pages * self.page_size // size
            if pages != 1 and objs != 1 and not huge_class_size:
                # The request grows by the handle before the look-up, hence the shift down.
                huge_class_size = size - (ZS_HANDLE_SIZE - 1)
            if not descending or not can_merge(descending[-1], pages, objs):
                descending.append(SizeClass(index, size, pages, objs, pages == 1 and objs == 1))
            served_by.append(len(descending) - 1)
        last = len(descending) - 1
        index_of = tuple(last - position for position in reversed(served_by))
        return tuple(reversed(descending)), index_of, huge_class_size

    def get_size_class_index(self, size_with_handle: int) -> int:
        """Return the raw index of the class whose slots hold `size_with_handle` bytes.

        Errors: none; a size beyond the largest class gets the largest, as in the kernel: zs_malloc()
        refuses such a request before it asks. Source: mm/zsmalloc.c get_size_class_index(), v5.10.
        """
        if size_with_handle <= self.min_alloc:
            return 0
        index = -(-(size_with_handle - self.min_alloc) // self.step)
        return min(index, len(self.index_of) - 1)

    def class_for(self, size_with_handle: int) -> SizeClass:
        """Return the distinct class that serves a request of `size_with_handle` bytes (handle included)."""
        return self._class_of[self.get_size_class_index(size_with_handle)]

    def class_at(self, raw_index: int) -> SizeClass:
        """Return the distinct class that serves raw index `raw_index` (pool->size_class[i])."""
        return self._class_of[raw_index]


def _refuse_unsound(page_size: int, max_pages_per_zspage: int, min_alloc: int, step: int) -> None:
    if page_size < 256 or page_size & (page_size - 1):
        raise ValueError(f"page_size {page_size} is no power of two of at least 256")
    if max_pages_per_zspage < 1:
        raise ValueError(f"max_pages_per_zspage {max_pages_per_zspage} is below 1")
    if min_alloc % ZS_ALIGN or not _MIN_ALLOC_FLOOR <= min_alloc <= page_size:
        raise ValueError(f"min_alloc {min_alloc} is no multiple of {ZS_ALIGN} in 32..{page_size}")
    if step < ZS_ALIGN or step % ZS_ALIGN:
        raise ValueError(f"delta {step} is no positive multiple of {ZS_ALIGN}")
    # One index more than there are objects: a free list may end in a phantom slot.
    most_objs = max_pages_per_zspage * page_size // min_alloc
    if most_objs > ObjectEncoding.of(page_size).obj_index_mask:
        raise ValueError(f"{most_objs} objects per zspage do not fit an object value of {page_size}-byte pages")


@dataclass(frozen=True, slots=True)
class ObjectEncoding:
    """How a location, (pfn, obj_idx), is packed in one 64-bit object value.

        63                      obj_index_bits + 1                1   0
        [ pfn                    | obj_idx                         | pin ]

    The pin bit is 0 in what location_to_obj() returns.
    Source: mm/zsmalloc.c OBJ_INDEX_BITS, location_to_obj(), obj_to_location(), v5.10 on x86-64, where
    MAX_POSSIBLE_PHYSMEM_BITS is 52: 23 index bits for 4096-byte pages. Strays: page sizes below 4096.
    """

    obj_index_bits: int
    obj_index_mask: int

    @classmethod
    def of(cls, page_size: int) -> ObjectEncoding:
        """Return the encoding for pages of `page_size` bytes, a power of two."""
        pfn_bits = _MAX_POSSIBLE_PHYSMEM_BITS - (page_size.bit_length() - 1)
        index_bits = _BITS_PER_LONG - pfn_bits - OBJ_TAG_BITS
        return cls(index_bits, (1 << index_bits) - 1)

    def location_to_obj(self, pfn: int, obj_idx: int) -> int:
        """Return the object value; an index too large loses its high bits, as the kernel's mask does."""
        value = ((pfn << self.obj_index_bits) | (obj_idx & self.obj_index_mask)) << OBJ_TAG_BITS
        return value & _WORD_MASK

    def obj_to_location(self, obj: int) -> tuple[int, int]:
        """Return (pfn, obj_idx) of a 64-bit object value; the pin bit is ignored."""
        obj >>= OBJ_TAG_BITS
        return obj >> self.obj_index_bits, obj & self.obj_index_mask


@cache
def size_class_table(page_size: int, max_pages_per_zspage: int = ZS_MAX_PAGES_PER_ZSPAGE) -> SizeClassTable:
    """Return the one table of a geometry; the same object each time."""
    return SizeClassTable(page_size, max_pages_per_zspage)


@cache
def object_encoding(page_size: int) -> ObjectEncoding:
    """Return the one object encoding of a page size; the same object each time."""
    return ObjectEncoding.of(page_size)
