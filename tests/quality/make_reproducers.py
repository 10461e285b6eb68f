"""Make corpus/hazards/ again: one minimized program for each hazard that a sequential program can show.

In:    the catalogue of the candidate's hazards; the engine `random` with a fixed seed.
Out:   corpus/hazards/*.zst, each with the signature that it shows as its verdict. The same sources give the same files.
Never: a program written by hand: what is kept is what the fuzzer found and the minimizer left.
Next:  who replays them: tests/replay/test_hazards.py; what the files are: corpus/hazards/README.md.

    python -m tests.quality.make_reproducers            # all of them, a few minutes
    python -m tests.quality.make_reproducers H05 H11    # some

Run it when signatures or the text form change. A hazard shows in more than one way; the one that is kept is the
one that most programs meet, unless PREFERRED names the hazard's own mechanism.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

from candidate.hazards import HAZARDS
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.execute.runner import Runner
from zsfuzz.minimize.minimizer import minimize
from zsfuzz.minimize.order import cost
from zsfuzz.program.program import Header, Program
from zsfuzz.program.text import format_program
from zsfuzz.target.fault import Fault

FOLDER: Final = Path(__file__).resolve().parents[2] / "corpus" / "hazards"
SEED: Final = 1
STEPS: Final = 30
TRIGGERS: Final = 12
"""Programs that are looked at before one is chosen."""
STARTS: Final = 4
"""Programs that are minimized: the smallest end is kept."""
MOST_PROGRAMS: Final = 3000

I8_RANGE: Final = "progress/I8 scanner leaves its range//candidate has_unmovable_pages"

PREFERRED: Final = {
    "H10": "progress/self-deadlock//candidate PG_writeback",
}
"""Hazard -> the signature that shows it best, where most programs meet a consequence first."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file. name: of the file, without suffix. signature: the one to keep, "" for the most common one."""

    name: str
    candidate: str
    comment: str
    signature: str = ""


def wanted_of(fault: Fault) -> Wanted:
    """Return the file of one hazard."""
    return Wanted(
        fault.id, f"candidate-literal:{fault.id}", f"{fault.id}: {fault.mechanism}", PREFERRED.get(fault.id, "")
    )


LITERAL: Final = Wanted(
    "literal-H11",
    "candidate-literal",
    "H11, the worry of the thread: a scanner sees a tail, asks its head for an order, and leaves its range",
    I8_RANGE,
)


def all_wanted() -> tuple[Wanted, ...]:
    """Return every file of the folder."""
    return (*(wanted_of(fault) for fault in HAZARDS if not fault.concurrent), LITERAL)


def programs_showing(wanted: Wanted, runner: Runner) -> Iterator[tuple[str, Program]]:
    """Yield (signature, program) for every generated program with a finding that is wanted."""
    engine = RandomEngine(Random(SEED), GenerateSettings(steps=STEPS))
    for _ in range(MOST_PROGRAMS):
        program = engine.next_program()
        if not runner.run(program).findings:
            continue
        signature = signature_given(runner, program)
        if signature and wanted.signature in ("", signature):
            yield signature, program


def signature_given(runner: Runner, program: Program) -> str:
    """Return the signature of a program's finding with every check after every step, "" for none."""
    findings = runner.run(program, cadence=1).findings
    return findings[0].signature if findings else ""


def choose(wanted: Wanted, runner: Runner) -> tuple[str, list[Program]]:
    """Return the most common signature of the first triggers and its shortest programs. Errors: SystemExit for none."""
    shown: dict[str, list[Program]] = {}
    for number, (signature, program) in enumerate(programs_showing(wanted, runner), 1):
        shown.setdefault(signature, []).append(program)
        if number == TRIGGERS:
            break
    if not shown:
        raise SystemExit(f"{wanted.name}: {MOST_PROGRAMS} programs and none shows it; mend PREFERRED or the seed")
    signature = max(shown, key=lambda each: len(shown[each]))
    return signature, sorted(shown[signature], key=lambda program: len(program.steps))[:STARTS]


def reproducer(wanted: Wanted) -> str:
    """Return the text of one file."""
    runner = Runner("reference", wanted.candidate)
    signature, starts = choose(wanted, runner)
    ends = [minimize(start, lambda each: signature_given(runner, each) == signature).program for start in starts]
    small = min(ends, key=cost)
    header: Header = replace(small.header, reference="reference", candidate=wanted.candidate, verdict=signature)
    return f"# {wanted.comment}\n{format_program(Program(header, small.steps))}"


def main(names: list[str]) -> None:
    """Write the named files, or all of them; files of hazards that are gone are removed when all are made."""
    chosen = [wanted for wanted in all_wanted() if not names or wanted.name in names]
    if names and len(chosen) != len(names):
        raise SystemExit(f"unknown: {set(names) - {wanted.name for wanted in chosen}}")
    for wanted in chosen:
        text = reproducer(wanted)
        (FOLDER / f"{wanted.name}.zst").write_text(text, encoding="utf-8")
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    if not names:
        for path in FOLDER.glob("*.zst"):
            if path.stem not in {wanted.name for wanted in chosen}:
                path.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
