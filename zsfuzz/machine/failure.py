"""Failure injection: the n-th allocation of one kind fails, as part of the input.

In:    arm(kind, ordinal) before an operation, disarm() after it.
Out:   hits(name) asked by the allocators.
Never: chance.
Next:  the allocators in zsfuzz/machine/slab.py and zsfuzz/machine/buddy.py.
"""

from __future__ import annotations

from typing import Final

KIND_OF_CACHE: Final = {"zspage": "zspage", "zs_handle": "handle"}
KMALLOC: Final = "kmalloc-"
"""What a pool is made of counts as "zspage": no other operation asks kmalloc for anything."""


class FailureInjection:
    """Countdowns by kind ("page", "zspage", "handle"); empty between operations."""

    def __init__(self) -> None:
        self._countdown: dict[str, int] = {}
        self.armed = False
        self.injected_count = 0

    def arm(self, kind: str, ordinal: int) -> None:
        """Let allocation number `ordinal` (from 0) of that kind fail."""
        self._countdown[kind] = ordinal
        self.armed = True

    def disarm(self) -> None:
        """Forget what did not come up."""
        self._countdown.clear()
        self.armed = False

    def exchange(self, countdown: dict[str, int]) -> None:
        """Count down for another lane: the dictionary is that lane's own."""
        self._countdown = countdown
        self.armed = bool(countdown)

    def hits(self, name: str) -> bool:
        """Return whether this allocation fails. name: a slab cache, or "page"."""
        kind = name
        if name not in self._countdown:
            kind = "zspage" if name.startswith(KMALLOC) else KIND_OF_CACHE.get(name, name)
        left = self._countdown.get(kind)
        if left is None:
            return False
        if left:
            self._countdown[kind] = left - 1
            return False
        del self._countdown[kind]
        self.injected_count += 1
        return True
