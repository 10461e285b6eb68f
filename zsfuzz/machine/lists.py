"""Doubly linked lists over arena words, with CONFIG_DEBUG_LIST's checks.

In:    addresses of list_head pairs (next, prev).
Out:   the operations of include/linux/list.h; a Report for a corrupted list.
Never: knows what the entries are.
Next:  who uses them: zsfuzz/machine/buddy.py, reference/, candidate/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from zsfuzz.machine.layout import LIST_POISON1, LIST_POISON2
from zsfuzz.machine.report import Report

MAX_LIST_LENGTH = 1 << 20  # a longer walk is a cycle


class PairAccess(Protocol):
    """Whatever finds list_heads and says whether they may be touched: the memory, or a target's view of it."""

    @property
    def words(self) -> memoryview: ...

    @property
    def load(self) -> Callable[[int], int]: ...

    @property
    def pair_index(self) -> Callable[[int], int]: ...

    @property
    def fresh_pair_index(self) -> Callable[[int], int]: ...


class Lists:
    """list_head operations of one machine.

    Each list_head is found and checked once, then its two words are read and written where they lie: list operations
    are a third of all accesses.
    """

    def __init__(self, memory: PairAccess) -> None:
        self._words = memory.words
        self._load = memory.load
        self._at = memory.pair_index
        self._at_fresh = memory.fresh_pair_index

    def INIT_LIST_HEAD(self, head: int) -> None:
        """Make an empty list."""
        at = self._at_fresh(head)
        self._words[at] = self._words[at + 1] = head

    def _insert(self, new: int, before: int, after: int) -> None:
        words, at_before, at_after = self._words, self._at(before), self._at(after)
        if words[at_after + 1] != before or words[at_before] != after:
            raise Report("memory", "list corruption", "list_add", "list_add corruption: neighbours disagree")
        if new in (before, after):
            raise Report("memory", "list corruption", "list_add", "list_add double add")
        at = self._at_fresh(new)
        words[at], words[at + 1] = after, before
        words[at_after + 1] = words[at_before] = new

    def list_add(self, new: int, head: int) -> None:
        """Insert right after `head`."""
        self._insert(new, head, self._words[self._at(head)])

    def list_add_tail(self, new: int, head: int) -> None:
        """Insert right before `head`."""
        self._insert(new, self._words[self._at(head) + 1], head)

    def _unlink(self, entry: int) -> int:
        """Take an entry out, its own words untouched. Returns where they are."""
        words, at = self._words, self._at(entry)
        after, before = words[at], words[at + 1]
        if after == LIST_POISON1 or before == LIST_POISON2:
            raise Report("memory", "list corruption", "list_del", "list_del of an entry that is poisoned (double del)")
        at_before, at_after = self._at(before), self._at(after)
        if words[at_before] != entry or words[at_after + 1] != entry:
            raise Report("memory", "list corruption", "list_del", "list_del corruption: neighbours disagree")
        words[at_after + 1], words[at_before] = before, after
        return at

    def list_del(self, entry: int) -> None:
        """Unlink and poison."""
        at = self._unlink(entry)
        self._words[at], self._words[at + 1] = LIST_POISON1, LIST_POISON2

    def list_del_init(self, entry: int) -> None:
        """Unlink and leave an empty list."""
        at = self._unlink(entry)
        self._words[at] = self._words[at + 1] = entry

    def list_empty(self, head: int) -> bool:
        """Return whether nothing is linked."""
        return self._load(head) == head

    def list_first(self, head: int) -> int:
        """Return the first entry's list_head, 0 for an empty list."""
        first = self._load(head)
        return 0 if first == head else first

    def list_splice_init(self, source: int, target: int) -> None:
        """Move all entries of `source` to the front of `target`; `source` becomes empty."""
        words, at_source, at_target = self._words, self._at(source), self._at(target)
        first, last = words[at_source], words[at_source + 1]
        if first == source:
            return
        after = words[at_target]
        words[self._at(first) + 1], words[at_target] = target, first
        words[self._at(last)], words[self._at(after) + 1] = after, last
        words[at_source] = words[at_source + 1] = source

    def list_entries(self, head: int) -> list[int]:
        """Return the list_heads of all entries. Errors: Report when the list never comes back."""
        entries, entry = [], self._load(head)
        while entry != head:
            entries.append(entry)
            if len(entries) > MAX_LIST_LENGTH:
                raise Report("memory", "list corruption", "walk", "list does not return to its head")
            entry = self._load(entry)
        return entries
