"""Slots for the handles of a capture, and the k-th live one of them.

In:    take and release.
Out:   the lowest free slot; the k-th live slot in slot order, both in O(log n).
Never: a handle: zsfuzz/trace/ftrace.py keeps which handle has which slot.
"""

from __future__ import annotations

from heapq import heappop, heappush

_FIRST_CAPACITY = 1024


class LiveSlots:
    """A set of small numbers. Live ones are counted in a Fenwick tree, free ones lie in a heap."""

    __slots__ = ("_free", "_next", "_tree", "live_count")

    def __init__(self) -> None:
        self.live_count = 0
        self._next = 0  # every slot from here on was never taken
        self._free: list[int] = []
        self._tree = [0] * (_FIRST_CAPACITY + 1)  # node i covers the (i & -i) slots that end at slot i - 1

    def take(self) -> int:
        """Return the lowest free slot; it is live now."""
        if self._free:
            slot = heappop(self._free)
        else:
            slot = self._next
            self._next += 1
            if slot >= len(self._tree) - 1:
                self._double()
        self._add(slot, 1)
        return slot

    def release(self, slot: int) -> None:
        """Make a live slot free. The caller holds it: releasing a free slot would corrupt the counts."""
        heappush(self._free, slot)
        self._add(slot, -1)

    def kth(self, k: int) -> int:
        """Return the live slot that has exactly `k` live slots below it.

        k: 0..live_count - 1. Errors: IndexError outside of that.
        """
        if not 0 <= k < self.live_count:
            raise IndexError(f"there is no live slot number {k} of {self.live_count}")
        position = 0
        step = len(self._tree) - 1
        while step:
            if position + step < len(self._tree) and self._tree[position + step] <= k:
                position += step
                k -= self._tree[position]
            step >>= 1
        return position

    def _add(self, slot: int, change: int) -> None:
        self.live_count += change
        node = slot + 1
        tree = self._tree
        while node < len(tree):
            tree[node] += change
            node += node & -node

    def _double(self) -> None:
        # The upper half is empty, so only the new root covers something: all that is live.
        capacity = len(self._tree) - 1
        self._tree += [0] * capacity
        self._tree[2 * capacity] = self.live_count
