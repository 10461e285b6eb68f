"""The seed corpus leads through every landmark, in few and short programs.

That each of its programs is clean is a test of its own for each: the pytest plugin replays the folder.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from zsfuzz.campaign.measuring import landmarks_of
from zsfuzz.corpus.landmarks import LANDMARKS
from zsfuzz.corpus.store import CorpusStore
from zsfuzz.execute.runner import Runner
from zsfuzz.program.program import Program

FOLDER = Path(__file__).parents[2] / "corpus" / "seeds"


@pytest.fixture(scope="module")
def seeds() -> list[Program]:
    loaded = CorpusStore(FOLDER, create=False).load()
    assert loaded.bad == ()
    return [program for _, program in loaded.programs]


def test_there_are_few_and_they_are_short(seeds: list[Program]) -> None:
    assert 8 <= len(seeds) <= 60
    assert max(program.operations_count for program in seeds) <= 120
    assert {program.header.verdict for program in seeds} == {"clean"}


def test_together_they_pass_every_landmark(seeds: list[Program]) -> None:
    runner = Runner()
    passed: set[str] = set()
    for program in seeds:
        names = landmarks_of(program, runner)
        assert isinstance(names, tuple), names.message
        passed |= set(names)
    assert [name for name in LANDMARKS if name not in passed] == []
