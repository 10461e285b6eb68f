"""Every comparison of the two sides fires on a planted difference, and names it.

The two sides are alike; then a word of one arena is changed by hand, behind the back of a sound allocator.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reference import layout as legacy
from reference.zsmalloc import Zsmalloc
from zsfuzz.execute.contract import Contract, pattern
from zsfuzz.execute.side import Side
from zsfuzz.machine.geometry import geometry
from zsfuzz.machine.layout import (
    GFP_KERNEL,
    NR_FREE_PAGES,
    NR_ISOLATED,
    NR_ZSPAGES,
    PG_MAPCOUNT,
    ZONE_MOVABLE,
    ZONE_NORMAL,
    PG_referenced,
)
from zsfuzz.machine.machine import MachineConfig
from zsfuzz.oracle.expected import ExpectedDifferences
from zsfuzz.oracle.judge import Judge, Violation
from zsfuzz.oracle.observe import compare_counters, compare_everything, compare_placements
from zsfuzz.program.ops import Gfp
from zsfuzz.target.protocol import ZS_MM_RW
from zsfuzz.target.registry import resolve

SIZES = (3256, 3256, 3256, 100, 100, 4096, 2000, *(3256,) * 8)
WRITTEN = 3


class Scene:
    """Two sides with the same objects, and shorthands for the words of the second one."""

    def __init__(self, candidate: str = "reference") -> None:
        config = MachineConfig(geometry("linux-5.10"), 64, 64, 1 << 19)
        self.sides = Side("reference", resolve("reference"), config), Side("candidate", resolve(candidate), config)
        self.contract = Contract(config.geometry.size_classes)
        self.expected = ExpectedDifferences()
        self.judge = Judge(*self.sides, self.contract, self.expected)
        for slot, size in enumerate(SIZES):
            for side in self.sides:
                side.malloc(slot, 0, size, Gfp.MOVABLE)
            self.contract.allocated(slot, 0, size)
        self.write(WRITTEN, 100)
        self.side = self.sides[1]
        self.m, self.target, self.pool = self.side.machine, self.side.target, self.side.pools[0]
        self.handle = self.side.handles[0]
        self.zspage = self.target.zspage_of(self.handle)
        self.pages = self.target.zspage_view(self.zspage).pages

    def write(self, slot: int, length: int) -> None:
        """Fill an object on both sides, as the program would."""
        for side in self.sides:
            address = side.target.zs_map_object(side.pools[0], side.handles[slot], ZS_MM_RW)
            side.write(address, pattern(1)[:length])
            side.target.zs_unmap_object(side.pools[0], side.handles[slot])
        self.contract.objects[slot].write(0, pattern(1)[:length])

    def bump(self, address: int, delta: int) -> None:
        """Add to a 64-bit word."""
        self.m.store(address, self.m.load(address) + delta)

    def class_of(self, zspage: int) -> int:
        """Return the struct size_class of a zspage."""
        index = self.target.zspage_view(zspage).class_index
        return self.m.load(self.pool + legacy.POOL_SIZE_CLASS + index * 8)

    def fullness_head(self) -> int:
        """Return the list that the first zspage is on."""
        group = self.target.zspage_view(self.zspage).fullness
        return self.class_of(self.zspage) + legacy.CLASS_FULLNESS_LIST + group * 16


@pytest.mark.parametrize("candidate", ["reference", "candidate"])
def test_two_sound_sides_agree(candidate: str) -> None:
    scene = Scene(candidate)
    compare_everything(scene.judge)
    assert (scene.expected.uses()["D1"] > 0) == (candidate == "candidate")
    scene.judge.compare_drained()
    scene.judge.compare_isolations()


def counter(zone: int, item: int, delta: int) -> Callable[[Scene], None]:
    return lambda scene: scene.m.buddy.mod_zone_page_state(zone, item, delta)


def between_zones(scene: Scene) -> None:
    scene.m.buddy.mod_zone_page_state(ZONE_NORMAL, NR_ZSPAGES, 1)
    scene.m.buddy.mod_zone_page_state(ZONE_MOVABLE, NR_ZSPAGES, -1)


def other_index(scene: Scene) -> None:
    """Handle 0 names the object beside its own."""
    scene.bump(scene.handle, 2)


def other_page(scene: Scene) -> None:
    """Handle 0 names the same slot of another zspage's page."""
    scene.m.store(scene.handle, scene.m.load(scene.side.handles[5]))


def other_zone(scene: Scene) -> None:
    """Handle 0 names the first page of the other zone."""
    assert isinstance(scene.target, Zsmalloc)
    assert scene.m.buddy.zone_of_pfn(scene.target.placement(scene.handle) >> 32) == ZONE_MOVABLE
    page = scene.m.buddy.pfn_to_page(scene.m.buddy.zone_start[ZONE_NORMAL])
    scene.m.store(scene.handle, scene.target.location_to_obj(page, 0))


def pool_word(offset: int) -> Callable[[Scene], None]:
    return lambda scene: scene.bump(scene.pool + offset, 1)


def statistic(number: int) -> Callable[[Scene], None]:
    return lambda scene: scene.bump(scene.class_of(scene.zspage) + legacy.CLASS_STATS + number * 8, 3)


def rotated_list(scene: Scene) -> None:
    """[Z0 Z1 ..] -> [Z1 .. Z0]."""
    lists, head = scene.m.lists, scene.fullness_head()
    first = lists.list_first(head)
    assert len(lists.list_entries(head)) > 1
    lists.list_del(first)
    lists.list_add_tail(first, head)


def shorter_list(scene: Scene) -> None:
    scene.m.lists.list_del_init(scene.m.lists.list_first(scene.fullness_head()))


def packed(bit: int) -> Callable[[Scene], None]:
    return lambda scene: scene.m.store32(scene.zspage, scene.m.load32(scene.zspage) ^ 1 << bit)


def inuse(scene: Scene) -> None:
    scene.m.store32(scene.zspage + legacy.ZSPAGE_INUSE, 1)


def first_offset(scene: Scene) -> None:
    scene.m.store32(scene.pages[1] + PG_MAPCOUNT, 8)


def free_list_of_objects(scene: Scene) -> None:
    """The zspage of the two small objects: its free list begins one slot later."""
    address = scene.target.zspage_of(scene.side.handles[3]) + legacy.ZSPAGE_FREEOBJ
    scene.m.store32(address, scene.m.load32(address) + 1)


def pending_work(scene: Scene) -> None:
    scene.m.schedule_work(scene.pool + legacy.POOL_FREE_WORK)


def written_byte(scene: Scene) -> None:
    frame = scene.m.kmap(scene.m.buddy.pfn_to_page(scene.target.placement(scene.side.handles[WRITTEN]) >> 32))
    scene.m.store(frame + 8, ~scene.m.load(frame + 8) & 0xFFFFFFFFFFFFFFFF)


def unwritten_byte(scene: Scene) -> None:
    frame = scene.m.kmap(scene.pages[0])
    scene.m.memory.write_bytes(frame + 64, b"x")


def free_blocks(scene: Scene) -> None:
    """The same two frames are freed on both sides, in another order."""
    for side, order in zip(scene.sides, ((0, 2), (2, 0)), strict=True):
        pages = [side.machine.buddy.alloc_page(GFP_KERNEL) for _ in range(4)]
        for number in order:
            side.d.free_page(pages[number])


def flag_of_a_page(scene: Scene) -> None:
    scene.m.set_bit(PG_referenced, scene.pages[2])


def mapped_kernel_page(scene: Scene) -> None:
    pages = [side.machine.buddy.alloc_page(GFP_KERNEL) for side in scene.sides]
    scene.m.store32(pages[1] + PG_MAPCOUNT, 4)


@pytest.mark.parametrize(
    ("plant", "rule", "field"),
    [
        (counter(ZONE_NORMAL, NR_FREE_PAGES, -1), "zone counter", "nr_free_pages, candidate lower"),
        (counter(ZONE_MOVABLE, NR_ZSPAGES, 1), "zone counter", "nr_zspages, reference lower"),
        (counter(ZONE_MOVABLE, NR_ISOLATED, 1), "zone counter", "nr_isolated, reference lower"),
        (between_zones, "zone counter", "nr_zspages, between zones"),
        (other_index, "placement", "object index"),
        (other_page, "placement", "pfn"),
        (other_zone, "placement", "zone"),
        (pool_word(legacy.POOL_PAGES_ALLOCATED), "pool statistics", "zs_get_total_pages, reference lower"),
        (pool_word(legacy.POOL_PAGES_COMPACTED), "pool statistics", "zs_pool_stats, reference lower"),
        (pool_word(legacy.POOL_ISOLATED_PAGES), "pool statistics", "isolated_zspages, reference lower"),
        (statistic(legacy.CLASS_ALMOST_EMPTY), "class statistics", "almost_empty, reference lower"),
        (statistic(legacy.CLASS_ALMOST_FULL), "class statistics", "almost_full, reference lower"),
        (statistic(legacy.OBJ_ALLOCATED), "class statistics", "obj_allocated, reference lower"),
        (statistic(legacy.OBJ_USED), "class statistics", "obj_used, reference lower"),
        (rotated_list, "fullness list", "order"),
        (shorter_list, "fullness list", "members"),
        (packed(0), "zspage", "fullness"),
        (packed(legacy.ISOLATED_SHIFT), "zspage", "isolated"),
        (inuse, "zspage", "inuse"),
        (first_offset, "zspage", "offsets"),
        (free_list_of_objects, "zspage", "free_indices"),
        (pending_work, "deferred work", "pending, reference lower"),
        (written_byte, "object content", "bytes"),
        (unwritten_byte, "content", "unwritten bytes"),
        (free_blocks, "free list", "order"),
        (flag_of_a_page, "scanner view", "REFERENCED"),
        (mapped_kernel_page, "scanner view", "MMAP"),
    ],
)
def test_a_planted_difference_is_named(plant: Callable[[Scene], None], rule: str, field: str) -> None:
    scene = Scene()
    plant(scene)
    with pytest.raises(Violation) as caught:
        compare_everything(scene.judge)
    assert (caught.value.rule, caught.value.field) == (rule, field)


def test_counters_and_placements_are_compared_by_themselves_too() -> None:
    """They are what is looked at after every step."""
    scene = Scene()
    compare_counters(scene.judge)
    compare_placements(scene.judge)
    other_page(scene)
    compare_counters(scene.judge)
    with pytest.raises(Violation, match="pfn"):
        compare_placements(scene.judge)
    between_zones(scene)
    with pytest.raises(Violation, match="between zones"):
        compare_counters(scene.judge)


@pytest.mark.parametrize(
    ("plant", "field"),
    [
        (counter(ZONE_MOVABLE, NR_FREE_PAGES, -2), "nr_free_pages, candidate lower"),
        (pending_work, "queued work, reference lower"),
        (pool_word(legacy.POOL_PAGES_ALLOCATED), "pool pages, reference lower"),
        (pool_word(legacy.POOL_ISOLATED_PAGES), "isolated zspages, reference lower"),
        (lambda scene: scene.side.free(0, 0), "live zs_handle, candidate lower"),
    ],
)
def test_what_is_left_in_the_end_is_compared(plant: Callable[[Scene], None], field: str) -> None:
    scene = Scene()
    plant(scene)
    with pytest.raises(Violation) as caught:
        scene.judge.compare_drained()
    assert (caught.value.rule, caught.value.field) == ("drained state", field)


@pytest.mark.parametrize(
    ("logs", "field"),
    [
        ("a0 b0 | a0 b1", "candidate refuses a page"),
        ("a1 b0 | a0 b0", "reference refuses a page"),
        ("a0 b0 c0 | a0 c0", "candidate passes over a page"),
        ("b0 | a0 b0", "reference passes over a page"),
        ("a0 | a0 b0", "reference passes over a page"),
        ("a0 b0 |", "candidate passes over a page"),
        ("b0 | a1 b0", "candidate refuses a page"),  # by has_unmovable_pages(), before anything is asked for
    ],
)
def test_the_first_page_that_only_one_side_isolated_is_named(logs: str, field: str) -> None:
    """a, b, c: three pages of one zspage; 0: isolated, 1: refused."""
    scene = Scene()
    for side, log in zip(scene.sides, logs.split("|"), strict=True):
        side.isolations[:] = [(scene.pages["abc".index(word[0])], -int(word[1])) for word in log.split()]
    with pytest.raises(Violation) as caught:
        scene.judge.compare_isolations()
    assert (caught.value.rule, caught.value.field) == ("isolation", field)


def test_an_empty_zspage_is_told_apart() -> None:
    """Its pages may not be isolated: who does so has another bug than who refuses pages at large."""
    scene = Scene()
    for side in scene.sides:
        side.machine.store32(side.target.zspage_of(side.handles[0]) + legacy.ZSPAGE_INUSE, 0)
    scene.sides[0].isolations.append((scene.pages[0], 0))
    scene.sides[1].isolations.append((scene.pages[0], -16))
    with pytest.raises(Violation) as caught:
        scene.judge.compare_isolations()
    assert caught.value.field == "candidate refuses a page of an empty zspage"


def test_looking_leaves_the_two_sides_as_they_were() -> None:
    """The copy buffer of a mapping included: a run must not depend on how often it is looked at."""
    scene = Scene("candidate")
    before = [side.machine.snapshot() for side in scene.sides]
    compare_everything(scene.judge)
    assert [side.machine.snapshot() for side in scene.sides] == before
