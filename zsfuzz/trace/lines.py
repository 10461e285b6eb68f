"""One line of ftrace text, understood or refused.

In:    a line of a `trace` file of tracefs, with kprobe events named as the header of
       corpus/traces/zram-swap-6.1.trace.gz shows them.
Out:   a value of the closed union Line; None for blank lines and comments.
Never: an exception for whatever the line may hold, and no state: what belongs together is found in
       zsfuzz/trace/ftrace.py.

    TASK-PID    (TGID)  CPU#  FLAGS  TIMESTAMP EVENT   where            fields
    kswapd0-38          [000] .N.1.  6.410548: malloc: (zs_malloc+0x0/0x4f0) pool=0x... size=9 gfp=0x280a
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from zsfuzz.program.ops import Gfp, MigrateMode

GFP_HIGHMEM = 0x02  # ___GFP_HIGHMEM and ___GFP_MOVABLE of include/linux/gfp.h, the same in v5.10 and v6.1
GFP_MOVABLE = 0x08

MIGRATE_MODES = (MigrateMode.ASYNC, MigrateMode.SYNC_LIGHT, MigrateMode.SYNC, MigrateMode.SYNC_NO_COPY)
"""enum migrate_mode of include/linux/migrate_mode.h, v6.1, by its numbers."""


@dataclass(frozen=True, slots=True)
class MallocCall:
    """zs_malloc() was entered. size: bytes asked for, the handle not counted."""

    task: str
    pool: int
    size: int
    gfp: Gfp


@dataclass(frozen=True, slots=True)
class MallocReturn:
    """zs_malloc() returned. handle: an address, 0, or a negative errno as an unsigned word."""

    task: str
    handle: int


@dataclass(frozen=True, slots=True)
class FreeCall:
    """zs_free() was entered."""

    task: str
    pool: int
    handle: int


@dataclass(frozen=True, slots=True)
class MigrateCall:
    """zs_page_migrate() was entered. old_page: the address of a struct page."""

    task: str
    old_page: int
    mode: MigrateMode


@dataclass(frozen=True, slots=True)
class MigrateReturn:
    """zs_page_migrate() returned 0 or a negative errno."""

    task: str
    ret: int


@dataclass(frozen=True, slots=True)
class CompactCall:
    """zs_compact() was entered."""

    task: str
    pool: int


@dataclass(frozen=True, slots=True)
class CompactReturn:
    """zs_compact() returned the number of pages it counts as freed."""

    task: str
    freed: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The ring buffer dropped events here. events: how many; 0 when the kernel does not know."""

    events: int


@dataclass(frozen=True, slots=True)
class BufferHeader:
    """What tracefs says at the top. overwritten: events that were gone before the first line was read."""

    overwritten: int


@dataclass(frozen=True, slots=True)
class OtherEvent:
    """A well-formed event of somebody else."""

    name: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """No line of a trace, or an event whose fields are missing or no numbers."""

    reason: str


Call = MallocCall | MigrateCall | CompactCall
Return = MallocReturn | MigrateReturn | CompactReturn
Line = Call | Return | FreeCall | Lost | BufferHeader | OtherEvent | Malformed

# Every repetition is bounded: a hostile line costs a look, not a search.
_EVENT = re.compile(
    r"(?P<comm>.{1,64}?)-(?P<pid>[0-9]{1,10})\s{1,16}"
    r"(?:\([0-9 -]{1,12}\)\s{1,16})?"
    r"\[(?P<cpu>[0-9]{1,5})\]\s{1,16}"
    r"(?:[^\s:]{1,12}\s{1,32})?"
    r"[0-9]{1,12}(?:\.[0-9]{1,9})?:\s{1,16}"
    r"(?P<event>[A-Za-z_][A-Za-z0-9_]{0,63}):(?P<rest>.*)"
)
_FIELD = re.compile(r"\b([a-z]{1,16})=(\S{1,32})")
_LOST = re.compile(r"CPU:[0-9]{1,5} \[LOST (?:([0-9]{1,18}) )?EVENTS\]")
_ENTRIES = re.compile(r"#\s{0,64}entries-in-buffer/entries-written:\s{0,64}([0-9]{1,18})/([0-9]{1,18})")
_HEX = re.compile(r"0x[0-9a-f]{1,16}")
_DECIMAL = re.compile(r"-?[0-9]{1,20}")
_WORD_END = 1 << 64


class _BadField(Exception):
    """A field that is missing or no number of its kind."""


def parse_line(line: str) -> Line | None:
    """Return what one line of text says.

    line: with or without its newline; longer lines than tracefs writes are the caller's to cut.
    Errors: none. Source: kernel/trace/trace_output.c and trace_kprobe.c, v6.1. Strays: timestamps are not
    read, the order of the lines is the order of the events.
    """
    line = line.strip()
    if not line:
        return None
    if line.startswith("#"):
        return _comment(line)
    match = _EVENT.match(line)
    if match is None:
        lost = _LOST.match(line)
        return Malformed("no line of a trace") if lost is None else Lost(int(lost[1] or 0))
    make = _MAKERS.get(match["event"])
    if make is None:
        return OtherEvent(match["event"])
    # The idle task has the same pid on every CPU, and one stack of calls on each.
    task = match["pid"] if match["pid"] != "0" else f"0 on {int(match['cpu'])}"
    try:
        return make(task, dict(_FIELD.findall(match["rest"])))
    except _BadField as bad:
        return Malformed(f"{match['event']}: {bad}")


def _comment(line: str) -> BufferHeader | None:
    entries = _ENTRIES.match(line)
    if entries is None:
        return None
    return BufferHeader(max(0, int(entries[2]) - int(entries[1])))


def _text(fields: dict[str, str], name: str) -> str:
    value = fields.get(name)
    if value is None:
        raise _BadField(f"no {name}=")
    return value


def _address(fields: dict[str, str], name: str) -> int:
    value = _text(fields, name)
    if not _HEX.fullmatch(value):
        raise _BadField(f"{name} is no hexadecimal word")
    return int(value, 16)


def _number(fields: dict[str, str], name: str) -> int:
    value = _text(fields, name)
    if not _DECIMAL.fullmatch(value):
        raise _BadField(f"{name} is no decimal number")
    return int(value)


def _unsigned(fields: dict[str, str], name: str) -> int:
    value = _number(fields, name)
    if not 0 <= value < _WORD_END:
        raise _BadField(f"{name} is no 64-bit word")
    return value


def _gfp(fields: dict[str, str]) -> Gfp:
    if "gfp" not in fields:
        return Gfp.MOVABLE  # what zram passes; a capture may have left the field out
    both = GFP_HIGHMEM | GFP_MOVABLE  # only together do they reach ZONE_MOVABLE: GFP_ZONE_TABLE
    return Gfp.MOVABLE if _address(fields, "gfp") & both == both else Gfp.KERNEL


def _mode(fields: dict[str, str]) -> MigrateMode:
    number = _number(fields, "mode")
    if not 0 <= number < len(MIGRATE_MODES):
        raise _BadField("mode is no migrate mode")
    return MIGRATE_MODES[number]


_MAKERS: dict[str, Callable[[str, dict[str, str]], Line]] = {
    "malloc": lambda task, f: MallocCall(task, _address(f, "pool"), _unsigned(f, "size"), _gfp(f)),
    "malloc_ret": lambda task, f: MallocReturn(task, _address(f, "handle")),
    "free": lambda task, f: FreeCall(task, _address(f, "pool"), _address(f, "handle")),
    "migrate": lambda task, f: MigrateCall(task, _address(f, "old"), _mode(f)),
    "migrate_ret": lambda task, f: MigrateReturn(task, _number(f, "ret")),
    "compact": lambda task, f: CompactCall(task, _address(f, "pool")),
    "compact_ret": lambda task, f: CompactReturn(task, _unsigned(f, "freed")),
}
