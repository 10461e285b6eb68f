"""Files that are whole or absent, and the folders that are looked at before any work is done.

In:    paths that may, and that may not, be written.
Out:   files, or one line for the user.
Never: a campaign.
Next:  zsfuzz/campaign/files.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zsfuzz.campaign.files import check_folder, write_text
from zsfuzz.errors import UsageError


def test_a_text_is_written_with_its_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.json", "one\n")
    write_text(tmp_path / "a" / "b.json", "two\n")
    assert (tmp_path / "a" / "b.json").read_text() == "two\n"
    assert os.listdir(tmp_path / "a") == ["b.json"]


def test_a_write_that_fails_leaves_the_old_file_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "b.json", "one\n")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device") as caught:
        write_text(tmp_path / "b.json", "two\n")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "b.json").read_text() == "one\n"
    assert os.listdir(tmp_path) == ["b.json"]


def test_an_interrupted_write_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "b.json", "one\n")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_still_missing_is_fine(tmp_path: Path) -> None:
    check_folder(tmp_path / "not" / "yet", "--findings")
    assert os.listdir(tmp_path) == []


def test_a_relative_folder_is_looked_at_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_folder(Path("not/yet"), "--findings")


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--findings .*file is not a folder"):
        check_folder(tmp_path / "file" / "deep", "--findings")


def test_a_folder_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="no permission to write"):
        check_folder(tmp_path, "--findings")
