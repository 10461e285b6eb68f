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


def read_kept(path: Path, hits: int) -> KeptFinding:
    """Return a finding that a FindingsFolder put on disk. path: of its program.

    Errors: UsageError when one of its two files is gone or was changed by somebody.
    """
    try:
        plain = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        finding = Finding(
            kind=plain["kind"],
            rule=plain["rule"],
            functions=tuple(plain["functions"]),
            field=plain["field"],
            target=plain["target"],
            step=plain["step"],
            message=plain["message"],
            details=tuple(plain["details"].items()),
            request=plain["request"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"{path.with_suffix('.json')}: no description of a finding; was it changed? {error}"
        ) from error
    return KeptFinding(finding, load_program(path), path, hits)


def describe(kept: KeptFinding, settings: RunSettings) -> None:
    """Write the description beside the program. Errors: UsageError when the folder cannot be written."""
    described = kept.as_json() | {
        "targets": [settings.reference, settings.candidate],
        "engine": settings.engine,
        "seed": settings.seed,
    }
    write_text(kept.path.with_suffix(".json"), json.dumps(described, indent=2) + "\n")


def labelled(program: Program, settings: RunSettings, verdict: str | None) -> Program:
    """Return a program whose header says with what it ran, and what it is kept for."""
    faults = program.header.faults + tuple(f for f in settings.faults if f not in program.header.faults)
    header = replace(
        program.header,
        reference=settings.reference,
        candidate=settings.candidate,
        faults=faults,
        verdict=verdict,
    )
    return replace(program, header=header)


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
        kept = labelled(program, self._settings, finding.signature)
        if known is None:
            path = self._settings.findings / f"{finding.id}.zst"
            known = self._kept[finding.signature] = KeptFinding(finding, kept, path)
        else:
            known.hits += 1
            if program.operations_count >= known.program.operations_count:
                return
            known.finding, known.program = finding, kept
        self._write(known)

    def write_counts(self) -> None:
        """Bring the descriptions on disk up to the final counts."""
        for known in self._kept.values():
            describe(known, self._settings)

    def add_fault(self, program: Program) -> Path:
        """Keep a program that made the harness fail and return its path."""
        kept = labelled(program, self._settings, None)
        digest = hashlib.sha256(format_program(kept).encode()).hexdigest()[:12]
        path = self._settings.findings / f"harness-{digest}.zst"
        write_program(path, kept)
        return path

    def _write(self, known: KeptFinding) -> None:
        """Put a finding on disk; a shorter program that lies there for it stays.

        What is reported is this campaign's own program all the same: it does not depend on what lies in the folder.
        """
        if self.shorter_one_on_disk(known) is None:
            write_program(known.path, known.program)
        describe(known, self._settings)

    def shorter_one_on_disk(self, known: KeptFinding) -> tuple[Finding, Program] | None:
        """Return the program that another campaign left, if it is shorter and still gives this signature.

        A file that cannot be read, or that gives something else by now, is no such program and is replaced.
        """
        if not known.path.exists():
            return None
        try:
            earlier = load_program(known.path)
            if earlier.operations_count >= known.program.operations_count or not _run_alike(earlier, known.program):
                return None
            result = self._runner.run(earlier, cadence=careful_cadence(earlier))
        except UsageError:
            return None
        for finding in result.findings:
            if finding.signature == known.finding.signature:
                return finding, earlier
        return None


def _run_alike(one: Program, other: Program) -> bool:
    """Return whether two headers ask for the same targets with the same faults."""
    left, right = one.header, other.header
    return (left.reference, left.candidate, sorted(left.faults)) == (
        right.reference,
        right.candidate,
        sorted(right.faults),
    )
