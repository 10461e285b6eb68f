"""A small C file of our own, compiled with gcc --coverage, run, read and judged.

In:    gcc and gcov of this machine; documents made by hand where gcov would not oblige.
Out:   counts, verdicts, refusals.
Never: kernel source.
Next:  zsfuzz/kernel/gcov.py, zsfuzz/kernel/gcov_run.py, zsfuzz/kernel/coverage.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from zsfuzz.errors import UsageError
from zsfuzz.kernel.coverage import CoverageReport, Rule, Stretch, Tally, judge
from zsfuzz.kernel.gcov import FileCoverage, FunctionCount, GcovError, LineCount, merge, parse
from zsfuzz.kernel.gcov_run import gcov_of, read_coverage
from zsfuzz.kernel.unreachable import RULES

needs_gcc = pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("gcov")), reason="no gcc with gcov here")

PROGRAM = """\
#include <stdlib.h>
static int half(int x)
{
	if (x < 0)
		return -1;
	return x / 2;
}

static int unused(int x)
{
	return x + half(x);
}

int main(int argc, char **argv)
{
	int sum = 0;
	for (int i = 0; i < 5; i++)
		sum += half(i);
	if (!argv) /* BUG_ON(!argv) */
		abort();
	return argc > 100 ? unused(argc) : sum != 4;
}
"""
SOURCE = PROGRAM.splitlines()


def ran(folder: Path, times: int = 1) -> Path:
    """Compile PROGRAM for coverage and run it; return where it lies."""
    source = folder / "small.c"
    source.write_text(PROGRAM)
    subprocess.run(["gcc", "--coverage", "-O0", str(source), "-o", "small"], cwd=folder, check=True)
    for _ in range(times):
        subprocess.run(["./small"], cwd=folder, check=True)
    return source


@needs_gcc
def test_lines_branches_and_functions_are_counted_as_they_ran(tmp_path: Path) -> None:
    source = ran(tmp_path)
    file = read_coverage(tmp_path, source, gcov_of("gcc"))
    counts = {line.number: line.count for line in file.lines}
    assert (counts[4], counts[5], counts[6], counts[11], counts[18], counts[20]) == (5, 0, 5, 0, 5, 0)
    branches = {line.number: line.branches for line in file.lines}
    assert sorted(branches[4]) == [0, 5]
    assert {one.name: one.calls for one in file.functions} == {"half": 5, "unused": 0, "main": 1}
    assert {line.function for line in file.lines if line.number < 8} == {"half"}


@needs_gcc
def test_runs_and_builds_add_up(tmp_path: Path) -> None:
    source = ran(tmp_path, times=3)
    once = read_coverage(tmp_path, source, "gcov")
    assert {line.number: line.count for line in once.lines}[4] == 15
    twice = merge([once, once])
    assert {line.number: line.count for line in twice.lines}[4] == 30
    assert len(twice.lines) == len(once.lines)


@needs_gcc
def test_another_file_than_the_one_that_was_compiled_is_refused(tmp_path: Path) -> None:
    ran(tmp_path)
    with pytest.raises(UsageError, match=r"nothing here was compiled from .*other\.c"):
        read_coverage(tmp_path, tmp_path / "other.c", "gcov")


@needs_gcc
def test_overwritten_data_is_refused_and_not_taken_for_nothing_reached(tmp_path: Path) -> None:
    source = ran(tmp_path)
    for path in tmp_path.glob("*.gcda"):
        path.write_bytes(b"no data of gcov's")
    with pytest.raises(UsageError, match=r"gcov could not read it .*not a gcov data file"):
        read_coverage(tmp_path, source, "gcov")


@needs_gcc
def test_data_of_an_older_build_is_refused(tmp_path: Path) -> None:
    source = ran(tmp_path)
    source.write_text(PROGRAM.replace("x / 2", "x > 9 ? x / 2 : 0"))
    subprocess.run(["gcc", "--coverage", "-O0", str(source), "-o", "small"], cwd=tmp_path, check=True)
    with pytest.raises(UsageError, match=r"gcov could not read it .*stamp mismatch"):
        read_coverage(tmp_path, source, "gcov")


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \.gcda file here"):
        read_coverage(tmp_path, tmp_path / "small.c", "gcov")


@pytest.mark.parametrize(
    ("compiler", "gcov"),
    [("gcc-13", "gcov-13"), ("gcc", "gcov"), ("{}/x86_64-linux-gnu-gcc -m64", "{}/x86_64-linux-gnu-gcov")],
)
def test_a_gcc_is_read_by_its_own_gcov(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str, gcov: str
) -> None:
    for name in ("gcov-13", "gcov", "x86_64-linux-gnu-gcov"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gcov_of(compiler.format(tmp_path)) == gcov.format(tmp_path)


@pytest.mark.parametrize(
    ("compiler", "word"), [("clang", "--cc gcc"), ("gcc-99", "install that gcc"), ("", "--cc gcc")]
)
def test_a_compiler_without_gcov_is_refused(compiler: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        gcov_of(compiler)


def document(**changed: Any) -> dict[str, Any]:
    line = {"line_number": 1, "count": 2, "function_name": "f", "branches": [{"count": 1}, {"count": 0}]}
    function = {"name": "f", "start_line": 1, "end_line": 3, "execution_count": 2}
    return {"format_version": "1", "files": [{"file": "a.c", "lines": [line], "functions": [function]}], **changed}


@pytest.mark.parametrize("version", ["1", "2"])
def test_both_formats_of_gcov_are_read(version: str) -> None:
    file = parse(json.dumps(document(format_version=version)), lambda name: name == "a.c")
    assert file == FileCoverage((LineCount(1, "f", 2, (1, 0)),), (FunctionCount("f", 1, 3, 2),))
    assert parse(json.dumps(document()), lambda name: False) is None


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "7", "\x00", json.dumps(document(format_version="9")), json.dumps(document(files=[{}]))]
)
def test_what_is_not_gcovs_is_refused(text: str) -> None:
    with pytest.raises(GcovError):
        parse(text, lambda name: True)


def test_measurements_of_different_builds_do_not_add_up() -> None:
    one = FileCoverage((LineCount(1, "f", 1, (1, 0)),), ())
    other = FileCoverage((LineCount(1, "f", 1, (1,)),), ())
    with pytest.raises(GcovError, match="2 branches in one build, 1 in another"):
        merge([one, other])


def judged(counts: list[tuple[int, tuple[int, ...]]], *rules: Rule, function: str = "f") -> CoverageReport:
    """Judge lines 1, 2, ... whose source is `line 1`, `line 2`, ..."""
    lines = tuple(LineCount(at, function, count, branches) for at, (count, branches) in enumerate(counts, 1))
    called = FunctionCount(function, 1, len(counts), counts[0][0])
    return judge(FileCoverage(lines, (called,)), [f"line {at}" for at in range(1, len(counts) + 1)], rules)


def test_a_line_is_reached_missed_or_unreachable_and_never_two_of_these() -> None:
    report = judged([(3, ()), (0, ()), (0, ()), (0, ())], Rule("f", "line 3", "why"))
    assert report.line_tally == Tally(reached=1, missed=2, unreachable=1)
    assert report.missed() == [Stretch("f", 2, 2, ""), Stretch("f", 4, 4, "")]
    assert report.unreachable() == [Stretch("f", 3, 3, "why")]
    assert report.functions[0].lines == report.line_tally
    assert report.line_tally.share == 1 / 3


def test_neighbours_with_one_verdict_are_one_stretch() -> None:
    report = judged([(0, ()), (0, ()), (1, ()), (0, ())])
    assert report.missed() == [Stretch("f", 1, 2, ""), Stretch("f", 4, 4, "")]


def test_a_rule_may_mean_the_lines_after_a_condition_and_its_branches() -> None:
    report = judged([(1, (1, 0)), (0, ()), (0, ()), (0, ())], Rule("f", "line 1", "why", following=2))
    assert report.unreachable() == [Stretch("f", 2, 3, "why")]
    assert report.branch_tally == Tally(reached=1, missed=0, unreachable=1)


def test_a_rule_may_mean_branches_alone() -> None:
    report = judged([(1, (1, 0)), (1, (0, 1)), (0, (0, 0))], Rule("*", "line 1", "why", branches_only=True))
    assert report.branch_tally == Tally(reached=2, missed=3, unreachable=1)
    assert [line.number for line in report.missed_branches()] == [2]


def test_a_rule_without_a_pattern_means_the_whole_function_and_no_other() -> None:
    assert judged([(0, ()), (0, ())], Rule("f", "", "why")).unreachable() == [Stretch("f", 1, 2, "why")]
    assert judged([(0, ()), (0, ())], Rule("g", "", "why")).unreachable() == []


def test_a_rule_whose_line_was_reached_hides_nothing_and_is_told() -> None:
    rule = Rule("f", "", "why")
    report = judged([(1, ()), (1, ()), (0, ())], rule)
    assert report.line_tally == Tally(reached=2, missed=0, unreachable=1)
    assert report.wrong_rules == ((rule, 1),)


@pytest.mark.parametrize(("only_if", "unreachable"), [("line 2", 1), ("line 9", 0)])
def test_a_rule_may_hold_for_some_sources_only(only_if: str, unreachable: int) -> None:
    report = judged([(0, ()), (0, ())], Rule("f", "line 1", "why", only_if=only_if))
    assert report.line_tally.unreachable == unreachable


def test_a_source_that_is_too_short_is_another_file() -> None:
    with pytest.raises(ValueError, match="line 3 was measured, the source has 2 lines"):
        judge(FileCoverage((LineCount(3, "f", 1, ()),), ()), ["a", "b"], ())


@needs_gcc
def test_the_kernels_assertions_are_excused_by_the_rules_that_are_shipped(tmp_path: Path) -> None:
    source = ran(tmp_path)
    file = read_coverage(tmp_path, source, "gcov")
    with_rules, without = judge(file, SOURCE, RULES), judge(file, SOURCE, ())
    assert [line.number for line in without.missed_branches()] == [4, 19, 21]
    assert [line.number for line in with_rules.missed_branches()] == [4, 21]
    assert with_rules.wrong_rules == ()
