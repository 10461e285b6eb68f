"""A coverage report as text and as plain values.

In:    CoverageReport of zsfuzz/kernel/coverage.py; the lines of the source, read from the user's tree.
Out:   lines; a document for --json, which holds numbers and names but no source.
Never: a judgement of its own.
Next:  the same as a page: zsfuzz/report/coverage_html.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zsfuzz.kernel.coverage import CoverageReport, JudgedFunction, JudgedLine, Stretch, Tally
from zsfuzz.report.columns import table

_SOURCE_WIDTH = 80


def share(tally: Tally) -> str:
    """Return `870 of 884 (98.4 %)`. Rounded down, so that 100.0 % means all."""
    thousandths = 1000 * tally.reached // tally.reachable if tally.reachable else 1000
    return f"{tally.reached:,} of {tally.reachable:,} ({thousandths // 10}.{thousandths % 10} %)"


def text_report(title: str, report: CoverageReport, source: Sequence[str]) -> list[str]:
    """Return the report as lines. title: which file of which build."""
    lines, branches = report.line_tally, report.branch_tally
    return [
        title,
        *table(
            [
                ("lines", f"{share(lines)} of what can be reached", f"{lines.unreachable:,} cannot"),
                ("branches", f"{share(branches)} of what can be taken", f"{branches.unreachable:,} cannot"),
            ]
        ),
        "",
        "functions",
        *table([("calls", "lines", "branches", "function"), *map(_function_row, report.functions)]),
        *_section("reachable, not reached", [_stretch_row(one, source) for one in report.missed()]),
        *_section("branches not taken", [_branch_row(one, source) for one in report.missed_branches()]),
        *_section("unreachable in userspace", [_reason_row(one) for one in report.unreachable()]),
        *_section("rules that are wrong: their line was reached", _wrong_rows(report)),
    ]


def report_as_json(report: CoverageReport) -> dict[str, Any]:
    """Return the report as plain values."""
    return {
        "lines": _tally(report.line_tally),
        "branches": _tally(report.branch_tally),
        "functions": [
            {"name": one.name, "line": one.first_line, "calls": one.calls, "lines": _tally(one.lines)}
            | {"branches": _tally(one.branches)}
            for one in report.functions
        ],
        "missed": [_stretch(one) for one in report.missed()],
        "unreachable": [{**_stretch(one), "reason": one.reason} for one in report.unreachable()],
        "missed_branches": [
            {"function": one.function, "line": one.number, "taken": list(one.branches)}
            for one in report.missed_branches()
        ],
        "wrong_rules": [
            {"function": rule.function, "pattern": rule.pattern, "reason": rule.reason, "line": line}
            for rule, line in report.wrong_rules
        ],
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "reached": tally.reached,
        "missed": tally.missed,
        "unreachable": tally.unreachable,
        "share": round(tally.share, 4),
    }


def _stretch(one: Stretch) -> dict[str, Any]:
    return {"function": one.function, "first_line": one.first_line, "last_line": one.last_line}


def _section(title: str, rows: list[tuple[str, ...]]) -> list[str]:
    return ["", title, *(table(rows) if rows else ["none"])]


def _function_row(one: JudgedFunction) -> tuple[str, ...]:
    lines, branches = one.lines, one.branches
    return (
        f"{one.calls:,}",
        f"{lines.reached}/{lines.reachable}",
        f"{branches.reached}/{branches.reachable}" if branches.reachable else "-",
        one.name,
    )


def _stretch_row(one: Stretch, source: Sequence[str]) -> tuple[str, ...]:
    return (_place(one), one.function, _shown(source, one.first_line))


def _reason_row(one: Stretch) -> tuple[str, ...]:
    return (_place(one), one.function, one.reason)


def _branch_row(one: JudgedLine, source: Sequence[str]) -> tuple[str, ...]:
    taken = sum(count > 0 for count in one.branches)
    return (str(one.number), one.function, f"{taken} of {len(one.branches)}", _shown(source, one.number))


def _wrong_rows(report: CoverageReport) -> list[tuple[str, ...]]:
    return [(str(line), rule.function, rule.pattern or "all of it", rule.reason) for rule, line in report.wrong_rules]


def _place(one: Stretch) -> str:
    return str(one.first_line) if one.first_line == one.last_line else f"{one.first_line}-{one.last_line}"


def _shown(source: Sequence[str], number: int) -> str:
    line = " ".join(source[number - 1].split())
    return line if len(line) <= _SOURCE_WIDTH else line[: _SOURCE_WIDTH - 3] + "..."
