"""Limits: what a well-formed program is, and how large it may be.

In:    a Program, or one step after the other while a file is read.
Out:   nothing, or one reason why not: Malformed from the parts, UsageError from check_program().
Never: state. Whether a handle is live or a frame exists is the executor's business, which counts no-ops.
Next:  the readers zsfuzz/program/text.py and zsfuzz/program/packed.py, which check every step as it is read,
       so that a hostile file costs at most what the caps below allow.

    file <= 64 MiB
    +-- header: names <= 200 characters, verdict <= 1000
    +-- steps <= 2**20
        +-- arguments: numbers with a highest value each, words of a closed list
        +-- page names <= 512 in one migrate, <= 2**19 in the file
    +-- block: lanes 2..4, operations <= 64 in a lane, page names <= 512, switches <= 8192
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from enum import Enum
from itertools import pairwise
from typing import Any, Generic, TypeVar

from zsfuzz.errors import UsageError
from zsfuzz.program import ops
from zsfuzz.program.block import HOLDS, MAX_LANES, MIN_LANES, Block, Chance, Place, Switch
from zsfuzz.program.program import SWITCHES, Header, Program

MAX_FILE_BYTES = 64 << 20  # every well-formed program fits, in both forms (a test adds it up)
MAX_STEPS = 1 << 20  # a real capture has 170,000
MAX_MIGRATE_PAGES = 512  # NR_MAX_BATCHED_MIGRATION of mm/migrate.c, v6.3, on x86-64
MAX_PAGE_NAMES = 1 << 19
MAX_SLOT = (1 << 20) - 1
MAX_COMPONENT = (1 << 20) - 1  # taken modulo the pages of the zspage
MAX_POOL = 3
MAX_SIZE = (1 << 64) - 1  # size_t: what zs_malloc() has to refuse is part of the test
MAX_OFFSET = (1 << 32) - 1  # clipped to the object
MAX_PATTERN = 255
MAX_PFN = 1 << 20  # clipped to the memory; itself allowed as the end of a range
MAX_BYSTANDER_ORDER = 10  # MAX_ORDER - 1 of include/linux/mmzone.h, v5.10
MAX_ORDINAL = (1 << 20) - 1
MAX_ZONE_PAGES = 1 << 16  # frames; a real capture needs a third of it
MAX_FAULTS = 64
MAX_NAME_CHARS = 200
MAX_VERDICT_CHARS = 1000
MAX_LANE_OPERATIONS = 64
MAX_BLOCK_OPERATIONS = 128  # how many histories they may have is what bounds the judgement of a block, not this
MAX_BLOCK_PAGE_NAMES = 512  # a block is one part of a packed file, and fits
MAX_SWITCHES = 8192
MAX_POINT = (1 << 20) - 1
MAX_SEED = (1 << 64) - 1
MAX_LANE_LENGTH = (1 << 32) - 1
_SHOWN_CHARS = 40
_POLICY = re.compile(r"[a-z][a-z0-9-]{0,39}")

Member = TypeVar("Member", bound=Enum)


class Malformed(Exception):
    """One reason, in one line, without its place: the reader knows the place."""


def shown(value: object) -> str:
    """Return `value` for a message: short, printable ASCII, whatever it is."""
    if isinstance(value, str):
        return ascii(value) if len(value) <= _SHOWN_CHARS else ascii(value[:_SHOWN_CHARS]) + "..."
    if value is None or isinstance(value, bool | float):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else f"a number of {value.bit_length()} bits"
    return f"a value of type {type(value).__name__}"


@dataclass(frozen=True, slots=True)
class Number:
    """An argument that is a whole number, 0..highest."""

    noun: str
    highest: int

    def refusal(self, value: object) -> str | None:
        """Return why `value` is none, or None. A bool is no number, nor is a float without a fraction."""
        if type(value) is int and 0 <= value <= self.highest:
            return None
        return f"{self.noun} must be a whole number from 0 to {self.highest}, not {shown(value)}"


@dataclass(frozen=True, slots=True)
class Choice(Generic[Member]):
    """An argument that is a member of one enumeration of zsfuzz/program/ops.py."""

    noun: str
    enum: type[Member]

    def refusal(self, value: object) -> str | None:
        """Return why `value` is no member, or None."""
        return None if type(value) is self.enum else self.not_one(value)

    def not_one(self, value: object) -> str:
        """Return the reason for refusing `value`, with the words that would do."""
        return f"{self.noun} must be one of {', '.join(m.value for m in self.enum)}, not {shown(value)}"


@dataclass(frozen=True, slots=True)
class OnePage:
    """An argument that is a PageName."""

    noun: str = "a page"

    def refusal(self, value: object) -> str | None:
        """Return why `value` names no page, or None."""
        match value:
            case ops.Component(slot, index):
                return HANDLE.refusal(slot) or COMPONENT.refusal(index)
            case ops.IsolatedPage(page_slot):
                return PAGE_SLOT.refusal(page_slot)
            case ops.Pfn(pfn):
                return PFN.refusal(pfn)
        return f"{self.noun} must be a component, a page slot or a pfn, not {shown(value)}"


@dataclass(frozen=True, slots=True)
class PageList:
    """An argument that is a tuple of at most MAX_MIGRATE_PAGES page names; it may be empty."""

    noun: str = "a list of pages"

    def refusal(self, value: object) -> str | None:
        """Return why `value` is no such list, or None."""
        if type(value) is not tuple:
            return f"{self.noun} must be a tuple, not {shown(value)}"
        if len(value) > MAX_MIGRATE_PAGES:
            return f"{self.noun} has {len(value)} entries; at most {MAX_MIGRATE_PAGES} are allowed"
        return next((reason for reason in map(PAGE.refusal, value) if reason), None)


Kind = Number | Choice[Any] | OnePage | PageList

HANDLE = Number("a handle slot", MAX_SLOT)
PAGE_SLOT = Number("a page slot", MAX_SLOT)
REF_SLOT = Number("a reference slot", MAX_SLOT)
BYSTANDER_SLOT = Number("a bystander slot", MAX_SLOT)
POOL = Number("a pool", MAX_POOL)
COMPONENT = Number("a component index", MAX_COMPONENT)
SIZE = Number("a size", MAX_SIZE)
OFFSET = Number("an offset", MAX_OFFSET)
LENGTH = Number("a length", MAX_OFFSET)
PATTERN = Number("a pattern", MAX_PATTERN)
PFN = Number("a pfn", MAX_PFN)
ORDER = Number("an order", MAX_BYSTANDER_ORDER)
ORDINAL = Number("an ordinal", MAX_ORDINAL)
ZONE_PAGES = Number("the memory of a zone", MAX_ZONE_PAGES)
LANE = Number("a lane", MAX_LANES - 1)
LANE_OPERATION = Number("the operation of a switch", MAX_LANE_OPERATIONS)
POINT = Number("a point", MAX_POINT)
SEED = Number("the seed of a policy", MAX_SEED)
SIDE = Number("the side that a policy drives", 1)
LANE_LENGTH = Number("the length of a lane", MAX_LANE_LENGTH)
HELD = Number("what a switch holds back", len(HOLDS) - 1)
GFP = Choice("gfp", ops.Gfp)
MAP_MODE = Choice("a map mode", ops.MapMode)
MIGRATE_MODE = Choice("a migrate mode", ops.MigrateMode)
POISON = Choice("a poison kind", ops.PoisonKind)
SHRINK = Choice("a shrinker callback", ops.ShrinkKind)
SCANNER = Choice("a scanner", ops.Scanner)
BYSTANDER = Choice("a bystander kind", ops.BystanderKind)
FAIL_OPERATION = Choice("the operation that fails", ops.FailOperation)
FAIL_WHAT = Choice("what cannot be allocated", ops.FailWhat)
PAGE = OnePage()
PAGES = PageList()

_KINDS: dict[type[ops.Operation], tuple[Kind, ...]] = {
    ops.Malloc: (HANDLE, SIZE, GFP, POOL),
    ops.Free: (HANDLE,),
    ops.Map: (HANDLE, MAP_MODE),
    ops.Unmap: (HANDLE,),
    ops.Write: (HANDLE, OFFSET, LENGTH, PATTERN),
    ops.Read: (HANDLE, OFFSET, LENGTH),
    ops.Compact: (POOL,),
    ops.Shrink: (SHRINK, POOL),
    ops.Isolate: (PAGE_SLOT, PAGE),
    ops.Migrate: (PAGES, MIGRATE_MODE),
    ops.Putback: (PAGE_SLOT,),
    ops.RunWork: (),
    ops.CompactZone: (PFN, PFN, MIGRATE_MODE),
    ops.Offline: (PFN, PFN),
    ops.Online: (PFN, PFN),
    ops.Contig: (PFN, PFN),
    ops.Poison: (PAGE, POISON),
    ops.Scan: (SCANNER, PFN, PFN),
    ops.SpeculativeGet: (REF_SLOT, PAGE),
    ops.SpeculativePut: (REF_SLOT,),
    ops.Bystander: (BYSTANDER_SLOT, BYSTANDER, ORDER),
    ops.DropBystander: (BYSTANDER_SLOT,),
    ops.Fail: (FAIL_OPERATION, FAIL_WHAT, ORDINAL),
    ops.Stats: (POOL,),
    ops.HugeClassSize: (POOL,),
    ops.CreatePool: (POOL,),
    ops.DestroyPool: (POOL,),
    ops.Trim: (),
}


def _named(operation: type[ops.Operation]) -> tuple[tuple[str, Kind], ...]:
    names = (field.name for field in fields(operation))
    return tuple(zip(names, _KINDS[operation], strict=True))


FIELDS: dict[type[ops.Operation], tuple[tuple[str, Kind], ...]] = {o: _named(o) for o in ops.OPERATIONS}
"""Name and kind of every argument, in field order. An operation left out, or a field, fails at import."""


_RANGED = (ops.CompactZone, ops.Offline, ops.Online, ops.Contig, ops.Scan)


class StepChecker:
    """Counts and checks the steps of one program in the order in which they come."""

    __slots__ = ("_page_names", "_steps")

    def __init__(self) -> None:
        self._steps = 0
        self._page_names = 0

    def add(self, step: ops.Operation) -> None:
        """Check one step more.

        Errors: Malformed when it is no operation, an argument is outside its kind, a range ends before it
        starts, or the program becomes too large.
        """
        named = FIELDS.get(type(step))
        if named is None:
            raise Malformed(f"{shown(step)} is no operation; take one of zsfuzz.program.ops")
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise Malformed(f"the program has more than {MAX_STEPS} steps; split it")
        for name, kind in named:
            reason = kind.refusal(getattr(step, name))
            if reason is not None:
                raise Malformed(reason)
        if isinstance(step, _RANGED):
            self._check_range(step.start, step.end)
        elif isinstance(step, ops.Migrate):
            self._count_page_names(len(step.pages))

    @staticmethod
    def _check_range(start: int, end: int) -> None:
        if start > end:
            raise Malformed(f"the range {start}..{end} ends before it starts; swap the two")

    def _count_page_names(self, more: int) -> None:
        self._page_names += more
        if self._page_names > MAX_PAGE_NAMES:
            raise Malformed(f"the program migrates more than {MAX_PAGE_NAMES} pages by name; split it")


class BlockChecker:
    """Counts and checks the parts of one block in the order in which they come: lanes, then switches."""

    __slots__ = ("_counts", "_page_names", "_places", "_steps")

    def __init__(self, steps: StepChecker) -> None:
        """steps: the program's own checker, which counts the operations of the block as well."""
        self._steps = steps
        self._counts: list[int] = []
        self._page_names = 0
        self._places: set[Place] = set()

    def lane(self) -> None:
        """Begin one lane more. Errors: Malformed for one too many."""
        if len(self._counts) == MAX_LANES:
            raise Malformed(f"the block has more than {MAX_LANES} lanes; drop one")
        self._counts.append(0)

    def add(self, operation: ops.Operation) -> None:
        """Check one operation more of the last lane. Errors: Malformed as of StepChecker, or for one too many."""
        self._steps.add(operation)
        self._counts[-1] += 1
        if self._counts[-1] > MAX_LANE_OPERATIONS:
            raise Malformed(f"the lane has more than {MAX_LANE_OPERATIONS} operations; drop some")
        if sum(self._counts) > MAX_BLOCK_OPERATIONS:
            raise Malformed(f"the block has more than {MAX_BLOCK_OPERATIONS} operations; drop some")
        if isinstance(operation, ops.Migrate):
            self._page_names += len(operation.pages)
            if self._page_names > MAX_BLOCK_PAGE_NAMES:
                raise Malformed(f"the block migrates more than {MAX_BLOCK_PAGE_NAMES} pages by name; drop some")

    def switch(self, switch: Switch) -> None:
        """Check one switch more. Errors: Malformed when it cannot be, or a second one is at its place."""
        for kind, value in (
            (LANE, switch.lane),
            (LANE_OPERATION, switch.operation),
            (POINT, switch.point),
            (LANE, switch.to),
            (HELD, switch.held),
        ):
            reason = kind.refusal(value)
            if reason is not None:
                raise Malformed(reason)
        self._check_place(switch)
        if len(self._places) == MAX_SWITCHES:
            raise Malformed(f"the schedule has more than {MAX_SWITCHES} switches; drop some")
        self._places.add(switch.place)

    def _check_place(self, switch: Switch) -> None:
        lanes = len(self._counts)
        for lane in (switch.lane, switch.to):
            if lane >= lanes:
                raise Malformed(f"a switch names lane {lane}, but the block has {lanes}, counted from 0")
        if switch.lane == switch.to:
            raise Malformed(f"lane {switch.lane} cannot switch to itself; drop the switch")
        count = self._counts[switch.lane]
        if switch.operation > count or (switch.operation == count and switch.point):
            place = f"point {switch.point} of operation {switch.operation}"
            raise Malformed(f"{place} lies behind the end of lane {switch.lane}, which has {count} operations")
        if switch.place in self._places:
            raise Malformed(f"two switches are at point {switch.point} of operation {switch.operation}; drop one")

    def chance(self, chance: Chance) -> None:
        """Check a schedule that is still to be made. Errors: Malformed. Whether the policy exists is not asked here."""
        if type(chance.policy) is not str or not _POLICY.fullmatch(chance.policy):
            raise Malformed(f"a policy is a word of small letters, digits and dashes, not {shown(chance.policy)}")
        if type(chance.lengths) is not tuple or len(chance.lengths) not in (0, len(self._counts)):
            raise Malformed(f"a chance has the length of each of the {len(self._counts)} lanes, or of none")
        checked = [(SEED, chance.seed), (SIDE, chance.leader), *((LANE_LENGTH, each) for each in chance.lengths)]
        for kind, value in checked:
            reason = kind.refusal(value)
            if reason is not None:
                raise Malformed(reason)

    def end(self, schedule: Iterable[Switch]) -> None:
        """Check what is known only at the end. Errors: Malformed for too few lanes, or switches out of order."""
        if len(self._counts) < MIN_LANES:
            raise Malformed(f"a block has {MIN_LANES} to {MAX_LANES} lanes, not {len(self._counts)}")
        if any(one > other for one, other in pairwise(schedule)):
            raise Malformed("the schedule is not in the order of lane, operation and point; sort it")


def _check_text(noun: str, value: object, longest: int, spaces: bool) -> None:
    """Refuse what a line of text could not carry: the two forms hold the same programs."""
    if type(value) is not str:
        raise Malformed(f"{noun} must be text, not {shown(value)}")
    if not value or len(value) > longest:
        raise Malformed(f"{noun} must have 1 to {longest} characters, not {len(value)}")
    if not value.isprintable() or value != value.strip() or (" " in value and not spaces):
        raise Malformed(f"{noun} must be printable{'' if spaces else ' and free of spaces'}, not {shown(value)}")


def _check_names(noun: str, values: object, most: int) -> None:
    if type(values) is not tuple:
        raise Malformed(f"every {noun} must be an entry of one list, not {shown(values)}")
    if len(values) > most:
        raise Malformed(f"the header names {len(values)} times a {noun}; at most {most} are allowed")
    for value in values:
        _check_text(f"a {noun}", value, MAX_NAME_CHARS, spaces=False)
        if values.count(value) > 1:
            raise Malformed(f"the {noun} {shown(value)} is there twice; drop one")


def check_header(header: Header, switches: Collection[str] = SWITCHES) -> None:
    """Check the header by itself.

    switches: the names that this zsfuzz knows.
    Errors: Malformed. Whether a geometry, a target or a fault exists is checked where it is looked up.
    """
    _check_text("the geometry", header.geometry, MAX_NAME_CHARS, spaces=False)
    for pages in (header.normal_pages, header.movable_pages):
        reason = ZONE_PAGES.refusal(pages)
        if reason is not None:
            raise Malformed(reason)
    _check_names("switch", header.switches, len(switches))
    for switch in header.switches:
        if switch not in switches:
            raise Malformed(f"{shown(switch)} is no switch; the switches are {', '.join(switches)}")
    for noun, target in (("the reference", header.reference), ("the candidate", header.candidate)):
        if target is not None:
            _check_text(noun, target, MAX_NAME_CHARS, spaces=False)
    _check_names("fault", header.faults, MAX_FAULTS)
    if header.verdict is not None:
        _check_text("the verdict", header.verdict, MAX_VERDICT_CHARS, spaces=True)


def check_program(program: Program, where: str = "<program>") -> None:
    """Check a whole program, as the readers do step by step.

    where: what the message begins with. Steps are numbered from 0, as findings number them.
    Errors: UsageError, one line.
    """
    try:
        check_header(program.header)
    except Malformed as reason:
        raise UsageError(f"{where}: header: {reason}") from None
    checker = StepChecker()
    for index, step in enumerate(program.steps):
        try:
            checker.add(step)
        except Malformed as reason:
            raise UsageError(f"{where}: step {index}: {reason}") from None
    if program.block is not None:
        try:
            _check_block(program.block, BlockChecker(checker))
        except Malformed as reason:
            raise UsageError(f"{where}: block: {reason}") from None


def _check_block(block: object, checker: BlockChecker) -> None:
    if type(block) is not Block or type(block.lanes) is not tuple or type(block.schedule) is not tuple:
        raise Malformed("a block is a tuple of lanes and a tuple of switches")
    for lane in block.lanes:
        if type(lane) is not tuple:
            raise Malformed(f"a lane is a tuple of operations, not {shown(lane)}")
        checker.lane()
        for operation in lane:
            checker.add(operation)
    for switch in block.schedule:
        if type(switch) is not Switch:
            raise Malformed(f"a schedule is a tuple of switches, with {shown(switch)} it is not")
        checker.switch(switch)
    checker.end(block.schedule)
    if block.chance is not None:
        if type(block.chance) is not Chance:
            raise Malformed(f"a block has a chance or none, not {shown(block.chance)}")
        checker.chance(block.chance)
