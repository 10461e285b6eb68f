"""Merging folders of programs, with measures that the test decides; then on the machine.

In:    programs that allocate sizes: the sizes are the units.
Out:   nothing.
Never: a command line: that is tests/cli/test_cli_merge.py.
Next:  zsfuzz/corpus/merge.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaign.fakes import finding_at, sizes
from zsfuzz.corpus.merge import Merger, MergeReport
from zsfuzz.corpus.store import CorpusStore
from zsfuzz.errors import HarnessError
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.files import load_program, save_program
from zsfuzz.program.ops import Malloc
from zsfuzz.program.program import Program


def by_size(program: Program) -> tuple[int, ...] | Finding:
    """Units: the sizes that are allocated; 13 is a finding."""
    units = tuple(dict.fromkeys(step.size for step in program.steps if isinstance(step, Malloc)))
    return finding_at(0) if 13 in units else units


def without_what_is_not_needed(program: Program, keeps: Callable[[Program], bool]) -> Program:
    """Drop single steps as long as the predicate holds."""
    for index in reversed(range(len(program.steps))):
        shorter = replace(program, steps=program.steps[:index] + program.steps[index + 1 :])
        if keeps(shorter):
            program = shorter
    return program


class Folder:
    """Files to merge, and where to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = CorpusStore(path / "out")
        self.files: list[Path] = []
        self.told: list[tuple[str, int, int]] = []

    def give(self, program: Program, name: str = "") -> None:
        self.files.append(self.path / (name or f"{len(self.files)}.zst"))
        save_program(program, self.files[-1])

    def merge(self, most: int | None = None, *, shorten: bool = False, text: bool = False) -> MergeReport:
        merger = Merger(self.store, by_size, lambda *told: self.told.append(told), text=text)
        return merger.merge(self.files, most, without_what_is_not_needed if shorten else None)

    def kept(self) -> list[Program]:
        return [program for _, program in self.store.load().programs]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_the_fewest_programs_are_written(folder: Folder) -> None:
    for program in (sizes(1), sizes(1, 2, 3), sizes(2, 4), sizes(3, 4)):
        folder.give(program)
    report = folder.merge()
    assert (report.programs, len(report.kept), report.units, report.covered) == (4, 2, 4, 4)
    assert sizes(1, 2, 3) in folder.kept()
    assert {phase for phase, _, _ in folder.told} == {"measured", "verified"}


def test_a_second_merge_adds_nothing(folder: Folder) -> None:
    folder.give(sizes(1, 2))
    folder.merge()
    before = folder.store.paths()
    folder.give(sizes(2))
    assert len(folder.merge().kept) == 1
    assert folder.store.paths() == before


def test_what_a_file_was_kept_for_is_left_out(folder: Folder) -> None:
    program = sizes(1)
    header = replace(program.header, candidate="candidate-literal", faults=("H05",), verdict="x")
    folder.give(replace(program, header=header))
    folder.merge()
    assert folder.kept() == [program]


def test_one_program_under_two_names_is_one(folder: Folder) -> None:
    folder.give(sizes(1))
    folder.give(sizes(1), "same.zsf")
    assert len(folder.merge().kept) == 1


def test_a_program_with_a_finding_is_left_out_and_told_of(folder: Folder) -> None:
    folder.give(sizes(1))
    folder.give(sizes(13, 2))
    report = folder.merge()
    assert [path for path, _ in report.findings] == [folder.files[1]]
    assert folder.kept() == [sizes(1)]
    assert report.as_json()["findings"][0]["signature"] == finding_at(0).signature


def test_a_file_without_a_program_is_told_of(folder: Folder) -> None:
    folder.give(sizes(1))
    folder.files.append(folder.path / "bad.zst")
    folder.files[-1].write_text("bad")
    report = folder.merge()
    assert [bad.path.name for bad in report.bad] == ["bad.zst"]
    assert report.covered == 1


def test_shortened_programs_keep_what_they_are_kept_for_and_nothing_else(folder: Folder) -> None:
    folder.give(sizes(1, 1, 2, 3, 3))
    folder.give(sizes(3, 4, 1))
    report = folder.merge(shorten=True)
    assert sorted(len(program.steps) for program in folder.kept()) == [1, 3]
    assert (report.covered, report.steps) == (4, (8, 4))


def test_as_text_the_names_are_short(folder: Folder) -> None:
    folder.give(sizes(1, 2))
    (path,) = [path for path, _ in folder.merge(text=True).kept]
    assert path.suffix == ".zst"
    assert len(path.stem) == 16
    assert load_program(path) == sizes(1, 2)


def test_at_most_so_many(folder: Folder) -> None:
    for size in range(1, 6):
        folder.give(sizes(size))
    report = folder.merge(most=2)
    assert (len(report.kept), report.units, report.covered) == (2, 5, 2)


def test_a_folder_that_does_not_hold_what_it_should_is_our_fault(folder: Folder) -> None:
    """A shortening that loses what it had to keep is caught when the folder is read again."""
    folder.give(sizes(1, 2))
    merger = Merger(folder.store, by_size, lambda *told: None)
    with pytest.raises(HarnessError, match="1 of 2 units are not reached any more"):
        merger.merge(folder.files, shorten=lambda program, keeps: sizes(1))


def test_a_finding_that_only_a_closer_look_shows_is_told_of_and_left_out(folder: Folder) -> None:
    folder.give(sizes(1, 2))
    folder.give(sizes(3))
    merger = Merger(folder.store, by_size, lambda *told: None)
    report = merger.merge(folder.files, shorten=lambda program, keeps: finding_at(0) if keeps(sizes(1, 2)) else program)
    assert [path for path, _ in report.findings] == [folder.files[0]]
    assert folder.kept() == [sizes(3)]
    assert (report.units, report.covered) == (3, 1)
