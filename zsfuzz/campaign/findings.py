"""The findings folder: one program and one description for each signature, safe on disk at once.

In:    a confirmed finding and the program that shows it.
Out:   ID.zst (targets, faults and verdict in its header) and ID.json; harness-HASH.zst for faults of ours.
Never: a longer program over a shorter one that still shows the same finding.
Next:  who confirms findings: zsfuzz/campaign/loop.py; who replays them: zsfuzz/cli/replay.py.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zsfuzz.campaign.files import write_program, write_text
from zsfuzz.campaign.running import ProgramRunner
from zsfuzz.campaign.settings import RunSettings
from zsfuzz.campaign.verdict import careful_cadence
from zsfuzz.errors import UsageError
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.files import load_program
from zsfuzz.program.program import Program
from zsfuzz.program.text import format_program


@dataclass(slots=True)
class KeptFinding:
    """One signature of this campaign: its shortest program so far, and how often it was hit."""

    finding: Finding
    program: Program
    path: Path
    hits: int = 1

    def as_json(self) -> dict[str, Any]:
        """Return the finding with its program's path, the replay command and the counts."""
        return self.finding.as_json() | {
            "program": str(self.path),
            "replay": replay_command(self.path),
            "steps": self.program.operations_count,
            "hits": self.hits,
        }


def replay_command(path: Path | str) -> str:
    """Return the command that shows the finding again; --trace added to it shows every step."""
    return f"zsfuzz replay {shlex.quote(str(path))}"


class FindingsFolder:
    """Keeps the findings of one campaign, in memory and on disk."""

    def __init__(self, settings: RunSettings, runner: ProgramRunner) -> None:
        self._settings = settings
        self._runner = runner
        self._kept: dict[str, KeptFinding] = {}

    @property
    def kept(self) -> tuple[KeptFinding, ...]:
        """Return the findings in the order in which they were first hit."""
        return tuple(self._kept.values())

    def shortest(self, signature: str) -> int | None:
        """Return how many operations the kept program of a signature has, None for a new signature."""
        known = self._kept.get(signature)
        return None if known is None else known.program.operations_count

    def add(self, finding: Finding, program: Program) -> None:
        """Keep a confirmed finding; a signature that is known is counted, its shorter program is kept.

        Errors: UsageError when the folder cannot be written.
        """
        known = self._kept.get(finding.signature)
        labelled = self._labelled(program, finding.signature)
        if known is None:
            path = self._settings.findings / f"{finding.id}.zst"
            known = self._kept[finding.signature] = KeptFinding(finding, labelled, path)
        else:
            known.hits += 1
            if program.operations_count >= known.program.operations_count:
                return
            known.finding, known.program = finding, labelled
        self._write(known)

    def write_counts(self) -> None:
        """Bring the descriptions on disk up to the final counts."""
        for known in self._kept.values():
            self._describe(known)

    def add_fault(self, program: Program) -> Path:
        """Keep a program that made the harness fail and return its path."""
        labelled = self._labelled(program, None)
        digest = hashlib.sha256(format_program(labelled).encode()).hexdigest()[:12]
        path = self._settings.findings / f"harness-{digest}.zst"
        write_program(path, labelled)
        return path

    def _labelled(self, program: Program, verdict: str | None) -> Program:
        settings = self._settings
        faults = program.header.faults + tuple(f for f in settings.faults if f not in program.header.faults)
        header = replace(
            program.header,
            reference=settings.reference,
            candidate=settings.candidate,
            faults=faults,
            verdict=verdict,
        )
        return replace(program, header=header)

    def _write(self, known: KeptFinding) -> None:
        if not self._holds_a_shorter_one(known):
            write_program(known.path, known.program)
        self._describe(known)

    def _describe(self, known: KeptFinding) -> None:
        described = known.as_json() | {
            "targets": [self._settings.reference, self._settings.candidate],
            "engine": self._settings.engine,
            "seed": self._settings.seed,
        }
        write_text(known.path.with_suffix(".json"), json.dumps(described, indent=2) + "\n")

    def _holds_a_shorter_one(self, known: KeptFinding) -> bool:
        """Return whether an earlier campaign left a program that is no longer and still gives this signature.

        A file that cannot be read, or that gives something else by now, is no such program and is replaced.
        """
        if not known.path.exists():
            return False
        try:
            earlier = load_program(known.path)
            if earlier.operations_count >= known.program.operations_count or not _run_alike(earlier, known.program):
                return False
            result = self._runner.run(earlier, cadence=careful_cadence(earlier))
        except UsageError:
            return False
        return any(finding.signature == known.finding.signature for finding in result.findings)


def _run_alike(one: Program, other: Program) -> bool:
    """Return whether two headers ask for the same targets with the same faults."""
    left, right = one.header, other.header
    return (left.reference, left.candidate, sorted(left.faults)) == (
        right.reference,
        right.candidate,
        sorted(right.faults),
    )
