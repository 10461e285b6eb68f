"""Preemption: every primitive that touches shared state passes a point, in a block and only there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.machine.conftest import make_machine
from tests.machine.lane_world import Step, World, chain
from zsfuzz.machine import points
from zsfuzz.machine.lanes import Lane, Taken
from zsfuzz.machine.machine import AddressSpaceOperations, Kernel
from zsfuzz.machine.report import Report

Call = Callable[[], object]


@pytest.fixture(scope="module")
def shared_world() -> World:
    return World()


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    shared_world.restart()
    yield shared_world
    shared_world.restart()


def primitives(owner: object) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_") and callable(getattr(owner, name))}


class Things:
    """What the calls below work on: made in the same lane, before the points are counted."""

    def __init__(self, world: World) -> None:
        k = world.k
        self.world = world
        self.a, self.b, self.c = k.kzalloc(64), k.kzalloc(64), k.kzalloc(64)
        k.INIT_LIST_HEAD(self.a)
        k.list_add(self.b, self.a)
        k.INIT_LIST_HEAD(self.c)
        self.cache = k.kmem_cache_create("zspage", 64)
        self.empty_cache = k.kmem_cache_create("zs_handle", 8)
        self.object = k.kmem_cache_alloc(self.cache)
        self.page = k.alloc_page(0)
        self.block = world.machine.buddy.alloc_pages(0, 0)
        world.machine.d.page_ref_freeze(self.block, 1)
        self.work = k.kzalloc(16)
        k.INIT_WORK(self.work, k.register_work_function(lambda work: None))
        operations = AddressSpaceOperations(lambda page, mode: True, lambda *arguments: 0, lambda page: None)
        self.mapping = k.alloc_address_space(1, k.register_address_space_operations(operations))
        k.register_shrinker(self.c)

    def lock_all(self) -> None:
        """Take what is released below."""
        world, k = self.world, self.world.k
        for take, word in ((k.spin_lock, world.x), (k.read_lock, world.y), (k.write_lock, world.z)):
            take(word, f"lock {word}")
        k.bit_spin_lock(1, world.lock, "bit")


def kernel_calls(t: Things) -> dict[str, Call]:
    """One call of each primitive of a target that touches what other lanes may touch."""
    k, world, free = t.world.k, t.world, t.world.queue
    frame = k.kmap(t.page)
    return {
        **{
            name: partial(getattr(k, name), t.a + 16)
            for name in ("load", "load32", "load8", "load_acquire", "read_once")
        },
        **{
            name: partial(getattr(k, name), t.a + 16, 1) for name in ("store", "store32", "store_release", "write_once")
        },
        **{
            name: partial(getattr(k, name), t.a + 16, 1) for name in ("atomic_add", "atomic_add32", "atomic_add_return")
        },
        **{name: partial(getattr(k, name), 1, t.a + 16) for name in ("set_bit", "clear_bit", "test_bit")},
        **{name: partial(getattr(k, name), free, "free") for name in ("spin_lock", "spin_trylock", "read_lock")},
        **{name: partial(getattr(k, name), free, "free") for name in ("write_lock", "write_trylock")},
        **{name: partial(getattr(k, name), 3, free, "free") for name in ("bit_spin_lock", "bit_spin_trylock")},
        "spin_unlock": partial(k.spin_unlock, world.x, f"lock {world.x}"),
        "read_unlock": partial(k.read_unlock, world.y, f"lock {world.y}"),
        "write_unlock": partial(k.write_unlock, world.z, f"lock {world.z}"),
        "bit_spin_unlock": partial(k.bit_spin_unlock, 1, world.lock, "bit"),
        "bit_spin_is_locked": partial(k.bit_spin_is_locked, 1, world.lock),
        "INIT_LIST_HEAD": partial(k.INIT_LIST_HEAD, t.c),
        "list_add": partial(k.list_add, t.c + 16, t.a),
        "list_add_tail": partial(k.list_add_tail, t.c + 16, t.a),
        "list_del": partial(k.list_del, t.b),
        "list_del_init": partial(k.list_del_init, t.b),
        "list_splice_init": partial(k.list_splice_init, t.a, t.c),
        "list_empty": partial(k.list_empty, t.a),
        "list_first": partial(k.list_first, t.a),
        "list_entries": partial(k.list_entries, t.a),
        "kmem_cache_create": partial(k.kmem_cache_create, "zs_handle", 8),
        "kmem_cache_destroy": partial(k.kmem_cache_destroy, t.empty_cache),
        "kmem_cache_alloc": partial(k.kmem_cache_alloc, t.cache),
        "kmem_cache_free": partial(k.kmem_cache_free, t.cache, t.object),
        "kmalloc": partial(k.kmalloc, 64),
        "kzalloc": partial(k.kzalloc, 64),
        "kfree": partial(k.kfree, t.a, 64),
        "alloc_page": partial(k.alloc_page, 0),
        "alloc_address_space": partial(k.alloc_address_space, 1, 0),
        "iput": partial(k.iput, t.mapping),
        "mapping_private_data": partial(k.mapping_private_data, t.mapping),
        "mod_zone_page_state": partial(k.mod_zone_page_state, 0, 0, 1),
        "read_bytes": partial(k.read_bytes, frame, 8),
        "write_bytes": partial(k.write_bytes, frame, b"12345678"),
        "memset": partial(k.memset, frame, 1, 8),
        "memcpy": partial(k.memcpy, frame, frame + 64, 8),
        "INIT_WORK": partial(k.INIT_WORK, t.work, 0),
        "schedule_work": partial(k.schedule_work, t.work),
        "flush_work": partial(k.flush_work, t.work),
        "register_shrinker": partial(k.register_shrinker, t.b),
        "unregister_shrinker": partial(k.unregister_shrinker, t.c),
        "wait_event": partial(k.wait_event, free, lambda: True, "nothing"),
        "wake_up_all": partial(k.wake_up_all, free),
        "spin_until": partial(k.spin_until, lambda: bool(k.load(t.a)), "nothing"),
        "cond_resched": partial(k.cond_resched, 1),
    }


def core_calls(t: Things) -> dict[str, Call]:
    """Primitives that only the core uses."""
    machine, free = t.world.machine, t.world.queue
    return {
        "atomic_add_unless32": partial(machine.atomic_add_unless32, t.a + 16, 1, 0),
        "atomic_cmpxchg32": partial(machine.atomic_cmpxchg32, t.a + 16, 0, 1),
        "test_and_set_bit": partial(machine.test_and_set_bit, 1, t.a + 16),
        "wait_on_bit": partial(machine.locks.wait_on_bit, 1, free, "free"),
        "alloc_pages": partial(machine.buddy.alloc_pages, 0, 1),
        "free_unref_page": partial(machine.buddy.free_unref_page, t.block),
        "run_work": machine.run_work,
        "run_shrinker": partial(machine.run_shrinker, lambda: 0),
        "relax": machine.relax,
        "pending_work": machine.pending_work,
        "registered_shrinkers": machine.registered_shrinkers,
        "mapping_operations": partial(machine.mapping_operations, t.mapping),
    }


POINTLESS = {
    "BUG": "ends the run",
    "kmap": "arithmetic",
    "pfn_to_page": "arithmetic",
    "page_to_pfn": "arithmetic",
    "smp_processor_id": "the lane's own",
    "smp_mb": "touches nothing",
    "smp_wmb": "touches nothing",
    "register_work_function": "when the target is made",
    "register_address_space_operations": "when the target is made",
    "pair_index": "of the list operations, which have a point",
    "fresh_pair_index": "of the list operations, which have a point",
}
"""Primitives of a target without a point, and why."""

INSIDE = {
    "Memory": {
        *("bad_access", "describe", "filtered_store", "frame_allocated", "frame_freed", "frame_is_free", "inside"),
        *("lock_index", "memmap", "page_words", "poison_all_frames", "put_back_heap", "restore", "save_heap"),
        *("snapshot", "used_pfns", "word_index", "write_bytes_unchecked", "pair_index", "fresh_pair_index"),
    },
    "Locks": {"blocked", "hold", "release"},
    "Lists": set[str](),
    "Slab": {"cache_name", "core_alloc", "is_live", "live_by_cache", "live_objects"},
    "Buddy": {  # arithmetic, or under zone->lock
        *("buddy_order", "checked_pfn", "free_block_of", "free_blocks", "free_one_page", "free_pages_prepare"),
        *("get_pageblock_migratetype", "get_pageblock_skip", "is_buddy", "is_free_buddy_page", "move_freepages_block"),
        *("page_to_pfn", "pfn_to_page", "prep_taken", "section_online", "set_pageblock_migratetype", "zone_of_pfn"),
        *("set_pageblock_skip", "set_section_online", "split_free_block", "take_free_block", "vmstat"),
        "zone_page_state",
    },
    "Machine": {
        *("BUG", "barrier", "kmap", "lists_over", "pfn_to_online_page", "register_address_space_operations"),
        *("register_work_function", "restore", "snapshot"),
    },
}
"""What the parts of a machine have beside: for each other, for oracles, and under a lock."""


def points_passed(world: World, calls: Callable[[Things], dict[str, Call]], name: str) -> int:
    """Return the points that one call passes in a block."""
    passed: list[int] = []

    def step() -> None:
        things = Things(world)
        act = calls(things)[name]
        if name.endswith("unlock"):
            things.lock_all()
        before = world.lanes.current.point
        act()
        passed.append(world.lanes.current.point - before)

    world.follow({}, [step])
    return passed[0]


def table(calls: Callable[[Things], dict[str, Call]]) -> list[str]:
    return list(calls(Things(World())))


KERNEL_CALLS, CORE_CALLS = table(kernel_calls), table(core_calls)


@pytest.mark.parametrize("name", KERNEL_CALLS)
def test_every_primitive_of_a_target_passes_a_point(world: World, name: str) -> None:
    assert points_passed(world, kernel_calls, name) >= 1


@pytest.mark.parametrize("name", CORE_CALLS)
def test_every_primitive_of_the_core_passes_a_point(world: World, name: str) -> None:
    assert points_passed(world, core_calls, name) >= 1


def test_the_tables_above_leave_no_primitive_out(world: World) -> None:
    """A new one has to be called above, or to say why it needs no point."""
    assert primitives(world.k) == {*KERNEL_CALLS, *POINTLESS}
    machine, known = world.machine, {*KERNEL_CALLS, *CORE_CALLS}
    parts = (machine.memory, machine.locks, machine.lists, machine.slab, machine.buddy, machine)
    for part in parts:
        assert primitives(part) - known == INSIDE[type(part).__name__.removeprefix("Lane")], type(part).__name__


@pytest.mark.parametrize("calls", [kernel_calls, core_calls])
def test_nothing_is_a_point_outside_a_block(world: World, calls: Callable[[Things], dict[str, Call]]) -> None:
    before = world.lanes.passed
    for name in calls(Things(world)):
        world.restart()
        things = Things(world)
        act = calls(things)[name]
        if name.endswith("unlock"):
            things.lock_all()
        act()
    assert world.lanes.passed == before


def test_barriers_keep_back_nothing_and_pass_no_point(world: World) -> None:
    def step() -> None:
        before = world.lanes.current.point
        world.k.smp_mb()
        world.k.smp_wmb()
        assert world.lanes.current.point == before

    world.follow({}, [step])


# -- what an access is told as


class Kinds:
    """An observer that keeps the accesses of one lane."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def access(self, lane: Lane, kind: int, address: int) -> None:
        self.seen.append((kind, address))

    def switched(self, taken: Taken) -> None:
        pass

    def acquired(self, lane: Lane, name: str, address: int) -> None:
        pass

    def released(self, lane: Lane, name: str, address: int) -> None:
        pass


def test_an_access_is_told_with_its_kind_and_address(world: World) -> None:
    k, x = world.k, world.x
    steps: list[tuple[Step, int]] = [
        (lambda: k.load(x), points.LOAD),
        (lambda: k.read_once(x), points.READ_ONCE),
        (lambda: k.load_acquire(x), points.LOAD_ACQUIRE),
        (lambda: k.store(x, 1), points.STORE),
        (lambda: k.write_once(x, 1), points.WRITE_ONCE),
        (lambda: k.store_release(x, 1), points.STORE_RELEASE),
        (lambda: k.load32(x), points.LOAD32),
        (lambda: k.store32(x, 1), points.STORE32),
        (lambda: k.load8(x), points.LOAD8),
        (lambda: k.atomic_add(x, 1), points.RELAXED),
        (lambda: k.atomic_add_return(x, 1), points.ATOMIC),
        (lambda: k.atomic_add32(x, 1), points.ATOMIC32),
        (lambda: k.set_bit(1, x), points.ATOMIC_BIT),
        (lambda: k.test_bit(1, x), points.TEST_BIT),
        (lambda: k.spin_trylock(x, "x"), points.TRYLOCK),
    ]
    world.lanes.observer = kinds = Kinds()
    try:
        world.follow({}, [chain(*[step for step, _ in steps])])
    finally:
        world.lanes.observer = None
    assert kinds.seen == [(points.BEGIN, 0), *[(kind, x) for _, kind in steps]]


def test_two_accesses_conflict_if_they_touch_one_word_and_one_of_them_stores() -> None:
    load, store, store32 = points.LOAD, points.STORE, points.STORE32
    assert points.conflict((load, 64), (store, 64)) and points.conflict((store, 64), (store, 64))
    assert points.conflict((store32, 68), (load, 64)), "two halves of one word"
    assert not points.conflict((load, 64), (load, 64)) and not points.conflict((store, 64), (store, 72))
    assert not points.conflict((points.BEGIN, 0), (points.RELAX, 0))
    assert len(points.NAMES) == len(set(points.NAMES)) == points.BARRIER + 1


# -- what is not one step


def test_a_page_is_copied_in_halves(world: World) -> None:
    """
    lane 0  copy first half |           | copy second half      [ 1 1 1 1 | 2 2 2 2 ]
    lane 1                  | fill with 2 |
    """
    k = world.k
    size = k.page_size
    pages: list[int] = []

    def prepare() -> None:
        pages[:] = [k.kmap(k.alloc_page(0)) for _ in range(2)]
        k.memset(pages[0], 1, size)
        k.memset(pages[1], 9, size)

    fill: list[Step] = [lambda: k.memset(pages[0], 2, size)]
    copy: list[Step] = [prepare, lambda: k.memcpy(pages[1], pages[0], size)]
    world.follow({(0, 1, 2): (1, 0)}, copy, fill)
    assert k.read_bytes(pages[1], size) == b"\1" * (size // 2) + b"\2" * (size // 2)
    world.follow({(0, 1, 1): (1, 0)}, copy, fill)
    assert k.read_bytes(pages[1], size) == b"\2" * size
    read: list[Step] = [prepare, lambda: world.seen.append(k.read_bytes(pages[0], size))]
    world.follow({(0, 1, 2): (1, 0)}, read, fill)
    assert world.seen == [b"\1" * (size // 2) + b"\2" * (size // 2)]
    write: list[Step] = [prepare, lambda: k.memset(pages[0], 3, size)]
    world.follow({(0, 1, 2): (1, 0)}, write, fill)
    assert k.read_bytes(pages[0], size) == b"\2" * (size // 2) + b"\3" * (size // 2)


def test_a_short_copy_is_one_step(world: World) -> None:
    def step() -> None:
        page = world.k.kmap(world.k.alloc_page(0))
        world.k.memset(page, 1, 256)
        before = world.lanes.current.point
        world.k.memcpy(page, page, 256)
        assert world.lanes.current.point == before + 1
        world.k.memcpy(page, page, 264)
        assert world.lanes.current.point == before + 3

    world.follow({}, [step])


# -- zone->lock


@pytest.mark.parametrize("what", ["alloc", "free"])
def test_a_held_zone_lock_keeps_others_out_of_the_page_allocator(world: World, what: str) -> None:
    """
    lane 0  zone->lock, looks at the free lists |             | looks again: the same | unlock
    lane 1                                      | alloc: parked |                              | alloc
    """
    buddy, core, k = world.machine.buddy, world.core, world.k
    pages: list[int] = []

    def scan() -> None:
        core.lock_zone(0)
        world.seen.append(buddy.vmstat())
        k.load(world.x)
        world.seen.append(buddy.vmstat())
        core.unlock_zone(0)

    def use() -> None:
        if what == "alloc":
            k.alloc_page(0)
        else:
            world.machine.d.free_page(pages[0])
        world.seen.append("used")

    prepare: Step = lambda: pages.__setitem__(slice(None), [k.alloc_page(0)])  # noqa: E731
    taken = world.follow({(0, 1, 2): (1, 0)}, [prepare, scan], [use])
    assert world.seen[0] == world.seen[1] and world.seen[2] == "used"
    assert "blocked" in [each.why for each in taken]


def test_pages_are_given_out_once(world: World) -> None:
    """At every point of an allocation another lane allocates: never the same page."""
    k = world.k
    for point in range(4):
        pages: list[int] = []
        take: Step = lambda pages=pages: pages.append(k.alloc_page(0))  # type: ignore[misc]  # noqa: E731
        world.follow({(0, 0, point): (1, 0)}, [take, take], [take, take])
        assert len(set(pages)) == 4 and 0 not in pages


# -- atomic context


@pytest.mark.parametrize("take", ["spin_lock", "read_lock", "write_lock", "bit"])
def test_sleeping_for_a_page_under_a_spinlock_is_reported(world: World, take: str) -> None:
    """Even where the page is free at the moment."""
    k = world.k

    def step() -> None:
        if take == "bit":
            k.bit_spin_lock(0, world.lock, "pin")
        else:
            getattr(k, take)(world.lock, "pin")
        world.machine.d.lock_page(k.pfn_to_page(40))

    with pytest.raises(Report) as caught:
        world.follow({}, [step])
    assert (caught.value.kind, caught.value.rule) == ("invariant", "sleeping in atomic context")
    assert "page lock while holding the spinlock pin" in str(caught.value)


def test_a_page_lock_may_be_waited_for_under_another_and_tried_under_a_spinlock(world: World) -> None:
    d, k = world.machine.d, world.k
    first, second = k.pfn_to_page(40), k.pfn_to_page(41)

    def step() -> None:
        d.lock_page(first)
        d.lock_page(second)
        k.spin_lock(world.lock, "lock")
        assert not d.trylock_page(first)
        k.spin_unlock(world.lock, "lock")
        d.unlock_page(second, second)
        d.unlock_page(first, first)

    world.follow({}, [step])


# -- a machine without lanes


def test_a_machine_without_lanes_has_the_plain_primitives(world: World) -> None:
    """The same names, no point, no cost."""
    plain = make_machine()
    kernel = Kernel(plain, None)
    assert plain.memory.load.__qualname__ != world.machine.memory.load.__qualname__
    assert kernel.smp_processor_id() == 0 and kernel.nr_cpus == 1
    assert primitives(kernel) == primitives(world.k)
