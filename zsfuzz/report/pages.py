"""The map of pfns of both sides, side by side.

In:    two lists of PageRow, as zsfuzz/execute/result.py describes them.
Out:   lines of text; neighbours that look the same on both sides become one line.
Never: a machine.
Next:  printed by zsfuzz/report/trace.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from zsfuzz.execute.result import PageRow
from zsfuzz.report.columns import table

_HEAD = ("", "pfn", "zone", "reference", "idx", "LI", "refs", "|", "candidate", "idx", "LI", "refs")
_ABSENT = ("not there", "", "", "")


def page_map(reference: Sequence[PageRow], candidate: Sequence[PageRow]) -> list[str]:
    """Return the map. L: page lock held; I: isolated; idx: place in the chain; `>`: the sides differ."""
    rows: list[tuple[str, ...]] = [_HEAD]
    for _, group in groupby(_pairs(reference, candidate), key=_runs_with()):
        pairs = list(group)
        rows.append(_row(pairs[0], pairs[-1]))
    return table(rows)


_Pair = tuple[int, PageRow | None, PageRow | None]


def _pairs(reference: Sequence[PageRow], candidate: Sequence[PageRow]) -> Iterator[_Pair]:
    left = {row.pfn: row for row in reference}
    right = {row.pfn: row for row in candidate}
    for pfn in sorted(left.keys() | right.keys()):
        yield pfn, left.get(pfn), right.get(pfn)


class _runs_with:
    """Key of groupby: equal for neighbours by pfn that have equal cells in one zone."""

    def __init__(self) -> None:
        self._last_pfn = -2
        self._run = 0

    def __call__(self, pair: _Pair) -> tuple[object, ...]:
        pfn, left, right = pair
        if pfn != self._last_pfn + 1:
            self._run += 1
        self._last_pfn = pfn
        return self._run, _zone(pair), _cells(left), _cells(right)


def _zone(pair: _Pair) -> str:
    row = pair[1] or pair[2]
    return row.zone if row is not None else ""


def _cells(row: PageRow | None) -> tuple[str, ...]:
    if row is None:
        return _ABSENT
    flags = ("L" if row.locked else "-") + ("I" if row.isolated else "-")
    return row.owner, "" if row.index < 0 else str(row.index), flags, str(row.refcount)


def _row(first: _Pair, last: _Pair) -> tuple[str, ...]:
    left, right = _cells(first[1]), _cells(first[2])
    pfns = str(first[0]) if first[0] == last[0] else f"{first[0]}-{last[0]}"
    return (">" if left != right else "", pfns, _zone(first), *left, "|", *right)
