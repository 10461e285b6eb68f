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
    """A live object: what it has to hold. size in bytes.

    known: one byte a byte, 0xff where somebody wrote and 0 elsewhere; data and known are empty while nobody has.
    """

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
    data, known = (b"", b"") if forget else (state.data, state.known)
    for part in parts:
        end = part.offset + len(part.data)
        if not 0 <= part.offset <= end <= state.size:
            return f"bytes {part.offset} to {end} of an object of {state.size} are accessed"
        if isinstance(part, Store):
            data, known = data or bytes(state.size), known or bytes(state.size)
            data = data[: part.offset] + part.data + data[end:]
            known = known[: part.offset] + b"\xff" * len(part.data) + known[end:]
        elif known and (wrong := first_wrong(part.data, data[part.offset : end], known[part.offset : end])) >= 0:
            at = part.offset + wrong
            return f"byte {at} of {state.size} is not what was written: {part.data[wrong]:#04x}, not {data[at]:#04x}"
    if data is state.data and known is state.known:
        return state
    return Stored(state.pool, state.size, data, known)


def first_wrong(found: bytes, wanted: bytes, known: bytes) -> int:
    """Return the index of the first known byte that differs, -1 if none does."""
    if found == wanted:
        return -1
    wrong = (int.from_bytes(found, "little") ^ int.from_bytes(wanted, "little")) & int.from_bytes(known, "little")
    return ((wrong & -wrong).bit_length() - 1) // 8 if wrong else -1


def describe(action: Action, slot: int) -> str:
    """Return an action for people, in the words of a program where it has some."""
    match action:
        case Allocate(pool, size):
            return f"h{slot} = malloc {size} z{pool}"
        case Release():
            return f"free h{slot}"
        case Span(parts, forget):
            done = [
                f"{'write' if isinstance(part, Store) else 'read'} {len(part.data)} at {part.offset}" for part in parts
            ]
            return f"h{slot}: {', '.join(done) or 'map, unmap'}{' (write-only)' if forget else ''}"
        case CreatePool(pool):
            return f"create_pool z{pool}"
        case DestroyPool(pool):
            return f"destroy_pool z{pool}"
