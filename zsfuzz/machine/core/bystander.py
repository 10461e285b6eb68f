"""Bystanders: pages of somebody else, which the core and the scanners meet beside zsmalloc's.

In:    slot numbers, kinds and orders of a program.
Out:   pages with the words and bytes that such pages have; a Report when their bytes change.
Never: zsmalloc's pages.
Next:  what migration does to an LRU bystander: zsfuzz/machine/core/lru.py.

    lru         one anonymous page, mapped once, on the LRU: index = slot, its record is the page table entry
    unmovable   2**order frames of the kernel's, not compound: only the first has a reference
    compound    a real compound page that nobody can move: head and tails
    reserved    one page with PG_reserved

A single page (lru, reserved) has no order to give: an odd one puts it into the zone it would not be in
otherwise (lru: Normal, reserved: Movable). Orders wrap at the largest the buddy allocator has. Every frame
carries bytes made from the slot number, so that a lost or misplaced copy shows when the bystander is dropped.

Records lie in the arena; a slot number may be any, at most BYSTANDER_RECORDS of them live at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from zsfuzz.errors import HarnessError
from zsfuzz.machine.core.core import BYSTANDER_RECORDS, BYSTANDER_WORDS, Core
from zsfuzz.machine.core.page_alloc import free_pages, take_page_off_buddy
from zsfuzz.machine.layout import (
    GFP_HIGHMEM,
    GFP_KERNEL,
    GFP_MOVABLE,
    PAGE_MAPPING_ANON,
    PG_INDEX,
    PG_MAPCOUNT,
    PG_MAPPING,
    STRUCT_PAGE_SIZE,
    PG_hwpoison,
    PG_lru,
    PG_reserved,
    PG_swapbacked,
    PG_uptodate,
)
from zsfuzz.machine.report import Report
from zsfuzz.program.ops import BystanderKind

KINDS: Final = tuple(BystanderKind)

PTE_PRESENT: Final = 0
PTE_MIGRATION: Final = 1
PTE_HWPOISON: Final = 2

_SLOT, _PAGE, _KIND, _ORDER, _PTE = (number * 8 for number in range(BYSTANDER_WORDS))


class Record:
    """A view of one record in the arena: [slot + 1, page, kind, order, pte]."""

    __slots__ = ("_address", "_m")

    def __init__(self, core: Core, number: int) -> None:
        self._m = core.m
        self._address = core.bystanders + number * BYSTANDER_WORDS * 8

    @property
    def key(self) -> int:
        """Return slot + 1, 0 for an empty record."""
        return self._m.load(self._address + _SLOT)

    @property
    def page(self) -> int:
        """Return the first struct page; stale in a poisoned record."""
        return self._m.load(self._address + _PAGE)

    @property
    def kind(self) -> BystanderKind:
        """Return what sort of page it is."""
        return KINDS[self._m.load(self._address + _KIND)]

    @property
    def order(self) -> int:
        """Return the order of the block."""
        return self._m.load(self._address + _ORDER)

    @property
    def pte(self) -> int:
        """Return the state of the page table entry (lru only)."""
        return self._m.load(self._address + _PTE)

    def fill(self, slot: int, page: int, kind: BystanderKind, order: int) -> None:
        """Write a record."""
        for offset, value in (
            (_SLOT, slot + 1),
            (_PAGE, page),
            (_KIND, KINDS.index(kind)),
            (_ORDER, order),
            (_PTE, PTE_PRESENT),
        ):
            self._m.store(self._address + offset, value)

    def clear(self) -> None:
        """Empty a record."""
        self._m.store(self._address + _SLOT, 0)

    def set_page(self, page: int) -> None:
        """Let the entry name another page."""
        self._m.store(self._address + _PAGE, page)

    def set_pte(self, state: int) -> None:
        """Change the state of the entry."""
        self._m.store(self._address + _PTE, state)


def find_record(core: Core, key: int) -> Record | None:
    """Return the record with that key (slot + 1; 0 finds an empty one)."""
    load, step = core.m.load, BYSTANDER_WORDS * 8
    for number in range(BYSTANDER_RECORDS):
        if load(core.bystanders + number * step) == key:
            return Record(core, number)
    return None


def records(core: Core) -> Iterator[Record]:
    """Yield every record that is not empty."""
    load, step = core.m.load, BYSTANDER_WORDS * 8
    for number in range(BYSTANDER_RECORDS):
        if load(core.bystanders + number * step):
            yield Record(core, number)


def record_of_index(core: Core, index: int) -> Record | None:
    """Return the record that a page's index names, None for an index that is none of ours."""
    return find_record(core, index + 1)


def record_around(core: Core, page: int) -> Record | None:
    """Return the record whose block holds a struct page, poisoned records left out."""
    load, step = core.m.load, BYSTANDER_WORDS * 8
    for number in range(BYSTANDER_RECORDS):
        address = core.bystanders + number * step
        if not load(address + _SLOT):
            continue
        distance = page - load(address + _PAGE)
        if 0 <= distance < STRUCT_PAGE_SIZE << load(address + _ORDER) and load(address + _PTE) != PTE_HWPOISON:
            return Record(core, number)
    return None


def kind_of(core: Core, page: int) -> str:
    """Return the kind of the bystander that a page belongs to, "" for none."""
    record = record_around(core, page)
    return "" if record is None else record.kind.value


def is_movable(core: Core, page: int) -> bool:
    """Return whether a page belongs to a bystander that can be migrated.

    The truth, not a scanner's opinion.
    """
    record = record_around(core, page)
    return record is not None and record.kind is BystanderKind.LRU


def unmovable_pfns(core: Core) -> frozenset[int]:
    """Return the pfns of bystanders that nobody can migrate, poisoned ones left out."""
    found: list[int] = []
    for number in range(BYSTANDER_RECORDS):
        record = Record(core, number)
        if record.key and record.kind is not BystanderKind.LRU and record.pte != PTE_HWPOISON:
            first = core.buddy.page_to_pfn(record.page)
            found.extend(range(first, first + (1 << record.order)))
    return frozenset(found)


def is_migrating(core: Core, slot: int) -> bool:
    """Return whether a bystander's page table entry is a migration entry now."""
    record = find_record(core, slot + 1)
    return record is not None and record.pte == PTE_MIGRATION


# -- making and dropping


def add_bystander(core: Core, slot: int, kind: BystanderKind, order: int) -> int:
    """Allocate a bystander. Returns the pfn of its first page, -1 without memory or without a record.

    Errors: HarnessError for a slot that is taken.
    """
    if find_record(core, slot + 1) is not None:
        raise HarnessError(f"bystander slot {slot} is taken")
    record = find_record(core, 0)
    if record is None:
        return -1
    order = _order_of(core, kind, order)
    page = core.buddy.alloc_pages(_gfp(kind, order), _block_order(kind, order), compound=kind is BystanderKind.COMPOUND)
    if not page:
        return -1
    record.fill(slot, page, kind, _block_order(kind, order))
    _dress(core, page, kind, slot)
    _fill_frames(core, record)
    return core.buddy.page_to_pfn(page)


def _order_of(core: Core, kind: BystanderKind, order: int) -> int:
    order %= core.buddy.max_order
    return max(order, 1) if kind is BystanderKind.COMPOUND else order


def _block_order(kind: BystanderKind, order: int) -> int:
    return order if kind in (BystanderKind.UNMOVABLE, BystanderKind.COMPOUND) else 0


def _gfp(kind: BystanderKind, order: int) -> int:
    if kind is BystanderKind.LRU:
        return GFP_MOVABLE if order & 1 else GFP_MOVABLE | GFP_HIGHMEM
    if kind is BystanderKind.RESERVED and order & 1:
        return GFP_MOVABLE | GFP_HIGHMEM
    return GFP_KERNEL


def _dress(core: Core, page: int, kind: BystanderKind, slot: int) -> None:
    """Give the struct pages the words that such pages have."""
    m = core.m
    if kind is BystanderKind.LRU:
        m.store(page + PG_MAPPING, core.anon_vma | PAGE_MAPPING_ANON)
        m.store(page + PG_INDEX, slot)
        m.store32(page + PG_MAPCOUNT, 0)
        for bit in (PG_uptodate, PG_swapbacked, PG_lru):
            m.set_bit(bit, page)
    elif kind is BystanderKind.RESERVED:
        m.set_bit(PG_reserved, page)


def _pattern(core: Core, key: int, number: int) -> bytes:
    word = (key << 32 | number << 8 | 0xB5).to_bytes(8, "little")
    return word * (core.m.page_size // 8)


def _fill_frames(core: Core, record: Record) -> None:
    for number in range(1 << record.order):
        frame = core.m.kmap(record.page + number * STRUCT_PAGE_SIZE)
        core.m.memory.write_bytes(frame, _pattern(core, record.key, number))


def check_bystander(core: Core, record: Record) -> None:
    """Errors: Report when a frame does not hold what was written there."""
    for number in range(1 << record.order):
        page = record.page + number * STRUCT_PAGE_SIZE
        if core.m.memory.read_bytes(core.m.kmap(page), core.m.page_size) != _pattern(core, record.key, number):
            pfn = core.buddy.page_to_pfn(page)
            text = f"pfn {pfn} of a bystander ({record.kind.value}) does not hold its bytes"
            raise Report("contract", "bystander content", record.kind.value, text)


def drop_bystander(core: Core, slot: int) -> int:
    """Check a bystander's bytes and free it. Returns 1, or 0 when a memory error took it away already.

    Errors: Report for changed bytes; HarnessError for an empty slot. Strays: a poisoned frame of a larger
    block is taken off the buddy allocator at once. v5.10 lets it in, and drops the whole block around it when
    it is next allocated.
    """
    record = find_record(core, slot + 1)
    if record is None:
        raise HarnessError(f"bystander slot {slot} is empty")
    if record.pte == PTE_HWPOISON:
        record.clear()
        return 0
    check_bystander(core, record)
    page, kind, order = record.page, record.kind, record.order
    record.clear()
    _undress(core, page, kind)
    if kind is BystanderKind.UNMOVABLE:
        free_pages(core, page, order)
    else:
        core.d.put_page(page)
    if order:
        _withhold_poisoned(core, page, order)
    return 1


def _undress(core: Core, page: int, kind: BystanderKind) -> None:
    if kind is BystanderKind.LRU:
        core.m.atomic_add32(page + PG_MAPCOUNT, -1)  # page_remove_rmap()
    elif kind is BystanderKind.RESERVED:
        core.m.clear_bit(PG_reserved, page)


def _withhold_poisoned(core: Core, page: int, order: int) -> None:
    for number in range(1 << order):
        poisoned = page + number * STRUCT_PAGE_SIZE
        if core.m.load(poisoned) >> PG_hwpoison & 1:
            take_page_off_buddy(core, poisoned)
