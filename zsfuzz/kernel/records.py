"""Records: what a run puts out, as words; the same from a kernel in C and from the Python model.

In:    a stream: records of kind << 56 | step << 32 | number of words, then the words.
Out:   Record values; the names of what a word is, for findings.
Never: judges.
Next:  written by zsfuzz/kernel/shim/driver.c and zsfuzz/kernel/model.py, compared in zsfuzz/kernel/compare.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

STEP, COUNTERS, PLACES, POOL, CLASS, ZSPAGE, OBJECT, FREE_LISTS, PAGES, TEXT, DRAINED, LANE_STEP = range(1, 13)

COUNTER_NAMES: Final = ("nr_free_pages", "nr_zspages", "nr_free_pages", "nr_zspages")
POOL_NAMES: Final = ("pool", "zs_get_total_pages", "pages_compacted", "isolated_zspages", "pending work")
CLASS_NAMES: Final = ("class", "obj_allocated", "obj_used")


@dataclass(frozen=True, slots=True)
class Record:
    """One record. step: of the program; in a parallel block lane << 20 | operation."""

    kind: int
    step: int
    words: tuple[int, ...]


def records_of(stream: Sequence[int]) -> Iterator[Record]:
    """Take a stream apart. A record that was cut off is left out."""
    at, end = 0, len(stream)
    while at < end:
        head = stream[at]
        count = head & 0xFFFFFFFF
        if at + 1 + count > end:
            return
        yield Record(head >> 56, head >> 32 & 0xFFFFFF, tuple(stream[at + 1 : at + 1 + count]))
        at += 1 + count


def signed(word: int) -> int:
    """Return a word as the long that it was."""
    return word - (1 << 64) if word >> 63 else word
