"""Every sanitizer-like check of the memory fires on a planted access."""

from __future__ import annotations

import pytest

from tests.machine.conftest import make_machine
from zsfuzz.machine.layout import GFP_KERNEL, PAGE_OFFSET, STRUCT_PAGE_SIZE, VMEMMAP_START
from zsfuzz.machine.machine import Machine
from zsfuzz.machine.report import Report


def rule_of(action: object, *arguments: int) -> str:
    with pytest.raises(Report) as caught:
        action(*arguments)  # type: ignore[operator]
    return caught.value.rule


@pytest.mark.parametrize("switches", [(), ("heap_above_memmap",)])
def test_an_object_can_be_read_up_to_its_red_zones(switches: tuple[str, ...]) -> None:
    """[ link | state | object | red zone ]: one word before and one after are out of bounds."""
    machine = make_machine(*switches)
    cache = machine.slab.kmem_cache_create("thing", 24)
    thing = machine.slab.kmem_cache_alloc(cache)
    for offset in (0, 8, 16):
        machine.store(thing + offset, offset)
        assert machine.load(thing + offset) == offset
    assert rule_of(machine.load, thing - 8) == "out-of-bounds slab"
    assert rule_of(machine.load, thing + 24) == "out-of-bounds slab"
    assert rule_of(machine.store, thing + 24, 1) == "out-of-bounds slab"
    assert rule_of(machine.load32, thing + 24) == "out-of-bounds slab"


@pytest.mark.parametrize("switches", [(), ("heap_above_memmap",)])
def test_a_freed_object_is_poison_for_every_accessor(switches: tuple[str, ...]) -> None:
    machine = make_machine(*switches)
    cache = machine.slab.kmem_cache_create("thing", 24)
    thing = machine.slab.kmem_cache_alloc(cache)
    machine.store(thing, 1)
    machine.slab.kmem_cache_free(cache, thing)
    for access in (machine.load, machine.load32, machine.load8):
        assert rule_of(access, thing) == "use-after-free slab"
    for store in (machine.store, machine.store32, machine.atomic_add, machine.atomic_add32):
        assert rule_of(store, thing, 1) == "use-after-free slab"
    assert rule_of(machine.memory.read_bytes, thing, 8) == "use-after-free slab"
    assert rule_of(machine.set_bit, 3, thing) == "use-after-free slab"


def test_reading_a_word_that_nobody_wrote_is_reported(machine: Machine) -> None:
    thing = machine.slab.kmalloc(64)
    assert rule_of(machine.load, thing) == "uninitialised read"
    assert rule_of(machine.load32, thing + 4) == "uninitialised read"
    machine.store(thing, 7)
    assert machine.load(thing) == 7


def test_copying_bytes_copies_whether_they_were_written(machine: Machine) -> None:
    one, other = machine.slab.kmalloc(64), machine.slab.kmalloc(64)
    machine.store(one, 7)
    machine.memory.memcpy(other, one, 16)
    assert machine.load(other) == 7
    assert rule_of(machine.load, other + 8) == "uninitialised read"


def test_a_freed_frame_is_poison(machine: Machine) -> None:
    page = machine.buddy.alloc_page(GFP_KERNEL)
    frame = machine.kmap(page)
    machine.store(frame, 5)
    machine.d.put_page(page)
    assert rule_of(machine.load, frame) == "use-after-free page"
    assert rule_of(machine.memory.write_bytes, frame, b"12345678") == "use-after-free page"  # type: ignore[arg-type]


@pytest.mark.parametrize("switches", [(), ("heap_above_memmap",)])
@pytest.mark.parametrize(
    "address",
    [
        0,
        8,
        PAGE_OFFSET - 8,
        VMEMMAP_START - 8,
        VMEMMAP_START + 128 * STRUCT_PAGE_SIZE,
        0xDEAD000000000100,
        (1 << 64) - 8,
    ],
)
def test_an_address_that_is_nothing_is_a_wild_access(address: int, switches: tuple[str, ...]) -> None:
    machine = make_machine(*switches)
    for access in (machine.load, machine.load32, machine.load8):
        assert rule_of(access, address) == "wild access"
    assert rule_of(machine.store, address, 1) == "wild access"
    assert rule_of(machine.memory.read_bytes, address, 8) == "wild access"


def test_halves_and_bytes_are_parts_of_the_word(machine: Machine) -> None:
    thing = machine.slab.kmalloc(64)
    machine.store(thing, 0x1122334455667788)
    assert (machine.load32(thing), machine.load32(thing + 4)) == (0x55667788, 0x11223344)
    assert [machine.load8(thing + number) for number in range(8)] == [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]
    machine.store32(thing + 4, 9)
    assert machine.load(thing) == 9 << 32 | 0x55667788


def test_a_snapshot_brings_back_memory_and_what_may_be_touched(machine: Machine) -> None:
    cache = machine.slab.kmem_cache_create("thing", 24)
    before = machine.snapshot()
    thing = machine.slab.kmem_cache_alloc(cache)
    page = machine.buddy.alloc_page(GFP_KERNEL)
    machine.store(machine.kmap(page), 1)
    machine.restore(before)
    assert machine.snapshot() == before
    assert rule_of(machine.load, machine.kmap(page)) == "use-after-free page"
    assert machine.slab.kmem_cache_alloc(cache) == thing
    assert machine.buddy.alloc_page(GFP_KERNEL) == page


def test_a_snapshot_under_a_lock_is_refused(machine: Machine) -> None:
    lock = machine.slab.kzalloc(64)
    machine.locks.spin_lock(lock, "a")
    assert rule_of(machine.snapshot) == "snapshot while busy"
