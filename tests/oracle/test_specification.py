"""Specification: every action in every state, and what makes it impossible."""

from __future__ import annotations

import pytest

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
    first_wrong,
    step,
)

PAGE = 4096
LIVE = Stored(0, 4, b"abcd", b"\xff\xff\x00\xff")
"""c was never written."""


def do(state: State, action: Action, *, succeeded: bool = True, excused: bool = False) -> State | str:
    return step(state, action, succeeded, excused, PAGE)


@pytest.mark.parametrize("size", [1, 32, PAGE])
def test_an_allocation_fills_an_empty_slot(size: int) -> None:
    assert do(None, Allocate(2, size)) == Stored(2, size)
    assert do(None, Allocate(2, size), excused=True) == Stored(2, size)
    assert do(None, Allocate(2, size), succeeded=False, excused=True) is None
    assert do(None, Allocate(2, size), succeeded=False) == "zs_malloc() failed, and nothing had been refused"
    assert do(LIVE, Allocate(2, size)) == "a slot is allocated that is not empty"


@pytest.mark.parametrize(("size", "word"), [(0, "nothing"), (PAGE + 1, "more than a page")])
def test_no_allocation_of_nothing_or_of_more_than_a_page_succeeds(size: int, word: str) -> None:
    assert do(None, Allocate(0, size), succeeded=False) is None
    assert do(None, Allocate(0, size)) == f"zs_malloc() of {word} succeeded"


def test_only_what_is_there_is_freed() -> None:
    assert do(LIVE, Release()) is None
    assert do(None, Release()) == "an object is freed that is not there"


def test_what_was_stored_is_fetched() -> None:
    after = do(LIVE, Span((Store(1, b"xy"), Fetch(0, b"axyd"))))
    assert after == Stored(0, 4, b"axyd", b"\xff\xff\xff\xff")
    assert do(after, Span((Fetch(1, b"xy"),))) == after
    assert do(LIVE, Span((Fetch(0, b"axcd"),))) == "byte 1 of 4 is not what was written: 0x78, not 0x62"
    assert do(None, Span(())) == "an object is mapped that is not there"


def test_a_byte_that_nobody_wrote_may_be_anything() -> None:
    assert do(LIVE, Span((Fetch(0, b"ab?d"),))) == LIVE
    assert do(Stored(0, 4), Span((Fetch(0, b"what"),))) == Stored(0, 4)


def test_a_write_only_map_forgets_what_it_does_not_write() -> None:
    after = do(LIVE, Span((Store(0, b"x"),), forget=True))
    assert isinstance(after, Stored) and after.known == b"\xff\0\0\0"
    assert do(after, Span((Fetch(0, b"x???"),))) == after
    assert isinstance(do(after, Span((Fetch(0, b"a???"),))), str)


@pytest.mark.parametrize("part", [Store(3, b"xy"), Fetch(5, b""), Fetch(-1, b"x"), Store(0, b"abcde")])
def test_an_access_beyond_the_object_is_impossible(part: Store | Fetch) -> None:
    assert "of an object of 4 are accessed" in str(do(LIVE, Span((part,))))


def test_a_pool_is_made_once_and_destroyed_once() -> None:
    assert do(None, CreatePool(1)) is True and do(False, CreatePool(1)) is True
    assert do(None, CreatePool(1), succeeded=False, excused=True) is False
    assert do(None, CreatePool(1), succeeded=False) == "a pool was not created, and nothing had been refused"
    assert do(True, CreatePool(1)) == "a pool is created that exists"
    assert do(True, DestroyPool(1)) is False
    for state in (None, False):
        assert do(state, DestroyPool(1)) == "a pool is destroyed that does not exist"


def test_a_state_is_never_changed() -> None:
    do(LIVE, Span((Store(0, b"zzzz"),)))
    assert Stored(0, 4, b"abcd", b"\xff\xff\x00\xff") == LIVE


@pytest.mark.parametrize(
    ("found", "wanted", "known", "at"),
    [
        (b"abc", b"abc", b"\xff\xff\xff", -1),
        (b"abx", b"abc", b"\xff\xff\xff", 2),
        (b"xbx", b"abc", b"\x00\xff\xff", 2),
        (b"xbc", b"abc", b"\x00\xff\xff", -1),
        (b"", b"", b"", -1),
    ],
)
def test_the_first_wrong_byte_is_named(found: bytes, wanted: bytes, known: bytes, at: int) -> None:
    assert first_wrong(found, wanted, known) == at
