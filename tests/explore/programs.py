"""Programs with a block, and explorations of them, for tests.

In:    lanes as text.
Out:   Exploration, run to its end.
Never: a file.
"""

from __future__ import annotations

from pathlib import Path

from zsfuzz.explore.explorer import Exploration, Question
from zsfuzz.program.files import load_program
from zsfuzz.program.program import Program
from zsfuzz.program.text import parse_program

NAMED = Path(__file__).resolve().parents[2] / "corpus" / "explore"


def named(name: str) -> Program:
    """Return a case of the corpus."""
    return load_program(NAMED / f"{name}.zst")


def program(steps: str, *lanes: str, switches: str = "") -> Program:
    """Return a program. steps, lanes: operations, separated by semicolons."""
    text = ["zsfuzz 2", "memory normal=16 movable=16"]
    text += [f"switch {word}" for word in switches.split()]
    text += ["---", *_lines(steps), "parallel {"]
    for lane in lanes:
        text += ["lane {", *_lines(lane), "}"]
    return parse_program("\n".join([*text, "}"]) + "\n")


def _lines(operations: str) -> list[str]:
    return [line for line in (part.strip() for part in operations.split(";")) if line]


def question(
    asked: Program, bound: int, *faults: str, candidate: str = "candidate", reference: str = "reference"
) -> Question:
    """Return what to explore."""
    return Question(asked, (reference, candidate), faults, bound)


def explored(
    asked: Program, bound: int, *faults: str, candidate: str = "candidate", reference: str = "reference"
) -> Exploration:
    """Return an exploration that is done."""
    exploration = Exploration(question(asked, bound, *faults, candidate=candidate, reference=reference))
    exploration.begin()
    while not exploration.done:
        exploration.step()
    return exploration


def signatures(exploration: Exploration) -> set[str]:
    """Return what was found."""
    return {met.finding.signature for met in exploration.findings()}
