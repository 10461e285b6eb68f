"""Slab: reuse, quarantine, type-stable caches, and its reports."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.machine.conftest import make_machine
from zsfuzz.machine.machine import Machine
from zsfuzz.machine.report import Report
from zsfuzz.machine.slab import QUARANTINE_OBJECTS


@pytest.mark.parametrize("align", [8, 16, 64])
@pytest.mark.parametrize("size", [8, 24, 56, 128])
def test_objects_are_aligned_and_do_not_overlap(machine: Machine, size: int, align: int) -> None:
    cache = machine.slab.kmem_cache_create("thing", size, align)
    objects = sorted(machine.slab.kmem_cache_alloc(cache) for _ in range(40))
    assert all(thing % align == 0 for thing in objects)
    assert all(later - earlier >= size + 16 for earlier, later in pairwise(objects))
    for number, thing in enumerate(objects):
        for offset in range(0, size, 8):
            machine.store(thing + offset, number)
    assert all(machine.load(thing) == number for number, thing in enumerate(objects))


def test_a_freed_object_waits_in_quarantine(machine: Machine) -> None:
    slab = machine.slab
    cache = slab.kmem_cache_create("thing", 24)
    first = slab.kmem_cache_alloc(cache)
    slab.kmem_cache_free(cache, first)
    again = [slab.kmem_cache_alloc(cache) for _ in range(7)]
    assert first not in again
    for thing in again:
        slab.kmem_cache_free(cache, thing)
    seen = []
    for _ in range(2 * QUARANTINE_OBJECTS):
        thing = slab.kmem_cache_alloc(cache)
        seen.append(thing)
        slab.kmem_cache_free(cache, thing)
    assert first in seen


def test_without_quarantine_an_object_is_reused_at_once() -> None:
    slab = make_machine("no_quarantine").slab
    cache = slab.kmem_cache_create("thing", 24)
    first = slab.kmem_cache_alloc(cache)
    slab.kmem_cache_free(cache, first)
    assert slab.kmem_cache_alloc(cache) == first


def test_a_type_stable_object_stays_readable_after_its_free(machine: Machine) -> None:
    slab = machine.slab
    cache = slab.kmem_cache_create("thing", 24, typesafe_by_rcu=True)
    thing = slab.kmem_cache_alloc(cache)
    machine.store(thing, 77)
    slab.kmem_cache_free(cache, thing)
    assert machine.load(thing) == 77
    with pytest.raises(Report, match="double free"):
        slab.kmem_cache_free(cache, thing)


def test_bad_frees_and_leaks_are_reported(machine: Machine) -> None:
    slab = machine.slab
    cache = slab.kmem_cache_create("thing", 24)
    thing = slab.kmem_cache_alloc(cache)
    for wrong in (thing + 8, 0, machine.memory.heap_base + machine.memory.heap_bytes):
        with pytest.raises(Report) as caught:
            slab.kmem_cache_free(cache, wrong)
        assert caught.value.rule == "invalid free"
    with pytest.raises(Report, match="1 objects remain in thing"):
        slab.kmem_cache_destroy(cache)
    slab.kmem_cache_free(cache, thing)
    with pytest.raises(Report) as caught:
        slab.kmem_cache_free(cache, thing)
    assert caught.value.rule == "double free"
    slab.kmem_cache_destroy(cache)


@pytest.mark.parametrize(("name", "kind"), [("zspage", "zspage"), ("zs_handle", "handle")])
def test_the_armed_allocation_fails_and_only_that_one(machine: Machine, name: str, kind: str) -> None:
    slab = machine.slab
    cache = slab.kmem_cache_create(name, 24)
    machine.failure.arm(kind, 1)
    assert [bool(slab.kmem_cache_alloc(cache)) for _ in range(4)] == [True, False, True, True]
    machine.failure.disarm()
    assert machine.failure.injected_count == 1
