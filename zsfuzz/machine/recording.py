"""Recording: which words of the arena a step of a lane reads and writes, whatever primitive it uses for that.

In:    a Memory, before its primitives are bound.
Out:   Recorder: footprints, by take(); Footprint, and whether the order of two of them can make a difference.
Never: changes what an access does; records anything while `on` is False.
Next:  who needs it: zsfuzz/explore/search.py; where it is put in: zsfuzz/machine/preemption.py.

A point names one address, but the step that it begins may touch more: the neighbours of a list entry, a cache's free
list, the poison of a freed page, what an oracle looks at. So the arena's views themselves note every access. A word
and its shadow byte are one: who reads a word has read whether it may be touched.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from zsfuzz.machine.memory import Memory

EVERYTHING: Final = ("everything",)
"""A word that every step reads: who writes it depends on all others."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Sets of words, as the bits of two numbers. writes: those that may have changed; reads: the others."""

    reads: int = 0
    writes: int = 0

    def conflicts(self, other: Footprint) -> bool:
        """Return whether the order of two steps can make a difference: one writes what the other touches."""
        return bool(self.writes & (other.reads | other.writes) or self.reads & other.writes)

    def __or__(self, other: Footprint) -> Footprint:
        return Footprint(self.reads | other.reads, self.writes | other.writes)


NOTHING: Final = Footprint()


class Recorder:
    """Notes accesses while `on`. numbers: word (its index, or a name for what lies outside the arena) -> its bit."""

    def __init__(self) -> None:
        self.on = False
        self.reads: list[Hashable] = []
        self.writes: list[Hashable] = []
        self.numbers: dict[Hashable, int] = {EVERYTHING: 0}

    def attach(self, memory: Memory) -> None:
        """Put recording views in the place of a memory's own."""
        memory.words = cast(memoryview, RecordedView(memory.words, self, 0))
        memory.halves = cast(memoryview, RecordedView(memory.halves, self, 1))
        memory.arena = cast(bytearray, RecordedView(memory.arena, self, 3))
        memory.shadow = cast(bytearray, RecordedView(memory.shadow, self, 0))

    def read(self, word: Hashable) -> None:
        """Note that something outside the arena is looked at."""
        if self.on:
            self.reads.append(word)

    def write(self, word: Hashable) -> None:
        """Note that something outside the arena changes."""
        if self.on:
            self.writes.append(word)

    def take(self) -> Footprint:
        """Return what was touched since the last call."""
        reads, writes = self._bits(self.reads) | 1, self._bits(self.writes)
        self.reads.clear()
        self.writes.clear()
        return Footprint(reads & ~writes, writes)

    def _bits(self, words: list[Hashable]) -> int:
        bits, numbers = 0, self.numbers
        for word in words:
            number = numbers.get(word)
            if number is None:
                number = numbers[word] = len(numbers)
            bits |= 1 << number
        return bits

    def bit(self, word: Hashable) -> int:
        """Return a word as a set of one."""
        return self._bits([word])


class RecordedView:
    """A view of the arena that tells a recorder. shift: from its indices to those of words."""

    __slots__ = ("_raw", "_recorder", "_shift")

    def __init__(self, raw: Any, recorder: Recorder, shift: int) -> None:
        self._raw, self._recorder, self._shift = raw, recorder, shift

    def __getitem__(self, key: Any) -> Any:
        recorder = self._recorder
        if recorder.on:
            if key.__class__ is slice:
                recorder.reads.extend(self._words(key))
            else:
                recorder.reads.append(key >> self._shift)
        return self._raw[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        recorder = self._recorder
        if recorder.on:
            if key.__class__ is slice:
                recorder.writes.extend(self._words(key))
            else:
                recorder.writes.append(key >> self._shift)
        self._raw[key] = value

    def __len__(self) -> int:
        return len(self._raw)

    def _words(self, key: slice) -> range:
        start, stop, step = key.indices(len(self._raw))
        shift = self._shift
        if step != 1:
            return range(start, stop, step) if not shift else range(start >> shift, (stop >> shift) + 1)
        return range(start >> shift, (stop - 1 >> shift) + 1) if stop > start else range(0)
