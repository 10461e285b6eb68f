"""A cell says when a fault was found, by what, and does not take what the sound pair gives too for the fault.

In:    easy faults of the catalogue; engines that hand out given programs; clocks that tick.
Out:   nothing.
Never: a real clock: the time of a cell is what its clock says.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from zsfuzz.campaign.running import open_runner
from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.execute.result import RunResult
from zsfuzz.measure import cell as cell_module
from zsfuzz.measure.cell import CRASHED, MISSED, Cell, CellKey, cell_of_json, is_expected, run_cell
from zsfuzz.program.program import Program
from zsfuzz.program.text import parse_program
from zsfuzz.target.registry import faults


def program(*steps: str) -> Program:
    return parse_program("\n".join(["zsfuzz 1", "geometry small", "---", *steps]) + "\n")


MALLOC = program("h0 = malloc 100")
MIGRATE = program("h0 = malloc 100", "migrate h0.0 sync")


class Fixed:
    """An engine of given programs, over and over."""

    name = "fixed"

    def __init__(self, programs: Iterable[Program]) -> None:
        self._programs = itertools.cycle(programs)

    def next_program(self) -> Program:
        return next(self._programs)

    def feedback(self, program: Program, result: RunResult) -> None:
        """Nothing is learned."""

    def statistics(self) -> Mapping[str, int]:
        return {}


def ticking() -> Callable[[], float]:
    """A clock that is one second further each time it is asked."""
    ticks = itertools.count()
    return lambda: float(next(ticks))


def test_a_fault_is_found_by_its_oracle_at_the_program_that_shows_it() -> None:
    result = Cell(CellKey("G-missing-put", "fixed", 0), 60, ticking()).run(Fixed([MALLOC, MIGRATE]))
    assert (result.status, result.programs, result.expected) == ("found", 2, True)
    assert result.signature and parse_program(result.program) == MIGRATE
    assert 0 < result.seconds < 60


def test_confirming_a_finding_costs_no_time() -> None:
    """The clock ticks at the start, after each program, and around what is done beside."""
    key = CellKey("G-missing-put", "fixed", 0)
    assert Cell(key, 60, ticking()).run(Fixed([MIGRATE])).seconds == 1.0


def test_a_fault_that_no_program_shows_is_missed_at_the_budget() -> None:
    result = Cell(CellKey("G-missing-put", "fixed", 0), 5, ticking()).run(Fixed([MALLOC]))
    assert (result.status, result.seconds, result.found) == (MISSED, 5, False)
    assert result.programs >= 1


def test_a_finding_that_the_sound_pair_gives_too_is_not_the_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sound pair is made to have the fault as well."""

    def open_faulty(reference: str, candidate: str, names: tuple[str, ...] = ()) -> Any:
        return open_runner(reference, candidate, names or ("G-missing-put",))

    monkeypatch.setattr(cell_module, "open_runner", open_faulty)
    result = Cell(CellKey("G-missing-put", "fixed", 0), 9, ticking()).run(Fixed([MIGRATE]))
    assert result.status == MISSED and result.foreign > 0


def test_a_blind_cell_takes_no_divergence() -> None:
    """G-compacted... a placement that differs is a divergence; planted on one side it is all there is to see."""
    shows = program(*(f"h{slot} = malloc 808" for slot in range(25)), *(f"free h{slot}" for slot in range(0, 25, 5)))
    steps = parse_program("zsfuzz 1\ngeometry small\n---\ncompact\n").steps
    compacts = Program(shows.header, (*shows.steps, *steps))
    seen = Cell(CellKey("G-almost-full-source", "fixed", 0), 9, ticking()).run(Fixed([compacts]))
    assert seen.found and seen.oracle.startswith("divergence ")
    blind = Cell(CellKey("G-almost-full-source", "fixed", 0, blind=True), 9, ticking()).run(Fixed([compacts]))
    assert not blind.found and blind.divergences > 0


def test_a_harness_that_fails_is_no_find(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: object, program: Program) -> None:
        raise HarnessError("one program brought it down")

    monkeypatch.setattr(Cell, "_confirmed", fails)
    result = Cell(CellKey("G-missing-put", "fixed", 0), 9, ticking()).run(Fixed([MIGRATE]))
    assert (result.status, result.reason) == (CRASHED, "one program brought it down")


def test_the_engines_are_opened_by_name() -> None:
    clock = ticking()
    result = run_cell(CellKey("H05", "random", 3), 500, clock)
    assert result.found and result.key.engine == "random"
    with pytest.raises(UsageError, match="--engine nobody is unknown"):
        run_cell(CellKey("H05", "nobody", 3), 1, ticking())


def test_a_result_survives_being_written_and_read() -> None:
    result = Cell(CellKey("G-missing-put", "fixed", 0), 60, ticking()).run(Fixed([MIGRATE]))
    assert cell_of_json(result.as_json()) == result


def test_an_oracle_is_expected_when_the_catalogue_names_its_kind_and_the_beginning_of_its_rule() -> None:
    finding = (
        open_runner("reference", "candidate", ("A04",))
        .run(program("h0 = malloc 100", "p0 = isolate h0.0", "free h0", "putback p0"), cadence=1)
        .findings[0]
    )
    assert is_expected(faults()["A04"], finding)
    assert not is_expected(faults()["H05"], finding)
