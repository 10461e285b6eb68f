"""Classes, computed a second time: which slot a request has to get, and which group a zspage belongs to.

In:    a page size, a request, counts of objects.
Out:   SlotShape and group_of(), by formulas of their own.
Never: zsfuzz/policy/size_class.py: both allocators share that file, so a bug in it makes no difference between them.
Next:  who asks: zsfuzz/oracle/invariants.py.

Source: the comments of mm/zsmalloc.c, v5.10, where they and its code agree; where not, the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

HANDLE_BYTES: Final = 8
_LONGEST_CHAIN: Final = 4
_SMALLEST: Final = 32


@dataclass(frozen=True, slots=True)
class SlotShape:
    """size_bytes: of a slot, header included. pages, objects: of a zspage of such slots."""

    size_bytes: int
    pages: int
    objects: int


@cache
def _shapes(page_size: int) -> tuple[SlotShape, ...]:
    """Return the shape of every raw size, smallest first; sizes that share a class have the shape of its largest."""
    step = max(16, page_size // 256)
    sizes = [*range(_SMALLEST, page_size, step), page_size]
    shapes: list[SlotShape] = []
    for size in reversed(sizes):
        chains = range(1, _LONGEST_CHAIN + 1)
        percent = {pages: pages * page_size // size * size * 100 // (pages * page_size) for pages in chains}
        pages = min(pages for pages in chains if percent[pages] == max(percent.values()))
        objects = pages * page_size // size
        larger = shapes[-1] if shapes else None
        alike = larger is not None and (larger.pages, larger.objects) == (pages, objects)
        shapes.append(larger if larger is not None and alike else SlotShape(size, pages, objects))
    return tuple(reversed(shapes))


@cache
def slot_shape(page_size: int, request_bytes: int) -> SlotShape:
    """Return the slot of a request of 1..page_size bytes, its handle not counted."""
    needed = min(request_bytes + HANDLE_BYTES, page_size)
    step = max(16, page_size // 256)
    return _shapes(page_size)[max(0, -(-(needed - _SMALLEST) // step))]


def group_of(inuse: int, objects: int) -> int:
    """Return 0 for EMPTY, 1 for ALMOST_EMPTY (up to three quarters), 2 for ALMOST_FULL, 3 for FULL."""
    if not inuse:
        return 0
    if inuse == objects:
        return 3
    return 1 if 4 * inuse <= 3 * objects else 2
