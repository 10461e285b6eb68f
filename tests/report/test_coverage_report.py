"""The report says the same as text, as JSON and as a page, and the page is whole and harmless.

In:    reports made by hand.
Out:   lines, documents, HTML.
Never: gcov.
Next:  zsfuzz/report/coverage_text.py, zsfuzz/report/coverage_html.py.
"""

from __future__ import annotations

import json
from html.parser import HTMLParser

from zsfuzz.kernel.coverage import CoverageReport, Rule, Tally, judge
from zsfuzz.kernel.gcov import FileCoverage, FunctionCount, LineCount
from zsfuzz.report.coverage_html import html_report
from zsfuzz.report.coverage_text import report_as_json, share, text_report

SOURCE = [
    "int f(int x)",
    "{",
    '\tif (x < 1 && "<b>&")',
    "\t\treturn error(x);",
    "\tgone(x);",
    "\treturn x;",
    "}",
]
TITLE = "mm/zsmalloc.c <of> 6.1"


def report() -> CoverageReport:
    counts = [(1, 1234, ()), (3, 1234, (0, 1234)), (4, 0, ()), (5, 0, ()), (6, 1234, ())]
    lines = tuple(LineCount(number, "f", count, branches) for number, count, branches in counts)
    rules = [Rule("f", "gone", "there is no <such> thing here"), Rule("f", "return x;", "a mistake")]
    return judge(FileCoverage(lines, (FunctionCount("f", 1, 7, 1234),)), SOURCE, rules)


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[str] = []
        self.classes: dict[str, str] = {}
        self.outside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if tag == "tr" and given.get("id"):
            self.classes[str(given["id"])] = str(given.get("class"))
        self.outside += [str(given[name]) for name in ("src", "href") if name in given]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_text_names_every_verdict_with_its_place() -> None:
    lines = text_report(TITLE, report(), SOURCE)
    text = "\n".join(lines)
    assert lines[0] == TITLE
    assert "lines     3 of 4 (75.0 %) of what can be reached  1 cannot" in lines
    assert "1,234  3/4    1/2       f" in lines
    assert lines[lines.index("reachable, not reached") + 1] == "4  f  return error(x);"
    assert lines[lines.index("branches not taken") + 1] == '3  f  1 of 2  if (x < 1 && "<b>&")'
    assert lines[lines.index("unreachable in userspace") + 1] == "5  f  there is no <such> thing here"
    assert text.endswith("rules that are wrong: their line was reached\n6  f  return x;  a mistake")


def test_the_document_has_the_figures_and_no_source() -> None:
    document = report_as_json(report())
    assert document["lines"] == {"reached": 3, "missed": 1, "unreachable": 1, "share": 0.75}
    assert document["missed"] == [{"function": "f", "first_line": 4, "last_line": 4}]
    assert document["unreachable"][0]["reason"] == "there is no <such> thing here"
    assert document["missed_branches"] == [{"function": "f", "line": 3, "taken": [0, 1234]}]
    assert "error(x)" not in json.dumps(document)


def test_the_page_shows_every_line_in_the_colour_of_its_verdict() -> None:
    page = Page(html_report(TITLE, report(), SOURCE))
    expected = {"L1": "hit", "L2": "None", "L3": "part", "L4": "miss", "L5": "out", "L6": "hit", "L7": "None"}
    assert page.classes == expected
    assert all(line in page.text for line in SOURCE)
    assert "1,234" in page.text


def test_the_page_needs_nothing_beside_it_and_escapes_the_source() -> None:
    text = html_report(TITLE, report(), SOURCE)
    page = Page(text)
    assert "<b>" not in text
    assert TITLE in page.text
    assert not {"script", "link", "img", "b", "such", "of"} & set(page.tags)
    assert page.outside
    assert all(place.startswith("#L") and place[1:] in page.classes for place in page.outside)


def test_a_share_is_never_rounded_up_to_all() -> None:
    assert share(Tally(9999, 1, 0)) == "9,999 of 10,000 (99.9 %)"
    assert share(Tally(5, 0, 3)) == "5 of 5 (100.0 %)"
    assert share(Tally(0, 0, 3)) == "0 of 0 (100.0 %)"
