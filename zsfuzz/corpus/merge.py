"""Merge: what the commands `zsfuzz corpus merge` and `distill` do.

In:    a store, programs, functions that measure a program and that shorten one.
Out:   programs added to the store; a report. What was written is read and measured again before anything is said.
Never: printing, the choice of targets, the way in which a program is made shorter.
Next:  which programs: zsfuzz/corpus/cover.py; the commands in zsfuzz/cli/merge.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zsfuzz.corpus.cover import Kept, Measured, smallest_cover
from zsfuzz.corpus.store import BadFile, CorpusStore, content_name
from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.files import TEXT_SUFFIX, load_program, save_program
from zsfuzz.program.program import Program

NAME_DIGITS = 16
"""Of the content's name, in the names of text files: people read them."""

Measure = Callable[[Program], tuple[int, ...] | Finding]
"""Runs a program: the units that it reaches, or what went wrong."""

Shorten = Callable[[Program, Callable[[Program], bool]], Program | Finding]
"""Returns a shorter program of which the predicate is true, as it is of the given one; or a finding that the given one
gives when it is looked at more closely."""


@dataclass(frozen=True, slots=True)
class MergeReport:
    """programs: read. kept: written or there already, with the units that each is kept for. units: that all reach.

    covered: that the kept ones reach, measured after they were written. findings: programs that are left out because
    something went wrong in them. bad: files that hold no program. steps: of the kept ones, before and after.
    """

    programs: int
    kept: tuple[tuple[Path, tuple[int, ...]], ...]
    units: int
    covered: int
    findings: tuple[tuple[Path, Finding], ...]
    bad: tuple[BadFile, ...]
    steps: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "programs": self.programs,
            "kept": [str(path) for path, _ in self.kept],
            "units": self.units,
            "covered": self.covered,
            "operations": {"before": self.steps[0], "after": self.steps[1]},
            "findings": [finding.as_json() | {"program": str(path)} for path, finding in self.findings],
            "bad": [{"file": str(each.path), "reason": each.reason} for each in self.bad],
        }


class Merger:
    """One merge into one store."""

    def __init__(
        self, store: CorpusStore, measure: Measure, watch: Callable[[str, int, int], None], *, text: bool = False
    ) -> None:
        """watch: told of a phase, how much of it is done, and how much there is. text: write .zst instead of .zsf."""
        self._store = store
        self._measure = measure
        self._watch = watch
        self._text = text
        self._findings: list[tuple[Path, Finding]] = []
        self._bad: list[BadFile] = []

    def merge(self, paths: Iterable[Path], most: int | None = None, shorten: Shorten | None = None) -> MergeReport:
        """Add the fewest of the programs, so that the store reaches what it and all of them reach.

        most: how many are added at most. shorten: makes each one shorter while it reaches what it is kept for.
        Errors: UsageError when the store cannot be written; HarnessError when it does not hold what it should.
        """
        there = self._measured(self._store.paths(), "measured, of the folder")
        have = frozenset(unit for each, _ in there for unit in each.units)
        given = self._measured(list(paths), "measured")
        kept = smallest_cover({each.name: each for each, _ in given}.values(), have, most)
        before = sum(each.measured.program.operations_count for each in kept)
        if shorten is not None:
            path_of = {each.name: path for each, path in given}
            kept = list(self._shortened(kept, shorten, path_of))
        written = [self._write(each.measured.program) for each in kept]
        wanted = have.union(*(each.units for each in kept)) if kept else have
        after = self._verified(wanted)
        everything = have.union(*(each.units for each, _ in given)) if given else have
        return MergeReport(
            programs=len(there) + len(given),
            kept=tuple(
                [(path, each.units) for each, path in there]
                + [(path, each.units) for path, each in zip(written, kept, strict=True)]
            ),
            units=len(everything),
            covered=len(wanted),
            findings=tuple(self._findings),
            bad=tuple(self._bad),
            steps=(before, after),
        )

    def _measured(self, paths: list[Path], phase: str) -> list[tuple[Measured, Path]]:
        found = []
        for at, path in enumerate(paths):
            self._watch(phase, at, len(paths))
            try:
                program = plain(load_program(path))
            except UsageError as error:
                self._bad.append(BadFile(path, str(error)))
                continue
            units = self._measure(program)
            if isinstance(units, Finding):
                self._findings.append((path, units))
            else:
                found.append((Measured(content_name(program), program, units), path))
        return found

    def _shortened(self, kept: list[Kept], shorten: Shorten, path_of: Mapping[str, Path]) -> Iterator[Kept]:
        """Yield shorter programs that reach what they are kept for."""
        for at, each in enumerate(kept):
            self._watch("shortened", at, len(kept))
            wanted = frozenset(each.units)

            def keeps(shorter: Program, wanted: frozenset[int] = wanted) -> bool:
                units = self._measure(shorter)
                return not isinstance(units, Finding) and wanted.issubset(units)

            short = shorten(each.measured.program, keeps)
            if isinstance(short, Finding):
                self._findings.append((path_of[each.measured.name], short))
            else:
                yield replace(each, measured=replace(each.measured, program=short))

    def _write(self, program: Program) -> Path:
        if not self._text:
            self._store.add(program)
            return self._store.path_of(program)
        path = self._store.folder / f"{content_name(program)[:NAME_DIGITS]}{TEXT_SUFFIX}"
        save_program(program, path)
        return path

    def _verified(self, wanted: frozenset[int]) -> int:
        """Read and measure what the store holds now; return its operations. Errors: HarnessError for too little."""
        reached: set[int] = set()
        operations = 0
        paths = self._store.paths()
        for at, (_, content) in enumerate(self._store.read()):
            self._watch("verified", at, len(paths))
            if isinstance(content, UsageError):
                continue  # reported when it was measured
            units = self._measure(plain(content))
            if not isinstance(units, Finding):
                operations += content.operations_count
                reached.update(units)
        missing = wanted - reached
        if missing:
            raise HarnessError(f"{self._store.folder}: {len(missing)} of {len(wanted)} units are not reached any more")
        return operations


def plain(program: Program) -> Program:
    """Return a program without what its file is kept for: targets, faults, verdict."""
    return replace(program, header=replace(program.header, reference=None, candidate=None, faults=(), verdict=None))
