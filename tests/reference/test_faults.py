"""Every planted bug of reference/faults.py shows, and without it the same steps are clean.

In:    reference/faults.py; a scenario for each fault, with the way it shows.
Out:   nothing.
Never: the fuzzer: here a fault is known and its trigger is written down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from reference import FAULTS
from reference.zsmalloc import Zsmalloc
from tests.reference.world import MOVABLE, UNMOVABLE, World
from zsfuzz.machine.layout import NR_ZSPAGES
from zsfuzz.machine.report import Report
from zsfuzz.target.fault import Fault, plant

Scenario = Callable[[World], None]


def two_sparse_zspages(world: World, size: int = 3256) -> list[int]:
    """[...xx] twice: what compaction joins."""
    row = world.table.class_for(size + 8)
    handles = world.fill_zspage(row) + world.fill_zspage(row)
    for handle in handles[:3] + handles[5:8]:
        world.free(handle)
    return handles[3:5] + handles[8:]


def neighbours_of_the_last_shared_class(world: World) -> None:
    """A01: 3257..3264 bytes."""
    world.malloc(4096)
    world.malloc(3260)
    world.malloc(3260)
    world.check()


def a_huge_page_migrates(world: World) -> None:
    """A03, and a huge page's handle."""
    for size in (3256, 4096):
        handle = world.malloc(size)
        world.move(world.pages(handle)[0])
        world.check()


def a_zspage_empties_while_isolated(world: World) -> None:
    """A04: malloc, isolate, free, migrate, work."""
    handle = world.malloc(3256)
    page = world.pages(handle)[0]
    world.isolate(page)
    world.free(handle)
    world.migrate(page)
    world.finish()


def pages_that_nobody_can_move(world: World) -> None:
    """A16, without compaction."""
    world.malloc(3256)
    assert world.zone_state(NR_ZSPAGES)[1] == 0


def a_zspage_fills(world: World) -> None:
    """Group by group."""
    for _ in range(5):
        world.malloc(3256)
        world.check()


def a_page_migrates(world: World) -> None:
    """Each page of a full zspage, one after the other."""
    handles = world.fill_zspage(world.row(3264))
    for page in world.pages(handles[0]):
        world.move(page)
        world.check()
    world.finish()


def a_page_migrates_to_the_other_zone(world: World) -> None:
    """ZONE_MOVABLE to ZONE_NORMAL; the last one back falls below zero."""
    handle = world.malloc(4096)
    world.move(world.pages(handle)[0], UNMOVABLE)
    assert world.zone_state(NR_ZSPAGES) == (1, 0)


def objects_are_compacted(world: World) -> None:
    """Objects that straddle pages, and pages of the source without a live object."""
    two_sparse_zspages(world)
    world.zs.zs_compact(world.pool)
    world.check()


def an_object_is_freed(world: World) -> None:
    """The slot that was freed is the next one taken."""
    handles = world.fill_zspage(world.row(3264), spare=1)
    world.free(handles[1])
    world.check()


def no_memory_for_a_zspage(world: World) -> None:
    """The handle was there already."""
    with world.failing("zspage"):
        assert world.zs.zs_malloc(world.pool, 3256, MOVABLE) == 0
    world.finish()


def no_memory_for_the_last_page(world: World) -> None:
    """Three pages were there already."""
    with world.failing("page", 3):
        assert world.zs.zs_malloc(world.pool, 3256, MOVABLE) == 0
    world.check()


def a_straddling_object_is_read(world: World) -> None:
    """After another one went through the buffer."""
    world.fill_zspage(world.row(3264))
    world.check()


def a_page_is_put_back_and_the_pool_destroyed(world: World) -> None:
    """The pool waits for what is isolated."""
    handle = world.malloc(3256)
    page = world.pages(handle)[0]
    world.isolate(page)
    world.putback(page)
    world.finish()


def an_empty_zspage_is_not_isolated(world: World) -> None:
    """It waits for the worker."""
    handle = world.malloc(3256)
    page = world.pages(handle)[0]
    with world.locked(page):
        world.free(handle)
    assert not world.isolate(page)


SCENARIOS: dict[str, tuple[Scenario, str]] = {
    "A01": (neighbours_of_the_last_shared_class, "AssertionError"),
    "A03": (a_huge_page_migrates, "misaligned access"),
    "A04": (a_zspage_empties_while_isolated, "Freeing non-empty class"),
    "A16": (pages_that_nobody_can_move, "AssertionError"),
    "G-fullness-threshold": (a_zspage_fills, "AssertionError"),
    "G-missing-put": (a_page_migrates, "AssertionError"),
    "G-stale-private": (a_page_migrates, "I6 bad page at free"),
    "G-stale-cursor": (objects_are_compacted, "livelock"),
    "G-wrong-list": (a_zspage_fills, "AssertionError"),
    "G-freeobj-not-restored": (an_object_is_freed, "AssertionError"),
    "G-zone-state-not-moved": (a_page_migrates_to_the_other_zone, "AssertionError"),
    "G-lost-object": (a_page_migrates, "AssertionError"),
    "G-handle-leak": (no_memory_for_a_zspage, "leak at cache shutdown"),
    "G-zone-state-not-undone": (no_memory_for_the_last_page, "AssertionError"),
    "G-offset-not-copied": (a_page_migrates, "AssertionError"),
    "G-huge-handle-not-copied": (a_huge_page_migrates, "AssertionError"),
    "G-half-mapped": (a_straddling_object_is_read, "AssertionError"),
    "G-half-copied": (objects_are_compacted, "AssertionError"),
    "G-pin-left": (a_page_migrates, "AssertionError"),
    "G-pool-isolation-not-uncounted": (a_page_is_put_back_and_the_pool_destroyed, "AssertionError"),
    "G-isolates-empty": (an_empty_zspage_is_not_isolated, "AssertionError"),
    "G-freed-while-isolated": (a_zspage_empties_while_isolated, "VM_BUG_ON list_empty"),
}
"""Fault -> its trigger, and the rule of the Report that it ends in (or the checker's AssertionError)."""


def world_with(target: type[Zsmalloc], fault_id: str) -> World:
    """A world on which the fault can show."""
    return World(target=target, switches=("no_compaction",) if fault_id == "A16" else ())


WITH_SCENARIO = [fault for fault in FAULTS if fault.id in SCENARIOS]
"""Those that a few calls show. All others are shown by programs: tests/quality/."""


def test_every_scenario_is_of_a_fault_in_the_order_of_the_catalogue() -> None:
    assert [fault.id for fault in WITH_SCENARIO] == list(SCENARIOS)


@pytest.mark.parametrize("fault", WITH_SCENARIO, ids=lambda fault: fault.id)
def test_a_planted_fault_shows(fault: Fault) -> None:
    scenario, shows = SCENARIOS[fault.id]
    target = cast(type[Zsmalloc], plant(Zsmalloc, [fault]))
    with pytest.raises((AssertionError, Report)) as caught:
        scenario(world_with(target, fault.id))
    error = caught.value
    assert (error.rule if isinstance(error, Report) else "AssertionError") == shows


@pytest.mark.parametrize("fault_id", SCENARIOS)
def test_without_the_fault_its_scenario_is_clean(fault_id: str) -> None:
    SCENARIOS[fault_id][0](world_with(Zsmalloc, fault_id))


def test_two_faults_can_be_planted_together() -> None:
    both = plant(Zsmalloc, [FAULTS[0], FAULTS[2]])
    assert both.__name__ == "ZsmallocWithA01WithA04"
    assert issubclass(both, Zsmalloc)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_replaces_one_method(fault: Fault) -> None:
    assert fault.override is not None
    assert len([name for name in vars(fault.override) if not name.startswith("__") and name != "_abc_impl"]) == 1
