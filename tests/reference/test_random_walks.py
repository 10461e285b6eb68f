"""Random walks over the allocator: after every step all invariants hold, at the end nothing is left.

In:    reference/, Hypothesis' choices.
Out:   nothing.
Never: a map that is held over another step.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference.zsmalloc import Zsmalloc
from tests.reference.world import MOVABLE, UNMOVABLE, World
from zsfuzz.machine.layout import NR_FREE_PAGES
from zsfuzz.policy.size_class import object_encoding

SIZES = {"linux-5.10": (3256, 3256, 3064, 2040, 1500, 4096, 40), "small": (700, 700, 500, 900, 1024, 40, 24)}
STEPS = ("malloc", "malloc", "malloc", "free", "free", "write", "isolate", "migrate", "putback")
RARE = ("compact", "work", "fail page", "fail zspage", "fail handle", "lock and free")


def step(world: World, name: str, word: str, number: int) -> None:
    """One step of a walk; one that makes no sense now does nothing."""
    handles = list(world.contents)
    handle = handles[number % len(handles)] if handles else 0
    sizes = SIZES[name]
    if word == "malloc":
        world.malloc(sizes[number % len(sizes)], UNMOVABLE if number % 5 == 0 else MOVABLE)
    elif word.startswith("fail "):
        world.machine.failure.arm(word.removeprefix("fail "), number % 4)
        world.malloc(sizes[number % len(sizes)])
        world.machine.failure.disarm()
    elif word == "compact":
        world.zs.zs_compact(world.pool)
    elif word == "work":
        world.machine.run_work()
    elif word in ("migrate", "putback") and world.isolated:
        page = world.isolated[number % len(world.isolated)]
        if word == "putback":
            world.putback(page)
        elif world.zone_state(NR_FREE_PAGES)[0]:
            world.migrate(page, UNMOVABLE if number % 3 == 0 else MOVABLE)
    elif handle:
        step_on_object(world, handle, word, number)


def step_on_object(world: World, handle: int, word: str, number: int) -> None:
    """One step that names an object."""
    pages = world.pages(handle)
    page = pages[number % len(pages)]
    if word == "free":
        world.free(handle)
    elif word == "write":
        world.write(handle, bytes([number & 0xFF]) * (number % (len(world.contents[handle]) + 1)))
    elif word == "isolate" and page not in world.isolated:
        assert world.isolate(page)
    elif word == "lock and free":
        with world.locked(page):
            world.free(handle)


@pytest.mark.parametrize("name", ["linux-5.10", "small"])
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(walk=st.lists(st.tuples(st.sampled_from(STEPS + RARE), st.integers(0, 1000)), min_size=10, max_size=60))
def test_a_walk_keeps_every_invariant_and_leaves_nothing(name: str, walk: list[tuple[str, int]]) -> None:
    world = World(name, pages=(64, 64))
    rows = tuple(world.table.class_for(size + 8) for size in sorted(set(SIZES[name])))
    rows = tuple(dict.fromkeys(rows))
    for word, number in walk:
        step(world, name, word, number)
        world.check(*rows)
    world.finish()


@pytest.mark.parametrize("name", ["linux-5.10", "small"])
def test_the_model_packs_locations_as_the_policy_says(name: str) -> None:
    """Every pfn with the first, the last and the phantom index of a zspage."""
    world = World(name)
    encoding = object_encoding(world.page_size)
    for pfn in range(world.machine.buddy.pages_count):
        page = world.kernel.pfn_to_page(pfn)
        for obj_idx in (0, 1, 127, 255, 256, 511):
            obj = world.zs.location_to_obj(page, obj_idx)
            assert obj == encoding.location_to_obj(pfn, obj_idx)
            assert world.zs.obj_to_location(obj | 1) == (page, obj_idx)
            assert encoding.obj_to_location(obj) == (pfn, obj_idx)


def test_the_same_walk_gives_the_same_arena_twice() -> None:
    walk = [("malloc", n) for n in range(40)] + [("free", 7 * n) for n in range(20)] + [("compact", 0)]
    arenas = []
    for _ in range(2):
        world = World(target=Zsmalloc)
        for word, number in walk:
            step(world, "linux-5.10", word, number)
        arenas.append(world.machine.snapshot())
    assert arenas[0] == arenas[1]
