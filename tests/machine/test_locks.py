"""Locks: deadlocks, bad releases and cycles in the lock order are reported."""

from __future__ import annotations

import pytest

from zsfuzz.machine.machine import Machine
from zsfuzz.machine.report import Report


@pytest.fixture
def words(machine: Machine) -> list[int]:
    return [machine.slab.kzalloc(64) for _ in range(3)]


def rule_of(action: object, *arguments: object) -> str:
    with pytest.raises(Report) as caught:
        action(*arguments)  # type: ignore[operator]
    return caught.value.rule


def test_taking_a_lock_twice_is_a_deadlock(machine: Machine, words: list[int]) -> None:
    locks = machine.locks
    locks.spin_lock(words[0], "a")
    assert rule_of(locks.spin_lock, words[0], "a") == "self-deadlock"
    locks.read_lock(words[1], "rw")
    assert rule_of(locks.write_lock, words[1], "rw") == "self-deadlock"
    locks.bit_spin_lock(0, words[2], "pin")
    assert rule_of(locks.bit_spin_lock, 0, words[2], "pin") == "self-deadlock"


def test_a_lock_that_nobody_here_holds_is_never_released(machine: Machine, words: list[int]) -> None:
    machine.store(words[0], 1)
    assert rule_of(machine.locks.spin_lock, words[0], "a") == "deadlock: lock never released"


def test_a_trylock_of_a_taken_lock_fails_without_a_report(machine: Machine, words: list[int]) -> None:
    locks = machine.locks
    assert locks.spin_trylock(words[0], "a") and not locks.spin_trylock(words[0], "a")
    assert locks.write_trylock(words[1], "rw") and not locks.write_trylock(words[1], "rw")
    assert locks.bit_spin_trylock(3, words[2], "pin") and not locks.bit_spin_trylock(3, words[2], "pin")


def test_releasing_through_another_word_is_reported(machine: Machine, words: list[int]) -> None:
    """take [a] ; release [b]: the word that was taken stays locked for ever (I5)."""
    locks = machine.locks
    locks.spin_lock(words[0], "a")
    assert rule_of(locks.spin_unlock, words[1], "a") == "I5 unlock of a lock not held"
    for unlock in (locks.read_unlock, locks.write_unlock):
        assert rule_of(unlock, words[1], "rw") == "I5 unlock of a lock not held"
    assert rule_of(locks.bit_spin_unlock, 0, words[1], "pin") == "I5 unlock of a lock not held"


def test_a_pin_bit_that_was_overwritten_is_noticed_at_the_release(machine: Machine, words: list[int]) -> None:
    machine.locks.bit_spin_lock(0, words[0], "pin")
    machine.store(words[0], 0x40)
    assert rule_of(machine.locks.bit_spin_unlock, 0, words[0], "pin") == "I5 unlock of a lock not held"


def test_a_cycle_in_the_order_is_reported_though_nobody_waits(machine: Machine, words: list[int]) -> None:
    """a > b, b > c seen before; now c > a."""
    locks = machine.locks
    for outer, inner in ((0, 1), (1, 2)):
        locks.spin_lock(words[outer], "abc"[outer])
        locks.spin_lock(words[inner], "abc"[inner])
        locks.spin_unlock(words[inner], "abc"[inner])
        locks.spin_unlock(words[outer], "abc"[outer])
    locks.spin_lock(words[2], "c")
    assert rule_of(locks.spin_lock, words[0], "a") == "lock order"


def test_a_trylock_adds_no_edge_into_its_class(machine: Machine, words: list[int]) -> None:
    locks = machine.locks
    locks.spin_lock(words[0], "a")
    assert locks.spin_trylock(words[1], "b")
    locks.spin_unlock(words[1], "b")
    locks.spin_unlock(words[0], "a")
    locks.spin_lock(words[1], "b")
    locks.spin_lock(words[0], "a")
    assert locks.order == {"b": {"a": None}}


def test_two_readers_share_and_release_one_by_one(machine: Machine, words: list[int]) -> None:
    locks = machine.locks
    locks.read_lock(words[0], "rw")
    locks.read_lock(words[0], "rw")
    locks.read_unlock(words[0], "rw")
    assert machine.load(words[0]) == 1
    locks.read_unlock(words[0], "rw")
    locks.write_lock(words[0], "rw")
    locks.write_unlock(words[0], "rw")
    assert machine.load(words[0]) == 0 and not locks.held
