"""The core patches: each one answers for a memdesc tail, and changes nothing for any other page."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from candidate.allocator import Candidate
from candidate.descriptor import CORE_PATCHES, MemdescRules
from tests.candidate.world import CLASS_2048, MOVABLE, World
from zsfuzz.machine.descriptor import PRIMITIVES, Descriptor
from zsfuzz.machine.geometry import geometry
from zsfuzz.machine.layout import (
    GFP_KERNEL,
    PAGE_MAPPING_MOVABLE,
    PG_MAPPING,
    PG_lru,
    PG_reserved,
)
from zsfuzz.machine.machine import Machine, MachineConfig
from zsfuzz.machine.report import Report

QUESTIONS = (
    "compound_head",
    "PageTail",
    "PageHead",
    "PageCompound",
    "PageTransCompound",
    "PageTransHuge",
    "PageHuge",
    "compound_order",
    "compound_nr",
    "thp_nr_pages",
    "PageLocked",
    "page_ref_count",
    "page_count",
    "mapping_word",
    "PageMappingFlags",
    "page_has_movable_mapping",
    "page_mapping",
    "PageIsolated",
    "PageLRU",
    "PageSlab",
    "PageAnon",
    "PageWriteback",
    "PageReserved",
    "PagePrivate",
    "PageOwnerPriv1",
    "PageHWPoison",
    "page_type",
    "PageBuddy",
    "PageOffline",
    "page_has_type",
    "page_mapped",
    "page_mapcount",
    "page_zone",
    "core_link",
    "soft_offline_unit",
)
"""Every primitive that only looks."""


def make_machine(rules: type[Descriptor] = MemdescRules, *switches: str) -> Machine:
    """A machine without an allocator."""
    return Machine(MachineConfig(geometry("small"), 64, 64, 1 << 18, switches), rules)


def plain(machine: Machine) -> int:
    """An order-0 page of the kernel."""
    return machine.buddy.alloc_page(GFP_KERNEL)


def lru(machine: Machine) -> int:
    """A page on the LRU."""
    page = machine.buddy.alloc_page(MOVABLE)
    machine.set_bit(PG_lru, page)
    return page


def reserved(machine: Machine) -> int:
    """A page that is nobody's to move."""
    page = machine.buddy.alloc_page(GFP_KERNEL)
    machine.set_bit(PG_reserved, page)
    return page


def movable(machine: Machine) -> int:
    """A movable page of another driver, a balloon's say, linked by its lru."""
    page = machine.buddy.alloc_page(MOVABLE)
    machine.store(page + PG_MAPPING, 0x1000 | PAGE_MAPPING_MOVABLE)
    return page


def head(machine: Machine) -> int:
    """The head of a compound page."""
    return machine.buddy.alloc_pages(GFP_KERNEL, 2, compound=True)


def tail(machine: Machine) -> int:
    """A real tail."""
    return head(machine) + 128


def free(machine: Machine) -> int:
    """The first page of a free block."""
    return machine.buddy.pfn_to_page(machine.buddy.free_blocks(0, machine.buddy.max_order - 1, 1)[0])


OTHERS = pytest.mark.parametrize("make", [plain, lru, reserved, movable, head, tail, free])


def answer(rules: Descriptor, primitive: str, page: int) -> object:
    """What a primitive says, a Report included."""
    try:
        return getattr(rules, primitive)(page)
    except Report as report:
        return report.rule


@OTHERS
@pytest.mark.parametrize("switches", [(), ("heap_above_memmap",)])
def test_no_answer_changes_for_a_page_that_is_no_memdesc_tail(
    make: Callable[[Machine], int], switches: tuple[str, ...]
) -> None:
    machine = make_machine(MemdescRules, *switches)
    page, unpatched = make(machine), Descriptor(machine)
    assert isinstance(machine.d, MemdescRules)
    assert machine.d.page_memdesc(page) == 0
    for primitive in QUESTIONS:
        assert answer(machine.d, primitive, page) == answer(unpatched, primitive, page), primitive


def get_and_put(machine: Machine, page: int) -> None:
    """A speculative reference, taken and dropped."""
    if machine.d.get_page_unless_zero(page):
        machine.d.put_page(page)


def lock_and_unlock(machine: Machine, page: int) -> None:
    """The page lock."""
    machine.d.unlock_page(page, machine.d.lock_page(page))


def drop(machine: Machine, page: int) -> None:
    """The last reference."""
    machine.d.put_page(page)


def link_and_unlink(machine: Machine, page: int) -> None:
    """The core's list, with its head in a frame."""
    list_head = machine.kmap(machine.buddy.alloc_page(GFP_KERNEL))
    machine.lists.INIT_LIST_HEAD(list_head)
    machine.lists.list_add(machine.d.core_link(page), list_head)
    machine.d.core_unlink(page)


def poison(machine: Machine, page: int) -> None:
    """The end of memory_failure()."""
    machine.d.keep_poisoned(page, machine.d.compound_head(page))


@pytest.mark.parametrize("act", [get_and_put, lock_and_unlock, drop, link_and_unlink, poison])
@pytest.mark.parametrize("make", [plain, lru, movable, head])
def test_no_act_changes_for_a_page_that_is_no_memdesc_tail(
    make: Callable[[Machine], int], act: Callable[[Machine, int], None]
) -> None:
    """The same calls under both rules leave the same memory, byte for byte."""
    machines = [make_machine(MemdescRules), make_machine(Descriptor)]
    for machine in machines:
        act(machine, make(machine))
    assert machines[0].memory.snapshot() == machines[1].memory.snapshot()


def test_a_real_tail_is_never_gotten() -> None:
    machine = make_machine()
    assert not machine.d.get_page_unless_zero(tail(machine))


# -- the table


def test_every_replaced_primitive_is_in_the_list_of_core_patches_once() -> None:
    replaced = {name for name in vars(MemdescRules) if name in PRIMITIVES}
    listed = [name for patch in CORE_PATCHES for name in patch.functions]
    assert len(listed) == len(set(listed))
    assert replaced == {name for name in listed if name in PRIMITIVES}


def test_a_listed_function_that_is_no_primitive_is_a_new_one() -> None:
    new = [name for patch in CORE_PATCHES for name in patch.functions if name not in PRIMITIVES]
    assert new == ["register_destructor", "memdesc_detach"]
    assert all(callable(getattr(MemdescRules, name)) for name in new)


def test_the_patches_are_numbered_and_say_why() -> None:
    assert [patch.id for patch in CORE_PATCHES] == [f"K{number}" for number in range(1, len(CORE_PATCHES) + 1)]
    assert all(patch.reason and patch.hazards for patch in CORE_PATCHES)


# -- each patch, on a memdesc tail


def one_page(*switches: str) -> tuple[World, MemdescRules, int, int]:
    """A world, its rules, a memdesc tail and its zspage."""
    world = World(Candidate, *switches)
    page = world.pages(world.malloc(CLASS_2048))[0]
    assert isinstance(world.d, MemdescRules)
    return world, world.d, page, world.d.compound_head(page)


@pytest.mark.parametrize("switches", [(), ("heap_above_memmap",)])
def test_a_memdesc_tail_is_told_from_a_real_one_on_both_sides_of_the_memmap(
    switches: tuple[str, ...],
) -> None:
    world, d, page, zspage = one_page(*switches)
    assert d.page_memdesc(page) == zspage and d.PageTail(page)
    real = world.machine.buddy.alloc_pages(GFP_KERNEL, 1, compound=True) + 64
    assert d.PageTail(real) and d.page_memdesc(real) == 0


def test_K1_a_memdesc_tail_is_no_compound_page() -> None:  # the patch is called K1
    _, d, page, _ = one_page()
    assert Descriptor.PageCompound(d, page)
    assert not d.PageCompound(page) and not d.PageTransCompound(page) and not d.PageHuge(page)
    assert not d.page_mapped(page) and d.page_mapcount(page) == 0
    assert d.compound_nr(page) == 1


def test_K2_asking_a_memdesc_tail_for_thp_is_answered() -> None:
    _, d, page, _ = one_page()
    assert not d.PageTransHuge(page) and d.thp_nr_pages(page) == 1
    with pytest.raises(Report, match="PageTransHuge"):
        Descriptor.PageTransHuge(d, page)


def test_K3_the_mapping_of_a_memdesc_tail_is_the_zspages() -> None:
    world, d, page, zspage = one_page()
    assert world.machine.load(page + PG_MAPPING) == 0
    assert d.mapping_word(page) == world.machine.load(zspage + PG_MAPPING)
    assert d.page_has_movable_mapping(page) and d.PageMappingFlags(page)


def test_K4_a_lock_is_released_where_it_was_taken() -> None:
    """The page is plain when it is locked and a tail when it is unlocked."""
    world, d, page, zspage = one_page()
    fresh = world.machine.buddy.alloc_page(MOVABLE)
    lock = d.lock_page(fresh)
    assert world.target.attach_page(zspage, fresh)
    d.unlock_page(fresh, lock)
    assert not world.machine.load(fresh) & 1 and not d.PageLocked(page)


def test_K5_a_speculative_reference_is_the_zspages() -> None:
    world, d, page, zspage = one_page()
    assert d.get_page_unless_zero(page)
    assert (world.count(zspage), world.count(page)) == (2, 1)
    d.put_page(page)
    assert (world.count(zspage), world.count(page)) == (1, 1)


def test_K5_a_frozen_zspage_is_not_gotten() -> None:
    _, d, page, zspage = one_page()
    assert d.page_ref_freeze(zspage, 1)
    assert not d.get_page_unless_zero(page)
    d.page_ref_unfreeze(zspage, 1)
    assert d.get_page_unless_zero(page)


@pytest.mark.parametrize("was_plain", [False, True])
def test_K5_a_head_that_changed_during_the_get_is_tried_again(was_plain: bool) -> None:
    """The head is another one after the count was raised: that reference is dropped, the right one taken."""
    world, d, page, zspage = one_page()
    if was_plain:
        page = world.machine.buddy.alloc_page(MOVABLE)
    other = world.target.zspage_of(world.malloc(100))

    class Meanwhile(MemdescRules):
        def head_is_still(self, page: int, memdesc: int) -> bool:
            world.machine.store(page + 8, other | 1)
            return super().head_is_still(page, memdesc)

    assert Meanwhile(world.machine).get_page_unless_zero(page)
    assert (world.count(zspage), world.count(other), world.count(page)) == (1, 2, 1)
    assert isinstance(d, MemdescRules)


def test_K6_the_last_put_calls_the_destructor() -> None:
    world, d, page, zspage = one_page()
    destroyed: list[int] = []
    d.register_destructor(destroyed.append)
    d.put_page(page)
    assert destroyed == [zspage]
    plain_page = world.machine.buddy.alloc_page(MOVABLE)
    d.put_page(plain_page)
    assert destroyed == [zspage]


def test_K7_a_memdesc_tail_is_linked_through_index_and_private() -> None:
    world, d, page, zspage = one_page()
    assert d.core_link(page) == page + 32
    assert d.core_page(d.core_link(page)) == page
    world.core.link(page, world.core.batch)
    assert d.compound_head(page) == zspage
    d.core_unlink(page)
    assert world.machine.load(page + 32) == world.machine.load(page + 40) == 0


def test_K7_a_page_that_was_detached_while_linked_is_unlinked_where_it_is_linked() -> None:
    world, d, page, _ = one_page()
    world.core.link(page, world.core.batch)
    lock = d.lock_page(page)
    d.memdesc_detach(page)
    d.unlock_page(page, lock)
    d.core_unlink(page)
    assert world.core.is_empty(world.core.batch)
    assert world.machine.load(page + 8) == world.machine.load(page + 40) == 0


def test_K8_a_poisoned_page_keeps_its_frame_only() -> None:
    world, d, page, zspage = one_page()
    assert d.get_page_unless_zero(zspage)
    d.keep_poisoned(page, zspage)
    assert (world.count(zspage), world.count(page)) == (1, 2)


def test_K9_soft_offline_takes_the_page_alone() -> None:
    world, d, page, _ = one_page()
    assert d.soft_offline_unit(page) == page
    compound = world.machine.buddy.alloc_pages(GFP_KERNEL, 1, compound=True)
    assert d.soft_offline_unit(compound + 64) == compound


def test_K10_a_detached_page_reads_as_a_released_movable_page() -> None:
    world, d, page, _ = one_page()
    lock = d.lock_page(page)
    d.memdesc_detach(page)
    assert not d.PageTail(page) and d.mapping_word(page) == PAGE_MAPPING_MOVABLE
    assert d.page_has_movable_mapping(page) and d.page_mapping(page) == 0
    d.unlock_page(page, lock)
    assert not world.machine.locks.held


@pytest.mark.parametrize("state", ["plain", "unlocked"])
def test_K10_refuses_a_page_it_cannot_be_asked_for(state: str) -> None:
    world, d, page, _ = one_page()
    if state == "plain":
        page = world.machine.buddy.alloc_page(MOVABLE)
    with pytest.raises(Report, match="memdesc_detach"):
        d.memdesc_detach(page)
