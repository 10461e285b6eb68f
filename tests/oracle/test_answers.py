"""Answers that are wrong on both sides alike are seen on each side by itself; right ones pass.

In:    a side; answers that are made up.
Out:   nothing.
Never: a search; that whole programs show such bugs: tests/quality/test_triggers.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.oracle.test_invariants import Scene
from zsfuzz.execute.drain import drain, probe_pool
from zsfuzz.execute.runner import Runner
from zsfuzz.machine.core import bystander
from zsfuzz.machine.layout import (
    KPF_BUDDY,
    KPF_HWPOISON,
    MIGRATE_ISOLATE,
    NR_FREE_PAGES,
    PG_FLAGS,
    PG_REFCOUNT,
    PG_hwpoison,
    PG_lru,
)
from zsfuzz.machine.report import Report
from zsfuzz.machine.scanners.kpage import kpagecount, kpageflags
from zsfuzz.oracle.answers import check_compaction, check_malloc, check_page_values, pool_before
from zsfuzz.oracle.judge import Violation
from zsfuzz.program.ops import BystanderKind, Gfp
from zsfuzz.program.text import parse_program
from zsfuzz.target.protocol import CounterWord


def _caught(scene: Scene) -> str:
    with pytest.raises(Violation) as caught:
        scene.check()
    return caught.value.rule


# -- zs_malloc()


def test_a_refusal_with_plenty_of_memory_is_a_breach() -> None:
    scene = Scene()
    with pytest.raises(Violation, match="fails with"):
        check_malloc(scene.side, 100, Gfp.MOVABLE, served=False, failing=False)


def test_an_impossible_size_that_is_served_is_a_breach() -> None:
    for size in (0, 4097):
        with pytest.raises(Violation, match="gave a handle"):
            check_malloc(Scene().side, size, Gfp.MOVABLE, served=True, failing=False)


def test_legal_answers_of_malloc_pass() -> None:
    side = Scene().side
    check_malloc(side, 100, Gfp.MOVABLE, served=True, failing=False)
    check_malloc(side, 100, Gfp.MOVABLE, served=False, failing=True)
    check_malloc(side, 4097, Gfp.MOVABLE, served=False, failing=False)
    for zone in (0, 1):
        side.machine.buddy.mod_zone_page_state(zone, NR_FREE_PAGES, -side.machine.buddy.zone_page_state(zone, 0))
    check_malloc(side, 100, Gfp.MOVABLE, served=False, failing=False)


# -- zs_compact()


def test_what_compaction_says_is_held_against_the_pool() -> None:
    scene = Scene()
    before = pool_before(scene.side, 0)
    with pytest.raises(Violation, match="compaction returns 4"):
        check_compaction(scene.side, 0, before, 4, (), isolated=False)
    check_compaction(scene.side, 0, before, 0, (), isolated=False)


def test_pages_compacted_has_to_grow_by_as_much() -> None:
    scene = Scene()
    before = pool_before(scene.side, 0)
    pool = scene.side.pools[0]
    scene.m.atomic_add(pool + 24, 1)  # POOL_PAGES_COMPACTED
    with pytest.raises(Violation, match="pages_compacted was 0 and is 1"):
        check_compaction(scene.side, 0, before, 0, (), isolated=False)


def test_compaction_may_not_leave_what_it_could_free() -> None:
    """[x . . . .] [x . . . .]: nothing was compacted."""
    scene = Scene()
    slots = range(20, 30)
    for slot in slots:
        scene.side.malloc(slot, 0, 3256, Gfp.MOVABLE)
    for slot in (*range(1, 3), *range(20, 22), *range(23, 27)):
        scene.side.free(slot, 0)
    index = scene.target.zspage_view(scene.first).class_index
    before = pool_before(scene.side, 0)
    with pytest.raises(Violation, match="could still free"):
        check_compaction(scene.side, 0, before, 0, (index,), isolated=False)
    check_compaction(scene.side, 0, before, 0, (index,), isolated=True)
    freed = scene.side.pool_compact(0)
    assert isinstance(freed, int) and freed > 0
    check_compaction(scene.side, 0, before, freed, (index,), isolated=False)


# -- /proc/kpageflags and /proc/kpagecount


def test_page_values_of_a_sound_side_pass() -> None:
    scene = Scene()
    bystander.add_bystander(scene.side.core, 3, BystanderKind.LRU, 0)
    count = scene.m.buddy.pages_count
    check_page_values(scene.side, "kpageflags", 0, [kpageflags(scene.m, pfn) for pfn in range(count)])
    check_page_values(scene.side, "kpagecount", 0, [kpagecount(scene.m, pfn) for pfn in range(count)])


@pytest.mark.parametrize(
    ("name", "flips", "whose"),
    [
        ("kpageflags", 1 << KPF_BUDDY, "free"),
        ("kpageflags", 1 << KPF_HWPOISON, "free"),
        ("kpageflags", 1 << 35, "zspage"),  # KPF_PRIVATE of the first page
        ("kpagecount", 1, "free"),
        ("kpagecount", 2, "zspage"),
        ("kpagecount", 3, "lru"),
        ("kpageflags", 1 << 5, "lru"),  # KPF_LRU
    ],
)
def test_a_page_value_that_is_wrong_is_seen(name: str, flips: int, whose: str) -> None:
    scene = Scene()
    core, buddy = scene.side.core, scene.m.buddy
    lru = bystander.add_bystander(core, 3, BystanderKind.LRU, 0)
    pfn = {"free": buddy.pages_count - 1, "zspage": buddy.page_to_pfn(scene.pages[0]), "lru": lru}[whose]
    value = kpageflags(scene.m, pfn) if name == "kpageflags" else kpagecount(scene.m, pfn)
    check_page_values(scene.side, name, pfn, [value])
    with pytest.raises(Violation, match=name):
        check_page_values(scene.side, name, pfn, [value ^ flips])


# -- words that a target names for the checks inside blocks (zsfuzz/oracle/words.py)


@pytest.mark.parametrize("name", ["reference", "candidate"])
def test_a_target_that_names_a_wrong_word_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(name)
    assert scene.check() > 200
    sound = scene.target.counter_words

    def shifted(pool: int, indices: Iterable[int]) -> Iterable[CounterWord]:
        for word in sound(pool, indices):
            yield replace(word, address=word.address - 8) if word.name == "obj_used" else word

    monkeypatch.setattr(scene.target, "counter_words", shifted)
    assert _caught(scene) == "I2 counter word"


# -- frames (zsfuzz/oracle/frames.py)


def test_a_miscounted_free_page_is_seen() -> None:
    scene = Scene()
    scene.m.buddy.mod_zone_page_state(0, NR_FREE_PAGES, 1)
    assert _caught(scene) == "I7 NR_FREE_PAGES"


def test_a_pageblock_that_stays_isolated_is_seen() -> None:
    scene = Scene()
    last = scene.m.buddy.pages_count - 1
    scene.m.buddy.set_pageblock_migratetype(last, MIGRATE_ISOLATE)
    scene.m.buddy.move_freepages_block(last, MIGRATE_ISOLATE)
    assert _caught(scene) == "I10 pageblock stays isolated"


def test_a_block_on_the_isolated_list_of_another_pageblock_is_seen() -> None:
    scene = Scene()
    scene.m.buddy.move_freepages_block(scene.m.buddy.pages_count - 32, MIGRATE_ISOLATE)
    assert _caught(scene) == "I7 free list of another pageblock type"


def test_a_poisoned_free_page_is_seen() -> None:
    scene = Scene()
    page = scene.m.buddy.pfn_to_page(scene.m.buddy.pages_count - 1)
    scene.flip(page + PG_FLAGS, 1 << PG_hwpoison)
    assert _caught(scene) == "I6 poisoned page is free"


def test_a_poisoned_page_that_is_pinned_twice_is_seen_in_the_end() -> None:
    scene = Scene()
    page = scene.m.buddy.alloc_page(0)
    scene.flip(page + PG_FLAGS, 1 << PG_hwpoison)
    drain(scene.side, scene.contract)
    scene.bump32(page + PG_REFCOUNT, 1)
    with pytest.raises(Violation, match="more than the one reference that withholds it"):
        drain(scene.side, scene.contract)


def test_a_mapped_page_that_is_not_on_the_lru_is_seen() -> None:
    scene = Scene()
    pfn = bystander.add_bystander(scene.side.core, 3, BystanderKind.LRU, 0)
    assert scene.check() > 200
    scene.flip(scene.m.buddy.pfn_to_page(pfn) + PG_FLAGS, 1 << PG_lru)
    assert _caught(scene) == "I10 mapped page is not on the LRU"


# -- pools (zsfuzz/execute/drain.py), type-stable memory (zsfuzz/machine/slab.py)


def test_what_a_destroyed_pool_leaves_behind_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    side = Scene("candidate").side
    probe_pool(side)
    monkeypatch.setattr(side.target.k, "iput", lambda mapping: None)
    with pytest.raises(Violation, match="1 objects of kmalloc-64 stay of a pool that was made and destroyed"):
        probe_pool(side)


def test_a_freed_descriptor_that_was_written_to_is_seen_when_it_is_handed_out_again() -> None:
    scene = Scene("candidate")
    slab, cache = scene.m.slab, slab_cache(scene)
    first = slab.kmem_cache_alloc(cache)
    slab.kmem_cache_free(cache, first)
    scene.bump32(first + 52, 1)
    scene.bump32(first + 52, -1)  # a get and a put of somebody who came late leave no trace
    _until_it_comes_again(scene, cache, first)
    slab.kmem_cache_free(cache, first)
    scene.flip(first + 64, 1)
    with pytest.raises(Report, match="written to after it was freed"):
        _until_it_comes_again(scene, cache, first)


def slab_cache(scene: Scene) -> int:
    cache: int = vars(scene.target)["zspage_cachep"]
    return cache


def _until_it_comes_again(scene: Scene, cache: int, wanted: int) -> None:
    """Objects wait in the quarantine before they are used again."""
    slab = scene.m.slab
    for _ in range(100):
        taken = slab.kmem_cache_alloc(cache)
        if taken == wanted:
            return
        slab.kmem_cache_free(cache, taken)
    raise AssertionError("it never came")


@pytest.mark.parametrize("offset", [1, 2, 4, 7])
def test_an_access_that_is_not_aligned_is_seen(offset: int) -> None:
    scene = Scene()
    for address in (scene.first, scene.pages[0], scene.m.kmap(scene.pages[0])):
        scene.m.store(address, scene.m.load(address))
        for access in (scene.m.load, lambda at: scene.m.store(at, 0)):
            with pytest.raises(Report, match="misaligned access"):
                access(address + offset)
        if offset % 4:
            with pytest.raises(Report, match="misaligned access"):
                scene.m.load32(address + offset)
        else:
            scene.m.load32(address + offset)


def test_a_pool_of_which_a_part_cannot_be_had_is_taken_apart_on_both_sides() -> None:
    for ordinal in (0, 1, 30, 69, 70):
        text = (
            f"zsfuzz 1\ngeometry linux-5.10\n---\nfail create_pool zspage {ordinal}\ncreate_pool z1\ncreate_pool z1\n"
        )
        result = Runner().run(parse_program(text), cadence=1)
        assert not result.findings and result.operations >= 2
