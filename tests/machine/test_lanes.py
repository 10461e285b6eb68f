"""Lanes: switches are obeyed and recorded, who waits is parked, who can never run again is reported."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from random import Random

import pytest
from greenlet import greenlet

from tests.machine.lane_world import Schedule, Step, World, chain, schedule_of
from zsfuzz.machine import lanes as lanes_module
from zsfuzz.machine.lanes import SLEEP, Lane, Taken, Wait
from zsfuzz.machine.policies import MAKERS, make_policy
from zsfuzz.machine.report import Report


@pytest.fixture(scope="module")
def shared_world() -> World:
    return World()


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    yield shared_world
    shared_world.restart()


def reported(world: World, schedule: Schedule, *bodies: list[Step]) -> Report:
    with pytest.raises(Report) as caught:
        world.follow(schedule, *bodies)
    return caught.value


# -- who runs


def test_without_a_schedule_lanes_run_one_after_the_other(world: World) -> None:
    taken = world.follow({}, *[[world.note((lane, step), world.x) for step in range(2)] for lane in range(3)])
    assert world.seen == [(lane, step) for lane in range(3) for step in range(2)]
    assert [(each.lane, each.to, each.why, each.default) for each in taken] == [
        (0, 1, "ended", True),
        (1, 2, "ended", True),
    ]


def test_a_switch_is_obeyed_at_its_point(world: World) -> None:
    """
    lane 0  begin, x |                | y, end        the switch is before access 2
    lane 1           | begin, x, end  |
    """

    def two() -> None:
        world.seen.append(("x", world.k.load(world.x)))
        world.seen.append(("y", world.k.load(world.y)))

    other: list[Step] = [lambda: (world.k.store(world.x, 1), world.k.store(world.y, 1))]
    taken = world.follow({(0, 0, 2): (1, 0)}, [two], other)
    assert world.seen == [("x", 0), ("y", 1)]
    assert taken == [
        Taken(0, 0, 2, 1, 0, "preempted", False),
        Taken(1, 1, 0, 0, 0, "ended", True),
    ]


def test_points_are_counted_in_each_operation_anew(world: World) -> None:
    """A step more in front changes the number of the operation and nothing else."""
    short = [world.note("a", world.x, world.x)]
    longer = [world.note("first", world.x), *short]
    other = [world.note("other", world.x)]
    world.follow({(0, 0, 2): (1, 0)}, short, other)
    assert world.seen == ["other", "a"]
    world.follow({(0, 1, 2): (1, 0)}, longer, other)
    assert world.seen == ["first", "other", "a"]


def test_a_switch_whose_point_is_never_reached_or_whose_lane_cannot_run_does_nothing(world: World) -> None:
    bodies = [world.note("a", world.x)], [world.note("b", world.x)]
    for place, to in (((0, 0, 9), 1), ((0, 7, 0), 1), ((1, 0, 1), 0), ((1, 0, 1), 1)):
        assert len(world.follow({place: (to, 0)}, *bodies)) == 1
        assert world.seen == ["a", "b"]


def test_at_a_lanes_end_the_schedule_may_name_another_than_the_next(world: World) -> None:
    bodies = [[world.note(lane, world.x)] for lane in range(3)]
    taken = world.follow({(0, 1, 0): (2, 0)}, *bodies)
    assert world.seen == [0, 2, 1]
    assert [(each.to, each.default) for each in taken] == [(2, False), (1, True)]


def test_a_lane_without_operations_ends_at_once(world: World) -> None:
    taken = world.follow({}, [], [world.note("b", world.x)])
    assert world.seen == ["b"]
    assert [(each.lane, each.to) for each in taken] == [(0, 1)]


def contended(world: World) -> list[list[Step]]:
    """Three lanes that take a lock, sleep, spin, and race on words."""
    k, x, y, z = world.k, world.x, world.y, world.z

    def add_under_lock() -> None:
        k.spin_lock(world.lock, "lock")
        k.store(x, k.load(x) + 1)
        k.spin_unlock(world.lock, "lock")

    def add_anyhow() -> None:
        k.store(y, k.load(y) * 3 + k.smp_processor_id())

    def wake() -> None:
        k.atomic_add(z, 1)
        k.wake_up_all(world.queue)

    def sleep() -> None:
        k.wait_event(world.queue, lambda: k.load(z) > 0, "z")

    def spin() -> None:
        k.spin_until(lambda: k.load(z) > 0, "z")

    return [
        [add_under_lock, add_anyhow, sleep, add_anyhow],
        [add_anyhow, spin, add_under_lock],
        [add_under_lock, add_anyhow, wake, add_anyhow],
    ]


@pytest.mark.parametrize("policy", MAKERS)
def test_the_switches_that_were_made_give_the_same_run(policy: str) -> None:
    for buffering in (False, True):
        world = World(buffering=buffering)
        bodies, different = contended(world), set()
        for seed in range(12):
            taken = world.run(make_policy(policy, Random(seed), (25, 20, 25)), *bodies)
            arena, lengths = bytes(world.machine.memory.arena), [lane.passed for lane in world.lanes.lanes]
            assert world.follow(schedule_of(taken), *bodies) == taken
            assert bytes(world.machine.memory.arena) == arena
            assert [lane.passed for lane in world.lanes.lanes] == lengths
            different.add(tuple(taken))
        assert len(different) > (2 if policy == "round-robin" else 6)


@pytest.mark.parametrize("policy", MAKERS)
def test_a_policy_decides_by_its_seed_alone(world: World, policy: str) -> None:
    bodies = contended(world)
    first, again = ([world.run(make_policy(policy, Random(7), (25, 20, 25)), *bodies)] for _ in range(2))
    assert first == again


# -- who waits

LOCKS: dict[str, Callable[[World], tuple[Step, Step]]] = {
    "spinlock": lambda w: (
        lambda: w.k.spin_lock(w.lock, "lock"),
        lambda: w.k.spin_unlock(w.lock, "lock"),
    ),
    "writer": lambda w: (
        lambda: w.k.write_lock(w.lock, "lock"),
        lambda: w.k.write_unlock(w.lock, "lock"),
    ),
    "bit lock": lambda w: (
        lambda: w.k.bit_spin_lock(5, w.lock, "lock"),
        lambda: w.k.bit_spin_unlock(5, w.lock, "lock"),
    ),
    "page lock": lambda w: (
        lambda: w.machine.d.lock_page(w.k.pfn_to_page(40)),
        lambda: w.machine.d.unlock_page(w.k.pfn_to_page(40), w.k.pfn_to_page(40)),
    ),
}


@pytest.mark.parametrize("kind", LOCKS)
def test_who_finds_a_lock_taken_is_parked_until_it_is_released(world: World, kind: str) -> None:
    """
    lane 0  take |      | x, release, end |
    lane 1       | park |                 | take, x, release
    """
    take, release = LOCKS[kind](world)

    def inside() -> None:
        take()
        world.seen.append(f"{world.k.smp_processor_id()} in")
        world.k.load(world.x)
        world.seen.append(f"{world.k.smp_processor_id()} out")
        release()

    at_x = {"page lock": 3}.get(kind, 2)  # lock_page() asks for compound_head first
    taken = world.follow({(0, 0, at_x): (1, 0)}, [inside], [inside])
    assert world.seen == ["0 in", "0 out", "1 in", "1 out"]
    assert [(each.lane, each.why) for each in taken] == [(0, "preempted"), (1, "blocked"), (0, "ended")]
    assert not world.machine.locks.held


def test_readers_do_not_wait_for_each_other_but_a_writer_waits_for_all(world: World) -> None:
    k = world.k

    def read() -> None:
        k.read_lock(world.lock, "lock")
        world.seen.append("read")
        k.load(world.x)
        k.read_unlock(world.lock, "lock")
        world.seen.append("read out")

    def write() -> None:
        k.write_lock(world.lock, "lock")
        world.seen.append("write")
        k.write_unlock(world.lock, "lock")

    schedule = {(0, 0, 2): (1, 0), (1, 0, 2): (2, 0), (0, 1, 0): (2, 0)}
    taken = world.follow(schedule, [read, world.note("after", world.x)], [read], [write])
    assert world.seen == ["read", "read", "read out", "after", "read out", "write"]
    assert sum(each.why == "blocked" for each in taken) == 2  # asked again after the first reader, parked again


def test_who_waits_for_a_page_without_taking_its_lock_goes_on_at_the_release(world: World) -> None:
    d, page = world.machine.d, world.k.pfn_to_page(40)

    def hold() -> None:
        d.lock_page(page)
        world.k.load(world.x)
        world.seen.append("held")
        d.unlock_page(page, page)

    def wait() -> None:
        d.wait_on_page_locked(page)
        world.seen.append("waited")

    world.follow({(0, 0, 3): (1, 0)}, [hold], [wait])
    assert world.seen == ["held", "waited"]


def test_a_trylock_does_not_wait(world: World) -> None:
    k = world.k
    hold: list[Step] = [lambda: (k.spin_lock(world.lock, "lock"), k.load(world.x), k.spin_unlock(world.lock, "lock"))]
    attempt: list[Step] = [lambda: world.seen.append(k.spin_trylock(world.lock, "lock"))]
    taken = world.follow({(0, 0, 2): (1, 0)}, hold, attempt)
    assert world.seen == [False]
    assert all(each.why != "blocked" for each in taken)


def test_a_work_item_that_runs_is_waited_for(world: World) -> None:
    """flush_work() while another lane is inside the work function."""
    machine, work = world.machine, world.work
    run = chain(world.note("done", world.x))
    number = machine.register_work_function(lambda work: run())
    begin = chain(lambda: machine.INIT_WORK(work, number), lambda: machine.schedule_work(work))
    flush = chain(lambda: machine.flush_work(work), world.note("flushed"))
    points = 0
    while True:  # every place of the first flush
        points += 1
        taken = world.follow({(0, 1, points): (1, 0)}, [begin, flush], [flush])
        assert world.seen.index("done") < world.seen.index("flushed")
        if any(each.why == "blocked" for each in taken):
            break
    assert points < 12


def test_a_deadlock_is_told_with_who_waits_for_whom(world: World) -> None:
    """
    lane 0  a |   | b: taken
    lane 1    | b |          | a: taken
    """
    k, a, b = world.k, world.lock, world.y

    def nested(outer: int, inner: int) -> Step:
        names = {a: "a", b: "b"}
        return lambda: (k.spin_lock(outer, names[outer]), k.load(world.x), k.spin_lock(inner, names[inner]))

    report = reported(world, {(0, 0, 2): (1, 0)}, [nested(a, b)], [nested(b, a)])
    assert (report.kind, report.rule, report.field) == ("progress", "deadlock", "a and b")
    assert str(report) == (
        "deadlock: lane 0 (holds a) spins for b, held by lane 1; lane 1 (holds b) spins for a, held by lane 0"
    )


def test_a_lock_that_was_never_released_is_told_apart(world: World) -> None:
    take: Step = lambda: world.k.spin_lock(world.lock, "lock")  # noqa: E731
    assert reported(world, {}, [take], [take]).rule == "deadlock"
    overwritten: Step = lambda: world.k.store(world.lock, 1)  # noqa: E731
    report = reported(world, {}, [overwritten], [take])
    assert report.rule == "deadlock: lock never released"
    assert "held by nobody that runs" in str(report)


def test_a_lane_that_takes_its_own_lock_again_is_a_self_deadlock(world: World) -> None:
    take: Step = lambda: world.k.spin_lock(world.lock, "lock")  # noqa: E731
    assert reported(world, {}, [take, take], [world.note("b", world.x)]).rule == "self-deadlock"


# -- sleep and wake


def sleeper(world: World, woken: str = "woken") -> Step:
    k = world.k
    return chain(lambda: k.wait_event(world.queue, lambda: bool(k.load(world.x)), "x"), world.note(woken))


def setter(world: World, *, wakes: bool) -> Step:
    def step() -> None:
        world.k.store(world.x, 1)
        if wakes:
            world.k.wake_up_all(world.queue)

    return step


def test_a_sleeper_goes_on_when_it_is_woken(world: World) -> None:
    world.follow({}, [sleeper(world)], [sleeper(world, "too")], [setter(world, wakes=True), world.note("w", world.x)])
    assert world.seen == ["w", "woken", "too"]


def test_a_waker_that_does_not_wake_is_a_lost_wake_up(world: World) -> None:
    report = reported(world, {}, [sleeper(world)], [setter(world, wakes=False)])
    assert (report.kind, report.rule, report.field) == ("progress", "lost wake-up", "x")
    assert "lane 0 (holds nothing) sleeps for x" in str(report)


def test_a_sleeper_whose_condition_never_holds_is_a_deadlock(world: World) -> None:
    assert reported(world, {}, [sleeper(world)], [world.note("b", world.x)]).rule == "deadlock"


def look_twice(world: World) -> bool:
    return bool(world.k.load(world.x) + world.k.load(world.y))


def test_a_wake_up_between_the_look_and_the_sleep_is_not_lost(world: World) -> None:
    """
    lane 0  on the queue, x is 0 |             | y is 0, looks again: x is 1
    lane 1                       | x = 1, wake |
    """
    sleep: Step = lambda: world.k.wait_event(world.queue, lambda: look_twice(world), "x")  # noqa: E731
    for point in range(4):
        world.follow({(0, 0, point): (1, 0)}, [sleep, world.note("woken", world.x)], [setter(world, wakes=True)])
        assert world.seen == ["woken"]


def test_who_looks_before_it_is_on_the_queue_loses_that_wake_up(world: World) -> None:
    """The same schedule finds the bug in a wait that is done wrong."""

    def sleep() -> None:
        if not look_twice(world):
            wait = Wait(SLEEP, "x", ("queue", world.queue, 0), lambda: look_twice(world))
            world.lanes.park(wait)

    assert reported(world, {(0, 0, 2): (1, 0)}, [sleep], [setter(world, wakes=True)]).rule == "lost wake-up"


# -- spinning


def test_who_spins_gives_way(world: World) -> None:
    spin = chain(lambda: world.k.spin_until(lambda: bool(world.k.load(world.x)), "x"), world.note("on"))
    taken = world.follow({}, [spin], [world.note("before", world.y), setter(world, wakes=False)])
    assert world.seen == ["before", "on"]
    assert [(each.lane, each.why) for each in taken] == [(0, "yields"), (1, "ended")]


def test_who_spins_for_ever_alone_is_reported(world: World) -> None:
    spin: Step = lambda: world.k.spin_until(lambda: bool(world.k.load(world.x)), "x")  # noqa: E731
    report = reported(world, {}, [world.note("a", world.y)], [spin])
    assert (report.rule, report.field) == ("deadlock: spins for ever", "x")
    take: Step = lambda: (world.k.spin_lock(world.lock, "lock"), spin())  # noqa: E731
    wait: Step = lambda: world.k.spin_lock(world.lock, "lock")  # noqa: E731
    assert reported(world, {}, [take], [wait]).rule == "deadlock: spins for ever"


def test_two_lanes_that_spin_for_each_other_are_a_livelock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "OPERATION_POINTS_MOST", 300)
    spin: Step = lambda: world.k.spin_until(lambda: bool(world.k.load(world.x)), "x")  # noqa: E731
    assert reported(world, {}, [spin], [spin]).rule == "livelock"


def test_an_operation_that_never_ends_is_a_livelock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "OPERATION_POINTS_MOST", 300)

    def loop(count: int) -> Step:
        return lambda: [world.k.load(world.x) for _ in range(count)]

    world.follow({}, [loop(290), loop(290)], [loop(290)])
    report = reported(world, {}, [world.note("a", world.x)], [loop(290), loop(700)])
    assert (report.rule, report.field) == ("livelock", "load")
    assert str(report).startswith("lane 1: operation 1 passed")


# -- the greenlets


def test_lanes_reuse_their_greenlets(world: World) -> None:
    bodies = [[world.note(lane, world.x, world.y)] for lane in range(3)]

    def greenlets() -> int:
        gc.collect()
        return sum(isinstance(each, greenlet) for each in gc.get_objects())

    world.follow({}, *bodies)
    before = greenlets()
    for seed in range(1000):
        world.run(make_policy("random", Random(seed), (4, 4, 4)), *bodies)
    assert greenlets() == before


@pytest.mark.parametrize("parked", [False, True])
def test_an_exception_in_a_lane_ends_all_of_them(world: World, parked: bool) -> None:
    """Lane 0 is left in the middle, lane 2 has never begun; both are unwound, and the next run is as ever."""
    unwound: list[str] = []
    schedule: Schedule

    def stays() -> None:
        try:
            if parked:
                world.k.spin_lock(world.lock, "lock")
            world.k.load(world.x)
        finally:
            unwound.append("lane 0")

    def fails() -> None:
        world.k.load(world.y)
        raise ValueError("of lane 1")

    if parked:
        first, schedule = chain(lambda: world.k.store(world.lock, 1), stays), {}
    else:
        first, schedule = stays, {(0, 0, 1): (1, 0)}
    with pytest.raises(ValueError, match="of lane 1"):
        world.follow(schedule, [first], [fails], [world.note("never", world.x)])
    assert unwound == ["lane 0"] and world.seen == [] and not world.lanes.on
    world.follow({}, [world.note("a", world.x)], [world.note("b", world.x)])
    assert world.seen == ["a", "b"]


def test_what_goes_wrong_while_lanes_are_unwound_does_not_hide_what_went_wrong(world: World) -> None:
    def stays() -> None:
        try:
            world.k.load(world.x)
        finally:
            world.k.spin_unlock(world.lock, "lock")  # not held: a Report

    def fails() -> None:
        raise ValueError("of lane 1")

    with pytest.raises(ValueError, match="of lane 1"):
        world.follow({(0, 0, 1): (1, 0)}, [stays], [fails])


def test_nothing_runs_inside_a_run(world: World) -> None:
    def inside() -> None:
        world.lanes.run([lambda lane: None], [0], make_policy("random", Random(1), (1,)))

    with pytest.raises(RuntimeError, match="running already"):
        world.follow({}, [inside])


def test_a_machine_that_nobody_uses_any_more_is_freed() -> None:
    """A runner drops machines; the greenlets of one must not keep it alive."""
    world = World()
    for _ in range(3):
        world.follow({}, [world.note("a", world.x)], [world.note("b", world.x)])
    gone = weakref.ref(world.machine)
    del world
    gc.collect()
    assert gone() is None


# -- observers


def test_an_observer_sees_every_point_and_changes_nothing(world: World) -> None:
    class Seen:
        def __init__(self) -> None:
            self.points: list[tuple[int, int, int]] = []
            self.switches: list[Taken] = []
            self.locks: list[tuple[int, str]] = []

        def access(self, lane: Lane, kind: int, address: int) -> None:
            self.points.append((lane.number, lane.operation, lane.point))

        def switched(self, taken: Taken) -> None:
            self.switches.append(taken)

        def acquired(self, lane: Lane, name: str, address: int) -> None:
            self.locks.append((lane.number, "+" + name))

        def released(self, lane: Lane, name: str, address: int) -> None:
            self.locks.append((lane.number, "-" + name))

    bodies = contended(world)
    for seed in range(6):
        world.lanes.observer = None
        plain = world.run(make_policy("random", Random(seed), (25, 20, 25)), *bodies)
        arena = bytes(world.machine.memory.arena)
        seen = Seen()
        world.lanes.observer = seen
        assert world.run(make_policy("random", Random(seed), (25, 20, 25)), *bodies) == plain == seen.switches
        world.lanes.observer = None
        assert bytes(world.machine.memory.arena) == arena
        assert len(set(seen.points)) == len(seen.points)
        assert [each for each in seen.locks if each[0] == 0] == [(0, "+lock"), (0, "-lock")]
