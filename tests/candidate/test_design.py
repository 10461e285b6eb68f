"""candidate/DESIGN.md says what is there: every hazard, every core patch, functions and tests that exist."""

from __future__ import annotations

import re

import pytest

from candidate import FAULTS, layout
from candidate.allocator import Candidate
from candidate.descriptor import CORE_PATCHES, MemdescRules
from tests.house.tree import python_files, text_of
from zsfuzz.machine.descriptor import PRIMITIVES

DESIGN = "candidate/DESIGN.md"
HAZARDS = [f"H{number:02}" for number in range(1, 35)]


def rows(first: str) -> list[list[str]]:
    """The cells of every table row whose first cell matches."""
    found = []
    for line in text_of(DESIGN).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(first, cells[0]):
            found.append(cells)
    return found


def known(name: str) -> bool:
    """Whether the allocator, the rules or the layout have a function of that name."""
    return any(hasattr(owner, name) for owner in (Candidate, MemdescRules, layout))


def names_of_tests() -> set[str]:
    """The names of all tests in this folder."""
    files = [name for name in python_files("tests") if name.startswith("tests/candidate/")]
    return {found for name in files for found in re.findall(r"^def (test_\w+)", text_of(name), re.MULTILINE)}


def test_every_hazard_has_its_row_in_order() -> None:
    assert [cells[0] for cells in rows(r"H\d\d")] == HAZARDS


@pytest.mark.parametrize("cells", rows(r"H\d\d"), ids=lambda cells: cells[0])
def test_a_row_names_what_exists(cells: list[str]) -> None:
    hazard, decision, held_by, patch, test, undone = cells
    assert decision
    functions = re.findall(r"`(\w+)`", held_by)
    assert functions and all(known(name) for name in functions)
    assert test in names_of_tests()
    assert patch == "-" or set(patch.split(", ")) <= {core.id for core in CORE_PATCHES}
    faults = [fault.id for fault in FAULTS if fault.id.partition("-")[0] == hazard]
    assert undone == (", ".join(faults) or "-")


def test_a_patch_is_listed_with_a_hazard_that_names_it() -> None:
    answered = {name for cells in rows(r"H\d\d") for name in cells[3].split(", ")}
    assert {core.id for core in CORE_PATCHES} <= answered


def test_the_core_patches_are_those_of_the_code_and_counted() -> None:
    table = {cells[0]: (tuple(re.findall(r"`(\w+)`", cells[1]))) for cells in rows(r"K\d+")}
    assert table == {core.id: core.functions for core in CORE_PATCHES}
    functions = [name for core in CORE_PATCHES for name in core.functions]
    replaced = sum(name in PRIMITIVES for name in functions)
    counted = f"{len(CORE_PATCHES)}, replacing {replaced} primitives and adding {len(functions) - replaced}"
    assert f"Core patches: {counted} functions" in text_of(DESIGN)


def test_every_function_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`([a-zA-Z]\w+)`", text_of(DESIGN)))
    assert [name for name in sorted(named) if not known(name)] == []


def test_a_planted_stale_name_is_seen() -> None:
    assert not known("long_gone")
