"""The readable trace of one run: every step on both sides, the first difference marked, and the map of pfns.

In:    what the runner tells an Observer (zsfuzz/execute/result.py).
Out:   Trace, and its lines of text.
Never: a run of its own.
Next:  asked for by zsfuzz/cli/replay.py and zsfuzz/pytest_plugin.py; the map is in zsfuzz/report/pages.py.

    step  operation        reference    candidate
       0  h0 = malloc 3256 ok           ok
  >    1  migrate h0.0     moved to @9  EAGAIN
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from zsfuzz.execute.result import PageRow
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.ops import Operation
from zsfuzz.program.steps import format_step
from zsfuzz.report.columns import lines_of, widths
from zsfuzz.report.pages import page_map

_LIMITS = (1, 5, 44, 36, 36)
_HEAD = ("", "step", "operation", "reference", "candidate")


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of a run: its text and the outcomes of the two sides."""

    index: int
    operation: str
    reference: str
    candidate: str
    effective: bool


@dataclass(slots=True)
class Trace:
    """An Observer that remembers. program_steps: those of the program, for the step a run broke off in."""

    program_steps: Sequence[Operation] = ()
    steps: list[StepRow] = field(default_factory=list)
    reference_pages: Sequence[PageRow] = ()
    candidate_pages: Sequence[PageRow] = ()
    pages_index: int = -1

    def step(self, index: int, operation: Operation, reference: str, candidate: str, effective: bool) -> None:
        """Remember one step; of one that is told of twice, the report in which the sides differ."""
        row = StepRow(index, format_step(operation), reference, candidate, effective)
        if self.steps and self.steps[-1].index == index:
            if reference != candidate:
                self.steps[-1] = row
            return
        self.steps.append(row)

    def pages(self, index: int, reference: list[PageRow], candidate: list[PageRow]) -> None:
        """Remember the map of pfns."""
        self.pages_index, self.reference_pages, self.candidate_pages = index, reference, candidate

    def first_difference(self, finding: Finding | None) -> int | None:
        """Return the index of the first step whose outcomes differ, else the finding's, None for neither."""
        differing = next((row.index for row in self.steps if row.reference != row.candidate), None)
        if differing is None and finding is not None:
            return finding.step
        return differing

    def rows(self, finding: Finding | None) -> list[StepRow]:
        """Return the steps, and below them the one that the run never came back from."""
        last = self.steps[-1].index if self.steps else -1
        if finding is None or finding.step <= last:
            return self.steps
        broken = (
            format_step(self.program_steps[finding.step])
            if finding.step < len(self.program_steps)
            else "(everything is freed and checked)"
        )
        said = dict(finding.details)
        row = StepRow(finding.step, broken, said.get("reference", "?"), said.get("candidate", "?"), True)
        return [*self.steps, row]


def trace_lines(trace: Trace, finding: Finding | None, *, last: int | None = None) -> Iterator[str]:
    """Yield the trace as text. last: only that many steps before the end, with a word on what is left out."""
    rows = trace.rows(finding)
    marked = trace.first_difference(finding)
    shown = rows if last is None else rows[-last:]
    cells = [_HEAD, *(_cells(row, row.index == marked, len(trace.program_steps)) for row in shown)]
    columns = widths(cells, _LIMITS)
    yield from lines_of(_HEAD, columns)
    if len(shown) < len(rows):
        yield f"       ... {len(rows) - len(shown)} steps before"
    for row, cell in zip(shown, cells[1:], strict=True):
        yield from lines_of(cell, columns)
        if finding is not None and row.index == finding.step:
            yield from finding_lines(finding)
    yield from _map_lines(trace)


def finding_lines(finding: Finding) -> Iterator[str]:
    """Yield what a finding says: its message, its signature, its details."""
    yield f"   !!  {finding.target}: {finding.message}"
    yield f"       {finding.signature}"
    for name, value in finding.details:
        yield f"       {name}: {value}"


def _cells(row: StepRow, marked: bool, steps_count: int) -> tuple[str, ...]:
    index = "end" if 0 < steps_count <= row.index else str(row.index)
    outcomes = (row.reference, row.candidate)
    if not row.effective and row.reference == row.candidate:
        outcomes = (f"({row.reference or 'no-op'})",) * 2
    return ">" if marked else "", index.rjust(4), row.operation, *outcomes


def _map_lines(trace: Trace) -> Iterator[str]:
    if not trace.reference_pages and not trace.candidate_pages:
        return
    yield ""
    if trace.pages_index < len(trace.program_steps or trace.steps):
        yield f"pfns after step {trace.pages_index} (L locked, I isolated, > the sides differ)"
    else:
        yield "pfns at the end (L locked, I isolated, > the sides differ)"
    yield from page_map(trace.reference_pages, trace.candidate_pages)
