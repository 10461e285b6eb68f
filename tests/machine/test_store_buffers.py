"""Store buffers: what others see late, by every schedule of small programs (litmus tests).

A switch may hold stores back: nothing (0), everything since the last barrier (1), all but the newest (2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations, product
from random import Random

import pytest

from tests.machine.lane_world import Schedule, Step, World
from zsfuzz.machine.lanes import Lane, Lanes
from zsfuzz.machine.policies import RandomWalk

Body = Callable[[], None]
Barrier = Callable[[], object]


@pytest.fixture(scope="module")
def shared_world() -> World:
    return World(buffering=True)


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    shared_world.restart()
    yield shared_world
    shared_world.restart()


class Restless(RandomWalk):
    """Switches at every other point, and holds whatever there is."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        super().__init__(self.rng, 2)

    def choose(self, lanes: Lanes, lane: Lane, able: Sequence[int]) -> tuple[int, int]:
        """Any other lane."""
        return super().choose(lanes, lane, able)[0], self.rng.randrange(3)


def schedules(holds: tuple[int, ...], points: int = 5) -> Iterator[Schedule]:
    """Every schedule with at most one switch there and one back; lane 0 begins."""
    yield {}
    for first, hold in product(range(1, points), holds):
        there = {(0, 0, first): (1, hold)}
        yield there
        for back, hold_back in product(range(points), holds):
            yield there | {(1, 0, back): (0, hold_back)}


def outcomes(world: World, first: Body, second: Body, holds: tuple[int, ...] = (0, 1, 2)) -> set[tuple[object, ...]]:
    """Return what the two lanes saw, each a pair (lane, value), over all schedules."""
    return {
        tuple(sorted(world.seen, key=repr))
        for schedule in schedules(holds)
        if world.follow(schedule, [first], [second]) is not None
    }


# -- store buffering: x = 1; r0 = y  ||  y = 1; r1 = x


def store_then_look(world: World, mine: int, other: int, barrier: Barrier = lambda: None) -> Body:
    def body() -> None:
        world.k.store(mine, 1)
        barrier()
        world.seen.append((world.k.smp_processor_id(), world.k.load(other)))
        world.k.load(world.z)  # where a switch may come while the store is still held

    return body


def both(world: World, holds: tuple[int, ...], barrier: Barrier = lambda: None) -> bool:
    """Return whether both lanes may miss the other's store."""
    first, second = store_then_look(world, world.x, world.y, barrier), store_then_look(world, world.y, world.x, barrier)
    seen = outcomes(world, first, second, holds)
    assert {((0, 0), (1, 1)), ((0, 1), (1, 1))} <= seen
    return ((0, 0), (1, 0)) in seen


def test_two_lanes_may_miss_each_others_store_when_stores_are_held_and_no_barrier_follows(world: World) -> None:
    assert both(world, (0, 1, 2))
    assert not both(world, (0,)), "nothing is held"
    assert not both(world, (0, 1, 2), world.k.smp_mb)
    assert not both(world, (0, 1, 2), lambda: world.k.spin_trylock(world.lock, "lock"))
    assert not both(world, (0, 1, 2), lambda: world.k.atomic_add_return(world.z, 1))


def test_without_the_switch_nothing_is_ever_held() -> None:
    assert not both(World(), (0, 1, 2))


# -- message passing: data = 1; flag = 1  ||  r0 = flag; r1 = data


def flag_without_data(
    world: World, publish: Callable[[], None], holds: tuple[int, ...] = (0, 1, 2), barrier: Barrier = lambda: None
) -> bool:
    def writer() -> None:
        world.k.store(world.x, 1)
        barrier()
        publish()
        world.k.load(world.z)  # where a switch may come after both stores

    def reader() -> None:
        flag = world.k.load_acquire(world.y)
        world.seen.append((flag, world.k.load(world.x)))

    seen = outcomes(world, writer, reader, holds)
    assert {((0, 0),), ((1, 1),)} <= seen
    return ((1, 0),) in seen


def test_a_plain_flag_may_be_seen_before_the_data(world: World) -> None:
    plain: Body = lambda: world.k.store(world.y, 1)  # noqa: E731
    once: Body = lambda: world.k.write_once(world.y, 1)  # noqa: E731
    for publish in (plain, once):
        assert flag_without_data(world, publish)
        assert flag_without_data(world, publish, (0, 2))
        assert not flag_without_data(world, publish, (0, 1)), "all or nothing keeps the order"


def test_a_flag_that_is_stored_with_release_or_behind_a_barrier_is_not(world: World) -> None:
    plain: Body = lambda: world.k.store(world.y, 1)  # noqa: E731
    assert not flag_without_data(world, lambda: world.k.store_release(world.y, 1))
    assert not flag_without_data(world, plain, barrier=world.k.smp_wmb)
    assert not flag_without_data(world, plain, barrier=world.k.smp_mb)


def test_what_a_lane_stored_before_it_waits_wakes_or_ends_is_seen(world: World) -> None:
    """A lock, a wake-up and the end of a lane are barriers."""
    k = world.k

    def locked() -> None:
        k.store(world.x, 1)
        k.spin_lock(world.lock, "lock")
        k.load(world.z)
        k.spin_unlock(world.lock, "lock")

    def woken() -> None:
        k.wait_event(world.queue, lambda: world.lanes.lanes[0].point > 2, "point")
        world.seen.append(k.load(world.x))

    def waker() -> None:
        k.store(world.x, 1)
        k.wake_up_all(world.queue)
        k.load(world.z)

    for hold in (0, 1, 2):
        world.follow({(0, 0, 3): (1, hold)}, [locked], [world.see(world.x)])
        assert world.seen == [1]
        world.follow({(0, 0, 0): (1, 0), (0, 0, 3): (1, hold)}, [waker], [woken])
        assert world.seen == [1]
        world.follow({(0, 1, 0): (1, hold)}, [lambda: k.store(world.x, 1)], [world.see(world.x)])
        assert world.seen == [1]


# -- one word


def test_all_lanes_agree_on_the_order_of_stores_to_one_word(world: World) -> None:
    """Whoever has seen, or stored, a later value never sees an earlier one again."""
    k, x = world.k, world.x

    def lane(values: tuple[int, ...]) -> list[Step]:
        def store(value: int) -> Step:
            def step() -> None:
                k.store(x, value)
                history[k.smp_processor_id()].append(value)
                for _ in range(2):
                    history[k.smp_processor_id()].append(k.load(x))

            return step

        return [store(value) for value in values]

    for seed in range(300):
        history: list[list[int]] = [[], [], []]
        world.run(Restless(seed), lane((1, 2)), lane((3,)), lane((4,)))
        orders = [(0, *order) for order in permutations((1, 2, 3, 4)) if order.index(1) < order.index(2)]
        assert any(all(_agrees(each, order) for each in history) for order in orders), (seed, history)


def _agrees(values: list[int], order: tuple[int, ...]) -> bool:
    places = [order.index(value) for value in values]
    return places == sorted(places)


def test_stores_to_two_halves_of_a_word_do_not_disturb_each_other(world: World) -> None:
    def first() -> None:
        world.k.store32(world.x, 1)
        world.k.load(world.z)

    def second() -> None:
        world.k.store32(world.x + 4, 2)
        world.k.load(world.z)

    for schedule in schedules((0, 1, 2)):
        world.follow(schedule, [first], [second])
        assert world.k.load(world.x) == 2 << 32 | 1


def test_a_relaxed_addition_may_come_late_but_is_never_lost(world: World) -> None:
    k, x = world.k, world.x

    def add(delta: int) -> Body:
        def body() -> None:
            k.atomic_add(x, delta)
            k.load(world.z)

        return body

    for schedule in schedules((0, 1, 2)):
        world.follow(schedule, [add(1)], [add(10)])
        assert k.load(x) == 11
    look: list[Step] = [world.see(x)]
    for hold, seen in ((0, 1), (1, 0)):
        world.follow({(0, 0, 2): (1, hold)}, [add(1)], look)
        assert world.seen == [seen]


def test_an_ordered_addition_is_seen_at_once(world: World) -> None:
    def add() -> None:
        world.k.atomic_add_return(world.x, 1)
        world.k.load(world.z)

    world.follow({(0, 0, 2): (1, 1)}, [add], [world.see(world.x)])
    assert world.seen == [1]


@pytest.mark.parametrize("change", ["set", "clear"])
def test_a_bit_that_is_changed_behind_a_plain_store_is_never_lost(world: World, change: str) -> None:
    """store x = 4; set_bit 0: the store may be late for others, the bit stays set whenever it comes."""
    k, x = world.k, world.x

    def lane() -> None:
        k.store(x, 4 if change == "set" else 5)
        (k.set_bit if change == "set" else k.clear_bit)(0, x)
        k.load(world.z)

    for schedule in schedules((0, 1, 2)):
        world.follow(schedule, [lane], [world.see(x)])
        assert k.load(x) == (5 if change == "set" else 4)


def test_a_lane_always_sees_its_own_stores(world: World) -> None:
    k, x, y = world.k, world.x, world.y

    def lane() -> None:
        for value in range(1, 5):
            k.store(x, value)
            k.store(y, 10 * value)
            k.atomic_add(y, 1)
            world.seen.append((k.load(x), k.load(y)))

    other: list[Step] = [lambda: [k.load(x) for _ in range(9)]]
    for seed in range(60):
        world.run(Restless(seed), [lane], other)
        assert world.seen == [(value, 10 * value + 1) for value in range(1, 5)]
