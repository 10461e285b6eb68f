"""Machine: work, shrinkers, address spaces, and the filter on a design's own stores."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zsfuzz.machine.layout import GFP_KERNEL, VMEMMAP_START
from zsfuzz.machine.machine import WORK_STRUCT_BYTES, AddressSpaceOperations, Kernel, Machine
from zsfuzz.machine.report import Report


def test_a_queued_item_runs_once_and_may_queue_itself_again(machine: Machine) -> None:
    ran: list[int] = []

    def function(work: int) -> None:
        ran.append(work)
        if len(ran) == 1:
            machine.schedule_work(work)

    number = machine.register_work_function(function)
    work = machine.slab.kzalloc(WORK_STRUCT_BYTES)
    machine.INIT_WORK(work, number)
    assert machine.schedule_work(work) and not machine.schedule_work(work)
    assert machine.run_work() == 1 and machine.has_pending_work
    assert machine.flush_work(work) and not machine.flush_work(work)
    assert ran == [work, work]


def test_waiting_for_what_nobody_can_change_is_a_deadlock(machine: Machine) -> None:
    machine.wait_event(0, lambda: True, "nothing")
    with pytest.raises(Report, match="waits for ever for the drain"):
        machine.wait_event(0, lambda: False, "the drain")


def test_an_address_space_knows_its_operations_and_a_stray_word_names_none(machine: Machine) -> None:
    operations = AddressSpaceOperations(lambda page, mode: True, lambda *_: 0, lambda page: None)
    number = machine.register_address_space_operations(operations)
    mapping = machine.alloc_address_space(0x1234, number)
    assert machine.mapping_operations(mapping) is operations and machine.mapping_private_data(mapping) == 0x1234
    machine.store(mapping + 8, 99)
    with pytest.raises(Report, match="no table"):
        machine.mapping_operations(mapping)
    machine.iput(mapping)
    with pytest.raises(Report, match="use-after-free"):
        machine.mapping_private_data(mapping)


def test_shrinkers_are_registered_and_unregistered(machine: Machine) -> None:
    machine.register_shrinker(0x10)
    machine.register_shrinker(0x20)
    machine.unregister_shrinker(0x10)
    assert machine.registered_shrinkers() == [0x20]
    with pytest.raises(Report, match="unregister_shrinker"):
        machine.unregister_shrinker(0x10)


def test_a_design_that_may_only_write_compound_head_is_held_to_it(machine: Machine) -> None:
    kernel = Kernel(machine, frozenset({8}))
    page = machine.buddy.alloc_page(GFP_KERNEL)
    kernel.store(page + 8, 1)
    attempts: list[Callable[[], object]] = [
        lambda: kernel.store(page + 24, 1),
        lambda: kernel.store32(page + 48, 1),
        lambda: kernel.set_bit(3, page),
        lambda: kernel.clear_bit(3, page),
        lambda: kernel.atomic_add32(page + 52, 1),
        lambda: kernel.INIT_LIST_HEAD(page + 16),
        lambda: kernel.store_release(page + 40, 1),
        lambda: kernel.write_once(VMEMMAP_START, 1),
    ]
    for attempt in attempts:
        with pytest.raises(Report) as caught:
            attempt()
        assert caught.value.rule == "store to a foreign struct page word"
    Kernel(machine, None).store(page + 24, 0)
