"""Data races: planted ones are seen, ordered streams are clean, and clocks agree with the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

import pytest

from tests.oracle.happens_before import Event, races_of, random_stream
from zsfuzz.oracle.races import (
    ATOMIC,
    ATOMIC_RELAXED,
    DOCUMENTED_RACES,
    LOAD,
    LOAD_ACQUIRE,
    MAIN,
    NAMES,
    READ_ONCE,
    STORE,
    STORE_RELEASE,
    WRITE_ONCE,
    Access,
    Race,
    RaceDetector,
    RaceKey,
    documented_problems,
)

X, FLAG = 0x1000, 0x2000
LOADS, STORES = (LOAD, READ_ONCE, LOAD_ACQUIRE), (STORE, WRITE_ONCE, STORE_RELEASE, ATOMIC, ATOMIC_RELAXED)


def told(detector: RaceDetector, event: Event, label: Hashable) -> Race | None:
    """Tell a detector of one event."""
    match event.what:
        case "access":
            return detector.access(event.lane, event.at, event.width, event.kind, label)
        case "fork":
            detector.fork(event.at, event.lane)
        case "join":
            detector.join(event.at, event.lane)
        case "smp_mb" | "smp_wmb" | "smp_rmb":
            detector.barrier(event.lane, loads=event.what != "smp_wmb", stores=event.what != "smp_rmb")
        case "acquire" | "read acquire":
            detector.acquire(event.lane, event.at, shared=event.what == "read acquire")
        case "release" | "read release":
            detector.release(event.lane, event.at, shared=event.what == "read release")
        case other:
            raise AssertionError(other)
    return None


@dataclass(frozen=True)
class Place:
    """A label: where in its stream an access is, and which of some functions it is of."""

    number: int = field(compare=False)
    function: str


def seen(events: Iterable[Event], lanes: int = 3, functions: int = 1) -> list[Race]:
    """Return all races of a stream; each access is labelled with its place."""
    detector = RaceDetector(lanes)
    labels = (Place(number, f"f{number % functions}") for number in count())
    found = [told(detector, event, label) for event, label in zip(events, labels, strict=False)]
    return [race for race in found if race is not None]


def places(race: Race) -> tuple[int, int]:
    """Return where in its stream the two accesses are."""
    first, second = race.first.label, race.second.label
    assert isinstance(first, Place) and isinstance(second, Place)
    return first.number, second.number


def access(lane: int, at: int, kind: int, width: int = 8) -> Event:
    return Event("access", lane, at, kind, width)


def store(lane: int, at: int = X) -> Event:
    return access(lane, at, STORE)


def load(lane: int, at: int = X) -> Event:
    return access(lane, at, LOAD)


# -- against the graph


@pytest.mark.parametrize("lanes", [2, 3, 4])
def test_the_first_race_is_that_of_the_graph(lanes: int) -> None:
    """What races is taken out of the stream, until nothing does: so every later race is the first one once.

    (A lane that does again what the last access to a word was is let through, even when that one raced.)
    """
    random, counts = Random(lanes), Counter[str]()
    for _ in range(150):
        events, functions = random_stream(random, lanes, random.randint(5, 60)), random.randint(1, 2)
        while wanted := races_of(events):
            found = [places(race) for race in seen(events, lanes, functions)]
            assert found[0][1] == min(wanted), events
            assert all(first in wanted[second] for first, second in found), events
            del events[min(wanted)]
            counts["races"] += 1
        assert seen(events, lanes, functions) == [], events
        counts["made clean by order"] += bool(races_of([each for each in events if each.what == "access"]))
    assert counts["races"] > 100 and counts["made clean by order"] > 20, counts


def test_a_stream_that_is_told_twice_is_judged_the_same() -> None:
    events = random_stream(Random(7), 4, 200)
    first, again = seen(events, 4), seen(events, 4)
    assert first and first == again


# -- planted races


def test_two_plain_stores_without_order_race() -> None:
    (race,) = seen([store(0), store(1)])
    assert race == Race(Access(0, X, 8, STORE, Place(0, "f0")), Access(1, X, 8, STORE, Place(1, "f0")), "")
    assert places(race) == (0, 1)


@pytest.mark.parametrize("first", range(8))
@pytest.mark.parametrize("second", range(8))
def test_two_kinds_race_if_one_stores_and_one_is_plain(first: int, second: int) -> None:
    stores = first in STORES or second in STORES
    plain = first in (LOAD, STORE) or second in (LOAD, STORE)
    assert bool(seen([access(0, X, first), access(1, X, second)])) is (stores and plain)


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        ((X, 8), (X + 4, 4), True),
        ((X, 4), (X + 4, 4), False),
        ((X + 3, 1), (X, 8), True),
        ((X + 3, 1), (X + 4, 1), False),
        ((X, 4096), (X + 4088, 8), True),
        ((X, 4096), (X + 4096, 8), False),
        ((X + 4, 8), (X + 8, 4), True),
        ((X + 4, 8), (X + 12, 4), False),
    ],
)
def test_only_what_overlaps_races(first: tuple[int, int], second: tuple[int, int], overlap: bool) -> None:
    events = access(0, first[0], STORE, first[1]), access(1, second[0], LOAD, second[1])
    assert bool(seen(events)) is overlap
    assert bool(seen(reversed(events))) is overlap


def test_a_store_outside_the_lock_races_with_one_inside() -> None:
    inside = [Event("acquire", 0, 1), store(0), Event("release", 0, 1)]
    assert seen([*inside, store(1)])
    assert seen([store(1), *inside])
    assert seen([*inside, Event("acquire", 1, 2), store(1), Event("release", 1, 2)])


def test_readers_of_a_lock_do_not_order_each_other() -> None:
    """A store under read_lock() races with another reader's, not with what the writer does after both."""
    reader = [[Event("read acquire", lane, 1), store(lane), Event("read release", lane, 1)] for lane in (0, 1)]
    writer = [Event("acquire", 2, 1), store(2), Event("release", 2, 1)]
    assert len(seen([*reader[0], *reader[1]])) == 1
    assert not seen([*reader[0], *writer, *reader[1]])


def test_the_newest_of_many_accesses_is_the_one_that_is_told() -> None:
    (race,) = seen([store(0), load(0), Event("release", 0, 1), store(0), load(1)])
    assert places(race) == (3, 4)
    (race,) = seen([store(0), store(0), store(0), load(1)], functions=2)
    assert places(race) == (2, 3)


def test_a_race_with_a_lane_that_was_joined_long_ago_is_seen() -> None:
    """Lane 2 knows what lane 0 did, lane 1 does not."""
    events = [store(0), Event("release", 0, 1), Event("acquire", 2, 1), load(2), load(1)]
    assert [race.second.lane for race in seen(events)] == [1]


# -- streams that are ordered


def message(first: Event, second: Event, before: str = "", after: str = "") -> list[Event]:
    """Lane 0 fills X and tells lane 1 through FLAG. before, after: a barrier of lane 0, of lane 1."""
    barriers = [[Event(what, lane, 0)] if what else [] for lane, what in enumerate((before, after))]
    return [store(0), *barriers[0], first, second, *barriers[1], load(1)]


@pytest.mark.parametrize(
    ("first", "second", "before", "after", "ordered"),
    [
        (STORE_RELEASE, LOAD_ACQUIRE, "", "", True),
        (STORE_RELEASE, ATOMIC, "", "", True),
        (ATOMIC, LOAD_ACQUIRE, "", "", True),
        (ATOMIC, ATOMIC, "", "", True),
        (STORE_RELEASE, READ_ONCE, "", "smp_rmb", True),
        (WRITE_ONCE, READ_ONCE, "smp_wmb", "smp_rmb", True),
        (WRITE_ONCE, LOAD_ACQUIRE, "smp_mb", "", True),
        (ATOMIC_RELAXED, ATOMIC_RELAXED, "smp_mb", "smp_mb", True),
        (STORE_RELEASE, READ_ONCE, "", "", False),
        (STORE_RELEASE, READ_ONCE, "", "smp_wmb", False),
        (WRITE_ONCE, LOAD_ACQUIRE, "", "", False),
        (WRITE_ONCE, LOAD_ACQUIRE, "smp_rmb", "", False),
        (WRITE_ONCE, READ_ONCE, "smp_mb", "", False),
        (WRITE_ONCE, READ_ONCE, "", "smp_mb", False),
        (ATOMIC_RELAXED, ATOMIC_RELAXED, "", "", False),
        (ATOMIC_RELAXED, LOAD_ACQUIRE, "", "", False),
    ],
)
def test_a_message_orders_what_it_is_about(first: int, second: int, before: str, after: str, ordered: bool) -> None:
    events = message(access(0, FLAG, first), access(1, FLAG, second), before, after)
    assert [race.second.address for race in seen(events)] == ([] if ordered else [X])


def test_a_plain_flag_orders_nothing_and_races_itself() -> None:
    events = message(store(0, FLAG), access(1, FLAG, LOAD_ACQUIRE), "smp_mb")
    assert [race.second.address for race in seen(events)] == [FLAG, X]


def test_an_atomic_between_keeps_the_release_and_a_store_undoes_it() -> None:
    for kind, ordered in ((ATOMIC_RELAXED, True), (ATOMIC, True), (WRITE_ONCE, False)):
        release, acquire = access(0, FLAG, STORE_RELEASE), access(1, FLAG, LOAD_ACQUIRE)
        events = [store(0), release, access(2, FLAG, kind), acquire, load(1)]
        assert bool(seen(events)) is not ordered


def test_what_comes_after_the_release_is_not_ordered_by_it() -> None:
    events = [access(0, FLAG, STORE_RELEASE), store(0), access(1, FLAG, LOAD_ACQUIRE), load(1)]
    assert len(seen(events)) == 1
    assert len(seen([Event("smp_mb", 0, 0), store(0), access(0, FLAG, WRITE_ONCE), *events[2:]])) == 1


def test_another_word_or_lock_hands_on_nothing() -> None:
    assert seen([store(0), access(0, FLAG, STORE_RELEASE), access(1, FLAG + 8, LOAD_ACQUIRE), load(1)])
    assert seen([store(0), Event("release", 0, 1), Event("acquire", 1, 2), load(1)])


def test_order_goes_through_a_third_lane() -> None:
    events = [store(0), Event("release", 0, 1), Event("acquire", 1, 1), Event("release", 1, 2), Event("acquire", 2, 2)]
    assert not seen([*events, store(2)])


def test_fork_and_join_order_the_block_with_what_is_around_it() -> None:
    fork, join = [Event("fork", MAIN, lane) for lane in (0, 1)], [Event("join", MAIN, lane) for lane in (0, 1)]
    assert not seen([store(MAIN), *fork, load(0), load(1), *join, store(MAIN)])
    assert not seen([store(MAIN), *fork, store(0), *join, *fork, store(1), *join, load(MAIN)])
    assert seen([store(MAIN), load(0)])
    assert seen([*fork, store(0), join[1], load(MAIN)])
    assert seen([*fork, store(MAIN), load(0)])


@pytest.mark.parametrize("seed", range(20))
def test_lanes_that_lock_what_they_touch_never_race(seed: int) -> None:
    """Each word has a lock of its own; a lane may hold several, and reads under read_lock()."""
    random, lanes = Random(seed), 4
    events, left = [Event("fork", MAIN, lane) for lane in range(lanes)], [list[Event]() for _ in range(lanes)]
    busy: dict[int, list[tuple[int, bool]]] = {}
    for _ in range(400):
        lane = random.randrange(lanes)
        if left[lane]:
            events.append(left[lane].pop(0))
            if events[-1].what.endswith("release"):
                busy[events[-1].at] = [each for each in busy[events[-1].at] if each[0] != lane]
            continue
        lock, shared = random.randrange(3), random.random() < 0.5
        if any(not (shared and other) for _, other in busy.get(lock, [])):
            continue
        busy.setdefault(lock, []).append((lane, shared))
        prefix, kinds = ("read ", (LOAD, READ_ONCE)) if shared else ("", tuple(range(8)))
        events.append(Event(f"{prefix}acquire", lane, lock))
        left[lane] = [
            access(lane, X + 8 * lock, random.choice(kinds), random.choice((8, 8, 4)))
            for _ in range(random.randint(1, 5))
        ]
        left[lane].append(Event(f"{prefix}release", lane, lock))
    assert len(events) > 300
    assert seen(events, lanes) == []
    without = [each for each in events if not each.what.endswith("acquire")]
    assert seen(without, lanes)


# -- documented races


def test_a_documented_pair_of_functions_is_counted_and_not_told() -> None:
    table: dict[RaceKey, str] = {("fix_fullness_group", "zs_stats"): "statistics are read without a lock on purpose"}
    detector = RaceDetector(3, table)
    assert detector.access(0, X, 8, STORE, "fix_fullness_group") is None
    assert detector.access(1, X, 8, LOAD, "zs_stats") is None
    assert detector.documented == {("fix_fullness_group", "zs_stats"): 1}
    assert detector.access(2, X, 8, LOAD, "zs_free") is not None


def test_a_documented_word_lets_every_race_on_it_pass() -> None:
    table: dict[RaceKey, str] = {"zone free count": "a statistic that may be old"}
    detector = RaceDetector(2, table, {X: "zone free count", FLAG: "other"}.__getitem__)
    for at, races_told in ((X, False), (FLAG, True)):
        detector.access(0, at, 8, STORE, "f")
        assert bool(detector.access(1, at, 8, STORE, "g")) is races_told
    assert detector.documented == {"zone free count": 1}


def test_a_documented_race_does_not_hide_one_behind_it() -> None:
    """Lane 2 races with two lanes at once; one of the two races is documented."""
    detector = RaceDetector(3, {("g", "h"): "said to be harmless in its comment"})
    detector.access(0, X, 4, STORE, "f")
    detector.access(1, X + 4, 4, STORE, "g")
    race = detector.access(2, X, 8, LOAD, "h")
    assert race is not None and race.functions == ("f", "h")
    assert detector.documented == {("g", "h"): 1}


@pytest.mark.parametrize("between", [[], [Event("release", 0, 1)]])
def test_a_documented_race_does_not_hide_what_another_function_of_its_lane_did(between: list[Event]) -> None:
    """g is documented and f is not, whichever of the two came last."""
    for first, second in (("f", "g"), ("g", "f")):
        detector = RaceDetector(2, {("g", "h"): "said to be harmless in its comment"})
        detector.access(0, X, 8, STORE, first)
        for event in between:
            told(detector, event, "")
        detector.access(0, X, 8, STORE, second)
        race = detector.access(1, X, 8, LOAD, "h")
        assert race is not None and race.functions == ("f", "h")


def test_the_table_of_the_kernels_races_is_in_order() -> None:
    assert documented_problems(DOCUMENTED_RACES) == []


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (("a", "b"), ""),
        ("word", "it is fine"[:5]),
        (("b", "a"), "a lockless read on purpose"),
        ("", "a lockless read on purpose"),
        (("", "a"), "a lockless read on purpose"),
    ],
)
def test_an_entry_without_a_reason_or_that_nothing_can_meet_is_refused(key: RaceKey, reason: str) -> None:
    assert len(documented_problems({key: reason})) == 1
    with pytest.raises(ValueError, match=r"reason|order|name"):
        RaceDetector(2, {key: reason})


# -- what is told


def test_a_race_reads_like_this() -> None:
    detector = RaceDetector(2, {}, lambda address: "zspage->inuse")
    detector.access(1, X, 8, STORE, "obj_free")
    race = detector.access(0, X + 4, 4, LOAD, "get_zspage_inuse")
    assert race is not None
    assert race.describe() == (
        "race on zspage->inuse: lane 1: obj_free store of 8 at 0x1000; lane 0: get_zspage_inuse load of 4 at 0x1004"
    )
    assert race.functions == ("get_zspage_inuse", "obj_free")
    assert replace(race, first=race.second, second=race.first).functions == race.functions


def test_a_label_is_made_to_text_only_for_a_race() -> None:
    class Label:
        asked = 0

        def __str__(self) -> str:
            self.asked += 1
            return "free_zspage"

    label = Label()
    detector = RaceDetector(2)
    detector.access(0, X, 8, STORE, label)
    assert label.asked == 0
    assert detector.access(1, X, 8, STORE, label) is not None
    assert label.asked > 0


def test_every_kind_has_a_name() -> None:
    assert [NAMES[kind] for kind in (READ_ONCE, WRITE_ONCE, LOAD_ACQUIRE)] == [
        "READ_ONCE",
        "WRITE_ONCE",
        "load_acquire",
    ]
    assert sorted((*LOADS, *STORES)) == list(range(len(NAMES)))


def test_accesses_are_counted() -> None:
    detector = RaceDetector(2)
    for _ in range(5):
        detector.access(0, X, 8, LOAD, "")
    assert detector.accesses == 5
