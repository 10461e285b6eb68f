"""Takes the few files that a build needs out of a linux-source package.

In:    a .deb: an ar archive, in it data.tar.*, in that usr/src/linux-source-*.tar.*. All three are read as one
       stream, so that neither the 1.3 GB tree nor the inner tarball is ever on the disk.
Out:   regular files below mm/, include/ and drivers/block/zram/, without the tree's top folder.
Never: links, devices, modes, owners, or a name that leads out of the destination.
Next:  called by zsfuzz/kernel/fetch.py, after apt has verified the package.
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from zsfuzz.errors import UsageError

WANTED = ("mm/", "include/", "drivers/block/zram/", "COPYING", "Makefile")
"""Beginnings of the paths that are kept. The Makefile tells the exact release, COPYING the license."""

_TARBALL = re.compile(r"(?:\./)?usr/src/linux-source-[^/]+\.tar(?:\.\w+)?")
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60
_CHUNK_BYTES = 1 << 20
_DAMAGED = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, ValueError)

Progress = Callable[[float], None]
"""Told now and then which part of the work is done, 0.0..1.0."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was written."""

    files: int
    bytes: int


def unpack_package(deb: Path, destination: Path, progress: Progress = lambda _: None) -> Unpacked:
    """Write the wanted files of a package below destination, which is made.

    tarfile's own small buffers are kept: it copies what is left of a buffer at every read, so that buffers of a
    megabyte made this nine times slower.

    Errors: UsageError for a file that is no such package or is damaged; OSError when the disk says no.
    """
    try:
        with open(deb, "rb") as stream:
            return _unpack(stream, destination, progress)
    except _DAMAGED as error:
        what = str(error) or type(error).__name__
        raise UsageError(f"{deb}: no intact linux-source package ({what}); fetch it again or give a tree") from error


def _unpack(stream: IO[bytes], destination: Path, progress: Progress) -> Unpacked:
    window = _data_member(stream)
    with tarfile.open(fileobj=cast(IO[bytes], window), mode="r|*") as outer:
        for member in outer:
            if not (member.isreg() and _TARBALL.fullmatch(member.name)):
                continue
            inner_stream = outer.extractfile(member)
            assert inner_stream is not None, member.name  # it is regular
            with tarfile.open(fileobj=inner_stream, mode="r|*") as inner:
                return _write(inner, destination, lambda: progress(window.done))
    raise ValueError("no usr/src/linux-source-*.tar in it")


def _write(tree: tarfile.TarFile, destination: Path, tick: Callable[[], None]) -> Unpacked:
    files = size = 0
    for seen, member in enumerate(tree):
        if seen % 256 == 0:
            tick()
            tree.members.clear()  # type: ignore[attr-defined]  # of 80,000 members none is asked for again
        path = wanted_path(member.name)
        if path is None or not member.isreg():
            continue
        content = tree.extractfile(member)
        assert content is not None, member.name
        target = destination / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as out:
            while chunk := content.read(_CHUNK_BYTES):
                out.write(chunk)
                size += len(chunk)
        files += 1
    return Unpacked(files, size)


def wanted_path(name: str) -> PurePosixPath | None:
    """Return where a member of the tree's tarball goes, below the destination; None for one that is left out.

    Errors: ValueError for a name that leads elsewhere: no package of Debian's has one, so it is no such package.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"a member is called {name!r}")
    below = "/".join(path.parts[1:])
    return PurePosixPath(below) if below.startswith(WANTED) else None


def _data_member(stream: IO[bytes]) -> _Window:
    """Return the data.tar.* of a package, ready to be read."""
    if stream.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise ValueError("it does not begin as a .deb does")
    for name, size in _ar_members(stream):
        if name.startswith("data.tar"):
            if name.endswith(".zst") and not hasattr(tarfile.TarFile, "zstopen"):
                raise ValueError("its data.tar is compressed with zstd, which this Python cannot read")
            return _Window(stream, size)
    raise ValueError("there is no data.tar in it")


def _ar_members(stream: IO[bytes]) -> Iterator[tuple[str, int]]:
    """Yield (name, size in bytes) with the stream at the member's first byte; skip it afterwards."""
    while header := stream.read(_AR_HEADER_BYTES):
        if len(header) < _AR_HEADER_BYTES or header[58:] != b"`\n":
            raise ValueError("a header in it is cut or overwritten")
        size = int(header[48:58])
        start = stream.tell()
        yield header[:16].decode("ascii", "replace").rstrip(" /"), size
        stream.seek(start + size + size % 2)


class _Window(io.RawIOBase):
    """The next so many bytes of a stream. A stream that ends earlier raises, as a cut download should."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        self._size = self._left = size

    @property
    def done(self) -> float:
        """Return which part has been read."""
        return 1.0 - self._left / max(self._size, 1)

    def read(self, size: int = -1, /) -> bytes:
        """Read up to size bytes; fewer only at the end."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._stream.read(wanted)
        if len(data) < wanted:
            raise EOFError("it ends too early")
        self._left -= len(data)
        return data
