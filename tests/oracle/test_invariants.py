"""Every invariant fires on a planted defect, and on nothing else.

The defects are planted into the arena by hand, behind the back of a sound allocator.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reference import layout as legacy
from zsfuzz.execute.contract import Contract, ObjectContent
from zsfuzz.execute.drain import drain
from zsfuzz.execute.side import Side
from zsfuzz.machine.core.memory_failure import memory_failure
from zsfuzz.machine.geometry import geometry
from zsfuzz.machine.lanes import Lanes
from zsfuzz.machine.layout import EBUSY, NR_ZSPAGES, PG_FLAGS, PG_PRIVATE, PG_REFCOUNT, ZONE_MOVABLE, PG_isolated
from zsfuzz.machine.machine import MachineConfig
from zsfuzz.oracle.invariants import check_invariants
from zsfuzz.oracle.judge import Violation
from zsfuzz.program.ops import Gfp
from zsfuzz.target.registry import resolve

SIZES = (3256, 3256, 3256, 100, 100, 4096, 2000)


class Scene:
    """One sound pool with a few objects, and shorthands for its words."""

    def __init__(self, name: str = "reference", lanes: Lanes | None = None) -> None:
        config = MachineConfig(geometry("linux-5.10"), 64, 64, 1 << 19)
        self.side = Side("reference", resolve(name), config, lanes)
        self.contract = Contract(self.side.machine.geometry.size_classes)
        for slot, size in enumerate(SIZES):
            self.side.malloc(slot, 0, size, Gfp.MOVABLE)
            self.contract.allocated(slot, 0, size)
        self.m = self.side.machine
        self.target = self.side.target
        self.first = self.target.zspage_of(self.side.handles[0])
        self.pages = self.target.zspage_view(self.first).pages

    def bump32(self, address: int, delta: int) -> None:
        self.m.store32(address, (self.m.load32(address) + delta) & 0xFFFFFFFF)

    def flip(self, address: int, bits: int) -> None:
        self.m.store(address, self.m.load(address) ^ bits)

    def check(self) -> int:
        return check_invariants(self.side, self.contract)


@pytest.mark.parametrize("name", ["reference", "candidate"])
def test_a_sound_pool_passes_and_many_facts_are_checked(name: str) -> None:
    scene = Scene(name)
    assert scene.check() > 200
    for slot in (1, 3):
        scene.side.free(slot, 0)
        del scene.contract.objects[slot]
    scene.side.isolate(0, scene.side.component_page(0, 2))
    assert scene.check() > 200


def _swap_handles(scene: Scene) -> None:
    one, other = scene.side.handles[0], scene.side.handles[1]
    left, right = scene.m.load(one), scene.m.load(other)
    scene.m.store(one, right)
    scene.m.store(other, left)


def _same_place(scene: Scene) -> None:
    scene.m.store(scene.side.handles[1], scene.m.load(scene.side.handles[0]))


def _lose_header(scene: Scene) -> None:
    scene.flip(scene.m.kmap(scene.pages[0]), 1)


def _count_one_more(scene: Scene) -> None:
    scene.bump32(scene.first + legacy.ZSPAGE_INUSE, 1)


def _wrong_fullness(scene: Scene) -> None:
    scene.m.store32(scene.first, scene.m.load32(scene.first) ^ 1)


def _unlisted(scene: Scene) -> None:
    scene.m.lists.list_del_init(scene.first + legacy.ZSPAGE_LIST)


def _cut_free_list(scene: Scene) -> None:
    scene.m.store32(scene.first + legacy.ZSPAGE_FREEOBJ, 4)


def _free_list_through_a_live_object(scene: Scene) -> None:
    scene.m.store32(scene.first + legacy.ZSPAGE_FREEOBJ, 0)


def _locked_page(scene: Scene) -> None:
    scene.flip(scene.pages[1] + PG_FLAGS, 1)


def _one_reference_more(scene: Scene) -> None:
    scene.bump32(scene.pages[2] + PG_REFCOUNT, 1)


def _zone_counter(scene: Scene) -> None:
    scene.m.buddy.mod_zone_page_state(ZONE_MOVABLE, NR_ZSPAGES, 1)


def _stale_head(scene: Scene) -> None:
    page = scene.m.buddy.alloc_page(0)
    scene.m.store(page + PG_PRIVATE, scene.first)


def _isolated_flag(scene: Scene) -> None:
    scene.m.set_bit(PG_isolated, scene.pages[0])


def _isolated_count(scene: Scene) -> None:
    scene.m.store32(scene.first, scene.m.load32(scene.first) + (1 << legacy.ISOLATED_SHIFT))


def _offset(scene: Scene) -> None:
    scene.bump32(scene.pages[1] + 48, 8)


def _slot_too_small(scene: Scene) -> None:
    scene.contract.objects[3] = ObjectContent(0, 3000)


def _statistic(number: int) -> Callable[[Scene], None]:
    def plant(scene: Scene) -> None:
        view = scene.target.zspage_view(scene.first)
        pool = scene.side.pools[0]
        size_class = scene.m.load(pool + legacy.POOL_SIZE_CLASS + view.class_index * 8)
        address = size_class + legacy.CLASS_STATS + number * 8
        scene.m.store(address, scene.m.load(address) + 5)

    return plant


def _pages_allocated(scene: Scene) -> None:
    address = scene.side.pools[0] + legacy.POOL_PAGES_ALLOCATED
    scene.m.store(address, scene.m.load(address) + 1)


def _attribute(scene: Scene) -> None:
    scene.target.remembered = {1: 2}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        (_swap_handles, "I1"),
        (_same_place, "I1"),
        (_lose_header, "I1"),
        (_count_one_more, "I2|I3|I4"),
        (_statistic(legacy.OBJ_USED), "I2"),
        (_statistic(legacy.OBJ_ALLOCATED), "I2"),
        (_pages_allocated, "I2"),
        (_wrong_fullness, "I3"),
        (_unlisted, "I3"),
        (_isolated_count, "I3"),
        (_cut_free_list, "I4"),
        (_free_list_through_a_live_object, "I4"),
        (_locked_page, "I5"),
        (_one_reference_more, "I6"),
        (_zone_counter, "I7"),
        (_stale_head, "I9"),
        (_isolated_flag, "I10"),
        (_offset, "I11"),
        (_slot_too_small, "I11"),
        (_attribute, "state outside the arena"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", "")[1:],
)
def test_a_planted_defect_breaks_its_invariant(plant: Callable[[Scene], None], rule: str) -> None:
    scene = Scene()
    plant(scene)
    with pytest.raises(Violation) as caught:
        scene.check()
    assert any(caught.value.rule.startswith(part) for part in rule.split("|")), caught.value.rule


def _memory_error_while_frozen(scene: Scene, lane: int) -> None:
    """A memory error of a page whose count is 0 for the moment, as another lane's page_ref_freeze() leaves it."""
    head = scene.side.d.compound_head(scene.pages[1])
    count = scene.m.load32(head + PG_REFCOUNT)
    scene.m.store32(head + PG_REFCOUNT, 0)
    pfn = scene.m.buddy.page_to_pfn(scene.pages[1])
    assert memory_failure(scene.side.core.for_lane(lane), pfn) == -EBUSY
    scene.m.store32(head + PG_REFCOUNT, count)


def test_an_error_that_met_a_frozen_count_stands_for_no_reference() -> None:
    """So the count is known exactly: one reference more or less is still seen."""
    scene = Scene(lanes=Lanes())
    _memory_error_while_frozen(scene, 0)
    assert scene.check() > 200
    for delta in (1, -1):
        scene.bump32(scene.pages[1] + PG_REFCOUNT, delta)
        with pytest.raises(Violation, match="I6 reference count"):
            scene.check()
        scene.bump32(scene.pages[1] + PG_REFCOUNT, -delta)


def test_with_one_cpu_an_error_always_keeps_a_reference() -> None:
    scene = Scene(lanes=Lanes())
    _memory_error_while_frozen(scene, -1)
    with pytest.raises(Violation, match="I6 reference count"):
        scene.check()


@pytest.mark.parametrize("name", ["reference", "candidate"])
def test_a_leak_shows_when_everything_was_given_back(name: str) -> None:
    """I12: all handles freed, all pages put back, the worker run; one page is missing."""
    scene = Scene(name)
    scene.side.isolate(0, scene.side.component_page(0, 1))
    leaked = scene.m.buddy.alloc_page(0)
    with pytest.raises(Violation) as caught:
        drain(scene.side, scene.contract)
    assert caught.value.rule == "I12 leak"
    scene.m.d.put_page(leaked)
    drain(scene.side, scene.contract)
