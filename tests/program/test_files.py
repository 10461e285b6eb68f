"""Files: read by content, refused in one line, written whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import NoReturn

import pytest

from tests.program.refusal import refused
from tests.program.strategies import EVERY_WORD
from zsfuzz.errors import HarnessError
from zsfuzz.program import files, ops
from zsfuzz.program.files import load_program, save_program
from zsfuzz.program.packed import MAGIC, pack_program
from zsfuzz.program.program import Header, Program
from zsfuzz.program.text import format_program

SUFFIXES = (".zst", ".zsf")
OTHER = Program(Header(verdict="clean"), (ops.Trim(),))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_saved_is_loaded(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"program{suffix}"
    save_program(EVERY_WORD, path)
    assert load_program(path) == EVERY_WORD
    assert load_program(str(path)) == EVERY_WORD


def test_the_suffix_names_the_form(tmp_path: Path) -> None:
    save_program(EVERY_WORD, tmp_path / "a.zst")
    save_program(EVERY_WORD, tmp_path / "a.zsf")
    assert (tmp_path / "a.zst").read_text() == format_program(EVERY_WORD)
    assert (tmp_path / "a.zsf").read_bytes() == pack_program(EVERY_WORD)


def test_the_content_counts_not_the_name(tmp_path: Path) -> None:
    (tmp_path / "packed.zst").write_bytes(pack_program(EVERY_WORD))
    (tmp_path / "text").write_text(format_program(EVERY_WORD))
    assert load_program(tmp_path / "packed.zst") == EVERY_WORD
    assert load_program(tmp_path / "text") == EVERY_WORD


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    for name in ("program", "program.txt", ".zst", "program.ZST"):
        assert "saved as .zst (text) or .zsf (packed)" in refused(save_program, OTHER, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gone.zst"
    assert refused(load_program, path) == f"{path}: cannot be read: No such file or directory"


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.zst"
    os.mkfifo(pipe)
    assert "no regular file" in refused(load_program, pipe)
    assert "no regular file" in refused(save_program, OTHER, pipe)
    assert "no regular file" in refused(load_program, "/dev/zero")
    assert "Is a directory" in refused(load_program, tmp_path)


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    folder = tmp_path / "folder.zst"
    folder.mkdir()
    assert "this is a folder" in refused(save_program, OTHER, folder)


def test_a_device_behind_a_link_is_not_replaced(tmp_path: Path) -> None:
    link = tmp_path / "link.zst"
    link.symlink_to("/dev/null")
    assert "no regular file" in refused(save_program, OTHER, link)
    assert link.is_symlink()


def test_unreachable_paths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop.zst").symlink_to("loop.zst")
    for path in ("file/a.zst", "loop.zst", "x" * 300 + ".zst", "nul\0.zst", "no/folder/a.zst"):
        assert "cannot be read" in refused(load_program, tmp_path / path)
        if path != "loop.zst":
            assert "cannot be written" in refused(save_program, OTHER, tmp_path / path)


def test_a_path_with_line_ends_stays_in_one_line(tmp_path: Path) -> None:
    assert "a\\nb.zst" in refused(load_program, tmp_path / "a\nb.zst")
    assert "\\udcff" in refused(load_program, os.fsdecode(os.fsencode(tmp_path) + b"/\xff.zst"))


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", _raising(errno.EACCES))
    path = tmp_path / "secret.zst"
    assert refused(load_program, path) == f"{path}: cannot be read: Permission denied"
    assert refused(save_program, OTHER, path) == f"{path}: cannot be written: Permission denied"


def test_a_file_that_opens_but_fails_to_be_read_is_refused() -> None:
    """Nothing is mapped at address 0, so the first read fails, as on a bad block."""
    assert "cannot be read" in refused(load_program, "/proc/self/mem")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"\x1f\x8b\x08\0\0", "neither a packed program nor UTF-8 text (byte 1)"),
        (b"zsfuzz 2\n---\n# \xff", "neither a packed program nor UTF-8 text (byte 15)"),
        (b"\xff\xfez\0s\0f\0", "neither a packed program nor UTF-8 text"),
        (b"z\0s\0", ":1: the control character '\\x00'"),
        (MAGIC, "cut off or damaged"),
        (MAGIC.replace(b"\r\n", b"\n"), "neither a packed program nor UTF-8 text"),
        (b"\x7fELF", ":1: the control character"),
        (b"{}", ":1: a program begins with 'zsfuzz 2', not '{}'"),
    ],
)
def test_a_file_that_is_no_program_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a.zst"
    path.write_bytes(data)
    message = refused(load_program, path)
    assert message.startswith(f"{path}:")
    assert reason in message


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zst"
    save_program(OTHER, path)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", path.stat().st_size)
    assert load_program(path) == OTHER
    monkeypatch.setattr(files, "MAX_FILE_BYTES", path.stat().st_size - 1)
    assert "the file is larger than" in refused(load_program, path)


def test_a_huge_sparse_file_is_refused_without_reading_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert "the file is larger than 67108864 bytes" in refused(load_program, path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_saving_replaces_what_is_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"program{suffix}"
    save_program(EVERY_WORD, path)
    save_program(OTHER, path)
    assert load_program(path) == OTHER
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.zst").symlink_to("real.zst")
    save_program(OTHER, tmp_path / "link.zst")
    assert (tmp_path / "link.zst").is_symlink()
    assert load_program(tmp_path / "real.zst") == OTHER


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    """A limit on the size of files is as near as a test comes to a full disk: the write itself fails."""
    path = tmp_path / f"program{suffix}"
    save_program(OTHER, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        message = refused(save_program, EVERY_WORD, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message == f"{path}: cannot be written: File too large"
    assert load_program(path) == OTHER
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("call", "number", "reason"),
    [
        ("fsync", errno.ENOSPC, "No space left on device"),
        ("fsync", errno.EIO, "Input/output error"),
        ("replace", errno.EROFS, "Read-only file system"),
        ("replace", errno.EBADF, "Bad file descriptor"),
        ("open", errno.ENOSPC, "No space left on device"),
        ("open", errno.EPIPE, "Broken pipe"),
    ],
)
def test_whatever_fails_while_saving_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, reason: str
) -> None:
    path = tmp_path / "program.zst"
    save_program(OTHER, path)
    with monkeypatch.context() as broken:
        broken.setattr(os, call, _raising(number))
        message = refused(save_program, EVERY_WORD, path)
    assert message == f"{path}: cannot be written: {reason}"
    assert load_program(path) == OTHER
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_while_saving_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_program(OTHER, tmp_path / "program.zst")
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_file_of_a_killed_run_is_not_in_the_way(tmp_path: Path) -> None:
    left = tmp_path / f".program.zst.{os.getpid()}-0.tmp"
    left.write_text("half")
    save_program(OTHER, tmp_path / "program.zst")
    assert load_program(tmp_path / "program.zst") == OTHER
    assert left.read_text() == "half"


def test_a_malformed_program_creates_no_file(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        with pytest.raises(HarnessError):
            save_program(Program(Header(), (ops.Compact(9),)), tmp_path / f"program{suffix}")
    assert list(tmp_path.iterdir()) == []


class _Raising:
    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise OSError(self.number, os.strerror(self.number))


def _raising(number: int) -> _Raising:
    return _Raising(number)
