"""What people read: traces, maps of pfns, verdicts.

In:    rows and findings made by hand.
Out:   lines of text.
Never: a run.
Next:  zsfuzz/report/trace.py, zsfuzz/report/pages.py, zsfuzz/report/verdict.py, zsfuzz/report/columns.py.
"""

from __future__ import annotations

from dataclasses import replace

from tests.campaign.fakes import FakeRunner, finding_at, sizes
from zsfuzz.campaign.verdict import judge
from zsfuzz.execute.result import PageRow
from zsfuzz.program.ops import Free, Malloc, Stats
from zsfuzz.report.columns import table
from zsfuzz.report.pages import page_map
from zsfuzz.report.trace import Trace, trace_lines
from zsfuzz.report.verdict import verdict_json, verdict_lines


def row(pfn: int, owner: str = "free/3", index: int = -1, refcount: int = 0, **flags: bool) -> PageRow:
    return PageRow(pfn, "NORMAL", owner, index, flags.get("locked", False), flags.get("isolated", False), refcount)


def test_a_trace_shows_the_steps_of_both_sides_and_marks_the_first_difference() -> None:
    trace = Trace()
    trace.step(0, Malloc(0, 3256), "ok", "ok", True)
    trace.step(1, Free(0), "ok", "EBUSY", True)
    trace.step(2, Malloc(1, 32), "ok", "EIO", True)
    lines = list(trace_lines(trace, None))
    assert lines[0].split() == ["step", "operation", "reference", "candidate"]
    assert [line[0] for line in lines[1:4]] == [" ", ">", " "]
    assert lines[2].split() == [">", "1", "free", "h0", "ok", "EBUSY"]


def test_a_finding_is_told_below_its_step() -> None:
    trace = Trace()
    trace.step(0, Malloc(0, 32), "ok", "ok", True)
    trace.step(1, Free(0), "ok", "ok", True)
    lines = list(trace_lines(trace, finding_at(0)))
    assert lines[1].startswith(">")
    assert "candidate: I6 is broken" in lines[2]
    assert finding_at(0).signature in lines[3]
    assert "free h0" in lines[4]


def test_the_step_of_a_finding_is_shown_although_the_run_never_finished_it() -> None:
    trace = Trace(sizes(32, 5000).steps)
    trace.step(0, Malloc(0, 32), "ok", "ok", True)
    lines = list(trace_lines(trace, finding_at(1)))
    assert lines[2].split() == [">", "1", "h1", "=", "malloc", "5000", "?", "?"]
    assert "I6 is broken" in lines[3]


def test_the_values_that_a_finding_names_stand_in_its_row() -> None:
    trace = Trace(sizes(32).steps)
    finding = replace(finding_at(0), details=(("reference", "0"), ("candidate", "-16")))
    assert list(trace_lines(trace, finding))[1].split()[-2:] == ["0", "-16"]


def test_a_finding_at_the_end_stands_below_the_last_step() -> None:
    trace = Trace(sizes(32).steps)
    trace.step(0, Malloc(0, 32), "ok", "ok", True)
    lines = list(trace_lines(trace, finding_at(1)))
    assert "h0 = malloc 32" in lines[1]
    assert lines[2].split()[:2] == [">", "end"]
    assert "I6 is broken" in lines[3]


def test_a_step_told_of_twice_is_one_row_and_the_difference_stays() -> None:
    trace = Trace()
    trace.step(0, Malloc(0, 32), "1", "2", True)
    trace.step(0, Malloc(0, 32), "1", "1", True)
    assert [(each.reference, each.candidate) for each in trace.steps] == [("1", "2")]


def test_a_no_op_is_in_brackets() -> None:
    trace = Trace()
    trace.step(0, Stats(), "no-op", "no-op", False)
    assert list(trace_lines(trace, None))[1].split() == ["0", "stats", "(no-op)", "(no-op)"]


def test_a_long_outcome_goes_on_below_and_loses_nothing() -> None:
    trace = Trace()
    trace.step(0, Stats(), "x" * 100, "y", True)
    text = "".join(trace_lines(trace, None))
    assert text.count("x") == 100


def test_only_the_last_steps_are_shown_when_asked_for() -> None:
    trace = Trace()
    for index in range(100):
        trace.step(index, Stats(), "ok", "ok", True)
    lines = list(trace_lines(trace, None, last=10))
    assert len(lines) == 12
    assert "90 steps before" in lines[1]
    assert lines[-1].split()[0] == "99"


def test_equal_neighbours_share_a_line_of_the_map() -> None:
    """[free free free zspage] -> two lines."""
    rows = [row(0), row(1), row(2), row(3, "zspage 64#1", 0, 1)]
    lines = page_map(rows, rows)
    assert [line.split()[0] for line in lines[1:]] == ["0-2", "3"]


def test_a_pfn_on_which_the_sides_differ_is_marked() -> None:
    lines = page_map([row(0), row(1)], [row(0), row(1, isolated=True, refcount=2)])
    assert [line.startswith(">") for line in lines[1:]] == [False, True]
    assert "-I" in lines[2]


def test_the_map_shows_owner_index_lock_isolation_and_refcount() -> None:
    held = row(7, "zspage 3264#2", 1, 3, locked=True, isolated=True)
    (line,) = page_map([held], [held])[1:]
    assert line.split() == ["7", "NORMAL", *2 * ["zspage", "3264#2", "1", "LI", "3", "|"]][:-1]


def test_a_page_that_only_one_side_has_is_said() -> None:
    lines = page_map([row(0)], [])
    assert "not there" in lines[1]


def test_pages_that_do_not_follow_each_other_are_not_joined() -> None:
    lines = page_map([row(0), row(5)], [row(0), row(5)])
    assert [line.split()[0] for line in lines[1:]] == ["0", "5"]


def test_the_table_wraps_at_its_limits() -> None:
    assert table([("a", "b b b"), ("c", "d")], (0, 3)) == ["a  b b", "   b", "c  d"]


def test_a_changed_verdict_is_said_plainly() -> None:
    program = sizes(5000)
    verdict = judge(program, FakeRunner(), ("reference", "candidate"), "x.zst")
    text = "\n".join(verdict_lines(verdict, "x.zst", overridden=False, traced=False))
    assert "finding" in text
    assert "I6 is broken" in text


def test_the_json_of_a_replay_has_the_finding_objects_of_a_run() -> None:
    verdict = judge(sizes(5000), FakeRunner(), ("reference", "candidate"), "x.zst")
    entry = verdict_json(verdict, "x.zst", "zsfuzz replay x.zst", None)
    assert {"id", "signature", "kind", "target", "program", "replay"} <= entry["findings"][0].keys()


def test_the_json_of_a_trace_has_steps_and_pages() -> None:
    trace = Trace()
    verdict = judge(sizes(32, 5000), FakeRunner(), ("reference", "candidate"), "x.zst", trace)
    entry = verdict_json(verdict, "x.zst", "zsfuzz replay x.zst", trace)
    assert [step["operation"] for step in entry["steps"]] == ["h0 = malloc 32", "h1 = malloc 5000"]
    assert entry["first_difference"] == 1
    assert entry["pages"]["reference"][0]["owner"] == "zspage 3264#1"
