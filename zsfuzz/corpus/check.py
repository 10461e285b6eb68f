"""Check: what the commands `zsfuzz corpus add`, `check` and `stats` do.

In:    a store, paths of program files, a function that says what a program gives.
Out:   reports, as values with plain data for --json.
Never: printing, an exit status, the choice of targets.
Next:  the folder in zsfuzz/corpus/store.py.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsfuzz.corpus.store import BadFile, CorpusStore, content_name
from zsfuzz.errors import UsageError
from zsfuzz.program.files import PACKED_SUFFIX, load_program
from zsfuzz.program.program import Program

_CONTENT_NAME = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class AddReport:
    """added: files written. present: programs that were there already. bad: files that hold no program."""

    added: tuple[Path, ...]
    present: int
    bad: tuple[BadFile, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "added": [str(path) for path in self.added],
            "present": self.present,
            "bad": _bad_as_json(self.bad),
        }


@dataclass(frozen=True, slots=True)
class CheckReport:
    """files: how many there are. executed: how many named a verdict and were run. bad: what is wrong."""

    files: int
    executed: int
    bad: tuple[BadFile, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {"files": self.files, "executed": self.executed, "bad": _bad_as_json(self.bad)}


@dataclass(frozen=True, slots=True)
class StatsReport:
    """What a folder holds. bytes: on disk. steps: of each program, operations of a block included, ascending.

    The counts are by name.
    """

    files: int
    bytes: int
    steps: tuple[int, ...]
    operations: dict[str, int]
    geometries: dict[str, int]
    verdicts: dict[str, int]
    bad: tuple[BadFile, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data; of the lengths, the least, the middle one and the greatest."""
        steps = self.steps or (0,)
        return {
            "files": self.files,
            "bytes": self.bytes,
            "steps": {
                "total": sum(steps),
                "least": steps[0],
                "median": steps[len(steps) // 2],
                "most": steps[-1],
            },
            "operations": self.operations,
            "geometries": self.geometries,
            "verdicts": self.verdicts,
            "bad": _bad_as_json(self.bad),
        }


def _bad_as_json(bad: Iterable[BadFile]) -> list[dict[str, str]]:
    return [{"file": str(each.path), "reason": each.reason} for each in bad]


def add_files(store: CorpusStore, paths: Iterable[str | os.PathLike[str]]) -> AddReport:
    """Add the program of each file to the store.

    Errors: UsageError when the store cannot be written. A file that holds no program is reported, not fatal.
    """
    added: list[Path] = []
    bad: list[BadFile] = []
    present = 0
    for path in paths:
        try:
            program = load_program(path)
        except UsageError as error:
            bad.append(BadFile(Path(path), str(error)))
            continue
        if store.add(program):
            added.append(store.path_of(program))
        else:
            present += 1
    return AddReport(tuple(added), present, tuple(bad))


def check_store(
    store: CorpusStore,
    gives: Callable[[Program], str] | None = None,
    watch: Callable[[Path], None] | None = None,
) -> CheckReport:
    """Check that every file loads, has the name of its content, and still gives what its header says.

    gives: runs a program and returns "clean" or a signature; None to run nothing. Its UsageError (a target
    that is unknown here) is the file's problem; anything else comes through. watch: told of each file.
    A name that is no sha256 was given by people and says nothing.
    """
    bad: list[BadFile] = []
    files = executed = 0
    for path, content in store.read():
        files += 1
        if watch is not None:
            watch(path)
        if isinstance(content, UsageError):
            bad.append(BadFile(path, str(content)))
            continue
        reason = _misnamed(path, content)
        if reason is None and gives is not None and content.header.verdict is not None:
            executed += 1
            reason = _misjudged(path, content, gives)
        if reason is not None:
            bad.append(BadFile(path, reason))
    return CheckReport(files, executed, tuple(bad))


def _misnamed(path: Path, program: Program) -> str | None:
    if path.suffix != PACKED_SUFFIX or not _CONTENT_NAME.fullmatch(path.stem):
        return None
    name = content_name(program)
    if name == path.stem:
        return None
    return f"{path}: named {path.stem[:12]}... but holds {name[:12]}...; add it again and delete this file"


def _misjudged(path: Path, program: Program, gives: Callable[[Program], str]) -> str | None:
    try:
        given = gives(program)
    except UsageError as error:
        return str(error) if str(path) in str(error) else f"{path}: cannot be run: {error}"
    if given == program.header.verdict:
        return None
    return f"{path}: kept for {program.header.verdict!r} but gives {given!r}; replay it"


def stats_of(store: CorpusStore) -> StatsReport:
    """Return what the folder holds, counts in the order of their names."""
    steps: list[int] = []
    operations: Counter[str] = Counter()
    geometries: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    bad: list[BadFile] = []
    size = files = 0
    for path, content in store.read():
        files += 1
        if isinstance(content, UsageError):
            bad.append(BadFile(path, str(content)))
            continue
        size += store.size_bytes(path)
        steps.append(content.operations_count)
        operations.update([type(step).__name__ for step in content.operations])
        geometries[content.header.geometry] += 1
        verdicts[content.header.verdict or "none"] += 1
    return StatsReport(
        files=files,
        bytes=size,
        steps=tuple(sorted(steps)),
        operations=dict(sorted(operations.items())),
        geometries=dict(sorted(geometries.items())),
        verdicts=dict(sorted(verdicts.items())),
        bad=tuple(bad),
    )
