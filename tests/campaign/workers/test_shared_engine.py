"""An engine that shares a folder with others: what it hands out, in which order, and what it leaves out.

In:    an engine with a list of programs; files that others add.
Out:   nothing.
Never: a run, a process.
Next:  zsfuzz/campaign/workers/shared_engine.py.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.campaign.fakes import FakeEngine, sizes
from zsfuzz.campaign.workers.runnable import name_of, seal, unseal
from zsfuzz.campaign.workers.shared_engine import FOREIGN_EVERY, LOOK_EVERY, SharedEngine, SharedStore
from zsfuzz.corpus.store import CorpusStore
from zsfuzz.execute.result import RunResult
from zsfuzz.program.program import Program


class Taking(FakeEngine):
    """A FakeEngine that takes programs and hands them out first."""

    def __init__(self) -> None:
        super().__init__([sizes(1)])
        self.taken: list[Program] = []
        self._soon: list[Program] = []

    def add_seed(self, program: Program) -> None:
        self.taken.append(program)
        self._soon.append(program)

    def next_program(self) -> Program:
        return self._soon.pop(0) if self._soon else super().next_program()


class Around:
    """A SharedEngine over a folder; before: what it was about to hand out."""

    def __init__(self, folder: Path, *retries: Program) -> None:
        self.skipped: frozenset[str] = frozenset()
        self.before: list[Program] = []
        self.inner = Taking()
        self.store = SharedStore(folder)
        self.engine = SharedEngine(self.inner, self.store, retries, lambda: self.skipped, self.note)

    def note(self, program: Program, sealed: bytes) -> None:
        assert unseal(sealed) == program
        self.before.append(program)

    def run(self, programs: int) -> list[Program]:
        return [self.engine.next_program() for _ in range(programs)]


def test_programs_to_run_again_come_first(tmp_path: Path) -> None:
    around = Around(tmp_path, sizes(7), sizes(8))
    assert around.run(3) == [sizes(7), sizes(8), sizes(1)]
    assert around.before == [sizes(7), sizes(8), sizes(1)]


def test_what_others_add_is_run_here_too_and_what_it_added_itself_is_not(tmp_path: Path) -> None:
    around = Around(tmp_path)
    around.store.add(sizes(2))
    for size in range(10, 16):
        CorpusStore(tmp_path).add(sizes(size))
    handed = around.run(LOOK_EVERY * 3)
    foreign = Counter(program for program in handed if program != sizes(1))
    assert foreign == Counter(map(sizes, range(10, 16)))
    assert around.engine.statistics()["foreign"] == 6
    assert around.run(LOOK_EVERY) == [sizes(1)] * LOOK_EVERY


def test_other_workers_programs_leave_room_for_its_own(tmp_path: Path) -> None:
    around = Around(tmp_path)
    for size in range(100, 200):
        CorpusStore(tmp_path).add(sizes(size))
    handed = around.run(LOOK_EVERY * 2)
    assert sum(program != sizes(1) for program in handed) <= LOOK_EVERY * 2 // FOREIGN_EVERY


def test_what_was_in_the_folder_from_the_start_is_the_engines_own_business(tmp_path: Path) -> None:
    CorpusStore(tmp_path).add(sizes(5))
    around = Around(tmp_path)
    around.run(LOOK_EVERY * 2)
    assert around.inner.taken == []


def test_a_file_that_vanishes_or_holds_no_program_stops_nothing(tmp_path: Path) -> None:
    around = Around(tmp_path)
    (tmp_path / "bad.zsf").write_bytes(b"no program")
    around.run(LOOK_EVERY * 2)
    assert around.inner.taken == []


def test_a_program_in_quarantine_is_not_handed_out_and_not_told_of(tmp_path: Path) -> None:
    around = Around(tmp_path)
    around.skipped = frozenset({name_of(seal(sizes(9)))[:16]})
    engine = SharedEngine(around.inner, around.store, [sizes(9), sizes(8)], lambda: around.skipped, around.note)
    assert engine.next_program() == sizes(8)
    assert around.before == [sizes(8)]


def test_a_quarantine_of_another_worker_is_noticed(tmp_path: Path) -> None:
    around = Around(tmp_path)
    around.skipped = frozenset({name_of(seal(sizes(9)))[:16]})  # after the start
    around.run(LOOK_EVERY)
    around.inner.add_seed(sizes(9))
    assert around.run(2) == [sizes(1), sizes(1)]


def test_feedback_and_counts_are_the_engines(tmp_path: Path) -> None:
    around = Around(tmp_path)
    (program,) = around.run(1)
    around.engine.feedback(program, RunResult((), 1, 0, (), {}, {}))
    assert around.inner.told[0][0] is program
    assert around.engine.statistics() == {"generated": 1, "foreign": 0}


def test_an_engine_that_takes_no_programs_is_left_alone(tmp_path: Path) -> None:
    engine = SharedEngine(FakeEngine([sizes(1)]), SharedStore(tmp_path), [], frozenset, lambda program, sealed: None)
    CorpusStore(tmp_path).add(sizes(5))
    assert {engine.next_program() for _ in range(LOOK_EVERY * 2)} == {sizes(1)}
