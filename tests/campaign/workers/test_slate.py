"""A slate gives the newest whole value, whatever its writer was cut off at.

In:    values; files cut off or damaged by the test.
Out:   nothing.
Never: a process.
Next:  zsfuzz/campaign/workers/slate.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from zsfuzz.campaign.workers.slate import SlateWriter, read_slate


def newest(path: Path) -> tuple[int, bytes] | None:
    written = read_slate(path)
    return None if written is None else (written.number, written.value)


def test_nothing_is_read_before_the_first_write(tmp_path: Path) -> None:
    assert read_slate(tmp_path / "slate") is None
    SlateWriter(tmp_path / "slate")
    assert read_slate(tmp_path / "slate") is None


def test_the_last_of_many_values_is_read_long_or_short(tmp_path: Path) -> None:
    slate = SlateWriter(tmp_path / "slate")
    for number, value in enumerate([b"a" * 5000, b"b", b"", b"c" * 70, b"d"], 1):
        slate.write(value)
        assert newest(tmp_path / "slate") == (number, value)


def test_a_second_writer_goes_on_from_the_first(tmp_path: Path) -> None:
    first = SlateWriter(tmp_path / "slate")
    first.write(b"one")
    first.close()
    SlateWriter(tmp_path / "slate").write(b"two")
    assert newest(tmp_path / "slate") == (2, b"two")


@pytest.mark.parametrize("kept_bytes", range(0, 24, 3))
def test_a_write_that_was_cut_off_leaves_the_value_before_it(tmp_path: Path, kept_bytes: int) -> None:
    """[6 whole] [7 cut off] -> 6."""
    slate = SlateWriter(tmp_path / "slate")
    for value in (b"five", b"six six", b"seven"):
        slate.write(value)
    path = tmp_path / "slate.1"
    path.write_bytes(path.read_bytes()[:kept_bytes])
    assert newest(tmp_path / "slate") == (2, b"six six")


def test_a_new_head_before_an_old_value_is_seen(tmp_path: Path) -> None:
    """A write of several pages may stop after the first: head of 3, value of 1."""
    slate = SlateWriter(tmp_path / "slate")
    for value in (b"1" * 9000, b"2", b"3" * 9000):
        slate.write(value)
    path = tmp_path / "slate.1"
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"1" * (len(data) - 4096))
    assert newest(tmp_path / "slate") == (2, b"2")


def test_a_file_of_something_else_is_no_value(tmp_path: Path) -> None:
    (tmp_path / "slate.0").write_bytes(b"something else that is long enough for a head")
    assert read_slate(tmp_path / "slate") is None
