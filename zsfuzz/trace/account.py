"""The account of an import: what every line was, and what was made of it.

In:    counts, kept by zsfuzz/trace/ftrace.py while it reads.
Out:   TraceImport, as a value, as plain data and as text for people.
Never: a decision.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from zsfuzz.program.program import Program


@dataclass(slots=True)
class TraceCounts:
    """Numbers of one capture. Mutable while it is read; nobody writes to it afterwards."""

    lines: int = 0
    malloc: int = 0  # successful, each a step
    free: int = 0  # of a live handle, each a step
    migrate: int = 0  # each a step
    compact: int = 0  # each a step
    approximated: int = 0  # migrations whose page was chosen by rule
    pools: int = 0  # pools that have a number
    peak_live: int = 0
    live_at_end: int = 0
    needed_pages: int = 0  # frames the objects can fill, without margin
    malloc_failed: int = 0  # returned 0 or an errno; no step
    malloc_odd_size: int = 0  # 0 bytes, or more than a page; the step is made
    free_unknown: int = 0  # handle never seen, or freed before; no step
    free_missing: int = 0  # a handle came back while it was live: a Free was put in
    migrate_failed: int = 0  # returned an errno; the step is made
    migrate_homeless: int = 0  # no handle was live; no step
    unmatched_calls: int = 0
    unmatched_returns: int = 0
    further_pools: int = 0  # pools beyond those a program can name
    further_pool_events: int = 0  # events in them; no step
    other_events: int = 0  # well-formed, of somebody else
    malformed: int = 0
    lost_marks: int = 0  # places where the ring buffer dropped events
    lost_events: int = 0  # how many, as far as the kernel knew
    overwritten: int = 0  # events gone before the first line
    beyond_limit: int = 0  # events after the program had all the steps it may have


_ALWAYS = (
    ("lines", "lines"),
    ("malloc", "malloc"),
    ("free", "free"),
    ("migrate", "migrate"),
    ("approximated", "of them with the page chosen by rule"),
    ("compact", "compact"),
    ("pools", "pools"),
    ("peak_live", "handles live at the peak"),
    ("live_at_end", "handles live at the end"),
    ("needed_pages", "pages that the objects can fill"),
)
_WHEN_NOT_ZERO = (
    ("malloc_failed", "malloc that failed: left out"),
    ("malloc_odd_size", "malloc of 0 bytes or more than a page: kept, will fail on both sides"),
    ("free_unknown", "free of an unknown handle: left out"),
    ("free_missing", "handles given out twice: a free was put in"),
    ("migrate_failed", "migrate that failed in the capture: kept"),
    ("migrate_homeless", "migrate with no handle live: left out"),
    ("unmatched_calls", "calls without a return"),
    ("unmatched_returns", "returns without a call"),
    ("further_pools", "pools too many"),
    ("further_pool_events", "events in them: left out"),
    ("other_events", "events of somebody else"),
    ("malformed", "malformed lines"),
    ("lost_marks", "places where the ring buffer lost events"),
    ("lost_events", "events lost there"),
    ("overwritten", "events overwritten before the first line"),
    ("beyond_limit", "events after the last step a program may have: left out"),
)


@dataclass(frozen=True, slots=True)
class TraceImport:
    """One capture, imported.

    programs: one, or none when no event could be used. malformed_examples: (line number, reason) of the
    first few. memory_short: the capture needs more memory than a program may ask for. truncated: why
    reading stopped early, or "".
    """

    programs: tuple[Program, ...]
    counts: TraceCounts
    malformed_examples: tuple[tuple[int, str], ...] = ()
    memory_short: bool = False
    truncated: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the account as plain data."""
        return {
            "programs": len(self.programs),
            "steps": sum(len(program.steps) for program in self.programs),
            "counts": asdict(self.counts),
            "malformed_examples": [list(example) for example in self.malformed_examples],
            "memory_short": self.memory_short,
            "truncated": self.truncated,
        }

    def report(self) -> str:
        """Return the account for people: the main numbers, then what was odd, if anything was."""
        numbers = asdict(self.counts)
        rows = [(numbers[field], name) for field, name in _ALWAYS]
        rows += [(numbers[field], name) for field, name in _WHEN_NOT_ZERO if numbers[field]]
        text = [f"{number:>12,}  {name}" for number, name in rows]
        text += [f"{'':12}  line {line}: {reason}" for line, reason in self.malformed_examples]
        for program in self.programs:
            pages = program.header.movable_pages
            text.append(f"{len(program.steps):>12,}  steps in a memory of {pages:,} movable pages")
        if self.memory_short:
            text.append("short of memory: the last allocations of the replay will fail on both sides")
        if self.truncated:
            text.append(f"stopped early: {self.truncated}")
        return "\n".join(text) + "\n"
