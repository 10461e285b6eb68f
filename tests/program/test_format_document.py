"""The document on the formats says what the code does."""

from __future__ import annotations

import re
from dataclasses import fields
from enum import Enum
from pathlib import Path

from tests.program.strategies import EVERY_WORD
from zsfuzz.program import limits, ops, packed, text
from zsfuzz.program.blocktext import SCHEDULE_CHARS
from zsfuzz.program.packedblock import BLOCK_OPCODE
from zsfuzz.program.program import FORMAT_VERSION, SWITCHES, Header
from zsfuzz.program.rawbytes import (
    BLOCK_TAIL_BYTES,
    MAX_RAW_OPERATIONS,
    MAX_RAW_STEPS,
    MAX_RAW_SWITCHES,
    STEP_BYTES,
    SWITCH_BYTES,
)
from zsfuzz.program.steps import SYNTAX, format_step
from zsfuzz.program.text import format_program, parse_program

DOCUMENT = Path(__file__).parents[2] / "docs" / "program-format.md"


def rows(first_cell: str) -> list[list[str]]:
    """The cells of every table row whose first cell matches."""
    lines = (line.replace("\\|", "\0") for line in DOCUMENT.read_text().splitlines() if line.startswith("| "))
    table = [[cell.strip().replace("\0", "|") for cell in line.strip("|").split("|")] for line in lines]
    return [cells for cells in table if re.fullmatch(first_cell, cells[0])]


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return [content for name, content in fenced if name == language]


def word_of(operation: type[ops.Operation]) -> str:
    step = next(step for step in EVERY_WORD.steps if type(step) is operation)
    return format_step(step).rpartition(" = ")[2].split()[0]


def test_every_operation_stands_in_the_table_with_its_number_its_text_and_its_arguments() -> None:
    expected = [
        [
            str(number),
            f"`{SYNTAX[word_of(operation)].usage}`",
            ", ".join(field.name for field in fields(operation)) or "-",
        ]
        for number, operation in enumerate(ops.OPERATIONS)
    ]
    assert rows(r"\d+") == expected


def test_every_word_stands_in_the_table_in_the_order_of_its_number() -> None:
    documented = {cells[1] for cells in rows(r"[a-z_, ]+") if len(cells) == 2}
    enums = {kind.enum for named in limits.FIELDS.values() for _, kind in named if isinstance(kind, limits.Choice)}
    assert {words(enum) for enum in enums} <= documented


def words(enum: type[Enum]) -> str:
    return ", ".join(f"`{member.value}`" for member in enum)


def test_every_limit_stands_in_the_table() -> None:
    documented = {name: int(value) for name, value, _ in rows("MAX_[A-Z_]+")}
    assert documented == {name: value for name, value in vars(limits).items() if name.startswith("MAX_")}


def test_the_other_figures_are_those_of_the_code() -> None:
    document = " ".join(DOCUMENT.read_text().split())
    assert f"{text.MAX_LINES} lines of {text.MAX_LINE_CHARS} characters, {text.MAX_HEADER_LINES} of" in document
    assert f"{packed.MAX_OBJECT_BYTES} bytes, and lists in it {limits.MAX_MIGRATE_PAGES} entries" in document
    assert f"every {STEP_BYTES} bytes are a step" in document
    assert f"at most {MAX_RAW_STEPS} steps" in document
    assert packed.MAGIC.hex(" ") in document
    assert f"`[{BLOCK_OPCODE}, [lane, ...], [run, ...]]`" in document
    assert f"4 bytes for each switch (of at most {MAX_RAW_SWITCHES})" in document
    assert f"8 bytes for each operation (of at most {MAX_RAW_OPERATIONS})" in document
    assert (SWITCH_BYTES, STEP_BYTES, BLOCK_TAIL_BYTES) == (4, 8, 3)
    assert f"lines of at most {SCHEDULE_CHARS} characters" in document
    assert [cells[0] for cells in rows(r"version \d+")] == [f"version {n}" for n in range(1, FORMAT_VERSION + 1)]


def test_the_example_is_a_program_and_names_every_header_key_of_its_table() -> None:
    (example,) = blocks("zst")
    program = parse_program(example)
    assert parse_program(format_program(program)) == program
    keys = {key for cells in rows(r"`[a-z`, ]+") if len(cells) == 3 for key in re.findall(r"`([a-z]+)`", cells[0])}
    full = Header("small", 1, 1, SWITCHES[:1], "a", "b", ("c",), "clean")
    written = format_program(type(program)(full, ())).splitlines()[1:-1]
    assert keys == {line.split()[0] for line in written}


def test_the_block_of_the_document_is_canonical() -> None:
    (block,) = (block for block in blocks("") if block.startswith("parallel"))
    written = format_program(parse_program(f"zsfuzz {FORMAT_VERSION}\n---\n{block}"))
    assert written.partition("---\n")[2] == block
