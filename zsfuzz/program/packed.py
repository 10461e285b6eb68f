"""Packed form (.zsf): a program as msgpack, small and quick to read.

In:    a Program, or bytes from anywhere.
Out:   pack_program() and unpack_program(), lossless both ways; the same program gives the same bytes.
Never: files (zsfuzz/program/files.py); a container that was built before its size was known to be harmless.
Next:  what each step holds in FIELDS of zsfuzz/program/limits.py; the layout in docs/program-format.md.

    MAGIC | version | header | step | step | ... | seal
    8 B     int       map      [opcode, argument, ...]   uint32, CRC-32 of everything before it

Magic, version and seal stay where they are in every version, so that an old reader can refuse a new file for
the right reason. Between them lie msgpack objects side by side, not one array: the reader takes them one by
one, and none may be larger than MAX_OBJECT_BYTES. A file of 64 MiB in one piece could ask for 5 GB of lists.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, assert_never, cast

import msgpack

from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.program import ops
from zsfuzz.program.limits import (
    FIELDS,
    MAX_FAULTS,
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

MAGIC = b"\x89zsf\r\n\x1a\n"  # not text, and changed by whatever changes line ends
BLOCK_OPCODE = 127  # kept for parallel blocks: [127, [lane, ...], schedule], a lane being a list of steps
MAX_OBJECT_BYTES = 16 << 10  # the longest step has less than 8,000, the longest header less than 60,000 ... see below
"""E
