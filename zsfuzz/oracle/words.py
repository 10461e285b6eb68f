"""Words: invariants of single words, checked whenever one of them is stored while lanes run.

In:    a side; the address of every store of its lanes.
Out:   nothing, or a Violation; how many checks were made.
Never: an invariant of more than one word: those hold between operations only (zsfuzz/oracle/invariants.py).
Next:  the words that a target names: counter_words() and zspage_words() in zsfuzz/target/protocol.py.

I6: no reference count is below zero. I9: a tail names a struct page or a live slab object. I2, I3: counters of a pool,
a class or a zspage stay in their range.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from zsfuzz.machine.layout import (
    PG_COMPOUND_HEAD,
    PG_REFCOUNT,
    STRUCT_PAGE_SIZE,
    VMEMMAP_START,
    signed32,
)
from zsfuzz.oracle.judge import Violation

if TYPE_CHECKING:
    from zsfuzz.oracle.view import SideView
    from zsfuzz.target.protocol import CounterWord


class WordWatch:
    """The words of one side while lanes run. checked: how many checks were made."""

    def __init__(self, side: SideView, words: Iterable[CounterWord]) -> None:
        self._side = side
        self._memory = side.machine.memory
        self._memmap_end = VMEMMAP_START + self._memory.memmap_bytes
        self._rules: dict[int, list[CounterWord]] = {}
        for word in words:
            self._rules.setdefault(word.address >> 3, []).append(word)
        self.checked = 0

    def stored(self, address: int) -> None:
        """Check the word around an address that was just stored to. Errors: Violation."""
        if VMEMMAP_START <= address < self._memmap_end:
            offset = address % STRUCT_PAGE_SIZE
            if offset == PG_REFCOUNT:
                self._check_count(address)
            elif offset == PG_COMPOUND_HEAD:
                self._check_head(address)
            return
        for rule in self._rules.get(address >> 3, ()):
            self._check_counter(rule)

    def _word(self, address: int) -> int:
        return self._memory.words[self._memory.word_index(address)]

    def _check_count(self, address: int) -> None:
        self.checked += 1
        count = signed32(self._word(address) >> 32)
        if count < 0:
            self._fail("I6 refcount below zero", "_refcount", f"_refcount is {count}")

    def _check_head(self, address: int) -> None:
        self.checked += 1
        word = self._word(address)
        if not word & 1:
            return
        head = word - 1
        if not (VMEMMAP_START <= head < self._memmap_end or self._side.machine.slab.is_live(head)):
            self._fail(
                "I9 stale head", "compound_head", f"a page names {self._memory.describe(head)}, which is nothing"
            )

    def _check_counter(self, rule: CounterWord) -> None:
        if not self._side.machine.slab.is_live(rule.owner):
            return  # the zspage was freed, its memory is somebody else's
        self.checked += 1
        value = self._word(rule.address) >> rule.shift & ((1 << rule.bits) - 1)
        if value >> (rule.bits - 1):
            value -= 1 << rule.bits
        if not rule.low <= value <= rule.high:
            self._fail(rule.rule, rule.name, f"{rule.name} is {value}, outside [{rule.low}, {rule.high}]")

    def _fail(self, rule: str, field: str, message: str) -> None:
        raise Violation("invariant", rule, (), field, self._side, f"{rule}: {message}")
