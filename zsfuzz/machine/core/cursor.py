"""Cursor: invariant I8, watched at every step of a loop over pfns.

In:    what the loop does: it looks at a pfn, it jumps to another, it gives up a stretch on purpose.
Out:   nothing, or a Report when the loop does not advance, leaves its range, or skips what it may not skip.
Never: asks the descriptor rules: how far a block reaches is read from the bytes of the memmap and the free
       lists.
Next:  the loops: zsfuzz/machine/core/migratepages.py, zsfuzz/machine/core/page_isolation.py,
       zsfuzz/machine/core/memory_hotplug.py and zsfuzz/machine/scanners/probe.py.

    pfn      ... 16 17 18 19 20 21 ...
                 [ free block ]           a jump from 16 to 20 is legal, one to 21 is not
                    ^ looked at from the inside: up to 20 as well

A jump is judged when it is decided, since the block may be taken apart before the loop arrives. Beside other lanes it
may have been taken apart before: then only jumps that no real block explains are judged.
"""

from __future__ import annotations

from typing import NoReturn

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.layout import (
    PG_COMPOUND_HEAD,
    STRUCT_PAGE_SIZE,
    VMEMMAP_START,
    PG_head,
)
from zsfuzz.machine.report import Report


class Cursor:
    """One run of one loop over [start, end). name: the scanner's function."""

    __slots__ = ("_core", "_end", "_least", "_name", "_reach")

    def __init__(self, core: Core, name: str, start: int, end: int) -> None:
        self._core = core
        self._name = name
        self._end = end
        self._least = start  # a loop that advances looks at nothing below
        self._reach = start  # a loop that skips nothing looks at nothing above

    def at(self, pfn: int) -> None:
        """The loop looks at a pfn. Errors: Report for one it may not look at now."""
        if pfn == self._reach and pfn < self._end:
            self._least = self._reach = pfn + 1
            return
        self._look_closer(pfn)
        self._least = self._reach = pfn + 1

    def _look_closer(self, pfn: int) -> None:
        if pfn < self._least:
            self.astray("does not advance", pfn, f"comes back to pfn {pfn:#x} from {self._least - 1:#x}")
        if pfn >= self._end:
            self.astray("leaves its range", pfn, f"looks at pfn {pfn:#x}, its range ends at {self._end:#x}")
        if pfn > self._reach:
            self.astray("skips pages", pfn, f"goes from {self._least - 1:#x} to {pfn:#x}")

    def jump(self, pfn: int, target: int) -> None:
        """The loop, at pfn, decides to go on at `target`: the rest of the block around pfn is skipped.

        Errors: Report unless every pfn between belongs to the same free block or real compound page.
        """
        if target <= pfn:
            self.astray("does not advance", pfn, f"wants to go from pfn {pfn:#x} back to {target:#x}")
        if target > pfn + 1 and target > block_end(self._core, pfn) and self._may_judge(pfn):
            leaves = target > self._end
            rule = "leaves its range" if leaves else "skips pages"
            self.astray(rule, pfn, f"wants to go from pfn {pfn:#x} to {target:#x}, where no block reaches")
        self._reach = max(self._reach, target)

    def _may_judge(self, pfn: int) -> bool:
        """Return whether nobody else could have changed the block that the loop jumps over.

        Beside other lanes that is so for nothing but a tail whose head is outside the memmap: 5.10's scanners look at
        orders and heads without a lock, and are wrong for a moment when a real block goes or comes.
        """
        if self._core.alone:
            return True
        word = self._core.m.load(_page(pfn) + PG_COMPOUND_HEAD)
        return bool(word & 1) and not 0 <= word - 1 - VMEMMAP_START < self._core.m.memory.memmap_bytes

    def give_up(self, target: int) -> None:
        """The loop leaves everything before `target` out on purpose (a stride, a block given up).

        Errors: Report when that does not advance.
        """
        if target < self._least:
            self.astray("does not advance", target, f"gives up what lies before pfn {target:#x} twice")
        self._reach = max(self._reach, target)

    def astray(self, rule: str, pfn: int, text: str) -> NoReturn:
        """Raise the Report."""
        raise Report("progress", f"I8 scanner {rule}", self._name, f"{self._name}() {text}")


def block_end(core: Core, pfn: int) -> int:
    """Return the pfn after the free block or real compound page around pfn; pfn + 1 for a single page.

    A recorded order is not trusted: a free block ends where a frame is not free, a compound page where a tail
    has another head.
    """
    buddy = core.buddy
    first = buddy.free_block_of(pfn)
    if first >= 0:
        last, frame_is_free = first + (1 << buddy.buddy_order(first)), core.m.memory.frame_is_free
        end = pfn + 1
        while end < min(last, buddy.pages_count) and frame_is_free(end):
            end += 1
        return end
    head = real_head(core, pfn)
    if head < 0:
        return pfn + 1
    word, end = _page(head) | 1, max(pfn, head) + 1
    while end < buddy.pages_count and core.m.load(_page(end) + PG_COMPOUND_HEAD) == word:
        end += 1
    return end


def real_head(core: Core, pfn: int) -> int:
    """Return the pfn of the head of the real compound page around pfn, -1 when there is none.

    A real compound page has its head in the memmap, below its tails and with PG_head set.
    """
    load = core.m.load
    word = load(_page(pfn) + PG_COMPOUND_HEAD)
    head = pfn
    if word & 1:
        head, rest = divmod(word - 1 - VMEMMAP_START, STRUCT_PAGE_SIZE)
        if rest or not 0 <= head < pfn:
            return -1
    return head if load(_page(head)) >> PG_head & 1 else -1


def _page(pfn: int) -> int:
    return VMEMMAP_START + pfn * STRUCT_PAGE_SIZE
