"""Packed form (.zsf): a program as msgpack, small and quick to read.

In:    a Program, or bytes from anywhere.
Out:   pack_program() and unpack_program(), lossless both ways; the same program gives the same bytes.
Never: files (zsfuzz/program/files.py); a list that is built before its size is known to be harmless.
Next:  a step in zsfuzz/program/packedstep.py, a block in zsfuzz/program/packedblock.py; the layout in
       docs/program-format.md.

    MAGIC | version | header | step | step | ... | perhaps a block | seal
    8 B     int       map      [opcode, argument, ...]               uint32, CRC-32 of everything before it

Magic, version and seal stay where they are in every version, so that an old reader refuses a new file for the
right reason. Between them lie msgpack objects side by side, not one array of all: the reader takes them one
by one, and none may be longer than MAX_OBJECT_BYTES. As one object, 64 MiB of empty lists would take 5 GB.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import msgpack  # type: ignore[import-untyped]

from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.program.block import Block
from zsfuzz.program.limits import (
    MAX_FILE_BYTES,
    MAX_MIGRATE_PAGES,
    MAX_VERDICT_CHARS,
    Malformed,
    StepChecker,
    check_header,
    check_program,
    shown,
)
from zsfuzz.program.ops import Operation
from zsfuzz.program.packedblock import BLOCK_OPCODE, is_block, raw_block, unpack_block
from zsfuzz.program.packedstep import raw_step, unpack_step
from zsfuzz.program.program import FORMAT_VERSION, Header, Program, version_of
from zsfuzz.program.text import newer_version

MAGIC = b"\x89zsf\r\n\x1a\n"  # no text begins so, and whatever rewrites line ends breaks it
MAX_OBJECT_BYTES = 64 << 10  # a header has 58,000 at most (64 faults of 200 wide characters), a block 59,000
_SEAL_BYTES = 5
_UINT32 = b"\xce"  # msgpack's mark of a uint32, big-endian
_HEADER_NAMES = tuple(field.name for field in fields(Header))


@dataclass(frozen=True, slots=True)
class RawPacked:
    """A file taken apart into plain msgpack values; what a migration from an old version works on."""

    header: dict[str, object]
    steps: Iterable[object]


def _from_1(raw: RawPacked) -> RawPacked:
    """Version 2 has blocks. Their number was refused before, and is where a file names version 1."""
    return RawPacked(raw.header, map(_step_of_1, raw.steps))


def _step_of_1(raw: object) -> object:
    if is_block(raw):
        raise Malformed(f"operation {BLOCK_OPCODE}, a parallel block, came with version 2; the file says version 1")
    return raw


PACKED_MIGRATIONS: dict[int, Callable[[RawPacked], RawPacked]] = {1: _from_1}
"""From each old version to the next one. A migration keeps the steps in their order, one at a time."""


def pack_program(program: Program) -> bytes:
    """Return the packed form.

    Errors: HarnessError for a program that no reader would take; whoever made it has a fault.
    """
    try:
        check_program(program)
    except UsageError as reason:
        raise HarnessError(f"cannot pack a malformed program: {reason}") from reason
    pack: Callable[[object], bytes] = msgpack.Packer().pack
    parts = [MAGIC, pack(version_of(program)), pack(_raw_header(program.header))]
    parts.extend(pack(raw_step(step)) for step in program.steps)
    if program.block is not None:
        parts.append(pack(raw_block(program.block)))
    body = b"".join(parts)
    return body + seal(body)


def seal(body: bytes | memoryview) -> bytes:
    """Return the last bytes of a file that begins with `body`, magic included."""
    return _UINT32 + struct.pack(">I", zlib.crc32(body))


def _raw_header(header: Header) -> dict[str, object]:
    """Return what is set: None, 0 and () go without saying."""
    pairs = ((name, getattr(header, name)) for name in _HEADER_NAMES)
    return {name: value for name, value in pairs if value}


def unpack_program(data: bytes, where: str = "<packed>") -> Program:
    """Return the program that `data` holds.

    where: what messages begin with.
    Errors: UsageError "where: reason", one line, for everything that is not a program; never another
    exception, and never more memory than a well-formed program of that many bytes takes.
    """
    reader = _Reader()
    try:
        return reader.program(data)
    except Malformed as reason:
        place = f"{reader.place}: " if reader.place else ""
        raise UsageError(f"{where}: {place}{reason}") from None


class _Reader:
    """One pass over one file. Knows the part in which it is, for messages."""

    def __init__(self) -> None:
        self.place = ""
        self._block: Block | None = None

    def program(self, data: bytes) -> Program:
        if len(data) > MAX_FILE_BYTES:
            raise Malformed(f"it has {len(data)} bytes; at most {MAX_FILE_BYTES} are allowed")
        if not data.startswith(MAGIC):
            raise Malformed("it is not a packed program: the first bytes are not those of a .zsf file")
        objects = _objects(memoryview(data)[len(MAGIC) : -_SEAL_BYTES])
        version = _version(next(objects, None))
        _check_seal(data)
        self.place = "header"
        raw = RawPacked(_header_map(next(objects, None)), objects)
        for old in range(version, FORMAT_VERSION):
            raw = PACKED_MIGRATIONS[old](raw)
        header = _header(raw.header)
        steps = tuple(self._steps(raw.steps))
        return Program(header, steps, self._block)

    def _steps(self, raw_steps: Iterable[object]) -> Iterator[Operation]:
        checker = StepChecker()
        count = 0
        rest = iter(raw_steps)
        try:
            for raw in rest:
                if is_block(raw):
                    self._block = unpack_block(raw, checker)
                    break
                step = unpack_step(raw)
                checker.add(step)
                count += 1
                yield step
        except Malformed:
            self.place = f"step {count}"
            raise
        self.place = "the end"
        for _ in rest:
            raise Malformed("something comes behind the block, which is the last thing that a program does")


def _objects(body: memoryview) -> Iterator[object]:
    """Yield the msgpack objects that lie side by side in `body`, none longer than MAX_OBJECT_BYTES.

    Errors: Malformed for what is no msgpack, is cut off, or is longer or deeper than any part of a program.
    """
    unpacker = _unpacker()
    done = 0
    for start in range(0, len(body), MAX_OBJECT_BYTES):
        end = min(start + MAX_OBJECT_BYTES, len(body))
        unpacker.feed(body[start:end])
        while True:
            try:
                item = next(unpacker)
            except StopIteration:
                break
            except (ValueError, msgpack.UnpackException) as error:
                raise Malformed(f"damaged msgpack: {shown(str(error) or type(error).__name__)}") from None
            if unpacker.tell() - done > MAX_OBJECT_BYTES:
                break
            done = unpacker.tell()
            yield item
        if end - done > MAX_OBJECT_BYTES:
            raise Malformed(f"a part is longer than {MAX_OBJECT_BYTES} bytes, which no part of a program is")
    if done != len(body):
        raise Malformed("the file is cut off; get it again from where it came")


def _unpacker() -> msgpack.Unpacker:
    return msgpack.Unpacker(
        max_buffer_size=4 * MAX_OBJECT_BYTES,
        max_array_len=MAX_MIGRATE_PAGES,
        max_map_len=2 * len(_HEADER_NAMES),
        max_str_len=4 * MAX_VERDICT_CHARS,
        max_bin_len=0,
        max_ext_len=0,
        object_pairs_hook=_pairs,
    )


def _pairs(pairs: Iterable[tuple[object, object]]) -> dict[object, object]:
    """Return a map as a dict. msgpack would let the last of two equal keys win."""
    found: dict[object, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {shown(key)} is there twice")
        found[key] = value
    return found


def _version(version: object) -> int:
    if type(version) is not int:
        raise Malformed("the file is cut off or damaged: no version after the first bytes")
    if version > FORMAT_VERSION:
        raise Malformed(newer_version(version))
    if version != FORMAT_VERSION and version not in PACKED_MIGRATIONS:
        raise Malformed(f"there is no version {version}; this zsfuzz reads versions 1 to {FORMAT_VERSION}")
    return version


def _check_seal(data: bytes) -> None:
    if data[-_SEAL_BYTES:] != seal(memoryview(data)[:-_SEAL_BYTES]):
        raise Malformed("the file is damaged or cut off: its check sum is wrong; get it again from where it came")


def _header_map(raw: object) -> dict[str, object]:
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise Malformed("the map of the header is missing")
    return raw


def _header(raw: dict[str, object]) -> Header:
    for name in raw:
        if name not in _HEADER_NAMES:
            raise Malformed(f"{shown(name)} is no header key ({', '.join(_HEADER_NAMES)})")
    values: dict[str, Any] = {n: tuple(v) if type(v) is list else v for n, v in raw.items()}
    header = Header(**values)
    check_header(header)
    return header
