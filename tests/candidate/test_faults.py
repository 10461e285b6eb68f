"""Each fault of the catalogue can be planted, and the sequence that shows it is clean without it.

A sequence is run on the candidate as it is, where it must not raise, and on the one with the fault planted,
where it raises or observes something else.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from candidate import FAULTS, TARGETS
from candidate.allocator import Candidate
from candidate.descriptor import MemdescRules
from candidate.literal import Literal
from tests.candidate.world import CLASS_2048, CLASS_3264, HUGE, MOVABLE, World, content
from zsfuzz.machine.core.compaction import compact_range
from zsfuzz.machine.core.memory_failure import memory_failure, soft_offline_page
from zsfuzz.machine.core.migrate import isolate_movable_page
from zsfuzz.machine.core.page_isolation import has_unmovable_pages
from zsfuzz.machine.layout import GFP_KERNEL, ZONE_NORMAL, PG_waiters
from zsfuzz.machine.report import Report
from zsfuzz.target.fault import Fault, plant
from zsfuzz.target.protocol import Target

Scenario = Callable[[World], object]


def contents(world: World, handles: list[int], size: int = CLASS_3264) -> list[bool]:
    """Which objects still hold what was written."""
    return [world.read(handle, size) == content(number, size) for number, handle in enumerate(handles)]


def compact_zone(world: World) -> object:
    """Every page of the first zspages is offered to the migrate scanner."""
    handles = world.fill(80)
    world.free(*handles[60:75])
    return compact_range(world.core, 64, 72, 2)


def isolate_one(world: World) -> object:
    """isolate(p1)."""
    return world.isolate(world.pages(world.malloc())[1])


def isolate_and_putback(world: World) -> object:
    """isolate(p1), putback(p1), free."""
    handle = world.malloc()
    page = world.pages(handle)[1]
    world.isolate(page)
    world.putback()
    words = [world.machine.load(page + offset) for offset in (32, 40)]
    world.free(handle)
    return words, world.clean()


def move_one(world: World, index: int = 1) -> object:
    """Migrate one page, read everything back, free it."""
    handles = world.fill(5)
    result = world.move(world.pages(handles[0])[index])
    intact = contents(world, handles)
    world.free(*handles)
    return result, intact, world.clean()


def malloc_and_free(world: World) -> object:
    """malloc, free."""
    world.free(world.malloc())
    return world.clean()


def two_isolated(world: World) -> object:
    """isolate(p0); is p1 isolated?"""
    first, second = world.pages(world.malloc())[:2]
    return world.isolate(first), world.isolate(second)


def lost_wakeup(world: World) -> object:
    """Just before the flags word is stored to, a waiter sets PG_waiters: is his bit ever lost?"""
    handles = world.fill(4)
    zspage, store = world.target.zspage_of(handles[0]), world.target.k.store
    lost = []

    def store_too_late(address: int, value: int) -> None:
        if address == zspage:
            world.machine.set_bit(PG_waiters, zspage)
        store(address, value)
        if address == zspage:
            lost.append(not world.machine.test_bit(PG_waiters, zspage))

    world.target.k.store = store_too_late
    world.free(handles[0])
    return any(lost)


def unmovable_behind(world: World) -> object:
    """[Z.p0][kernel page]: has_unmovable_pages() over the block has to find the kernel page."""
    page = world.pages(world.malloc(CLASS_2048, GFP_KERNEL))[0]
    for _ in range(3):
        world.machine.buddy.alloc_page(GFP_KERNEL)
    return has_unmovable_pages(world.core, ZONE_NORMAL, page, 0) != 0


def neighbours(world: World) -> object:
    """PageHuge() of a page for every count of objects in its zspage."""
    answers = []
    for _ in range(5):
        handle = world.malloc()
        answers.append([world.d.PageHuge(page) for page in world.pages(handle)])
    return answers


def mapped(world: World) -> object:
    """page_mapped() and page_mapcount()."""
    page = world.pages(world.malloc())[0]
    return world.d.page_mapped(page), world.d.page_mapcount(page)


def last_put(world: World) -> object:
    """get(p2), free(last), put(p2)."""
    handle = world.malloc()
    page = world.pages(handle)[2]
    world.d.get_page_unless_zero(page)
    world.free(handle)
    world.d.put_page(page)
    return world.clean()


def stale_head(world: World) -> object:
    """The head changes between the look at it and the get."""
    page = world.pages(world.malloc(CLASS_2048))[0]
    other = world.target.zspage_of(world.malloc(100))
    rules = world.d
    assert isinstance(rules, MemdescRules)
    get = world.machine.atomic_add_unless32

    def get_late(address: int, delta: int, unless: int) -> bool:
        world.machine.store(page + 8, other | 1)
        return get(address, delta, unless)

    world.machine.atomic_add_unless32 = get_late
    rules.get_page_unless_zero(page)
    world.machine.atomic_add_unless32 = get
    return world.count(other)


def put_through_the_head(world: World) -> object:
    """get(Z), free(last), put(Z): as a scanner does that looked up the head first."""
    handle = world.malloc()
    head = world.target.zspage_of(handle)
    world.d.get_page_unless_zero(head)
    world.free(handle)
    world.d.put_page(head)
    return world.clean()


def dead_isolated(world: World) -> object:
    """isolate(p0), free(last), migrate(p0), work."""
    handle = world.malloc()
    world.isolate(world.pages(handle)[0])
    world.free(handle)
    result = world.migrate()
    world.machine.run_work()
    return result, world.clean()


def failing_page(world: World) -> object:
    """[x - x -]: the pages in the gaps are had, the third cannot be; both gaps have to be as they were."""
    pages = [world.machine.buddy.alloc_page(MOVABLE) for _ in range(4)]
    world.d.put_page(pages[1])
    world.d.put_page(pages[3])
    before = world.counters()
    world.machine.failure.arm("page", 2)
    handle = world.target.zs_malloc(world.pool, CLASS_3264, MOVABLE)
    world.machine.failure.disarm()
    return handle, world.counters() == before, world.machine.buddy.free_blocks(1, 0, 1)


def half_built(world: World) -> object:
    """What a scanner can get of a zspage at the moment its pages begin to name it."""
    seen = []
    attach = world.target.set_compound_head

    def look(page: int, zspage: int) -> None:
        attach(page, zspage)
        seen.append(world.count(zspage))

    world.target.set_compound_head = look  # type: ignore[method-assign]
    world.malloc()
    return seen


def move_then_isolate(world: World) -> object:
    """migrate(p0), then isolate(p1)."""
    handle = world.malloc()
    first, second = world.pages(handle)[:2]
    world.move(first)
    return world.isolate(second)


def raw_count(world: World) -> object:
    """page_ref_count() of each page: has_unmovable_pages() ignores a page that says 0."""
    return [world.count(page) for page in world.pages(world.malloc())]


def poisoned(world: World) -> object:
    """memory_failure(p1), free(last): one frame stays away."""
    handle = world.malloc()
    memory_failure(world.core, world.machine.buddy.page_to_pfn(world.pages(handle)[1]))
    world.free(handle)
    return world.counters()


def soft_offlined(world: World) -> object:
    """soft_offline_page(p1)."""
    handles = world.fill(3)
    result = soft_offline_page(world.core, world.machine.buddy.page_to_pfn(world.pages(handles[0])[1]))
    return result, contents(world, handles)


def huge_moves(world: World) -> object:
    """A huge object is written, migrated, read, freed."""
    handle = world.malloc(HUGE)
    world.write(handle, content(1, HUGE))
    result = world.move(world.pages(handle)[0])
    intact = world.read(handle, HUGE) == content(1, HUGE)
    world.free(handle)
    return result, intact, world.clean()


def many_zspages(world: World) -> object:
    """Several descriptors from one slab."""
    return [bool(world.malloc(HUGE)) for _ in range(6)]


def held_over_migration(world: World) -> object:
    """get(p0), migrate(p1)."""
    handle = world.malloc()
    first, second = world.pages(handle)[:2]
    world.d.get_page_unless_zero(first)
    return world.move(second)


def fullness_words(world: World) -> object:
    """[xxxxx] -> [x....]: what the packed word says at each step."""
    handles, words = world.fill(5), []
    for handle in handles[1:]:
        words.append(world.view(handles[0]).fullness)
        world.free(handle)
    return words


def compact_objects(world: World) -> object:
    """[xxxx.] [xx...] [xx...] -> [xxxxx] [xxx..]: the first destination gets full."""
    handles = world.fill(15)
    kept = [0, 1, 2, 3, 5, 6, 10, 11]
    world.free(*[handle for number, handle in enumerate(handles) if number not in kept])
    freed = world.target.zs_compact(world.pool)
    return freed, [world.read(handles[n], CLASS_3264) == content(n, CLASS_3264) for n in kept]


def list_order(world: World) -> object:
    """Three objects, and one: the emptier zspage comes back second."""
    handles = world.fill(6)
    world.free(*handles[0:2])
    world.isolate(world.pages(handles[5])[0])
    world.putback()
    return world.target.zspage_of(world.malloc()) == world.target.zspage_of(handles[2])


def malloc_while_isolated(world: World) -> object:
    """isolate(p0), malloc: not from this zspage."""
    handle = world.malloc()
    world.isolate(world.pages(handle)[0])
    return world.target.zspage_of(world.malloc()) == world.target.zspage_of(handle)


def other_zone(world: World) -> object:
    """A page from ZONE_MOVABLE goes to ZONE_NORMAL."""
    handle = world.malloc()
    page = world.pages(handle)[0]
    isolate_movable_page(world.core, page)
    newpage, d = world.machine.buddy.alloc_page(GFP_KERNEL), world.d
    lock, new_lock = d.lock_page(page), d.lock_page(newpage)
    world.target.zs_page_migrate(d.page_mapping(page), newpage, page, 2)
    d.clear_page_isolated(page)
    d.unlock_page(newpage, new_lock)
    d.unlock_page(page, lock)
    return [world.machine.buddy.zone_page_state(zone, 1) for zone in (0, 1)]


def last_page_moves(world: World) -> object:
    """migrate(p3)."""
    return move_one(world, 3)


def straddling_write(world: World) -> object:
    """Every object of a zspage, straddling ones too, reads as it was written."""
    handles = world.fill(5)
    return contents(world, handles)


SCENARIOS: dict[str, Scenario] = {
    "H01": compact_zone,
    "H02": isolate_one,
    "H03": isolate_and_putback,
    "H04": isolate_and_putback,
    "H05": move_one,
    "H06": malloc_and_free,
    "H07": two_isolated,
    "H08": move_one,
    "H09": lost_wakeup,
    "H10": move_one,
    "H11": unmovable_behind,
    "H11-thp": move_one,
    "H12": neighbours,
    "H13": mapped,
    "H14": last_put,
    "H15": stale_head,
    "H16": dead_isolated,
    "H17": malloc_and_free,
    "H18": failing_page,
    "H19": half_built,
    "H20": move_then_isolate,
    "H22": raw_count,
    "H23": poisoned,
    "H23-soft": soft_offlined,
    "H28": isolate_and_putback,
    "H31": huge_moves,
    "H34": many_zspages,
    "C-straddle": straddling_write,
    "C-destructor": malloc_and_free,
    "C-pages-index": last_page_moves,
    "C-freeze": held_over_migration,
    "C-put-owner": last_put,
    "C-fullness": fullness_words,
    "C-full": compact_objects,
    "C-list-order": list_order,
    "C-isolated-list": malloc_while_isolated,
    "C-deferred": dead_isolated,
    "C-zone": other_zone,
    "C-handle": move_one,
    "C-huge-header": huge_moves,
    "C-fail-stat": failing_page,
}


def outcome(target: type[Target], scenario: Scenario) -> object:
    """What a sequence observes, or the report that it runs into."""
    assert issubclass(target, Candidate)
    try:
        return scenario(World(target))
    except Report as report:
        return report.rule


WITH_SEQUENCE = [fault for fault in FAULTS if fault.id in SCENARIOS]
"""Those that a few calls show. All others are shown by programs: tests/quality/."""


def test_every_fault_has_an_id_and_every_sequence_a_fault_in_the_order_of_the_catalogue() -> None:
    ids = [fault.id for fault in FAULTS]
    assert len(set(ids)) == len(ids)
    assert list(SCENARIOS) == [fault.id for fault in WITH_SEQUENCE]


@pytest.mark.parametrize("scenario", dict.fromkeys(SCENARIOS.values()), ids=lambda scenario: scenario.__name__)
def test_a_sequence_raises_nothing_without_a_fault(scenario: Scenario) -> None:
    scenario(World())


@pytest.mark.parametrize("fault", WITH_SEQUENCE, ids=lambda fault: fault.id)
def test_a_planted_fault_shows(fault: Fault) -> None:
    scenario = SCENARIOS[fault.id]
    assert outcome(plant(Candidate, [fault]), scenario) != outcome(Candidate, scenario)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_belongs_to_the_candidate_and_overrides_something(fault: Fault) -> None:
    assert fault.target == "candidate" and fault.mechanism and fault.oracle
    planted = plant(Candidate, [fault])
    assert planted is not Candidate
    assert (fault.override is not None) or planted.rules is not Candidate.rules


def test_the_targets_are_found_by_name() -> None:
    assert [TARGETS[name] for name in ("candidate", "candidate-literal")] == [Candidate, Literal]


def test_the_literal_reading_shows_what_the_patches_are_for() -> None:
    """On an unpatched core: not isolated, not counted right, skipped, and taken for a compound page."""
    shown = [
        outcome(Literal, scenario) != outcome(Candidate, scenario)
        for scenario in (compact_zone, isolate_one, unmovable_behind, put_through_the_head, poisoned)
    ]
    assert all(shown)
    assert outcome(Literal, malloc_and_free) is True
