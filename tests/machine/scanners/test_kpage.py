"""kpageflags and kpagecount: every bit, for pages of every sort."""

from __future__ import annotations

import pytest

from tests.machine.core.support import World
from zsfuzz.machine.core.bystander import add_bystander
from zsfuzz.machine.layout import PG_MAPPING, STRUCT_PAGE_SIZE, PG_owner_priv_1, PG_slab, PG_swapbacked
from zsfuzz.machine.report import Report
from zsfuzz.machine.scanners import kpage
from zsfuzz.machine.scanners.debug import lookup_page_ext
from zsfuzz.machine.scanners.kpage import kpagecount, kpageflags, stable_page_flags
from zsfuzz.program.ops import BystanderKind


def names(value: int) -> set[str]:
    """Return the KPF_ names of a value's bits."""
    known = {number: name[4:] for name, number in vars(kpage).items() if name.startswith("KPF_")}
    return {known[bit] for bit in range(64) if value >> bit & 1}


def test_no_two_flags_share_a_number() -> None:
    numbers = [number for name, number in vars(kpage).items() if name.startswith("KPF_")]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(("shown", "bit"), kpage._COPIED)
def test_each_copied_flag_is_shown(shown: int, bit: int, world: World) -> None:
    page = world.kernel_page_at(20)
    world.m.set_bit(bit, page)
    assert kpageflags(world.m, 20) >> shown & 1


def test_pages_of_every_sort(world: World) -> None:
    kernel = world.kernel_page_at(20)
    assert names(kpageflags(world.m, 20)) == set()
    assert names(kpageflags(world.m, 21)) == {"BUDDY"}
    lru = add_bystander(world.core, 0, BystanderKind.LRU, 0)
    assert names(kpageflags(world.m, lru)) == {"LRU", "ANON", "MMAP", "UPTODATE", "SWAPBACKED"}
    assert kpagecount(world.m, lru) == 1
    reserved = add_bystander(world.core, 1, BystanderKind.RESERVED, 0)
    assert names(kpageflags(world.m, reserved)) == {"RESERVED"}
    compound = add_bystander(world.core, 2, BystanderKind.COMPOUND, 2)
    assert names(kpageflags(world.m, compound)) == {"COMPOUND_HEAD"}
    assert names(kpageflags(world.m, compound + 3)) == {"COMPOUND_TAIL"}
    assert names(stable_page_flags(world.m, 0)) == {"NOPAGE"}
    assert kpagecount(world.m, 20) == 0 == kpagecount(world.m, 4000)
    assert kernel


def test_flags_that_are_made_of_others(world: World) -> None:
    page = world.kernel_page_at(20)
    for bit in (PG_swapbacked, PG_owner_priv_1):
        world.m.set_bit(bit, page)
    assert "SWAPCACHE" in names(kpageflags(world.m, 20))
    world.m.store(page + PG_MAPPING, world.core.anon_vma | 3)
    assert {"KSM", "ANON"} <= names(kpageflags(world.m, 20))
    world.m.store32(page + 48, 0xFFFFFFFF & ~0x400)
    assert "PGTABLE" in names(kpageflags(world.m, 20))
    assert kpagecount(world.m, 20) == 0
    world.m.store32(page + 48, 0xFFFFFFFF & ~0x100)
    assert "OFFLINE" in names(kpageflags(world.m, 20))


def test_the_tail_of_a_slab_page_is_slab_too(world: World) -> None:
    head = world.take_block(16, 2, compound=True)
    world.m.set_bit(PG_slab, head)
    assert names(kpageflags(world.m, 18)) == {"COMPOUND_TAIL", "SLAB"}
    assert kpagecount(world.m, 18) == 0


def test_a_huge_anonymous_page_is_thp(world: World) -> None:
    head = world.take_block(16, 2, compound=True)
    world.m.store(head + PG_MAPPING, world.core.anon_vma | 1)
    assert names(kpageflags(world.m, 17)) == {"COMPOUND_TAIL", "THP", "ANON"}
    world.m.store32(head + STRUCT_PAGE_SIZE + 20, 0)
    assert "MMAP" in names(kpageflags(world.m, 17))
    assert kpagecount(world.m, 17) == 1


def test_units_over_the_mapcount_count_as_mappings(world: World) -> None:
    """The legacy design keeps the first-object offset there: offset + 1 and MMAP."""
    page = world.kernel_page_at(20)
    world.m.store32(page + 48, 123)
    assert kpagecount(world.m, 20) == 124
    assert names(kpageflags(world.m, 20)) == {"MMAP"}


def test_page_ext_of_a_head_outside_the_memmap_is_wild(world: World) -> None:
    _, head = world.memdesc_tail_at(20)
    assert lookup_page_ext(world.core, world.page(20))
    with pytest.raises(Report, match="outside every section"):
        lookup_page_ext(world.core, head)
