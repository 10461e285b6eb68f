"""Linearizability: verdicts against trying every order, and what is said about them."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from tests.oracle.histories import (
    PAGE,
    SlowDictionary,
    agrees_with_time,
    before,
    key_of,
    longest,
    random_history,
    with_a_lie,
)
from zsfuzz.oracle.linearize import Call, Linearization, Partition, Verdict, describe_call, final, linearize
from zsfuzz.oracle.specification import (
    Action,
    Allocate,
    CreatePool,
    DestroyPool,
    Fetch,
    Release,
    Span,
    State,
    Store,
    Stored,
)

INITIAL: dict[Partition, State] = {("pool", 0): True}
GOOD, BAD = Verdict.LINEARIZABLE, Verdict.NOT_LINEARIZABLE


def judge(*calls: Call, initial: dict[Partition, State] | None = None, limit: int = 20_000) -> Linearization:
    return linearize(calls, INITIAL if initial is None else initial, PAGE, limit)


def call(
    lane: int, begin: int, end: int, action: Action, *, slot: int = 1, succeeded: bool = True, excused: bool = False
) -> Call:
    return Call(lane, begin, begin, end, slot, action, succeeded, excused)


def store(data: bytes, offset: int = 0) -> Span:
    return Span((Store(offset, data),))


def fetch(data: bytes, offset: int = 0) -> Span:
    return Span((Fetch(offset, data),))


LIVE: dict[Partition, State] = {("slot", 1): Stored(0, 4, b"abcd", b"\xff\xff\xff\xff")}


# -- against every order


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_the_verdict_and_the_longest_prefix_are_those_of_trying_every_order(lanes: int) -> None:
    random, seen = Random(lanes), Counter[str]()
    for _ in range(400):
        history = random_history(random, lanes, random.randint(1, 7 // lanes), random.randint(1, 2))
        if random.random() < 0.7:
            history = with_a_lie(random, history)
        found = judge(*history)
        lengths = {}
        for key in {key_of(each) for each in history}:
            part = [each for each in history if key_of(each) == key]
            lengths[key] = len(part), longest(part, SlowDictionary())
        broken = {key: found_most for key, (count, found_most) in lengths.items() if found_most < count}
        assert found.verdict is (BAD if broken else GOOD), history
        assert {each.partition: len(each.prefix) for each in found.broken} == broken, history
        seen[found.verdict.value] += 1
        seen["searched"] += found.tried > 0 and found.verdict is GOOD
    assert seen["linearizable"] > 80 and seen["not linearizable"] > 80
    assert lanes == 1 or seen["searched"] > 10


@pytest.mark.parametrize("seed", range(40))
def test_an_order_has_every_call_once_and_agrees_with_time_and_the_dictionary(seed: int) -> None:
    random = Random(seed)
    history = random_history(random, random.randint(2, 4), random.randint(2, 12), random.randint(1, 4))
    found = judge(*history)
    assert found.verdict is GOOD
    assert Counter(found.order) == Counter(history)
    assert agrees_with_time(found.order)
    dictionary = SlowDictionary()
    assert all(dictionary.do(each) for each in found.order)
    live = final(found.order, INITIAL, PAGE)
    assert {slot: state.size for slot, state in live.items()} == dictionary.sizes
    for slot, state in live.items():
        known = {at: byte for at, byte in enumerate(state.data) if state.known[at]}
        assert known == dictionary.bytes[slot]
    assert found.states is not None
    assert {slot: state for (_, slot), state in found.states.items() if isinstance(state, Stored)} == live


@pytest.mark.parametrize("seed", range(10))
def test_what_is_said_about_a_broken_history_is_true(seed: int) -> None:
    """The prefix is an order of its own, and each of the calls refused may come next by time, but does not fit."""
    random, told = Random(1000 + seed), 0
    for _ in range(30):
        history = with_a_lie(random, random_history(random, 3, 3, 2))
        for broken in judge(*history).broken:
            told += 1
            left = [each for each in history if key_of(each) == broken.partition and each not in broken.prefix]
            next_ones = [each for each in left if not any(before(other, each) for other in left)]
            assert agrees_with_time(broken.prefix)
            assert sorted(map(repr, next_ones)) == sorted(repr(each) for each, _ in broken.refused)
            assert broken.breaks.returned == min(each.returned for each in next_ones)
            dictionary = SlowDictionary()
            assert all(dictionary.do(each) for each in broken.prefix)
            assert not any(dictionary.copy().do(each) for each, _ in broken.refused)
    assert told > 5


def test_the_order_in_which_calls_are_given_does_not_matter() -> None:
    random = Random(5)
    for _ in range(40):
        history = with_a_lie(random, random_history(random, 3, 4, 2))
        first = judge(*history)
        random.shuffle(history)
        again = judge(*history)
        assert (again, again.explain()) == (first, first.explain())


# -- orders that only a search finds


def test_a_call_that_ended_later_may_have_come_first() -> None:
    """
    lane 0  |- fetch "x" -|
    lane 1   |-- store "x" --|
    """
    reader, writer = call(0, 1, 3, fetch(b"x")), call(1, 2, 4, store(b"x"))
    found = judge(reader, writer, initial=LIVE)
    assert (found.verdict, found.order) == (GOOD, (writer, reader))
    assert found.tried > 0


def test_a_call_that_ended_before_another_began_may_not_come_after_it() -> None:
    found = judge(call(0, 1, 2, fetch(b"x")), call(1, 3, 4, store(b"x")), initial=LIVE)
    assert found.verdict is BAD
    assert found.prefix == ()


def test_two_slots_are_judged_apart_and_their_orders_are_put_together_by_time() -> None:
    """Slot 1 wants lane 1 first, slot 2 wants lane 0 first; both can be had, since all four overlap in time."""
    live: dict[Partition, State] = {("slot", slot): Stored(0, 4, b"aaaa", b"\xff" * 4) for slot in (1, 2)}
    calls = (
        call(0, 1, 10, fetch(b"x"), slot=1),
        call(1, 2, 30, store(b"x"), slot=1),
        call(2, 3, 20, fetch(b"y"), slot=2),
        call(3, 4, 40, store(b"y"), slot=2),
        call(0, 11, 12, fetch(b"x"), slot=1),
    )
    found = judge(*calls, initial=live)
    assert found.verdict is GOOD
    assert agrees_with_time(found.order)
    places = {each: at for at, each in enumerate(found.order)}
    assert places[calls[1]] < places[calls[0]] < places[calls[4]] and places[calls[3]] < places[calls[2]]


def test_a_write_lost_between_two_lanes_is_seen_at_the_end() -> None:
    """Both stored, nobody released, and the object holds neither's whole: a torn write."""
    writers = call(0, 1, 10, store(b"xxxx")), call(1, 2, 9, store(b"yyyy"))
    for left, verdict in ((b"xxxx", GOOD), (b"yyyy", GOOD), (b"xxyy", BAD), (b"abcd", BAD)):
        assert judge(*writers, call(2, 11, 12, fetch(left)), initial=LIVE).verdict is verdict


# -- planted violations of each rule


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ((call(0, 1, 2, Allocate(0, 5), succeeded=False),), "nothing had been refused"),
        ((call(0, 1, 2, Allocate(0, 0)),), "of nothing succeeded"),
        ((call(0, 1, 2, Allocate(0, PAGE + 1)),), "of more than a page succeeded"),
        ((call(0, 1, 2, Allocate(0, 5)), call(1, 3, 4, Allocate(0, 5))), "not empty"),
        ((call(0, 1, 2, Release()),), "freed that is not there"),
        ((call(0, 1, 2, Allocate(0, 5)), call(0, 3, 4, Release()), call(1, 5, 6, Release())), "freed that is not"),
        ((call(0, 1, 2, store(b"x")),), "mapped that is not there"),
        ((call(0, 1, 2, Allocate(0, 5)), call(0, 3, 4, store(b"ab")), call(1, 5, 6, fetch(b"ac"))), "byte 1 of 5"),
        ((call(0, 1, 2, Allocate(0, 5)), call(0, 3, 4, store(b"abcdef"))), "bytes 0 to 6 of an object of 5"),
        ((call(0, 1, 2, CreatePool(0), slot=0),), "created that exists"),
        ((call(0, 1, 2, CreatePool(1), succeeded=False),), "nothing had been refused"),
        ((call(0, 1, 2, DestroyPool(1)),), "destroyed that does not exist"),
        ((call(0, 1, 2, DestroyPool(0), slot=0), call(1, 3, 4, DestroyPool(0), slot=0)), "destroyed that does not"),
    ],
)
def test_a_planted_violation_is_seen_at_its_call(calls: tuple[Call, ...], reason: str) -> None:
    found = judge(*calls)
    assert found.verdict is BAD
    assert found.prefix == calls[:-1] and found.breaks == calls[-1]
    assert reason in found.reason
    assert describe_call(calls[-1]) in found.explain()


@pytest.mark.parametrize(
    "calls",
    [
        (call(0, 1, 2, Allocate(0, 5), succeeded=False, excused=True),),
        (call(0, 1, 2, Allocate(0, 5), excused=True),),
        (call(0, 1, 2, Allocate(0, 0), succeeded=False), call(0, 3, 4, Allocate(0, PAGE + 1), succeeded=False)),
        (call(0, 1, 2, CreatePool(1), succeeded=False, excused=True), call(0, 3, 4, CreatePool(1))),
        (call(0, 1, 2, Allocate(0, 5)), call(0, 3, 4, fetch(b"what"))),
        (call(0, 1, 2, Allocate(0, PAGE)), call(0, 3, 4, store(b"a" * PAGE)), call(1, 5, 6, Release())),
    ],
)
def test_what_the_interface_allows_is_no_violation(calls: tuple[Call, ...]) -> None:
    found = judge(*calls)
    assert (found.verdict, found.order, found.broken, found.tried) == (GOOD, calls, (), 0)


def test_a_write_only_map_leaves_what_it_does_not_write_undefined() -> None:
    mapped = call(0, 1, 2, Span((Store(1, b"x"),), forget=True))
    for left, verdict in ((b"?x??", GOOD), (b"?b??", BAD)):
        assert judge(mapped, call(0, 3, 4, fetch(left)), initial=LIVE).verdict is verdict


def test_what_one_map_does_is_one_instant() -> None:
    """Nobody can come between the two reads of a map: the pin is held."""
    twice = Span((Fetch(0, b"a"), Fetch(0, b"x")))
    assert judge(call(0, 1, 9, twice), call(1, 2, 8, store(b"x")), initial=LIVE).verdict is BAD
    apart = call(0, 1, 3, fetch(b"a")), call(0, 4, 9, fetch(b"x"))
    assert judge(*apart, call(1, 2, 8, store(b"x")), initial=LIVE).verdict is GOOD


# -- unknown, and the bound


def crowd(slot: int, lanes: int, first_lane: int = 0) -> list[Call]:
    """Lanes that all store a byte of their own at the same time; then a read of a byte that none of them stored."""
    calls = [
        Call(first_lane + lane, 0, 1 + lane, 1000 + lane, slot, store(bytes([1 + lane])), True) for lane in range(lanes)
    ]
    return [*calls, Call(first_lane, 1, 2000, 2001, slot, fetch(b"\xff"), True)]


def test_a_search_that_meets_its_bound_says_so() -> None:
    calls = crowd(1, 6)
    enough = judge(*calls, initial=LIVE)
    assert enough.verdict is BAD
    assert enough.tried == 1 + 6 * 2**5  # a set of stores and which of them came last; nothing twice
    assert judge(*calls, initial=LIVE, limit=enough.tried).verdict is BAD
    short = judge(*calls, initial=LIVE, limit=enough.tried - 1)
    assert (short.verdict, short.order, short.broken, short.states) == (Verdict.UNKNOWN, (), (), None)


def test_a_broken_history_beside_one_that_is_unknown_is_broken() -> None:
    live: dict[Partition, State] = {("slot", slot): Stored(0, 4) for slot in (1, 2)}
    lost = [call(8, 1, 2, store(b"a"), slot=2), call(9, 3, 4, fetch(b"b"), slot=2)]
    found = judge(*crowd(1, 8), *lost, initial=live, limit=100)
    assert found.verdict is BAD
    assert [each.partition for each in found.broken] == [("slot", 2)]


def test_the_bound_is_for_all_histories_together() -> None:
    live: dict[Partition, State] = {("slot", slot): Stored(0, 4) for slot in (1, 2)}
    calls = [*crowd(1, 5), *crowd(2, 5, first_lane=10)]
    cost = judge(*crowd(1, 5), initial=live).tried
    assert [len(judge(*calls, initial=live, limit=limit).broken) for limit in (2 * cost, 2 * cost - 1)] == [2, 1]


def test_all_broken_histories_are_told_the_earliest_first() -> None:
    live: dict[Partition, State] = {("slot", slot): Stored(0, 4) for slot in (1, 2, 3)}
    calls = [call(lane, 20 - 5 * lane, 21 - 5 * lane, Allocate(0, 1), slot=lane) for lane in (1, 2, 3)]
    found = judge(*calls, initial=live)
    assert [each.partition[1] for each in found.broken] == [3, 2, 1]
    assert found.breaks == calls[2]


def test_one_lane_alone_needs_no_search() -> None:
    lane = [call(0, 2 * at, 2 * at + 1, store(bytes([at]))) for at in range(1, 100)]
    assert judge(*lane, initial=LIVE, limit=0).verdict is GOOD
    found = judge(*lane, call(0, 300, 301, fetch(b"x")), initial=LIVE, limit=0)
    assert (found.verdict, len(found.prefix)) == (BAD, 99)


def test_a_read_that_fits_is_taken_at_once() -> None:
    """Ten reads at the same time are no choice: one configuration each, not 1024."""
    lanes = [call(lane, 1 + lane, 100 + lane, fetch(b"x")) for lane in range(10)]
    writer = call(10, 50, 200, store(b"x"))
    found = judge(*lanes, writer, initial=LIVE)
    assert found.verdict is GOOD
    assert found.tried <= 11


@pytest.mark.parametrize("seed", range(5))
def test_four_lanes_of_fifty_calls_on_one_slot_are_judged_within_the_limit(seed: int) -> None:
    history = random_history(Random(seed), 4, 50, 1)
    on_slot = [each for each in history if key_of(each)[0] == "slot"]
    assert len(on_slot) > 150
    found = judge(*history)
    assert found.verdict is GOOD
    assert 0 < found.tried < 2_000
    assert agrees_with_time(found.order)


@pytest.mark.parametrize("seed", range(5))
def test_a_lie_at_the_end_of_a_big_history_is_seen_within_the_limit(seed: int) -> None:
    history = random_history(Random(seed), 4, 50, 1)
    last = max(history, key=lambda each: each.returned).returned
    live = final(judge(*history).order, INITIAL, PAGE)
    end = Release() if 0 not in live else Allocate(0, 1)
    found = judge(*history, call(0, last + 1, last + 2, end, slot=0))
    assert found.verdict is BAD
    assert [(each.partition, each.breaks.action) for each in found.broken] == [(("slot", 0), end)]
    assert len(found.prefix) == sum(1 for each in history if key_of(each)[0] == "slot")


# -- what the caller must not do


def test_a_lane_that_is_in_two_calls_at_once_is_refused() -> None:
    for later in (call(0, 4, 9, Release()), call(0, 5, 9, Release()), call(0, 9, 8, Release())):
        with pytest.raises(ValueError, match="inside another call"):
            judge(call(0, 1, 5, Allocate(0, 5)), later)


def test_final_refuses_an_order_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="freed that is not there"):
        final([call(0, 1, 2, Release())], INITIAL, PAGE)


def test_an_initial_state_is_not_changed() -> None:
    initial = dict(LIVE)
    assert judge(call(0, 1, 2, Release()), initial=initial).states == {("slot", 1): None}
    assert initial == LIVE


def test_an_explanation_reads_like_this() -> None:
    calls = (
        call(0, 1, 2, Allocate(0, 4)),
        call(0, 3, 4, store(b"ab")),
        call(1, 6, 9, Span((Store(2, b"c"), Fetch(0, b"zz")))),
        call(2, 5, 20, Allocate(0, 8), succeeded=False, excused=True),
    )
    assert judge(*calls).explain().splitlines() == [
        "h1: the longest order that fits:",
        "  lane 0: h1 = malloc 4 z0",
        "  lane 0: h1: write 2 at 0",
        "what may come next by time, and why it cannot:",
        "  lane 1: h1: write 1 at 2, read 2 at 0: byte 0 of 4 is not what was written: 0x7a, not 0x61",
        "  lane 2: h1 = malloc 8 z0 = 0: a slot is allocated that is not empty",
    ]
