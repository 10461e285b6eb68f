"""The end of an exploration, for people and for scripts.

In:    an Exploration of zsfuzz/explore/explorer.py, and what was kept of its findings.
Out:   lines of text; the JSON object of `zsfuzz explore --json`, in which only "seconds" depends on time.
Never: "complete" for less than everything.
Next:  printed by zsfuzz/cli/explore.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zsfuzz.explore.explorer import CANDIDATE, REFERENCE, Exploration
from zsfuzz.oracle.finding import Finding
from zsfuzz.report.columns import table


@dataclass(frozen=True, slots=True)
class KeptMet:
    """A finding that was kept. program: its file. replay: the command that shows it. confirmed: it did so already."""

    finding: Finding
    preemptions: int
    program: str
    replay: str
    confirmed: bool

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return self.finding.as_json() | {
            "preemptions": self.preemptions,
            "program": self.program,
            "replay": self.replay,
            "confirmed": self.confirmed,
        }


def explore_json(
    exploration: Exploration, kept: Sequence[KeptMet], file: str, seconds: float, stopped: str
) -> dict[str, Any]:
    """Return the object that `explore --json` prints. stopped: "complete", or what cut the search."""
    question, counts = exploration.question, exploration.counts
    return {
        "program": file,
        "targets": list(question.targets),
        "faults": list(question.faults),
        "max_preemptions": question.bound,
        "complete": exploration.complete,
        "stopped": stopped,
        "seconds": round(seconds, 3),
        "interleavings": counts.interleavings,
        "states": counts.states,
        "pruned": {"asleep": counts.slept, "looking ahead": counts.skipped},
        "points": counts.points,
        "unknown": exploration.unknown,
        "parted": exploration.parted,
        "sides": [
            {
                "target": phase.role,
                "max_preemptions": phase.search.bound,
                "complete": phase.search.complete,
                "interleavings": phase.search.counts.interleavings,
                "end_states": len(phase.lanes.ended.states),
            }
            for phase in exploration.phases
        ],
        "contained": exploration.missing is None if exploration.complete else None,
        "findings": [each.as_json() for each in kept],
    }


def explore_line(exploration: Exploration) -> str:
    """Return the figures of an exploration on its way in one line."""
    if not exploration.phases:
        return "steps before the block"
    phase = exploration.phases[-1]
    counts, ended = phase.search.counts, phase.lanes.ended
    return (
        f"{phase.role}: {counts.interleavings:,} interleavings, {counts.states:,} states, "
        f"{counts.slept + counts.skipped:,} pruned, {len(ended.states)} end states, "
        f"{sum(1 for _ in exploration.findings())} findings"
    )


def explore_lines(
    exploration: Exploration, kept: Sequence[KeptMet], file: str, seconds: float, stopped: str
) -> Iterator[str]:
    """Yield what came of an exploration as text."""
    question, counts = exploration.question, exploration.counts
    planted = f", planted: {' '.join(question.faults)}" if question.faults else ""
    ends = [len(exploration.end_states(number)) for number in (REFERENCE, CANDIDATE)]
    word = "complete" if exploration.complete else f"not complete: {stopped}"
    yield from table(
        [
            ("program", file),
            ("targets", f"{' | '.join(question.targets)}{planted}"),
            ("search", f"up to {question.bound} preemptions; {word}"),
            ("time", f"{seconds:.1f} s"),
            ("interleavings", f"{counts.interleavings:,} ({counts.interleavings / max(seconds, 1e-9):,.0f}/s)"),
            ("states", f"{counts.states:,}"),
            ("pruned", f"{counts.slept:,} asleep, {counts.skipped:,} by looking ahead"),
            ("points", f"{counts.points:,}"),
            ("end states", f"{ends[0]} | {ends[1]}{_contained(exploration)}"),
            ("unknown", f"{exploration.unknown:,} ends"),
        ],
        (0, 100),
    )
    yield ""
    if not kept:
        yield "no finding"
        return
    yield f"{len(kept)} finding{'s' if len(kept) > 1 else ''}"
    for each in kept:
        yield from _finding(each)


def _contained(exploration: Exploration) -> str:
    if not exploration.complete:
        return "; not compared"
    return "; the candidate has one of its own" if exploration.missing else "; the candidate's are the reference's"


def _finding(kept: KeptMet) -> Iterator[str]:
    yield ""
    yield f"  {kept.finding.id}  {kept.finding.target}: {kept.finding.message}"
    yield f"    signature    {kept.finding.signature}"
    yield f"    preemptions  {kept.preemptions}"
    yield f"    replay       {kept.replay}"
    if not kept.confirmed:
        yield "    a single run of this schedule on both sides does not end in it"
