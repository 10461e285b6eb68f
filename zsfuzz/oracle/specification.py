"""Specification: zsmalloc's interface as a dictionary, as pure functions on immutable states.

In:    the state of one slot (or of one pool), an action on it and whether it succeeded.
Out:   the state after it, or a sentence that says why that cannot be.
Never: a machine, a page, a lane.
Next:  who asks in which order: zsfuzz/oracle/linearize.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stored:
    """A live object: what it has to hold. known: one byte a byte, 0xff where somebody wrote."""

    pool: int
    size: int
    data: bytes = b""
    known: bytes = b""


@dataclass(frozen=True, slots=True)
class Allocate:
    """zs_malloc(pool, size)."""

    pool: int
    size: int


@dataclass(frozen=True, slots=True)
class Release:
    """zs_free()."""


@dataclass(frozen=True, slots=True)
class Store:
    """Bytes stored through a mapping."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Fetch:
    """Bytes that were read through a mapping."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """zs_map_object() to zs_unmap_object(): one instant, since the object is pinned meanwhile.

    forget: mapped write-only, bytes not written are undefined.
    """

    parts: tuple[Store | Fetch, ...]
    forget: bool = False


@dataclass(frozen=True, slots=True)
class CreatePool:
    """zs_create_pool()."""

    pool: int


@dataclass(frozen=True, slots=True)
class DestroyPool:
    """zs_destroy_pool()."""

    pool: int


Action = Allocate | Release | Span | CreatePool | DestroyPool
State = Stored | bool | None
"""Of a slot: what it holds, None when it is empty. Of a pool: whether it exists."""


def step(state: State, action: Action, succeeded: bool, excused: bool, page_size: int) -> State | str:
    """Return the state after an action, or why it cannot have gone like this.

    succeeded: a handle, or a pool, was returned. excused: an allocation was refused to the caller meanwhile, so that it
    may have failed.
    """
    match action:
        case Allocate(pool, size):
            return _allocate(state, pool, size, succeeded, excused, page_size)
        case Release():
            return None if isinstance(state, Stored) else "an object is freed that is not there"
        case Span(parts, forget):
            return _span(state, parts, forget)
        case CreatePool():
            if state:
                return "a pool is created that exists"
            if not succeeded and not excused:
                return "a pool was not created, and nothing had been refused"
            return succeeded
        case DestroyPool():
            return False if state else "a pool is destroyed that does not exist"


def _allocate(state: State, pool: int, size: int, succeeded: bool, excused: bool, page_size: int) -> State | str:
    if state is not None:
        return "a slot is allocated that is not empty"
    possible = 0 < size <= page_size
    if succeeded and not possible:
        return f"zs_malloc() of {'nothing' if not size else 'more than a page'} succeeded"
    if not succeeded:
        return None if excused or not possible else "zs_malloc() failed, and nothing had been refused"
    return Stored(pool, size)


def _span(state: State, parts: tuple[Store | Fetch, ...], forget: bool) -> State | str:
    if not isinstance(state, Stored):
        return "an object is mapped that is not there"
    data, known = state.data or bytes(state.size), state.known or bytes(state.size)
    if forget:
        known = bytes(state.size)
    for part in parts:
        end = part.offset + len(part.data)
        if isinstance(part, Store):
            data = data[: part.offset] + part.data + data[end:]
            known = known[: part.offset] + b"\xff" * len(part.data) + known[end:]
        elif (wrong := first_wrong(part.data, data[part.offset : end], known[part.offset : end])) >= 0:
            return f"byte {part.offset + wrong} of {state.size} is not what was written"
    return Stored(state.pool, state.size, data, known)


def first_wrong(found: bytes, wanted: bytes, known: bytes) -> int:
    """Return the index of the first known byte that differs, -1 if none does."""
    wrong = (int.from_bytes(found, "little") ^ int.from_bytes(wanted, "little")) & int.from_bytes(known, "little")
    return ((wrong & -wrong).bit_length() - 1) // 8 if wrong else -1
