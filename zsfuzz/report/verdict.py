"""What one kept program gives, for people and for scripts.

In:    a Verdict of zsfuzz/campaign/verdict.py, perhaps a Trace.
Out:   lines; the entry of `zsfuzz replay --json`.
Never: an exit status.
Next:  zsfuzz/cli/replay.py, zsfuzz/pytest_plugin.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from zsfuzz.campaign.verdict import CLEAN, Verdict
from zsfuzz.report.trace import Trace, finding_lines


def verdict_lines(verdict: Verdict, where: str, *, overridden: bool, traced: bool) -> Iterator[str]:
    """Yield what a program gives. traced: the finding itself is told by the trace that follows."""
    yield f"{where}: {_headline(verdict)} ({' | '.join(verdict.targets)}, {_operations(verdict)})"
    if verdict.finding is not None and not traced:
        yield from finding_lines(verdict.finding)
    if not verdict.as_kept and verdict.kept_for is not None:
        yield from changed_lines(verdict, overridden=overridden)
    used = [f"{name} {uses:,}" for name, uses in sorted(verdict.result.expected.items()) if uses]
    if used:
        yield f"   expected differences used: {', '.join(used)}"
    if verdict.result.parted:
        yield f"   the designs may go on differently after {verdict.result.parted}"
    if verdict.result.operations == 0 and verdict.finding is None:
        yield "   no operation had an effect: nothing was tested"


def changed_lines(verdict: Verdict, *, overridden: bool) -> Iterator[str]:
    """Yield in plain words that a program gives something else than it is kept for."""
    yield "   the verdict changed:"
    yield f"     kept for  {verdict.kept_for or CLEAN + ' (the header names no verdict)'}"
    yield f"     now gives {verdict.gives}"
    if overridden:
        yield "     (its header was overridden: targets or faults are not those it was kept for)"


def verdict_json(verdict: Verdict, where: str, replay: str, trace: Trace | None) -> dict[str, Any]:
    """Return one entry of "results"."""
    entry: dict[str, Any] = {
        "file": where,
        "targets": list(verdict.targets),
        "verdict": verdict.gives,
        "kept_for": verdict.kept_for,
        "as_kept": verdict.as_kept,
        "operations": verdict.result.operations,
        "no_ops": verdict.result.no_ops,
        "findings": [finding.as_json() | {"program": where, "replay": replay} for finding in verdict.result.findings],
        "expected_differences": dict(sorted(verdict.result.expected.items())),
        "parted": verdict.result.parted,
        "checks": dict(sorted(verdict.result.checks.items())),
    }
    if trace is not None:
        entry["steps"] = [asdict(row) for row in trace.rows(verdict.finding)]
        entry["first_difference"] = trace.first_difference(verdict.finding)
        entry["pages"] = {
            "reference": [asdict(row) for row in trace.reference_pages],
            "candidate": [asdict(row) for row in trace.candidate_pages],
        }
    return entry


def _headline(verdict: Verdict) -> str:
    return CLEAN if verdict.finding is None else f"finding {verdict.finding.id}"


def _operations(verdict: Verdict) -> str:
    return f"operations {verdict.result.operations:,}, no-ops {verdict.result.no_ops:,}"
