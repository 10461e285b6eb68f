"""Text form (.zst): a program that people read and edit.

In:    a Program, or text by hand, from a file, from a mail.
Out:   format_program() and parse_program(); parse(format(p)) == p, and format(parse(t)) is the one canonical
       text of that program. Comments, blank lines and spacing of the input are not kept.
Never: files (zsfuzz/program/files.py). Nothing here decides whether a step makes sense.
Next:  how one step is written in zsfuzz/program/steps.py; the grammar in docs/program-format.md.

    zsfuzz 2                            the version comes first; 1 where there is no block
    geometry linux-5.10                 header: key and value, one per line
    verdict clean
    ---
    h1 = malloc 3256                    steps, one per line
    p0 = isolate h1.2
    migrate p0 h1.0 sync
    parallel {                          perhaps a block: zsfuzz/program/blocktext.py
    ...
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.program.block import Block
from zsfuzz.program.blocktext import BEGIN, BLOCK_WORDS, BlockReader, format_block
from zsfuzz.program.limits import (
    MAX_FAULTS,
    MAX_FILE_BYTES,
    Malformed,
    StepChecker,
    check_header,
    check_program,
    shown,
)
from zsfuzz.program.ops import Operation
from zsfuzz.program.program import FORMAT_VERSION, Header, Program, version_of
from zsfuzz.program.steps import format_step, parse_number, parse_step

MAX_LINES = 1 << 21  # twice the steps: as many comments as steps
MAX_HEADER_LINES = 2 * MAX_FAULTS
MAX_LINE_CHARS = 16 << 10  # the longest step, a migrate of 512 pages, has less than 9,000
FIRST_WORD = "zsfuzz"
END_OF_HEADER = "---"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")  # all but tab and newline
_MEMORY = ("normal", "movable")

RawLine = tuple[int, str]
"""Line number (from 1) and the line, stripped, comments and blank lines gone."""


@dataclass(frozen=True, slots=True)
class RawText:
    """A file taken apart, before its words mean anything; what a migration from an old version works on."""

    header: list[RawLine]
    steps: Iterable[RawLine]


def _from_1(raw: RawText) -> RawText:
    """Version 2 has blocks. Their words were refused before, and are where a file names version 1."""
    return RawText(raw.header, (_line_of_1(line) for line in raw.steps))


def _line_of_1(line: RawLine) -> RawLine:
    if line[1].split(None, 1)[0] in BLOCK_WORDS:
        raise Malformed(f"parallel blocks came with version 2; write '{FIRST_WORD} 2' in the first line")
    return line


TEXT_MIGRATIONS: dict[int, Callable[[RawText], RawText]] = {1: _from_1}
"""From each old version to the next one. A migration keeps the lines in their order, one at a time."""


def format_program(program: Program) -> str:
    """Return the canonical text, newline at the end.

    Errors: HarnessError for a program that no reader would take; whoever made it has a fault.
    """
    try:
        check_program(program)
    except UsageError as reason:
        raise HarnessError(f"cannot write a malformed program: {reason}") from reason
    lines = [f"{FIRST_WORD} {version_of(program)}", *_format_header(program.header), END_OF_HEADER]
    lines.extend(map(format_step, program.steps))
    if program.block is not None:
        lines.extend(format_block(program.block))
    return "\n".join(lines) + "\n"


def _format_header(header: Header) -> Iterator[str]:
    yield f"geometry {header.geometry}"
    figures = zip(_MEMORY, (header.normal_pages, header.movable_pages), strict=True)
    memory = [f"{name}={pages}" for name, pages in figures if pages]
    if memory:
        yield f"memory {' '.join(memory)}"
    yield from (f"switch {switch}" for switch in header.switches)
    if header.reference is not None:
        yield f"reference {header.reference}"
    if header.candidate is not None:
        yield f"candidate {header.candidate}"
    yield from (f"fault {fault}" for fault in header.faults)
    if header.verdict is not None:
        yield f"verdict {header.verdict}"


def parse_program(text: str, where: str = "<text>") -> Program:
    """Return the program that `text` says.

    text: any line ends of \\n or \\r\\n, a byte order mark allowed. where: what messages begin with.
    Errors: UsageError "where:line: reason", one line, for everything that is not a program.
    """
    reader = _Reader(where)
    try:
        return reader.program(text)
    except Malformed as reason:
        raise UsageError(f"{where}:{reader.line}: {reason}") from None


class _Reader:
    """One pass over one text. Knows the line at which it is, for messages."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.line = 1
        self._block: Block | None = None

    def program(self, text: str) -> Program:
        lines = self._significant_lines(_split(text, self))
        version = self._version(next(lines, None))
        raw = RawText(list(self._header_lines(lines)), lines)
        for old in range(version, FORMAT_VERSION):
            raw = TEXT_MIGRATIONS[old](raw)
        header = self._header(raw.header)
        steps = tuple(self._steps(raw.steps))
        return Program(header, steps, self._block)

    def _significant_lines(self, lines: list[str]) -> Iterator[RawLine]:
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_LINE_CHARS:
                self.line = number
                raise Malformed(f"the line has {len(line)} characters; at most {MAX_LINE_CHARS} are allowed")
            line = line.strip()
            if line and line[0] != "#":
                self.line = number  # for what a migration says of it
                yield number, line

    def _version(self, first: RawLine | None) -> int:
        if first is None:
            raise Malformed(f"there is nothing in it; a program begins with '{FIRST_WORD} {FORMAT_VERSION}'")
        self.line, line = first
        words = line.split()
        if len(words) != 2 or words[0] != FIRST_WORD:
            raise Malformed(f"a program begins with '{FIRST_WORD} {FORMAT_VERSION}', not {shown(line)}")
        version = parse_number(words[1], "a version")
        if version > FORMAT_VERSION:
            raise Malformed(newer_version(version))
        if version < FORMAT_VERSION and version not in TEXT_MIGRATIONS:
            raise Malformed(f"there is no version {version}; this zsfuzz reads versions 1 to {FORMAT_VERSION}")
        return version

    def _header_lines(self, lines: Iterator[RawLine]) -> Iterator[RawLine]:
        for count, (self.line, line) in enumerate(lines):
            if line == END_OF_HEADER:
                return
            if count == MAX_HEADER_LINES:
                break
            yield self.line, line
        raise Malformed(f"the header has no end here; put a line '{END_OF_HEADER}' before the first step")

    def _header(self, lines: list[RawLine]) -> Header:
        header = Header()
        seen: set[str] = set()
        for self.line, line in lines:
            key, *value = line.split(None, 1)
            if key in seen and key not in ("switch", "fault"):
                raise Malformed(f"the header has {key} twice; drop one")
            seen.add(key)
            header = _with(header, key, value[0] if value else "")
            check_header(header)
        return header

    def _steps(self, lines: Iterable[RawLine]) -> Iterator[Operation]:
        checker = StepChecker()
        rest = iter(lines)
        for self.line, line in rest:
            if line.startswith(BEGIN):
                self._read_block(_without_comment(line), rest, checker)
                return
            step = parse_step(_without_comment(line))
            checker.add(step)
            yield step

    def _read_block(self, first: str, lines: Iterator[RawLine], checker: StepChecker) -> None:
        """Take the block and whatever is behind it, which is refused."""
        reader = BlockReader(first, checker)
        for self.line, line in lines:
            reader.line(_without_comment(line))
        if reader.block is None:
            raise Malformed("the block has no end here; put a line '}' behind each lane and one behind the schedule")
        self._block = reader.block


def _without_comment(line: str) -> str:
    return line.partition("#")[0] if "#" in line else line


def newer_version(version: int) -> str:
    """Return the reason for refusing a file that a later zsfuzz wrote."""
    return f"version {version} is newer than version {FORMAT_VERSION}, which this zsfuzz reads; update zsfuzz"


def _split(text: str, reader: _Reader) -> list[str]:
    """Return the lines; str.splitlines() would also split at form feeds and the like."""
    if len(text) > MAX_FILE_BYTES:
        raise Malformed(f"the text has {len(text)} characters; at most {MAX_FILE_BYTES} are allowed")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if text.count("\n") >= MAX_LINES:
        raise Malformed(f"the text has more than {MAX_LINES} lines; split it")
    control = _CONTROL.search(text)
    if control is not None:
        reader.line = text.count("\n", 0, control.start()) + 1
        raise Malformed(f"the control character {shown(control.group())} has no place in a program; remove it")
    return text.split("\n")


def _with(header: Header, key: str, value: str) -> Header:
    """Return `header` with one line more."""
    match key:
        case "geometry":
            return replace(header, geometry=value)
        case "memory":
            return _with_memory(header, value.split())
        case "switch":
            return replace(header, switches=(*header.switches, value))
        case "reference":
            return replace(header, reference=value)
        case "candidate":
            return replace(header, candidate=value)
        case "fault":
            return replace(header, faults=(*header.faults, value))
        case "verdict":
            return replace(header, verdict=value)
    raise Malformed(
        f"{shown(key)} is no header key (geometry, memory, switch, reference, candidate, fault, verdict);"
        f" steps begin after a line '{END_OF_HEADER}'"
    )


def _with_memory(header: Header, words: list[str]) -> Header:
    figures: dict[str, int] = {}
    for word in words:
        name, equals, pages = word.partition("=")
        if name not in _MEMORY or not equals or name in figures:
            raise Malformed(f"write 'memory normal=PAGES movable=PAGES', not {shown(word)}")
        figures[name] = parse_number(pages, "the memory of a zone")
    if not figures:
        raise Malformed("write 'memory normal=PAGES movable=PAGES'")
    return replace(header, normal_pages=figures.get("normal", 0), movable_pages=figures.get("movable", 0))
