"""How much memory a capture needs, so that no allocation of its replay fails for want of a page.

In:    every allocation and every free of the capture, in order.
Out:   frames for the two zones, in the words of a program's header.
Never: a simulation of placement. The bound rests on one fact: zs_malloc() opens a new zspage of a class only
       when every zspage of that class is full, so a class never has more zspages than its peak of live
       objects fills, however badly the frees fragment it.
Next:  the margin below covers what steps outside of that fact.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from zsfuzz.policy.size_class import ZS_HANDLE_SIZE, SizeClassTable
from zsfuzz.program.limits import MAX_ZONE_PAGES
from zsfuzz.program.ops import Gfp

FRAMES_STEP = 1024
"""Zones are sized in multiples of this: 4 MiB of 4096-byte pages, a multiple of every block and section."""

MARGIN_DIVISOR = 8
"""An eighth on top: a zspage is off its list while a page of it is isolated, so a malloc may open another;
a page under migration exists twice; and a zone that is full to the last frame leaves migration no target."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Frames of the two zones as a header takes them; 0 is the geometry's own figure.

    needed_pages: the bound itself, both zones, without margin and rounding.
    short: the capture needs more than a program may ask for; its last allocations will fail on both sides.
    """

    normal_pages: int
    movable_pages: int
    needed_pages: int
    short: bool


class MemoryBound:
    """Running peaks per pool and size class."""

    __slots__ = ("_live", "_peak", "_table", "_zones")

    def __init__(self, table: SizeClassTable) -> None:
        self._table = table
        self._live: Counter[tuple[int, int]] = Counter()
        self._peak: Counter[tuple[int, int]] = Counter()
        self._zones: dict[tuple[int, int], frozenset[Gfp]] = {}

    def malloc(self, pool: int, size: int, gfp: Gfp) -> int:
        """Count one allocation and return its class index, which free() wants back.

        size: 1..page_size bytes, the handle not counted.
        """
        index = self._table.class_for(size + ZS_HANDLE_SIZE).index
        key = (pool, index)
        self._live[key] += 1
        if self._live[key] > self._peak[key]:
            self._peak[key] = self._live[key]
        zones = self._zones.get(key, frozenset())
        if gfp not in zones:
            self._zones[key] = zones | {gfp}
        return index

    def free(self, pool: int, class_index: int) -> None:
        """Count one free."""
        self._live[pool, class_index] -= 1

    def memory(self) -> Memory:
        """Return the frames that are enough at every point of the capture so far.

        A class that was asked for with both masks counts in both zones: whoever opens a zspage decides where.
        """
        movable = self._frames(Gfp.MOVABLE)
        normal = self._frames(Gfp.KERNEL)
        sized = [_rounded(frames) for frames in (normal, movable)]
        short = any(frames > MAX_ZONE_PAGES for frames in sized)
        normal_pages, movable_pages = (min(frames, MAX_ZONE_PAGES) for frames in sized)
        return Memory(normal_pages, movable_pages, normal + movable, short)

    def _frames(self, gfp: Gfp) -> int:
        frames = 0
        for key, peak in self._peak.items():
            if gfp in self._zones[key]:
                served = self._table.class_at(key[1])
                frames += -(-peak // served.objs_per_zspage) * served.pages_per_zspage
        return frames


def _rounded(frames: int) -> int:
    with_margin = frames + -(-frames // MARGIN_DIVISOR)
    return -(-with_margin // FRAMES_STEP) * FRAMES_STEP
