"""A coverage report as one page that needs nothing beside it.

In:    CoverageReport of zsfuzz/kernel/coverage.py; the lines of the source, read from the user's tree.
Out:   HTML: figures, a table of functions, what was not reached, and the source, coloured, with counts.
Never: a script, a font or a picture from elsewhere; a character of the source that is not escaped.
Next:  the same as text: zsfuzz/report/coverage_text.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from zsfuzz.kernel.coverage import CoverageReport, JudgedFunction, JudgedLine, Stretch, Tally
from zsfuzz.report.coverage_text import share

_STYLE = """\
:root { color-scheme: light dark; --line: #8884; --hit: #2a92; --miss: #d332; --out: #8883; --part: #ca03; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
table { border-collapse: collapse; }
td, th { padding: .1rem .7rem .1rem 0; text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
thead th { border-bottom: 1px solid var(--line); }
meter { width: 8rem; }
.source { width: 100%; }
.source td { font: 12px/1.35 ui-monospace, monospace; padding: 0 .6rem; white-space: pre-wrap; tab-size: 8; }
.source td.n { white-space: nowrap; opacity: .75; }
.hit { background: var(--hit); } .miss { background: var(--miss); }
.out { background: var(--out); } .part { background: var(--part); }
.key span { padding: .1rem .5rem; margin-right: .5rem; }
"""

_KEY = (
    '<span class="hit">reached</span><span class="part">a branch not taken</span>'
    '<span class="miss">not reached</span><span class="out">unreachable</span>'
)


def html_report(title: str, report: CoverageReport, source: Sequence[str]) -> str:
    """Return the page. title: which file of which build."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *_figures(report),
        *_functions(report.functions),
        *_stretches("Reachable, not reached", report.missed(), with_reason=False),
        *_stretches("Unreachable in userspace", report.unreachable(), with_reason=True),
        *_wrong_rules(report),
        *_source(report.lines, source),
        "</body></html>",
        "",
    ]
    return "\n".join(parts)


def _figures(report: CoverageReport) -> list[str]:
    rows = [("lines", report.line_tally, "reached"), ("branches", report.branch_tally, "taken")]
    return [
        "<table>",
        *(
            f"<tr><th>{name}</th><td>{_meter(tally)}</td><td>{share(tally)} of what can be {verb}</td>"
            f"<td>{tally.unreachable:,} cannot</td></tr>"
            for name, tally, verb in rows
        ),
        "</table>",
    ]


def _meter(tally: Tally) -> str:
    return f'<meter min="0" max="1" value="{tally.share:.4f}"></meter>'


def _functions(functions: Iterable[JudgedFunction]) -> list[str]:
    head = '<th class="n">calls</th><th></th><th class="n">lines</th><th class="n">branches</th><th>function</th>'
    return [
        f"<h2>Functions</h2><table><thead><tr>{head}</tr></thead>",
        *(
            f'<tr><td class="n">{one.calls:,}</td><td>{_meter(one.lines)}</td>'
            f'<td class="n">{one.lines.reached}/{one.lines.reachable}</td>'
            f'<td class="n">{one.branches.reached}/{one.branches.reachable}</td>'
            f'<td><a href="#L{one.first_line}">{escape(one.name)}</a></td></tr>'
            for one in functions
        ),
        "</table>",
    ]


def _stretches(title: str, stretches: Sequence[Stretch], with_reason: bool) -> list[str]:
    rows = [
        f'<tr><td class="n"><a href="#L{one.first_line}">{one.first_line}-{one.last_line}</a></td>'
        f"<td>{escape(one.function)}</td><td>{escape(one.reason) if with_reason else ''}</td></tr>"
        for one in stretches
    ]
    return [f"<h2>{title}</h2>", *(["<table>", *rows, "</table>"] if rows else ["<p>none</p>"])]


def _wrong_rules(report: CoverageReport) -> list[str]:
    rows = [
        f'<tr><td class="n"><a href="#L{line}">{line}</a></td><td>{escape(rule.function)}</td>'
        f"<td>{escape(rule.pattern)}</td><td>{escape(rule.reason)}</td></tr>"
        for rule, line in report.wrong_rules
    ]
    return ["<h2>Rules that are wrong: their line was reached</h2><table>", *rows, "</table>"] if rows else []


def _source(lines: Sequence[JudgedLine], source: Sequence[str]) -> list[str]:
    judged: dict[int, JudgedLine] = {}
    for line in lines:  # where two functions share a line, the one that was reached is shown
        if line.number not in judged or line.count > judged[line.number].count:
            judged[line.number] = line
    return [
        f'<h2>Source</h2><p class="key">{_KEY}</p><table class="source">',
        *(_source_row(number, text, judged.get(number)) for number, text in enumerate(source, 1)),
        "</table>",
    ]


def _source_row(number: int, text: str, line: JudgedLine | None) -> str:
    cells = f'<td class="n">{number}</td>'
    if line is None:
        return f'<tr id="L{number}">{cells}<td></td><td></td><td>{escape(text)}</td></tr>'
    title = f' title="{escape(line.reason or line.branch_reason)}"' if line.reason or line.branch_reason else ""
    return (
        f'<tr id="L{number}" class="{_class(line)}"{title}>{cells}<td class="n">{line.count:,}</td>'
        f'<td class="n">{_branches(line)}</td><td>{escape(text)}</td></tr>'
    )


def _class(line: JudgedLine) -> str:
    if line.is_missed:
        return "miss"
    if line.reason:
        return "out"
    return "part" if 0 in line.branches and not line.branch_reason else "hit"


def _branches(line: JudgedLine) -> str:
    """Return `2/4`: how many of a line's branches were taken; nothing for a line without."""
    return f"{sum(count > 0 for count in line.branches)}/{len(line.branches)}" if line.branches else ""
