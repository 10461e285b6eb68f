"""Compare: the first difference of two streams, in words that do not depend on the program.

In:    two streams of full records of one program.
Out:   Difference, which becomes a Finding; None when the streams are equal.
Never: a slot, a pfn or an address in what makes the signature.
Next:  what records hold: zsfuzz/kernel/records.py; signatures: zsfuzz/oracle/signature.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from zsfuzz.execute.names import snake
from zsfuzz.kernel import lower, records
from zsfuzz.kernel.records import Record, records_of, signed
from zsfuzz.oracle.signature import counter_change, direction, outcome_change

_PAGE_WORDS = ("flags", "_mapcount and _refcount", "mapping, private or index")


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two sides part. functions: the operation on whose outcome they do, none for a state."""

    step: int
    rule: str
    functions: tuple[str, ...]
    field: str
    left: str
    right: str


def first_difference(left: Sequence[int], right: Sequence[int]) -> Difference | None:
    """Return the first difference of two streams, None for equal ones."""
    for one, other in zip_longest(_comparable(left), _comparable(right)):
        if one != other:
            return _difference(one, other)
    return None


def _comparable(stream: Sequence[int]) -> Iterator[Record]:
    """Take a stream apart, without what lanes did: their order is each kernel's own."""
    return (record for record in records_of(stream) if record.kind != records.LANE_STEP)


def _difference(one: Record | None, other: Record | None) -> Difference:
    if one is None or other is None or (one.kind, one.step) != (other.kind, other.step):
        return _one_sided(one, other)
    if one.kind == records.STEP:
        return _outcome(one, other)
    explain = {
        records.COUNTERS: _counters,
        records.PLACES: _places,
        records.POOL: _pool,
        records.CLASS: _class,
        records.ZSPAGE: _zspages,
        records.OBJECT: _object,
        records.FREE_LISTS: _free_lists,
        records.PAGES: _pages,
        records.DRAINED: _drained,
    }[one.kind]
    rule, field, left, right = explain(one.words, other.words)
    return Difference(one.step, rule, (), field, left, right)


def _one_sided(one: Record | None, other: Record | None) -> Difference:
    """One side did a step, or looked at something, that the other side did not."""
    first = min((record for record in (one, other) if record is not None), key=lambda record: record.step)
    side = "reference" if first is one else "candidate"
    what = operation_name(first.words[0]) if first.kind == records.STEP else "state"
    texts = [_text(record) for record in (one, other)]
    return Difference(first.step, "outcome", (what,), f"{side} only", texts[0], texts[1])


def _text(record: Record | None) -> str:
    if record is None:
        return "nothing more"
    if record.kind == records.STEP:
        return f"step {record.step} {operation_name(record.words[0])}"
    return f"step {record.step} record {record.kind}"


def operation_name(code: int) -> str:
    """Return the word of an operation by its code."""
    return snake(lower.CODES[code].__name__)


def _outcome(one: Record, other: Record) -> Difference:
    name = operation_name(one.words[0])
    if one.words[0] != other.words[0]:
        return Difference(one.step, "outcome", (name,), "operation", name, operation_name(other.words[0]))
    left, right = [[signed(word) for word in record.words[1:]] for record in (one, other)]
    if name == "malloc" and left[:1] == right[:1] == [1]:
        rule, field, here, there = _place(left[1], right[1], "malloc")
        return Difference(one.step, rule, (), field, here, there)
    if name == "read" and left[:1] == right[:1]:
        return Difference(one.step, "content", (), "unwritten bytes", "bytes", "other bytes")
    if name == "stats":
        at = _first(left, right)
        field = ("zs_get_total_pages", "pages_compacted")[at] if at < 2 else "class table"
        return Difference(one.step, "outcome", (name,), field, str(left[at : at + 9]), str(right[at : at + 9]))
    outcomes = [tuple(words) if len(words) != 1 else words[0] for words in (left, right)]
    return Difference(one.step, "outcome", (name,), outcome_change(name, *outcomes), str(outcomes[0]), str(outcomes[1]))


def _first(left: Sequence[int], right: Sequence[int]) -> int:
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(left), len(right)))


Explained = tuple[str, str, str, str]


def _place(left: int, right: int, whose: str) -> Explained:
    texts = [f"pfn {place >> 32} object {place & 0xFFFFFFFF}" for place in (left, right)]
    field = "object index" if left >> 32 == right >> 32 else "pfn"
    return "placement", field, f"{whose} at {texts[0]}", texts[1]


def _counters(left: Sequence[int], right: Sequence[int]) -> Explained:
    at = _first(left, right) % 2
    values = left[at::2], right[at::2]
    return "zone counter", counter_change(records.COUNTER_NAMES[at], *values), str(values[0]), str(values[1])


def _places(left: Sequence[int], right: Sequence[int]) -> Explained:
    at = _first(left, right)
    if at % 2 == 0 or at >= min(len(left), len(right)):
        return "placement", "live objects", str(left[0::2][:20]), str(right[0::2][:20])
    return _place(left[at], right[at], f"h{left[at - 1]}")


def _pool(left: Sequence[int], right: Sequence[int]) -> Explained:
    at = _first(left, right)
    return "pool statistics", direction(records.POOL_NAMES[at], left[at], right[at]), str(left[at]), str(right[at])


def _class(left: Sequence[int], right: Sequence[int]) -> Explained:
    at = _first(left, right)
    name = records.CLASS_NAMES[at] if at < len(records.CLASS_NAMES) else f"group {at - len(records.CLASS_NAMES) + 1}"
    return "class statistics", direction(name, left[at], right[at]), str(left[1:]), str(right[1:])


def _zspages(left: Sequence[int], right: Sequence[int]) -> Explained:
    """Take both lists apart, zspage by zspage."""
    lists = [_zspages_of(words) for words in (left, right)]
    chains = [[[page >> 32 for page in pages] for _, pages, _ in zspages] for zspages in lists]
    if left[0] != right[0] or chains[0] != chains[1]:
        field = "order" if sorted(chains[0]) == sorted(chains[1]) else "members"
        return "fullness list", field, str(chains[0]), str(chains[1])
    for (head, pages, free), (other, other_pages, other_free) in zip(lists[0], lists[1], strict=True):
        for field, one, two in (
            ("fullness", head >> 48, other >> 48),
            ("isolated", head >> 32 & 0xFFFF, other >> 32 & 0xFFFF),
            ("inuse", head & 0xFFFFFFFF, other & 0xFFFFFFFF),
            ("offsets", pages, other_pages),
            ("free_indices", free, other_free),
        ):
            if one != two:
                return "zspage", field, str(one), str(two)
    return "zspage", "", str(left), str(right)


def _zspages_of(words: Sequence[int]) -> list[tuple[int, Sequence[int], Sequence[int]]]:
    found, at = [], 1
    while at + 1 < len(words):
        pages, free = words[at + 1] >> 32, words[at + 1] & 0xFFFFFFFF
        start = at + 2
        found.append((words[at], words[start : start + pages], words[start + pages : start + pages + free]))
        at = start + pages + free
    return found


def _object(left: Sequence[int], right: Sequence[int]) -> Explained:
    if left[0] != right[0]:
        return "content", "live objects", f"h{left[0]}", f"h{right[0]}"
    at = _first(left, right)
    return "content", "unwritten bytes", f"h{left[0]} word {at - 1}: {left[at]:#x}", f"{right[at]:#x}"


def _free_lists(left: Sequence[int], right: Sequence[int]) -> Explained:
    field = "order" if sorted(left) == sorted(right) else "members"
    at = max(0, _first(left, right) - 2)
    return "free list", field, str(list(left[at : at + 8])), str(list(right[at : at + 8]))


def _pages(left: Sequence[int], right: Sequence[int]) -> Explained:
    at = _first(left, right)
    if at >= min(len(left), len(right)):
        return "struct page", "used pages", str(len(left) // 3), str(len(right) // 3)
    pfn = left[at - at % 3] >> 32
    return "struct page", _PAGE_WORDS[at % 3], f"pfn {pfn}: {left[at]:#x}", f"{right[at]:#x}"


def _drained(left: Sequence[int], right: Sequence[int]) -> Explained:
    return "drained state", counter_change("nr_free_pages", left, right), str(left), str(right)
