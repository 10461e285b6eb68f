"""Raw bytes: any bytes at all are a program.

In:    bytes of a fuzzer that knows nothing of programs.
Out:   decode_raw(): a well-formed Program, for every input; the same bytes give the same program.
Never: an error, a random choice, more than MAX_RAW_STEPS steps.
Next:  engines that mutate operations do not need this: zsfuzz/engine/.

    byte 0       header: which switches are on
    bytes 1..8   step 0      +-----------+------+-------------+-------------+--------+-------+
    bytes 9..16  step 1      | operation | slot | x, 16 bits  | y, 16 bits  | detail | which |
    ...                      +-----------+------+-------------+-------------+--------+-------+
                                  0         1         2 3           4 5         6        7

Every step has the same 8 bytes, so one changed byte changes one step (and the unmap after it, if that is a
map); fewer bytes at the end are filled up with zeros. Numbers are folded into the ranges where something
happens: few slots, so that steps meet each other's objects, and pfns of the default memory with some beyond
its end. The meaning of a byte may change from one release to the next: keep programs, not raw bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zsfuzz.program import limits, ops
from zsfuzz.program.limits import Choice, Member
from zsfuzz.program.program import SWITCHES, Header, Program

MAX_RAW_STEPS = 4096
STEP_BYTES = 8
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

    data: any bytes of any length; what follows the first MAX_RAW_STEPS steps is not looked at.
    Errors: none. The result is well-formed by construction; a test holds it against check_program().
    """
    records = data[1 : 1 + MAX_RAW_STEPS * STEP_BYTES]
    steps: list[ops.Operation] = []
    mapped = 0
    for at in range(0, len(records), STEP_BYTES):
        record = _record(records[at : at + STEP_BYTES], mapped)
        step = _BUILDER_OF_BYTE[record.operation](record)
        if isinstance(step, ops.Map):
            mapped = step.slot
        steps.append(step)
    return Program(_header(data[:1]), tuple(steps))


def _header(first: bytes) -> Header:
    """Return the header of byte 0: no switch for values under 192, else one bit per switch."""
    bits = first[0] if first and first[0] >= 192 else 0
    return Header(switches=tuple(name for bit, name in enumerate(SWITCHES) if bits >> bit & 1))


def _record(raw: bytes, mapped: int) -> _Record:
    raw = raw.ljust(STEP_BYTES, b"\0")
    return _Record(
        operation=raw[0],
        slot=raw[1],
        x=int.from_bytes(raw[2:4], "little"),
        y=int.from_bytes(raw[4:6], "little"),
        detail=raw[6],
        which=raw[7],
        mapped=mapped,
    )
