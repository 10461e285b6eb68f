"""Points: the kinds of access before which a lane may be preempted.

In:    nothing.
Out:   small numbers, one a kind; how many bytes each touches, and which of them store.
Never: behaviour.
Next:  where they are passed: zsfuzz/machine/preemption.py; who is told: zsfuzz/machine/lanes.py.
"""

from __future__ import annotations

from typing import Final

(
    BEGIN,
    END,
    LOAD,
    LOAD32,
    LOAD8,
    STORE,
    STORE32,
    READ_ONCE,
    WRITE_ONCE,
    LOAD_ACQUIRE,
    STORE_RELEASE,
    ATOMIC,
    ATOMIC32,
    RELAXED,
    RELAXED32,
    TEST_BIT,
    ATOMIC_BIT,
    LOCK,
    TRYLOCK,
    UNLOCK,
    LIST_READ,
    LIST_WRITE,
    COPY_FROM,
    COPY_TO,
    ALLOC,
    FREE,
    ZONE,
    WORK,
    WAIT,
    WAKE,
    RELAX,
    BARRIER,
) = range(32)

NAMES: Final = (
    "begin",
    "end",
    "load",
    "load32",
    "load8",
    "store",
    "store32",
    "READ_ONCE",
    "WRITE_ONCE",
    "load_acquire",
    "store_release",
    "atomic",
    "atomic32",
    "relaxed atomic",
    "relaxed atomic32",
    "test_bit",
    "atomic bit",
    "lock",
    "trylock",
    "unlock",
    "list read",
    "list write",
    "copy from",
    "copy to",
    "alloc",
    "free",
    "zone counter",
    "work",
    "wait",
    "wake",
    "relax",
    "barrier",
)
"""For people, by number."""

STORES: Final = frozenset(
    {
        STORE,
        STORE32,
        WRITE_ONCE,
        STORE_RELEASE,
        ATOMIC,
        ATOMIC32,
        RELAXED,
        RELAXED32,
        ATOMIC_BIT,
        LOCK,
        TRYLOCK,
        UNLOCK,
        LIST_WRITE,
        COPY_TO,
        ALLOC,
        FREE,
        ZONE,
        WORK,
        WAKE,
    }
)
"""Kinds that change what they touch."""

LOCAL: Final = frozenset({BEGIN, END, RELAX, BARRIER})
"""Kinds that touch nothing that another lane could see."""

WORD_BYTES: Final = {LOAD32: 4, STORE32: 4, ATOMIC32: 4, RELAXED32: 4, LOAD8: 1}
"""How many bytes a kind touches, where it is not 8."""


def conflict(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether the order of two accesses, each (kind, address), can make a difference.

    They touch the same 64-bit word and one of them stores; where no address is known (0) and the kinds are the same,
    they do as well.
    """
    (kind, address), (other_kind, other_address) = first, second
    if kind in LOCAL or other_kind in LOCAL:
        return False
    if address >> 3 != other_address >> 3:
        return False
    return kind in STORES or other_kind in STORES
