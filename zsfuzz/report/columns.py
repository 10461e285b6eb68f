"""Columns of plain text, for tables that may be long, piped and compared.

In:    rows of cells.
Out:   lines, with every column as wide as its widest cell up to a limit; longer cells go on below.
Never: colours, the width of a terminal.
Next:  who uses it: zsfuzz/report/trace.py, zsfuzz/report/pages.py, zsfuzz/report/summary.py.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

GAP = "  "


def widths(rows: Sequence[Sequence[str]], limits: Sequence[int]) -> list[int]:
    """Return a width for each column: its widest cell, at most the column's limit (0: no limit)."""
    result = []
    for column, limit in enumerate(limits):
        widest = max((len(row[column]) for row in rows), default=0)
        result.append(min(widest, limit) if limit else widest)
    return result


def lines_of(row: Sequence[str], columns: Sequence[int]) -> Iterator[str]:
    """Yield the lines of one row. A cell wider than its column is wrapped, nothing is dropped."""
    wrapped = [_wrap(cell, width) for cell, width in zip(row, columns, strict=True)]
    for index in range(max(len(cell) for cell in wrapped)):
        cells = [cell[index] if index < len(cell) else "" for cell in wrapped]
        yield GAP.join(text.ljust(width) for text, width in zip(cells, columns, strict=True)).rstrip()


def table(rows: Sequence[Sequence[str]], limits: Sequence[int] | None = None) -> list[str]:
    """Return the lines of a table. limits: the widest each column may get, 0 for any width."""
    if not rows:
        return []
    columns = widths(rows, limits or [0] * len(rows[0]))
    return [line for row in rows for line in lines_of(row, columns)]


def _wrap(cell: str, width: int) -> list[str]:
    if len(cell) <= width:
        return [cell]
    return textwrap.wrap(cell, width, break_long_words=True, break_on_hyphens=False) or [""]
