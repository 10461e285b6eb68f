"""A program as plain data, for scripts: every field of the header, of every step and of the block.

In:    a Program.
Out:   dictionaries, lists, strings and integers; field names are those of zsfuzz/program/ops.py and
       zsfuzz/program/block.py; "block" is null where there is none.
Never: a field left out: what differs in the program differs in the data.
Next:  printed by zsfuzz/cli/show.py; what is read back are text and packed, zsfuzz/program/files.py.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from zsfuzz.program.block import Block
from zsfuzz.program.ops import Operation
from zsfuzz.program.program import FORMAT_VERSION, Program


def program_json(program: Program) -> dict[str, Any]:
    """Return the program as plain data."""
    return {
        "format_version": FORMAT_VERSION,
        "header": _plain(program.header),
        "steps": _operations(program.steps),
        "block": None if program.block is None else _block(program.block),
    }


def _operations(operations: tuple[Operation, ...]) -> list[dict[str, Any]]:
    return [{"operation": type(operation).__name__} | _plain(operation) for operation in operations]


def _block(block: Block) -> dict[str, Any]:
    return {
        "lanes": [_operations(lane) for lane in block.lanes],
        "schedule": [_plain(switch) for switch in block.schedule],
        "chance": None if block.chance is None else _plain(block.chance),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_named(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _named(getattr(value, field.name)) for field in fields(value)}
    return value


def _named(value: Any) -> Any:
    """Return a nested value; one that is a page's name says which sort of name it is."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"page": type(value).__name__} | _plain(value)
    return _plain(value)
