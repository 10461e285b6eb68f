"""Sketch: the guess follows what a program does to its slots."""

from __future__ import annotations

from random import Random

import pytest

from tests.engine.tiny import TinyState
from zsfuzz.engine.generate import generate_program
from zsfuzz.engine.rng import Dice
from zsfuzz.engine.sketch import Sketch, SlotSet
from zsfuzz.machine.geometry import geometry
from zsfuzz.program import ops
from zsfuzz.program.ops import FailOperation, FailWhat, Operation
from zsfuzz.program.program import Header

BIG = 3256  # class 3264: 4 pages, 5 objects


def sketch_of(*steps: Operation) -> Sketch:
    sketch = Sketch(geometry("linux-5.10"), 0, 0)
    for step in steps:
        sketch.apply(step)
    return sketch


def test_objects_of_one_class_share_a_zspage_until_it_is_full() -> None:
    """[0 1 2 3 4] [5]"""
    sketch = sketch_of(*[ops.Malloc(slot, BIG) for slot in range(6)])
    first, sixth = sketch.group_of[0], sketch.group_of[5]
    assert first is not None
    assert sixth is not None
    assert first.members == [0, 1, 2, 3, 4]
    assert sixth.members == [5]
    assert sketch.used_pages == 8


def test_a_zspage_goes_with_its_last_object() -> None:
    sketch = sketch_of(ops.Malloc(0, BIG), ops.Free(0))
    assert sketch.used_pages == 0
    assert len(sketch.live) == 0


def test_an_isolated_page_keeps_an_empty_zspage_and_a_malloc_revives_it() -> None:
    sketch = sketch_of(ops.Malloc(0, BIG), ops.Isolate(3, ops.Component(0, 1)), ops.Free(0), ops.Malloc(7, BIG))
    group = sketch.group_of[7]
    assert group is not None
    assert (group.members, group.isolated, sketch.used_pages) == ([7], [1], 4)


def test_the_same_page_is_not_isolated_twice() -> None:
    page = ops.Component(0, 1)
    sketch = sketch_of(ops.Malloc(0, BIG), ops.Isolate(3, page), ops.Isolate(4, page))
    assert sketch.isolated.members == [3]


@pytest.mark.parametrize("release", [ops.Putback(3), ops.Migrate((ops.IsolatedPage(3),), ops.MigrateMode.SYNC)])
def test_putting_back_or_migrating_the_last_page_of_an_empty_zspage_frees_it(release: Operation) -> None:
    sketch = sketch_of(ops.Malloc(0, BIG), ops.Isolate(3, ops.Component(0, 1)), ops.Free(0), release)
    assert sketch.used_pages == 0
    assert sketch.isolated.members == []


def test_while_a_map_is_held_nothing_but_its_unmap_counts() -> None:
    sketch = sketch_of(ops.Malloc(0, BIG), ops.Map(0, ops.MapMode.RO), ops.Malloc(1, BIG), ops.Free(0))
    assert sketch.live.members == [0]
    sketch.apply(ops.Unmap(0))
    sketch.apply(ops.Free(0))
    assert sketch.live.members == []


@pytest.mark.parametrize(
    ("what", "ordinal", "lives"),
    [
        (FailWhat.PAGE, 3, False),
        (FailWhat.PAGE, 4, True),
        (FailWhat.ZSPAGE, 0, False),
        (FailWhat.HANDLE, 0, False),
        (FailWhat.HANDLE, 1, True),
    ],
)
def test_an_injected_failure_is_expected_where_the_allocation_happens(
    what: FailWhat, ordinal: int, lives: bool
) -> None:
    sketch = sketch_of(ops.Fail(FailOperation.MALLOC, what, ordinal), ops.Malloc(0, BIG))
    assert (0 in sketch.live) is lives


def test_a_failure_hits_the_next_malloc_only() -> None:
    fail = ops.Fail(FailOperation.MALLOC, FailWhat.HANDLE, 0)
    assert sketch_of(fail, ops.Malloc(0, BIG), ops.Malloc(1, BIG)).live.members == [1]


def test_a_failure_of_another_operation_waits_for_it() -> None:
    fail = ops.Fail(FailOperation.MIGRATE, FailWhat.PAGE, 0)
    assert sketch_of(fail, ops.Malloc(0, BIG)).live.members == [0]


def test_a_pool_in_use_is_not_destroyed() -> None:
    steps: list[Operation] = [ops.CreatePool(2), ops.Malloc(0, BIG, ops.Gfp.MOVABLE, 2), ops.DestroyPool(2)]
    assert 2 in sketch_of(*steps).pools
    assert 2 not in sketch_of(*steps, ops.Free(0), ops.DestroyPool(2)).pools


def test_slots_beyond_the_limits_are_not_followed() -> None:
    """An imported trace numbers its slots by the thousand."""
    sketch = sketch_of(
        ops.Malloc(5000, BIG),
        ops.Isolate(900, ops.Component(5000, 0)),
        ops.Isolate(1, ops.Component(5000, 0)),
        ops.Free(5000),
        ops.SpeculativeGet(700, ops.Pfn(3)),
        ops.Bystander(800, ops.BystanderKind.LRU, 0),
    )
    assert (len(sketch.live), len(sketch.isolated), len(sketch.refs), sketch.used_pages) == (0, 0, 0, 0)


def test_online_forgets_what_it_brings_back() -> None:
    sketch = sketch_of(ops.Offline(0, 32), ops.Offline(64, 96), ops.Online(64, 96))
    assert sketch.offlined == [(0, 32)]


def test_a_slot_set_keeps_its_members_through_removals() -> None:
    slots = SlotSet(8)
    for slot in (5, 2, 7):
        slots.add(slot)
    slots.remove(5)
    assert (sorted(slots.members), 5 in slots, 2 in slots, len(slots)) == ([2, 7], False, True, 2)
    slots.remove(7)
    slots.remove(2)
    assert slots.members == []


def test_the_sketch_of_a_generated_program_agrees_with_a_run_of_it() -> None:
    """Injected failures apart, which the tiny runner does not have."""
    dice = Dice(Random(8))
    for _ in range(60):
        program = generate_program(dice, Header("small"), 100)
        steps = [step for step in program.steps if not isinstance(step, ops.Fail)]
        sketch = Sketch(geometry(program.header.geometry), 0, 0)
        state = TinyState(program)
        for step in steps:
            sketch.apply(step)
            state.step(step)
        assert sorted(sketch.live.members) == sorted(state.live)
        assert sorted(sketch.refs.members) == sorted(state.refs)
