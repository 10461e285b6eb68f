"""Packed form (.zsf): a program as msgpack, small and quick to read.

In:    a Program, or bytes from anywhere.
Out:   pack_program() and unpack_program(), lossless both ways; the same program gives the same bytes.
Never: files (zsfuzz/program/files.py); a list that is built before its size is known to be harmless.
Next:  what each step holds in FIELDS of zsfuzz/program/limits.py; the layout in docs/program-format.md.

    MAGIC | version | header | step | step | ... | seal
    8 B     int       map      [opcode, argument, ...]   uint32, CRC-32 of everything before it

Magic, version and seal stay where they are in every version, so that an old reader refuses a new file for the
right reason. Between them lie msgpack objects side by side, not one array of all: the reader takes them one
by one, and none may be longer than MAX_OBJECT_BYTES. As one object, 64 MiB of empty lists would take 5 GB.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, assert_never

import msgpack  # type: ignore[import-untyped]

from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.program import ops
from zsfuzz.program.limits import (
    FIELDS,
    MAX_FILE_BYTES,
    MAX_MIGRATE_PAGES,
    MAX_VERDICT_CHARS,
    Choice,
    Kind,
    Malformed,
    Number,
    OnePage,
    PageList,
    StepChecker,
    check_header,
    check_program,
    shown,
)
from zsfuzz.program.program import FORMAT_VERSION, Header, Program
from zsfuzz.program.text import newer_version

MAGIC = b"\x89zsf\r\n\x1a\n"  # no text begins so, and whatever rewrites line ends breaks it
BLOCK_OPCODE = 127  # kept for parallel blocks: [127, [lane, ...], schedule], a lane being a list of steps
MAX_OBJECT_BYTES = 64 << 10  # 64 faults of 200 wide characters make a header of 58,000; a step has 7,000 at most
_SEAL_BYTES = 5
_UINT32 = b"\xce"  # msgpack's mark of a uint32, big-endian
_COMPONENT, _ISOLATED_PAGE, _PFN = range(3)
_HEADER_NAMES = tuple(field.name for field in fields(Header))


@dataclass(frozen=True, slots=True)
class RawPacked:
    """A file taken apart into plain msgpack values; what a migration from an old version works on."""

    header: dict[str, object]
    steps: Iterable[object]


PACKED_MIGRATIONS: dict[int, Callable[[RawPacked], RawPacked]] = {}
"""From each old version to the next one. Empty as long as there is one version only."""


def pack_program(program: Program) -> bytes:
    """Return the packed form.

    Errors: HarnessError for a program that no reader would take; whoever made it has a fault.
    """
    try:
        check_program(program)
    except UsageError as reason:
        raise HarnessError(f"cannot pack a malformed program: {reason}") from reason
    pack: Callable[[object], bytes] = msgpack.Packer().pack
    parts = [MAGIC, pack(FORMAT_VERSION), pack(_raw_header(program.header))]
    parts.extend(pack(_raw_step(step)) for step in program.steps)
    body = b"".join(parts)
    return body + seal(body)


def seal(body: bytes | memoryview) -> bytes:
    """Return the last bytes of a file that begins with `body`, magic included."""
    return _UINT32 + struct.pack(">I", zlib.crc32(body))


def _raw_header(header: Header) -> dict[str, object]:
    """Return what is set: None, 0 and () go without saying."""
    pairs = ((name, getattr(header, name)) for name in _HEADER_NAMES)
    return {name: value for name, value in pairs if value}


def _raw_step(step: ops.Operation) -> list[object]:
    opcode, names, converters = _PACKING[type(step)]
    raw = [opcode, *(getattr(step, name) for name in names)]
    for at, to_raw in converters:
        raw[at] = to_raw(raw[at])
    return raw


def _raw_page(page: ops.PageName) -> tuple[int, ...]:
    match page:
        case ops.Component(slot, index):
            return _COMPONENT, slot, index
        case ops.IsolatedPage(page_slot):
            return _ISOLATED_PAGE, page_slot
        case ops.Pfn(pfn):
            return _PFN, pfn
        case _:
            assert_never(page)


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
        return Program(header, tuple(self._steps(raw.steps)))

    def _steps(self, raw_steps: Iterable[object]) -> Iterator[ops.Operation]:
        checker = StepChecker()
        self.place = "step 0"
        for index, raw in enumerate(raw_steps):
            try:
                step = _step(raw)
                checker.add(step)
            except Malformed:
                self.place = f"step {index}"
                raise
            yield step


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
        raise Malformed(f"there is no version {version}; this zsfuzz writes version {FORMAT_VERSION}")
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


def _step(raw: object) -> ops.Operation:
    """Return the step; StepChecker still has to see its numbers."""
    if type(raw) is not list or not raw or type(raw[0]) is not int:
        raise Malformed(f"a step is a list that begins with an operation's number, not {shown(raw)}")
    opcode, *arguments = raw
    if opcode == BLOCK_OPCODE:
        raise Malformed(f"operation {opcode} is kept for parallel blocks, which this version does not have")
    if not 0 <= opcode < len(_UNPACKING):
        raise Malformed(f"there is no operation {opcode}; the last one is {len(_UNPACKING) - 1}")
    operation, count, converters = _UNPACKING[opcode]
    if len(arguments) != count:
        raise Malformed(f"{operation.__name__} takes {count} arguments, not {len(arguments)}")
    for at, from_raw in converters:
        arguments[at] = from_raw(arguments[at])
    return operation(*arguments)


def _page(raw: object) -> ops.PageName:
    if type(raw) is list and raw and type(raw[0]) is int:
        tag, *arguments = raw
        if tag == _COMPONENT and len(arguments) == 2:
            return ops.Component(*arguments)
        if tag == _ISOLATED_PAGE and len(arguments) == 1:
            return ops.IsolatedPage(*arguments)
        if tag == _PFN and len(arguments) == 1:
            return ops.Pfn(*arguments)
    raise Malformed(f"a page is a list of a tag 0..2 and its numbers, not {shown(raw)}")


def _pages(raw: object) -> tuple[ops.PageName, ...]:
    if type(raw) is not list:
        raise Malformed(f"the pages of a migrate are a list, not {shown(raw)}")
    return tuple(map(_page, raw))


_Convert = Callable[[Any], Any]


def _to_raw(kind: Kind) -> _Convert | None:
    """Return how an argument of this kind is packed, None for as it is."""
    match kind:
        case Number():
            return None
        case Choice():
            numbers: dict[object, int] = {member: number for number, member in enumerate(_members(kind))}
            return numbers.__getitem__
        case OnePage():
            return _raw_page
        case PageList():
            return lambda pages: [*map(_raw_page, pages)]
        case _:
            assert_never(kind)


def _from_raw(kind: Kind) -> _Convert | None:
    """Return how an argument of this kind is unpacked, None for as it is: the checker sees it anyway."""
    match kind:
        case Number():
            return None
        case Choice():
            return _member_of(kind)
        case OnePage():
            return _page
        case PageList():
            return _pages
        case _:
            assert_never(kind)


def _members(choice: Choice[Any]) -> tuple[Enum, ...]:
    """Return the members in the order of their definition, which numbers them: append only."""
    enum: type[Enum] = choice.enum
    return tuple(enum)


def _member_of(choice: Choice[Any]) -> _Convert:
    members = _members(choice)

    def member(raw: object) -> object:
        if type(raw) is int and 0 <= raw < len(members):
            return members[raw]
        raise Malformed(f"{choice.noun} must be a number from 0 to {len(members) - 1}, not {shown(raw)}")

    return member


def _converters(
    operation: type[ops.Operation], convert: Callable[[Kind], _Convert | None], first: int
) -> tuple[tuple[int, _Convert], ...]:
    """Return (position, conversion) of the arguments that need one, positions counted from `first`."""
    found = ((at, convert(kind)) for at, (_, kind) in enumerate(FIELDS[operation], first))
    return tuple((at, conversion) for at, conversion in found if conversion is not None)


_PACKING = {
    operation: (opcode, tuple(name for name, _ in FIELDS[operation]), _converters(operation, _to_raw, 1))
    for opcode, operation in enumerate(ops.OPERATIONS)
}
_UNPACKING: tuple[tuple[Callable[..., ops.Operation], int, tuple[tuple[int, _Convert], ...]], ...] = tuple(
    (operation, len(FIELDS[operation]), _converters(operation, _from_raw, 0)) for operation in ops.OPERATIONS
)
