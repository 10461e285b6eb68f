"""The memory bound against an allocator that opens a zspage only when all others are full.

In:    zsfuzz/trace/sizing.py.
Out:   nothing.
Never: the bound's own formula inside the simulation.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zsfuzz.policy.size_class import SizeClass, size_class_table
from zsfuzz.program.limits import MAX_ZONE_PAGES
from zsfuzz.program.ops import Gfp
from zsfuzz.trace.sizing import FRAMES_STEP, MemoryBound

TABLE = size_class_table(4096)


class Simulation:
    """Zspages as counts of objects; a malloc fills any zspage with room, the emptiest one at that."""

    def __init__(self) -> None:
        self.zspages: dict[SizeClass, list[int]] = {}
        self.peak_pages = 0

    def malloc(self, size: int) -> tuple[SizeClass, int]:
        served = TABLE.class_for(size + 8)
        inuse = self.zspages.setdefault(served, [])
        room = [at for at, count in enumerate(inuse) if 0 < count < served.objs_per_zspage]
        if not room:
            inuse.append(0)
            room = [len(inuse) - 1]
        at = min(room, key=lambda place: inuse[place])
        inuse[at] += 1
        pages = sum(c.pages_per_zspage * sum(1 for n in counts if n) for c, counts in self.zspages.items())
        self.peak_pages = max(self.peak_pages, pages)
        return served, at

    def free(self, place: tuple[SizeClass, int]) -> None:
        self.zspages[place[0]][place[1]] -= 1


@given(st.lists(st.tuples(st.sampled_from([24, 100, 2040, 2712, 3256, 3257, 4096]), st.integers(0, 99)), max_size=80))
def test_no_order_of_frees_needs_more_than_the_bound(steps: list[tuple[int, int]]) -> None:
    bound = MemoryBound(TABLE)
    simulated = Simulation()
    live: list[tuple[int, tuple[SizeClass, int]]] = []
    for size, choice in steps:
        if choice < 60 or not live:
            live.append((bound.malloc(0, size, Gfp.MOVABLE), simulated.malloc(size)))
        else:
            class_index, place = live.pop(choice % len(live))
            bound.free(0, class_index)
            simulated.free(place)
    assert simulated.peak_pages <= bound.memory().needed_pages


def test_the_bound_is_no_guess_upwards() -> None:
    """Six objects of 3264 bytes, five to a zspage of four pages: two zspages, eight pages, not more."""
    bound = MemoryBound(TABLE)
    for _ in range(6):
        bound.malloc(0, 3256, Gfp.MOVABLE)
    assert bound.memory().needed_pages == 8


def test_a_peak_counts_after_the_objects_are_gone() -> None:
    bound = MemoryBound(TABLE)
    indexes = [bound.malloc(0, 4096, Gfp.MOVABLE) for _ in range(10)]
    for index in indexes:
        bound.free(0, index)
    assert bound.memory().needed_pages == 10


def test_pools_do_not_share_zspages() -> None:
    bound = MemoryBound(TABLE)
    for pool in range(3):
        bound.malloc(pool, 3256, Gfp.MOVABLE)
    assert bound.memory().needed_pages == 12


def test_an_eighth_is_added_and_the_sum_rounded_up() -> None:
    bound = MemoryBound(TABLE)
    assert (bound.memory().normal_pages, bound.memory().movable_pages) == (0, 0)
    for _ in range(FRAMES_STEP):
        bound.malloc(0, 4096, Gfp.MOVABLE)
    memory = bound.memory()
    assert (memory.needed_pages, memory.movable_pages, memory.normal_pages) == (1024, 2048, 0)


def test_a_class_asked_for_with_both_masks_counts_in_both_zones() -> None:
    bound = MemoryBound(TABLE)
    bound.malloc(0, 4096, Gfp.MOVABLE)
    assert bound.memory().normal_pages == 0
    bound.malloc(0, 4096, Gfp.KERNEL)
    memory = bound.memory()
    assert (memory.normal_pages, memory.movable_pages) == (FRAMES_STEP, FRAMES_STEP)


def test_a_capture_too_large_for_a_program_says_so() -> None:
    bound = MemoryBound(TABLE)
    for _ in range(MAX_ZONE_PAGES):
        bound.malloc(0, 4096, Gfp.MOVABLE)
    memory = bound.memory()
    assert memory.short
    assert memory.movable_pages == MAX_ZONE_PAGES
