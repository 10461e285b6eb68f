"""`zsfuzz kernel fetch` and `zsfuzz kernel list` as a user runs them.

In:    the machine and mirror of tests/kernel/packages.py; words of the command line.
Out:   statuses, lines, JSON.
Never: a network.
Next:  zsfuzz/cli/kernel_fetch.py, zsfuzz/cli/kernel_list.py.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.cli.commands import call
from tests.kernel.packages import Machine, machine, needs_apt, source_deb
from zsfuzz.cli import kernel_fetch
from zsfuzz.kernel.apt import Progress
from zsfuzz.kernel.fetch import Fetched, Wishes, fetch

__all__ = ["machine"]

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZSFUZZ_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def _unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has signed the mirror of the tests, and no option says that this is fine."""

    def trusting(version: str, wishes: Wishes, progress: Progress) -> Fetched:
        return fetch(version, dataclasses.replace(wishes, trusted=True), progress)

    monkeypatch.setattr(kernel_fetch, "fetch", trusting)


@needs_apt
@pytest.mark.usefixtures("_unsigned")
def test_what_is_fetched_is_listed(machine: Machine, capsys: Capture) -> None:
    machine.add_package("bookworm", "6.1.7-1", source_deb())
    done = call(capsys, "kernel", "fetch", "6.1")
    assert done.status == 0, done
    assert done.out.startswith("6.1: fetched: linux-source-6.1 6.1.7-1 (bookworm), kernel 6.1.7, in ")
    assert "6.1: is there already: " in call(capsys, "kernel", "fetch", "6.1").out
    listed = call(capsys, "kernel", "list")
    assert listed.status == 0
    assert "linux-source-6.1 6.1.7-1" in listed.out
    assert "no builds; make one: zsfuzz kernel build VERSION" in listed.out


@needs_apt
@pytest.mark.usefixtures("_unsigned")
def test_json_has_what_the_lines_have(machine: Machine, capsys: Capture, tmp_path: Path) -> None:
    machine.add_package("bookworm", "6.1.7-1", source_deb())
    fetched = json.loads(call(capsys, "kernel", "fetch", "6.1", "--cache", tmp_path / "other", "--json").out)["fetched"]
    assert [(one["version"], one["new"]) for one in fetched] == [("6.1", True)]
    document = json.loads(call(capsys, "kernel", "list", "--cache", tmp_path / "other", "--json").out)
    assert [one["folder"] for one in document["sources"]] == [one["folder"] for one in fetched]
    assert json.loads(call(capsys, "kernel", "list", "--json").out)["sources"] == []


def test_the_last_of_several_versions_is_checked_before_the_first_is_fetched(capsys: Capture, tmp_path: Path) -> None:
    assert "kernel 5.15 is not known" in call(capsys, "kernel", "fetch", "6.1", "5.15").complaint
    assert not (tmp_path / "cache").exists()


def test_a_keyring_that_is_not_there_is_a_mistake(capsys: Capture) -> None:
    assert "no-keys: no such file" in call(capsys, "kernel", "fetch", "6.1", "--keyring", "no-keys").complaint


def test_a_bad_entry_is_told_and_the_rest_is_listed(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "cache/kernel/src/6.1").mkdir(parents=True)
    done = call(capsys, "kernel", "list")
    assert done.status == 0
    assert "no note of a fetch" in done.err
    assert "no sources; fetch some" in done.out


def test_a_cache_that_cannot_be_made_is_a_mistake(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "name another --cache" in call(capsys, "kernel", "fetch", "6.1", "--cache", tmp_path / "file/x").complaint
    assert "kernel" in call(capsys, "kernel").complaint
