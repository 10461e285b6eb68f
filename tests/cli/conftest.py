"""A stand-in behind the commands, so that a test decides what is found.

In:    FakeRunner of tests/campaign/fakes.py.
Out:   the fixture `fake`; a folder of its own for every test.
Never: the machine.
Next:  the tests beside this file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.fakes import FakeRunner
from zsfuzz.campaign import running


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRunner:
    """Put a FakeRunner behind every pair of targets and return it."""
    runner = FakeRunner()
    monkeypatch.setattr(running, "open_runner", lambda *names: runner)
    return runner
