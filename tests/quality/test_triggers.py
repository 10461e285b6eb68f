"""Every fault that no test searches for has a kept program that shows it, by an oracle that the catalogue names.

In:    tests/quality/triggers/.
Out:   nothing.
Never: a search: tests/quality/make_triggers.py made the files, or somebody wrote them.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.quality.make_triggers import FOLDER, shown
from tests.quality.planted import KEPT
from zsfuzz.execute.runner import Runner
from zsfuzz.measure.cell import is_expected
from zsfuzz.program.files import load_program
from zsfuzz.program.program import Program
from zsfuzz.target.fault import Fault


@pytest.fixture(scope="module")
def sound() -> Runner:
    """The pair without a fault; its machines are made once."""
    return Runner()


@pytest.mark.parametrize("fault", KEPT, ids=lambda fault: fault.id)
def test_a_kept_program_shows_its_fault_and_the_sound_pair_is_clean(fault: Fault, sound: Runner) -> None:
    program = load_program(FOLDER / f"{fault.id}.zst")
    finding = shown(Runner(faults=(fault.id,)), program, fault.shared)
    assert finding is not None, f"{fault.id} does not show"
    assert finding.signature == program.header.verdict
    assert is_expected(fault, finding), f"expected {fault.oracle}, found {finding.kind} {finding.rule}"
    assert not sound.run(_without_faults(program), cadence=1).findings


def _without_faults(program: Program) -> Program:
    return replace(program, header=replace(program.header, faults=(), verdict=None))


def test_no_program_is_kept_for_a_fault_that_is_gone() -> None:
    assert {path.stem for path in FOLDER.glob("*.zst")} == {fault.id for fault in KEPT}
