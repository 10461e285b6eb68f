"""The worked third target of docs/targets.md conforms, is clean, and is found when it hides what it shows."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from docs.examples.offsetless import Offsetless
from tests.execute.programs import program
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.execute.conform import conform
from zsfuzz.execute.runner import Runner
from zsfuzz.target.protocol import Target

NAME = "docs.examples.offsetless:Offsetless"


class Undeclared(Offsetless):
    """The same design without its declaration of what scanners see."""

    shown_to_scanners = Target.shown_to_scanners


class HalfDeclared(Offsetless):
    """The legacy declaration, though _mapcount is not used any more."""

    def shown_to_scanners(self, view, index):  # type: ignore[no-untyped-def]
        return super(Offsetless, self).shown_to_scanners(view, index)


def test_it_conforms() -> None:
    assert [check for check in conform(Offsetless) if check.problem] == []


def test_it_agrees_with_the_reference_on_generated_programs() -> None:
    engine, runner = RandomEngine(Random(5)), Runner("reference", NAME)
    results = [runner.run(engine.next_program()) for _ in range(25)]
    assert [result.findings for result in results] == [()] * 25
    assert sum(result.expected["D1"] + result.expected["D2"] for result in results) > 100


@pytest.mark.parametrize("name", ["Undeclared", "HalfDeclared"])
def test_what_it_shows_is_a_finding_when_it_does_not_say_so(name: str) -> None:
    runner = Runner("reference", f"{__name__}:{name}")
    found = runner.run(program("h0 = malloc 3256"), cadence=1).findings
    assert found and found[0].rule == "scanner view"


def test_the_guide_names_the_commands_and_the_file() -> None:
    guide = Path(__file__).parents[2].joinpath("docs/targets.md").read_text()
    assert f"zsfuzz conform {NAME}" in guide and "docs/examples/offsetless.py" in guide
