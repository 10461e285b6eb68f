"""Slate: the newest of many values, readable after its writer was killed at any moment.

In:    bytes, up to many times a second.
Out:   write() and read(): the last value that was written whole.
Never: a wait for the disk: what a killed process wrote is in the system's memory. Only a machine that loses its power
       loses it; what must survive that (findings, programs) is written elsewhere, and synchronized.
Next:  what workers write: zsfuzz/campaign/workers/record.py.

Two files take turns, so that a write that was cut off leaves the value before it whole:

    slate.0   magic | number 6 | length | CRC-32 | value
    slate.1   magic | number 7 | length | CRC-32 | val          cut off: 6 is read
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

_HEAD = struct.Struct(">4sQII")
_MAGIC = b"zslt"
_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Written:
    """One value. number: how many were written up to it, 1 for the first."""

    number: int
    value: bytes


class SlateWriter:
    """The one writer of a slate. Errors of every method: OSError when the system refuses."""

    def __init__(self, path: Path) -> None:
        """path: without its last digit. What stands there already is gone on from."""
        newest = read_slate(path)
        self._number = 0 if newest is None else newest.number
        self._files = [os.open(_part(path, half), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _MODE) for half in (0, 1)]

    def write(self, value: bytes) -> None:
        """Make this the newest value."""
        number = self._number + 1
        seal = zlib.crc32(value, zlib.crc32(number.to_bytes(8)))
        data = _HEAD.pack(_MAGIC, number, len(value), seal) + value
        written = os.pwrite(self._files[number % 2], data, 0)
        if written != len(data):
            raise OSError(f"only {written} of {len(data)} bytes were written; is the disk full?")
        self._number = number

    def close(self) -> None:
        """Give the two files back."""
        for file in self._files:
            os.close(file)
        self._files.clear()


def read_slate(path: Path) -> Written | None:
    """Return the newest value that is whole, None when there is none.

    Errors: OSError when a file is there and cannot be read.
    """
    found = [written for half in (0, 1) if (written := _read_part(_part(path, half))) is not None]
    return max(found, key=lambda written: written.number, default=None)


def _part(path: Path, half: int) -> str:
    return f"{path}.{half}"


def _read_part(name: str) -> Written | None:
    try:
        with open(name, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    if len(data) < _HEAD.size:
        return None
    magic, number, length, seal = _HEAD.unpack_from(data)
    value = data[_HEAD.size : _HEAD.size + length]
    whole = magic == _MAGIC and len(value) == length and seal == zlib.crc32(value, zlib.crc32(number.to_bytes(8)))
    return Written(number, value) if whole else None
