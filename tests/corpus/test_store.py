"""The store: content-addressed, atomic, sorted, and unmoved by bad files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zsfuzz.corpus.store import CorpusStore, content_name
from zsfuzz.errors import UsageError
from zsfuzz.program import ops
from zsfuzz.program.files import load_program, save_program
from zsfuzz.program.program import Header, Program


def program(size: int) -> Program:
    return Program(Header(), (ops.Malloc(0, size), ops.Free(0)))


def test_a_program_is_stored_under_the_name_of_its_content(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path / "a" / "b")
    assert store.add(program(1)) is True
    path = tmp_path / "a" / "b" / f"{content_name(program(1))}.zsf"
    assert store.paths() == [path]
    assert load_program(path) == program(1)


def test_a_program_is_stored_once(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path)
    assert [store.add(program(size)) for size in (1, 2, 1, 2)] == [True, True, False, False]
    assert CorpusStore(tmp_path).add(program(2)) is False
    assert len(store.paths()) == 2


def test_names_follow_content_and_nothing_else() -> None:
    assert content_name(program(1)) == content_name(program(1))
    names = {content_name(program(1)), content_name(program(2))}
    names.add(content_name(Program(Header(verdict="clean"), program(1).steps)))
    assert len(names) == 3
    assert all(len(name) == 64 for name in names)


def test_programs_come_in_the_order_of_their_paths_whatever_the_disk_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CorpusStore(tmp_path)
    for size in range(10):
        store.add(program(size))
    (tmp_path / "people").mkdir()
    save_program(program(77), tmp_path / "people" / "h04.zst")
    forwards = store.load()
    real_scandir = os.scandir

    class Backwards:
        """The same entries, last one first."""

        def __init__(self, path: str) -> None:
            with real_scandir(path) as entries:
                self._entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

        def __enter__(self) -> Backwards:
            return self

        def __exit__(self, *_: object) -> None: ...

        def close(self) -> None: ...

        def __iter__(self) -> Backwards:
            return self

        def __next__(self) -> os.DirEntry[str]:
            return next(self._entries)

    monkeypatch.setattr(os, "scandir", Backwards)
    assert store.load() == forwards
    paths = [path for path, _ in forwards.programs]
    assert paths == sorted(paths)
    assert len(paths) == 11


def test_bad_files_are_counted_with_their_reasons_and_stop_nothing(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path)
    store.add(program(1))
    whole = store.paths()[0].read_bytes()
    (tmp_path / "cut.zsf").write_bytes(whole[:-3])
    (tmp_path / "empty.zsf").write_bytes(b"")
    (tmp_path / "words.zst").write_text("this is not a program\n")
    (tmp_path / "folder.zst").mkdir()
    (tmp_path / "notes.txt").write_text("not asked")
    loaded = store.load()
    assert [each for _, each in loaded.programs] == [program(1)]
    assert [bad.path.name for bad in loaded.bad] == ["cut.zsf", "empty.zsf", "words.zst"]
    for bad in loaded.bad:
        assert bad.path.name in bad.reason
        assert "\n" not in bad.reason


def test_files_that_are_being_written_are_not_read(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path)
    (tmp_path / ".half.zsf").write_bytes(b"half")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.zsf").write_bytes(b"half")
    assert store.paths() == []


def test_a_full_disk_is_one_line_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CorpusStore(tmp_path)

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(UsageError) as caught:
        store.add(program(1))
    assert os.strerror(errno.ENOSPC) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file"):
        CorpusStore(tmp_path / "file")
    with pytest.raises(UsageError, match="no such folder"):
        CorpusStore(tmp_path / "file", create=False)


def test_a_folder_that_must_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        CorpusStore(tmp_path / "missing", create=False)
    assert not (tmp_path / "missing").exists()


def test_an_unreadable_folder_is_the_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a patch: permissions do not stop root."""
    store = CorpusStore(tmp_path)

    def denied(path: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(UsageError, match="cannot be read"):
        store.paths()


def test_a_folder_that_refuses_to_be_asked_is_the_users_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CorpusStore(tmp_path)

    def denied(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "exists", denied)
    with pytest.raises(UsageError, match="cannot be read"):
        store.add(program(1))
    monkeypatch.setattr(Path, "stat", denied)
    with pytest.raises(UsageError, match="cannot be read"):
        store.size_bytes(tmp_path / "gone.zsf")
