"""Coverage of mm/zsmalloc.c, judged: reached, reachable but not reached, unreachable with a reason.

In:    FileCoverage; the lines of the source; rules about what a userspace build cannot reach.
Out:   CoverageReport, with every line and branch judged, and rules that were proved wrong.
Never: a rule that hides what was reached: then the rule is reported, not the line.
Next:  rules: zsfuzz/kernel/unreachable.py; printing: zsfuzz/report/coverage_text.py, zsfuzz/report/coverage_html.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zsfuzz.kernel.gcov import FileCoverage, FunctionCount, LineCount


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason why something cannot be reached in userspace.

    function: a name, or "*" for any. pattern: a regular expression searched in a source line of that function;
    "" for the whole function. following: how many lines with code after the fitting one are meant; with 0 it is
    the fitting line itself. Of a fitting line with lines following, the branches never taken are meant too.
    branches_only: the line is reachable, some of its branches are not. only_if: a regular expression that a line of
    the source must fit for the rule to hold, where eras differ; "" for every source.
    """

    function: str
    pattern: str
    reason: str
    following: int = 0
    branches_only: bool = False
    only_if: str = ""


@dataclass(frozen=True, slots=True)
class JudgedLine:
    """One line with code."""

    number: int
    function: str
    count: int
    branches: tuple[int, ...]
    reason: str
    """Why the line cannot be reached; "" when it can, or was."""
    branch_reason: str
    """Why the branches that were not taken cannot be; "" when they can."""

    @property
    def is_reached(self) -> bool:
        return self.count > 0

    @property
    def is_missed(self) -> bool:
        """Whether it could be reached and was not."""
        return self.count == 0 and not self.reason


@dataclass(frozen=True, slots=True)
class Tally:
    """How many there are, of lines or of branches."""

    reached: int
    missed: int
    unreachable: int

    @property
    def reachable(self) -> int:
        return self.reached + self.missed

    @property
    def share(self) -> float:
        """Return which part of the reachable was reached; 1.0 of nothing."""
        return self.reached / self.reachable if self.reachable else 1.0


@dataclass(frozen=True, slots=True)
class JudgedFunction:
    """One function and what it adds up to."""

    name: str
    first_line: int
    last_line: int
    calls: int
    lines: Tally
    branches: Tally


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring lines of one function with one verdict. reason: "" for missed ones."""

    function: str
    first_line: int
    last_line: int
    reason: str


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """One file, judged."""

    lines: tuple[JudgedLine, ...]
    functions: tuple[JudgedFunction, ...]
    wrong_rules: tuple[tuple[Rule, int], ...]
    """Rules of which a line was reached after all, with the first such line."""

    @property
    def line_tally(self) -> Tally:
        return _lines_of(self.lines)

    @property
    def branch_tally(self) -> Tally:
        return _branches_of(self.lines)

    def missed(self) -> list[Stretch]:
        """Return what could be reached and was not."""
        return _stretches([(line, "") for line in self.lines if line.is_missed], self.lines)

    def unreachable(self) -> list[Stretch]:
        """Return what cannot be reached, with reasons."""
        return _stretches([(line, line.reason) for line in self.lines if line.reason], self.lines)

    def missed_branches(self) -> list[JudgedLine]:
        """Return the reached lines of which a branch could be taken and was not."""
        return [line for line in self.lines if line.is_reached and 0 in line.branches and not line.branch_reason]


def judge(file: FileCoverage, source: Sequence[str], rules: Iterable[Rule]) -> CoverageReport:
    """Judge every line. source: the lines of the file that was compiled.

    Errors: ValueError when the source has fewer lines than the coverage speaks of: it is another file.
    """
    if file.lines and file.lines[-1].number > len(source):
        raise ValueError(f"line {file.lines[-1].number} was measured, the source has {len(source)} lines")
    reasons: dict[int, Rule] = {}
    branch_reasons: dict[int, Rule] = {}
    for rule in rules:
        if rule.only_if and not any(re.search(rule.only_if, line) for line in source):
            continue
        for at, line in enumerate(file.lines):
            if rule.function in ("*", line.function) and re.search(rule.pattern, source[line.number - 1]):
                _apply(rule, at, file.lines, reasons, branch_reasons)
    lines = tuple(_judged(line, reasons.get(line.number), branch_reasons.get(line.number)) for line in file.lines)
    wrong: dict[Rule, int] = {}
    for measured in file.lines:
        if measured.count and measured.number in reasons:
            wrong.setdefault(reasons[measured.number], measured.number)
    return CoverageReport(lines, tuple(_function(one, lines) for one in file.functions), tuple(wrong.items()))


def _apply(
    rule: Rule, at: int, lines: Sequence[LineCount], reasons: dict[int, Rule], branch_reasons: dict[int, Rule]
) -> None:
    """Note a rule for the lines it means. The first rule that speaks of a line keeps it."""
    here = lines[at]
    if rule.branches_only or rule.following:
        branch_reasons.setdefault(here.number, rule)
    if rule.branches_only:
        return
    meant = lines[at + 1 : at + 1 + rule.following] if rule.following else [here]
    for line in meant:
        if line.function == here.function:
            reasons.setdefault(line.number, rule)


def _judged(line: LineCount, rule: Rule | None, branch_rule: Rule | None) -> JudgedLine:
    reason = rule.reason if rule and line.count == 0 else ""
    branch_reason = branch_rule.reason if branch_rule and 0 in line.branches else reason
    return JudgedLine(line.number, line.function, line.count, line.branches, reason, branch_reason)


def _function(one: FunctionCount, lines: Sequence[JudgedLine]) -> JudgedFunction:
    own = [line for line in lines if line.function == one.name]
    return JudgedFunction(one.name, one.first_line, one.last_line, one.calls, _lines_of(own), _branches_of(own))


def _lines_of(lines: Iterable[JudgedLine]) -> Tally:
    reached = missed = unreachable = 0
    for line in lines:
        reached += line.is_reached
        missed += line.is_missed
        unreachable += bool(line.reason)
    return Tally(reached, missed, unreachable)


def _branches_of(lines: Iterable[JudgedLine]) -> Tally:
    reached = missed = unreachable = 0
    for line in lines:
        taken = sum(count > 0 for count in line.branches)
        reached += taken
        if line.branch_reason:
            unreachable += len(line.branches) - taken
        else:
            missed += len(line.branches) - taken
    return Tally(reached, missed, unreachable)


def _stretches(chosen: Sequence[tuple[JudgedLine, str]], lines: Sequence[JudgedLine]) -> list[Stretch]:
    """Join chosen lines between which no other line with code lies."""
    order = {(line.number, line.function): at for at, line in enumerate(lines)}
    found: list[Stretch] = []
    last = -2
    for line, reason in chosen:
        at = order[line.number, line.function]
        if found and at == last + 1 and (found[-1].function, found[-1].reason) == (line.function, reason):
            found[-1] = Stretch(line.function, found[-1].first_line, line.number, reason)
        else:
            found.append(Stretch(line.function, line.number, line.number, reason))
        last = at
    return found
