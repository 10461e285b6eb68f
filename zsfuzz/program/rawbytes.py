"""Raw bytes: any bytes at all are a program.

In:    bytes of a fuzzer that knows nothing of programs.
Out:   decode_raw(): a well-formed Program, for every input; the same bytes give the same program.
Never: an error, a random choice, more than MAX_RAW_STEPS steps, or a block beyond MAX_RAW_OPERATIONS and
       MAX_RAW_SWITCHES.
Next:  engines that mutate operations do not need this: zsfuzz/engine/.

    byte 0       header: which switches are on, and whether there is a block at the end
    bytes 1..8   step 0      +-----------+------+-------------+-------------+--------+-------+
    bytes 9..16  step 1      | operation | slot | x, 16 bits  | y, 16 bits  | detail | which |
    ...                      +-----------+------+-------------+-------------+--------+-------+
                                  0         1         2 3           4 5         6        7

Every step has the same 8 bytes, so one changed byte changes one step (and the unmap after it, if that is a
map); fewer bytes at the end are filled up with zeros. A block is read from the end of the input, as its steps are
from the start, so that bytes put into the one leave the other as it was:

    steps ... | operations of lanes, 8 bytes each | switches, 4 bytes each     | switches | operations | lanes
                slot >> 5 says which lane           | lanes | operation | point, 16 bits |   the last three bytes

Numbers are folded into the ranges where something happens: few slots, so that steps meet each other's objects,
and pfns of the default memory with some beyond its end. The meaning of a byte may change from one release to the
next: keep programs, not raw bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from zsfuzz.program import limits, ops
from zsfuzz.program.block import MAX_LANES, MIN_LANES, Block, Switch, block_of
from zsfuzz.program.limits import Choice, Member
from zsfuzz.program.program import SWITCHES, Header, Program

MAX_RAW_STEPS = 4096
MAX_RAW_OPERATIONS = 24  # of a block
MAX_RAW_SWITCHES = 63
STEP_BYTES = 8
SWITCH_BYTES = 4
BLOCK_TAIL_BYTES = 3
_HANDLES = 32
_PAGE_SLOTS = 8
_REF_SLOTS = 4
_BYSTANDER_SLOTS = 8
_SIZES = 4352  # 0, and some sizes over a page, are errors worth having
_PAGE_BYTES = 4096
_PFNS = 272  # the default memory has 256
_COMPONENTS = 4  # the longest chain
_MIGRATED = 4
_ORDERS = 6
_ORDINALS = 8
_LOW_POINTS = 48  # most operations have fewer


@dataclass(frozen=True, slots=True)
class _Record:
    """The 8 bytes of one step, and what they mean where an operation asks for it."""

    operation: int
    slot: int
    x: int
    y: int
    detail: int
    which: int
    mapped: int  # slot of the last map before this step

    @property
    def handle(self) -> int:
        return self.slot % _HANDLES

    @property
    def held(self) -> int:
        """The slot of the last map, three times out of four: nothing else has an effect while it is held."""
        return self.mapped if self.which < 192 else self.handle

    @property
    def page_slot(self) -> int:
        return self.slot % _PAGE_SLOTS

    @property
    def pool(self) -> int:
        """Pool 0 three times out of four: objects of different pools never meet."""
        return self.which % (limits.MAX_POOL + 1) if self.which >= 192 else 0

    @property
    def gfp(self) -> ops.Gfp:
        return ops.Gfp.KERNEL if self.detail >= 192 else ops.Gfp.MOVABLE

    @property
    def offset(self) -> int:
        return self.x % _PAGE_BYTES

    @property
    def length(self) -> int:
        return self.y % (_PAGE_BYTES + 1)

    @property
    def range(self) -> tuple[int, int]:
        start = self.x % _PFNS
        return start, start + self.y % _PFNS

    def choice(self, choice: Choice[Member]) -> Member:
        members = tuple(choice.enum)
        return members[self.detail % len(members)]

    def page(self, further: int = 0) -> ops.PageName:
        """Return a page, or the one `further` behind it: the next component, the next slot, the next pfn."""
        if self.which < 160:
            return ops.Component(self.x % _HANDLES, (self.y + further) % _COMPONENTS)
        if self.which < 208:
            return ops.IsolatedPage((self.y + further) % _PAGE_SLOTS)
        return ops.Pfn((self.x + further) % _PFNS)

    def pages(self) -> tuple[ops.PageName, ...]:
        return tuple(self.page(further) for further in range(1 + self.slot % _MIGRATED))


_Build = Callable[[_Record], ops.Operation]

# How many of the 256 values of the first byte mean the operation, and how its record is read. Nearly half of
# them go to what moves, takes or looks at pages, for there bystanders, scanners and the two designs meet.
_BUILDERS: tuple[tuple[int, _Build], ...] = (
    (36, lambda r: ops.Malloc(r.handle, (r.x + 1) % _SIZES, r.gfp, r.pool)),
    (22, lambda r: ops.Free(r.handle)),
    (4, lambda r: ops.Map(r.handle, r.choice(limits.MAP_MODE))),
    (8, lambda r: ops.Unmap(r.held)),
    (14, lambda r: ops.Write(r.handle, r.offset, r.length, r.detail)),
    (8, lambda r: ops.Read(r.handle, r.offset, r.length)),
    (10, lambda r: ops.Compact(r.pool)),
    (6, lambda r: ops.Shrink(r.choice(limits.SHRINK), r.pool)),
    (16, lambda r: ops.Isolate(r.page_slot, r.page())),
    (20, lambda r: ops.Migrate(r.pages(), r.choice(limits.MIGRATE_MODE))),
    (8, lambda r: ops.Putback(r.page_slot)),
    (8, lambda r: ops.RunWork()),
    (14, lambda r: ops.CompactZone(*r.range, r.choice(limits.MIGRATE_MODE))),
    (8, lambda r: ops.Offline(*r.range)),
    (6, lambda r: ops.Online(*r.range)),
    (8, lambda r: ops.Contig(*r.range)),
    (4, lambda r: ops.Poison(r.page(), r.choice(limits.POISON))),
    (15, lambda r: ops.Scan(r.choice(limits.SCANNER), *r.range)),
    (6, lambda r: ops.SpeculativeGet(r.slot % _REF_SLOTS, r.page())),
    (4, lambda r: ops.SpeculativePut(r.slot % _REF_SLOTS)),
    (10, lambda r: ops.Bystander(r.slot % _BYSTANDER_SLOTS, r.choice(limits.BYSTANDER), r.x % _ORDERS)),
    (6, lambda r: ops.DropBystander(r.slot % _BYSTANDER_SLOTS)),
    (6, lambda r: ops.Fail(r.choice(limits.FAIL_OPERATION), _fail_what(r), r.y % _ORDINALS)),
    (2, lambda r: ops.Stats(r.pool)),
    (1, lambda r: ops.HugeClassSize(r.pool)),
    (2, lambda r: ops.CreatePool(r.slot % (limits.MAX_POOL + 1))),
    (2, lambda r: ops.DestroyPool(r.slot % (limits.MAX_POOL + 1))),
    (2, lambda r: ops.Trim()),
)
_BUILDER_OF_BYTE: tuple[_Build, ...] = tuple(build for weight, build in _BUILDERS for _ in range(weight))


def _fail_what(record: _Record) -> ops.FailWhat:
    members = tuple(ops.FailWhat)
    return members[record.x % len(members)]


def decode_raw(data: bytes) -> Program:
    """Return the program that `data` means.

    data: any bytes of any length; of the steps, what follows the first MAX_RAW_STEPS is not looked at.
    Errors: none. The result is well-formed by construction; a test holds it against check_program().
    """
    switches, has_block = _first_byte(data[:1])
    body, block = data[1:], None
    if has_block:
        body, block = _split_block(body)
    steps = tuple([step for _, step in _operations(body[: MAX_RAW_STEPS * STEP_BYTES], 1)])
    return Program(Header(switches=switches), steps, block)


def _first_byte(first: bytes) -> tuple[tuple[str, ...], bool]:
    """Return the switches and whether there is a block: from 192 on, one bit each; from 128 on, a block alone."""
    value = first[0] if first else 0
    if value < 192:
        return (), value >= 128
    return tuple(name for bit, name in enumerate(SWITCHES) if value >> bit & 1), bool(value & 32)


def _operations(records: bytes, lanes: int) -> Iterator[tuple[int, ops.Operation]]:
    """Yield the lane and the operation of each record; an unmap is told of the map before it in its lane."""
    mapped = [0] * lanes
    for at in range(0, len(records), STEP_BYTES):
        raw = records[at : at + STEP_BYTES].ljust(STEP_BYTES, b"\0")
        lane = (raw[1] >> 5) % lanes  # the slots of records take no more than the lower bits
        operation = _BUILDER_OF_BYTE[raw[0]](_record(raw, mapped[lane]))
        if isinstance(operation, ops.Map):
            mapped[lane] = operation.slot
        yield lane, operation


def _split_block(body: bytes) -> tuple[bytes, Block]:
    """Return the bytes of the steps before a block, and the block that the end of `body` means."""
    tail = body[-BLOCK_TAIL_BYTES:].rjust(BLOCK_TAIL_BYTES, b"\0")
    body = body[:-BLOCK_TAIL_BYTES]
    lanes = MIN_LANES + tail[2] % (MAX_LANES - MIN_LANES + 1)
    body, switches = _split(body, tail[0] % (MAX_RAW_SWITCHES + 1) * SWITCH_BYTES)
    body, records = _split(body, tail[1] % (MAX_RAW_OPERATIONS + 1) * STEP_BYTES)
    filled: list[list[ops.Operation]] = [[] for _ in range(lanes)]
    for lane, operation in _operations(records, lanes):
        filled[lane].append(operation)
    counts = [len(lane) for lane in filled]
    starts = range(0, len(switches) - SWITCH_BYTES + 1, SWITCH_BYTES)
    return body, block_of(filled, [_switch(switches[at : at + SWITCH_BYTES], counts) for at in starts])


def _split(body: bytes, most: int) -> tuple[bytes, bytes]:
    """Return what is before the last `most` bytes, and those."""
    at = max(0, len(body) - most)
    return body[:at], body[at:]


def _switch(raw: bytes, counts: list[int]) -> Switch:
    """Return the switch of 4 bytes. counts: operations of each lane. Low points three times out of four."""
    lane = (raw[0] & 15) % len(counts)
    to = (lane + 1 + (raw[0] >> 4 & 7) % (len(counts) - 1)) % len(counts)
    operation = raw[1] % (counts[lane] + 1)
    point = raw[2] % _LOW_POINTS if raw[3] < 192 else raw[2] | (raw[3] & 7) << 8
    at_end = operation == counts[lane]
    return Switch(lane, operation, 0 if at_end else point, to, max(0, (raw[0] >> 6) - 1))


def _record(raw: bytes, mapped: int) -> _Record:
    return _Record(
        operation=raw[0],
        slot=raw[1],
        x=int.from_bytes(raw[2:4], "little"),
        y=int.from_bytes(raw[4:6], "little"),
        detail=raw[6],
        which=raw[7],
        mapped=mapped,
    )
