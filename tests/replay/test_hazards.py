"""Each kept hazard shows its signature when its decision is undone, and nothing when it is in force.

The files are made by `python -m tests.quality.make_reproducers`; what each hazard is stands in candidate/DESIGN.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from zsfuzz.execute.runner import Runner
from zsfuzz.program.files import load_program
from zsfuzz.target.registry import faults

FOLDER = Path(__file__).parents[2] / "corpus" / "hazards"
FILES = sorted(FOLDER.glob("*.zst"))
PREFIX = "candidate-literal:"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_hazard_shows_undone_and_not_in_force(path: Path) -> None:
    program = load_program(path)
    assert program.header.candidate is not None and program.header.verdict is not None
    undone = Runner("reference", program.header.candidate).run(program, cadence=1)
    assert [found.signature for found in undone.findings] == [program.header.verdict]
    in_force = Runner("reference", "candidate").run(program, cadence=1)
    assert not in_force.findings, in_force.findings[0].message


def test_every_hazard_that_one_lane_can_show_is_kept() -> None:
    kept = {str(load_program(path).header.candidate).removeprefix(PREFIX) for path in FILES}
    wanted = {fault.id for fault in faults().values() if fault.id.startswith("H") and not fault.concurrent}
    assert wanted <= kept


def test_the_worry_of_the_thread_shows_on_the_literal_proposal() -> None:
    """H11: a scanner looks up the head of a zsmalloc page and leaves its range."""
    verdict = load_program(FOLDER / "literal-H11.zst").header.verdict
    assert verdict is not None and "scanner leaves its range" in verdict
