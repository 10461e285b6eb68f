"""Captures on disk: plain, compressed, damaged, absent.

In:    zsfuzz/trace/files.py, corpus/traces/.
Out:   nothing.
Never: an exception other than UsageError for a file's content.
"""

from __future__ import annotations

import errno
import gzip
import os
from pathlib import Path

import pytest

from tests.trace import text
from zsfuzz.errors import UsageError
from zsfuzz.program.limits import check_program
from zsfuzz.trace import files
from zsfuzz.trace.files import import_trace_file

TRACES = Path(__file__).resolve().parents[2] / "corpus" / "traces"
SMALL = "".join([*text.allocated(0xA0), text.free(0xA0)])


def test_the_whole_swap_capture_is_accounted_for_to_the_last_event() -> None:
    imported = import_trace_file(TRACES / "zram-swap-6.1.trace.gz")
    counts = imported.counts
    assert (counts.malloc, counts.free, counts.migrate, counts.compact) == (84277, 84277, 284, 40)
    assert (counts.approximated, counts.live_at_end, counts.free_unknown, counts.free_missing) == (
        284,
        0,
        0,
        0,
    )
    assert (counts.unmatched_calls, counts.unmatched_returns, counts.malformed) == (0, 0, 0)
    assert imported.truncated == ""
    (program,) = imported.programs
    assert len(program.steps) == 2 * 84277 + 84277 + 284 + 40
    assert program.header.movable_pages >= counts.needed_pages
    assert program.header.movable_pages % 1024 == 0
    check_program(program)


def test_plain_and_compressed_are_told_apart_by_content_not_by_name(tmp_path: Path) -> None:
    plain, compressed = tmp_path / "plain.gz", tmp_path / "compressed.trace"
    plain.write_text(SMALL)
    compressed.write_bytes(gzip.compress(SMALL.encode()))
    assert import_trace_file(plain).programs == import_trace_file(str(compressed)).programs


def test_compressed_data_that_ends_early_gives_what_could_be_read(tmp_path: Path) -> None:
    whole = (TRACES / "zram-swap-6.1.trace.gz").read_bytes()
    path = tmp_path / "cut.trace.gz"
    path.write_bytes(whole[: len(whole) // 20])
    imported = import_trace_file(path)
    assert imported.truncated == "the compressed data ends early"
    assert 1000 < imported.counts.malloc < 84277
    assert "stopped early" in imported.report()


def test_compressed_data_that_is_damaged_gives_what_could_be_read(tmp_path: Path) -> None:
    data = bytearray(gzip.compress((TRACES / "zram-swap-6.1.excerpt.trace").read_bytes()))
    data[-200:-184] = b"\xff" * 16
    path = tmp_path / "damaged.trace.gz"
    path.write_bytes(data)
    imported = import_trace_file(path)
    assert imported.truncated.startswith("the compressed data is damaged")
    assert imported.counts.malloc > 50


def test_a_wrong_checksum_is_reported(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(SMALL.encode()))
    data[-8] ^= 1
    path = tmp_path / "sum.trace.gz"
    path.write_bytes(data)
    imported = import_trace_file(path)
    assert imported.counts.free == 1
    assert imported.truncated.startswith("the compressed data is damaged")


def test_a_last_line_that_is_cut_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "cut.trace"
    path.write_text(SMALL + text.malloc(100)[:70])
    imported = import_trace_file(path)
    assert (imported.counts.malloc, imported.counts.malformed) == (1, 1)


def test_a_line_without_end_costs_one_line(tmp_path: Path) -> None:
    path = tmp_path / "long.trace"
    path.write_bytes(SMALL.encode() + b"x" * 5_000_000 + b"\n" + SMALL.encode())
    imported = import_trace_file(path)
    assert (imported.counts.lines, imported.counts.malformed, imported.counts.malloc) == (7, 1, 2)


def test_bytes_that_are_no_text_are_malformed_lines(tmp_path: Path) -> None:
    path = tmp_path / "mixed.trace"
    path.write_bytes(b"\xff\xfe\x00\n" + SMALL.encode())
    imported = import_trace_file(path)
    assert (imported.counts.malformed, imported.counts.malloc) == (1, 1)


def test_a_bomb_is_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_TRACE_BYTES", 100_000)
    path = tmp_path / "bomb.trace.gz"
    path.write_bytes(gzip.compress(SMALL.encode() + b" " * 10_000_000))
    assert import_trace_file(path).truncated == "more than 100000 bytes of text"


def test_a_bomb_of_short_lines_is_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_TRACE_LINES", 1000)
    path = tmp_path / "bomb.trace.gz"
    path.write_bytes(gzip.compress(SMALL.encode() + b"\n" * 100_000))
    assert import_trace_file(path).truncated == "more than 1000 lines"


def one_line(error: pytest.ExceptionInfo[UsageError], path: Path) -> str:
    """The message, after the demands on every such message: one line that names the file."""
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


def test_a_missing_file_is_the_users_mistake(tmp_path: Path) -> None:
    path = tmp_path / "absent.trace"
    with pytest.raises(UsageError) as error:
        import_trace_file(path)
    assert "No such file" in one_line(error, path)


def test_a_folder_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        import_trace_file(tmp_path)
    assert "Is a directory" in one_line(error, tmp_path)


def test_an_unreadable_file_is_the_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        # Modes do not stop root, and tests may run as root.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    path = tmp_path / "secret.trace"
    path.write_text(SMALL)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UsageError) as error:
        import_trace_file(path)
    assert "Permission denied" in one_line(error, path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"hello\n", b"\x1f\x8b", b"\x1f\x8bgarbage", b"PK\x03\x04zip", bytes(range(256)) * 50],
)
def test_a_file_without_an_event_is_the_users_mistake(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        import_trace_file(path)
    assert "no event of zsmalloc" in one_line(error, path)
