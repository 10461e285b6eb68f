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


class WordAccess(Protocol):
    """Whatever loads and stores words: the memory itself, or a target's filtered view of it."""

    @property
    def load(self) -> Callable[[int], int]: ...

    @property
    def store(self) -> Callable[[int, int], None]: ...


class Lists:
    """list_head operations of one machine."""

    def __init__(self, memory: WordAccess) -> None:
        self._load = memory.load
        self._store = memory.store

    def INIT_LIST_HEAD(self, head: int) -> None:
        """Make an empty list."""
        self._store(head, head)
        self._store(head + 8, head)

    def _insert(self, new: int, before: int, after: int) -> None:
        load, store = self._load, self._store
        if load(after + 8) != before or load(before) != after:
            raise Report("memory", "list corruption", "list_add", "list_add corruption: neighbours disagree")
        if new in (before, after):
            raise Report("memory", "list corruption", "list_add", "list_add double add")
        store(after + 8, new)
        store(new, after)
        store(new + 8, before)
        store(before, new)

    def list_add(self, new: int, head: int) -> None:
        """Insert right after `head`."""
        self._insert(new, head, self._load(head))

    def list_add_tail(self, new: int, head: int) -> None:
        """Insert right before `head`."""
        self._insert(new, self._load(head + 8), head)

    def _unlink(self, entry: int) -> None:
        load, store = self._load, self._store
        after, before = load(entry), load(entry + 8)
        if after == LIST_POISON1 or before == LIST_POISON2:
            raise Report(
                "memory", "list corruption", "list_del", "list_del of an entry that is poisoned (double del)"
            )
        if load(before) != entry or load(after + 8) != entry:
            raise Report("memory", "list corruption", "list_del", "list_del corruption: neighbours disagree")
        store(after + 8, before)
        store(before, after)

    def list_del(self, entry: int) -> None:
        """Unlink and poison."""
        self._unlink(entry)
        self._store(entry, LIST_POISON1)
        self._store(entry + 8, LIST_POISON2)

    def list_del_init(self, entry: int) -> None:
        """Unlink and leave an empty list."""
        self._unlink(entry)
        self.INIT_LIST_HEAD(entry)

    def list_empty(self, head: int) -> bool:
        """Return whether nothing is linked."""
        return self._load(head) == head

    def list_first(self, head: int) -> int:
        """Return the first entry's list_head, 0 for an empty list."""
        first = self._load(head)
        return 0 if first == head else first

    def list_splice_init(self, source: int, target: int) -> None:
        """Move all entries of `source` to the front of `target`; `source` becomes empty."""
        load, store = self._load, self._store
        first = load(source)
        if first == source:
            return
        last, after = load(source + 8), load(target)
        store(first + 8, target)
        store(target, first)
        store(last, after)
        store(after + 8, last)
        self.INIT_LIST_HEAD(source)

    def list_entries(self, head: int) -> list[int]:
        """Return the list_heads of all entries. Errors: Report when the list never comes back."""
        entries, entry = [], self._load(head)
        while entry != head:
            entries.append(entry)
            if len(entries) > MAX_LIST_LENGTH:
                raise Report("memory", "list corruption", "walk", "list does not return to its head")
            entry = self._load(entry)
        return entries
