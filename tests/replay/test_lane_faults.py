"""Each kept fault of lanes shows its signature when it is planted, and nothing when it is not.

The files are made by `python -m tests.quality.make_lane_reproducers`; what each fault is stands in
reference/lane_faults.py, candidate/lane_faults.py and candidate/hazards.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from zsfuzz.execute.runner import Runner
from zsfuzz.program.files import load_program

FOLDER = Path(__file__).parents[2] / "corpus" / "lanes"
FILES = sorted(FOLDER.glob("*.zst"))
REPLAYS = 100


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_fault_shows_planted_and_not_otherwise(path: Path) -> None:
    program = load_program(path)
    planted = Runner("reference", "candidate").run(program, cadence=1)
    assert [found.signature for found in planted.findings] == [program.header.verdict]
    plain = replace(program, header=replace(program.header, faults=()))
    clean = Runner("reference", "candidate").run(plain, cadence=1)
    assert not clean.findings, clean.findings[0].message


def test_a_finding_among_lanes_is_there_a_hundred_times_out_of_a_hundred() -> None:
    program = load_program(min(FILES, key=lambda path: path.stat().st_size))
    runner = Runner("reference", "candidate")
    shown = {runner.run(program, cadence=1).findings[0].signature for _ in range(REPLAYS)}
    assert shown == {program.header.verdict}
