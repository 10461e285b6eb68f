"""What gcov measured, read from its JSON.

In:    documents of `gcov --json-format`, format 1 (gcc 9 to 13) and 2 (gcc 14 on); which source file is asked for.
Out:   FileCoverage: lines with counts and branches, functions with where they begin and end.
Never: a process or a file; zsfuzz/kernel/gcov_run.py runs gcov.
Next:  judged in zsfuzz/kernel/coverage.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

FORMATS = ("1", "2")


class GcovError(ValueError):
    """A document that is not gcov's, or two that do not belong together."""


@dataclass(frozen=True, slots=True)
class LineCount:
    """One line that has code."""

    number: int
    function: str
    count: int
    branches: tuple[int, ...]
    """How often each way out of the line's conditions was taken, in gcov's order."""


@dataclass(frozen=True, slots=True)
class FunctionCount:
    """One function."""

    name: str
    first_line: int
    last_line: int
    calls: int


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """One source file: lines and functions in the order of the source."""

    lines: tuple[LineCount, ...]
    functions: tuple[FunctionCount, ...]


def parse(document: str | bytes, is_wanted: Callable[[str], bool]) -> FileCoverage | None:
    """Return what one document says of the file whose path is wanted; None when it says nothing of it.

    Errors: GcovError.
    """
    try:
        top = json.loads(document)
        version = top["format_version"]
        if version not in FORMATS:
            raise GcovError(f"gcov's JSON has format {version!r}, known are {' and '.join(FORMATS)}")
        found = [_file_of(one) for one in top["files"] if is_wanted(one["file"])]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise GcovError(f"no JSON of gcov's: {error!r}") from error
    return merge(found) if found else None


def merge(files: Iterable[FileCoverage]) -> FileCoverage:
    """Return the sum of several measurements of one file.

    Errors: GcovError for measurements of different builds: their branches are not the same ones.
    """
    lines: dict[tuple[int, str], LineCount] = {}
    functions: dict[tuple[int, str], FunctionCount] = {}
    for file in files:
        for line in file.lines:
            at = (line.number, line.function)
            lines[at] = _sum(lines[at], line) if at in lines else line
        for function in file.functions:
            place = (function.first_line, function.name)
            calls = functions[place].calls if place in functions else 0
            functions[place] = FunctionCount(
                function.name, function.first_line, function.last_line, calls + function.calls
            )
    return FileCoverage(
        tuple(lines[at] for at in sorted(lines)), tuple(functions[place] for place in sorted(functions))
    )


def _file_of(one: Mapping[str, Any]) -> FileCoverage:
    # gcov names one line twice when two functions share it; where it does not say which, the line is the file's.
    lines = [
        LineCount(
            int(line["line_number"]),
            str(line.get("function_name", "")),
            int(line["count"]),
            tuple(int(branch["count"]) for branch in line["branches"]),
        )
        for line in one["lines"]
    ]
    functions = [
        FunctionCount(
            str(function["name"]),
            int(function["start_line"]),
            int(function["end_line"]),
            int(function["execution_count"]),
        )
        for function in one["functions"]
    ]
    return FileCoverage(tuple(lines), tuple(functions))


def _sum(left: LineCount, right: LineCount) -> LineCount:
    if len(left.branches) != len(right.branches):
        raise GcovError(
            f"line {left.number} has {len(left.branches)} branches in one build, {len(right.branches)} in another"
        )
    branches = tuple(a + b for a, b in zip(left.branches, right.branches, strict=True))
    return LineCount(left.number, left.function, left.count + right.count, branches)
