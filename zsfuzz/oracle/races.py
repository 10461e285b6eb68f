"""Races: two lanes touch the same bytes, and nothing says who comes first.

In:    what lanes did, one event at a time, in the order in which it happened: accesses, locks, barriers, fork, join.
Out:   the first Race nobody has documented; how often each documented one was met.
Never: a machine; a guess: what is reported is unordered, in this run, by the rules below.
Next:  the finding of a parallel block in zsfuzz/execute/block_judge.py.

A data race, as the kernel's memory model (tools/memory-model) and KCSAN have it: two accesses of different lanes
overlap, one of them stores, one of them is plain, and neither happens before the other. READ_ONCE(), WRITE_ONCE(),
smp_load_acquire(), smp_store_release() and atomics are marked: among themselves they do not race.

What happens before what: a lane's steps in their order; a release of a lock before the next acquire of it;
smp_store_release() and ordered atomics before the smp_load_acquire() or ordered atomic that reads what they left; a
barrier before a marked store, seen by a marked load before a barrier; fork and join. An atomic between a
release and its acquire does not undo the release; any other store does. Address dependencies are not seen: a plain
access through a pointer that came of READ_ONCE() is ordered in the kernel, here it has to be documented.

A lane's clock counts its releases, and a lane knows of every other how far it has seen it (a vector clock). An access
is kept as its lane and that lane's clock (an epoch, as in FastTrack, Flanagan and Freund 2009): it happened before
everything in a lane that has seen that far. Each 64-bit word keeps the newest access of each lane, sort and label: who
has seen that one has seen what the lane did before. The label counts, since a documented race of one function must not
hide what another did to the same word. A lane that does again what the last access to a word was learns nothing and is
let through at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

(
    LOAD,
    STORE,
    READ_ONCE,
    WRITE_ONCE,
    LOAD_ACQUIRE,
    STORE_RELEASE,
    ATOMIC,
    ATOMIC_RELAXED,
) = range(8)
"""Kinds of access. ATOMIC: a read-modify-write that is a full barrier, as those are that return a value."""

NAMES: Final = (
    "load",
    "store",
    "READ_ONCE",
    "WRITE_ONCE",
    "load_acquire",
    "store_release",
    "atomic",
    "relaxed atomic",
)
"""For people, by kind."""

MAIN: Final = -1
"""Who forks the lanes and joins them."""

RaceKey = tuple[str, str] | str
"""Two functions, in alphabetical order; or the name of a word, for every race on it."""

DOCUMENTED_RACES: Final[Mapping[RaceKey, str]] = {}
"""What the kernel itself says is a harmless race -> why it is one, with the place that says so."""

_STORES: Final = 1
_MARKED: Final = 2
_SORT: Final = (
    0,
    _STORES,
    _MARKED,
    _STORES | _MARKED,
    _MARKED,
    _STORES | _MARKED,
    _STORES | _MARKED,
    _STORES | _MARKED,
)
"""By kind: whether it stores, whether it is marked."""

_HEARS: Final = frozenset({READ_ONCE, LOAD_ACQUIRE, ATOMIC, ATOMIC_RELAXED})
_HANDS_ON: Final = frozenset({STORE, WRITE_ONCE, STORE_RELEASE, ATOMIC, ATOMIC_RELAXED})

_SORT_SHIFT: Final = 8
_LANE_SHIFT: Final = 10
_MASK: Final = 0xFF
_WORD_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Access:
    """One access. width in bytes. label: who did it, whatever the caller gave."""

    lane: int
    address: int
    width: int
    kind: int
    label: Hashable

    def describe(self) -> str:
        """Return it for people."""
        return f"lane {self.lane}: {self.label} {NAMES[self.kind]} of {self.width} at {self.address:#x}"


@dataclass(frozen=True, slots=True)
class Race:
    """Two accesses that nothing orders; first came first in this run. word: the name of what they met on, or ""."""

    first: Access
    second: Access
    word: str

    @property
    def functions(self) -> tuple[str, str]:
        """Return the labels as text, in alphabetical order: which lane was first is chance."""
        one, other = sorted((str(self.first.label), str(self.second.label)))
        return one, other

    def describe(self) -> str:
        """Return it for people."""
        on = f" on {self.word}" if self.word else ""
        return f"race{on}: {self.first.describe()}; {self.second.describe()}"


def documented_problems(table: Mapping[RaceKey, str]) -> list[str]:
    """Return what is wrong with a table of documented races: an entry without a reason, one that can never be met."""
    problems = []
    for key, reason in table.items():
        if len(reason.split()) < 3:
            problems.append(f"{key}: {reason!r} is no reason")
        if not all(key if isinstance(key, tuple) else (key,)):
            problems.append(f"{key!r}: has no name")
        if isinstance(key, tuple) and list(key) != sorted(key):
            problems.append(f"{key}: not in alphabetical order")
    return problems


_Fields = tuple[int, int, int, int, Hashable]
_Key = tuple[int, Hashable]
"""Lane, sort and bytes of the word as one number; the label."""


class _Clock(list[int]):
    """How far each lane has been seen, by number; MAIN is the last."""

    __slots__ = ()

    def join(self, other: Iterable[int]) -> None:
        """See what another has seen."""
        self[:] = map(max, self, other)


@dataclass(slots=True)
class _Word:
    """Accesses to one word. lanes: who touched it, as bits. last_key, last_clock: of the newest access.

    cells: key -> (clock, access), the newest last; an access is kept as the fields of an Access, since most are never
    looked at again.
    """

    cells: dict[_Key, tuple[int, _Fields]]
    lanes: int = 0
    last_key: _Key = (0, "")
    last_clock: int = 0


@dataclass(slots=True)
class _LockClocks:
    """What a lock hands on. shared: from readers, to the next writer only."""

    exclusive: _Clock
    shared: _Clock


class RaceDetector:
    """The accesses of one run of lanes. documented: key -> how often a documented race was met. accesses: how many."""

    def __init__(
        self,
        lanes: int,
        documented: Mapping[RaceKey, str] = DOCUMENTED_RACES,
        name_of: Callable[[int], str] = lambda address: "",
    ) -> None:
        """lanes: how many. name_of: address -> name of the word, "" for none; asked for races only.

        Errors: ValueError for a table that documented_problems() does not like.
        """
        if problems := documented_problems(documented):
            raise ValueError("; ".join(problems))
        self.documented: dict[RaceKey, int] = {}
        self.accesses = 0
        self._table, self._name_of = documented, name_of
        size = lanes + 1
        self._zero = _Clock([0] * size)
        self._clocks = [_Clock([int(at == lane) for at in range(size)]) for lane in range(size)]
        self._fenced: list[_Clock | None] = [None] * size
        self._heard: list[_Clock | None] = [None] * size
        self._locks: dict[Hashable, _LockClocks] = {}
        self._published: dict[int, _Clock] = {}
        self._words: dict[int, _Word] = {}

    # -- order

    def fork(self, child: int, parent: int = MAIN) -> None:
        """A lane begins: what its parent did before comes before all of it."""
        self._clocks[child].join(self._clocks[parent])
        self._tick(parent)

    def join(self, child: int, parent: int = MAIN) -> None:
        """A lane has ended: what it did comes before what its parent does next."""
        self._clocks[parent].join(self._clocks[child])

    def acquire(self, lane: int, lock: Hashable, *, shared: bool = False) -> None:
        """A lock was taken. shared: by a reader. lock: whatever names it."""
        held = self._locks.get(lock)
        if held is None:
            return
        self._clocks[lane].join(held.exclusive)
        if not shared:
            self._clocks[lane].join(held.shared)

    def release(self, lane: int, lock: Hashable, *, shared: bool = False) -> None:
        """A lock is released."""
        held = self._locks.get(lock)
        if held is None:
            held = self._locks[lock] = _LockClocks(_Clock(self._zero), _Clock(self._zero))
        (held.shared if shared else held.exclusive).join(self._clocks[lane])
        self._tick(lane)

    def barrier(self, lane: int, *, loads: bool = True, stores: bool = True) -> None:
        """smp_mb(): marked stores from here on hand on what came before; what marked loads have heard is seen.

        smp_rmb() is loads alone, smp_wmb() stores alone.
        """
        clock, heard = self._clocks[lane], self._heard[lane]
        if loads and heard is not None:
            clock.join(heard)
        if stores:
            self._fenced[lane] = _Clock(clock)
            self._tick(lane)

    def _tick(self, lane: int) -> None:
        self._clocks[lane][lane] += 1

    # -- accesses

    def access(self, lane: int, address: int, width: int, kind: int, label: Hashable) -> Race | None:
        """Note an access of width bytes. Returns the race it makes with an earlier one, unless that is documented.

        label: who does it; equal labels are one function, and str(label) is its name in the table.
        """
        self.accesses += 1
        if kind == ATOMIC:
            self.barrier(lane, stores=False)
        if kind in _HEARS:
            self._hear(lane, address, at_once=kind != READ_ONCE and kind != ATOMIC_RELAXED)
        race = self._meet((lane, address, width, kind, label))
        if kind in _HANDS_ON:
            self._hand_on(lane, address, kind)
        return race

    def _hear(self, lane: int, address: int, *, at_once: bool) -> None:
        """A marked load sees what was handed on with the value; at once, or after the next barrier."""
        published = self._published.get(address)
        if published is None:
            return
        if at_once:
            self._clocks[lane].join(published)
        elif (heard := self._heard[lane]) is not None:
            heard.join(published)
        else:
            self._heard[lane] = _Clock(published)

    def _hand_on(self, lane: int, address: int, kind: int) -> None:
        """A store hands on what its lane has done, or what it had done at its last barrier, or nothing.

        Only a read-modify-write leaves what others handed on before it.
        """
        if kind in (ATOMIC, STORE_RELEASE):
            handed: _Clock | None = self._clocks[lane]
        else:
            handed = None if kind == STORE else self._fenced[lane]
        if kind not in (ATOMIC, ATOMIC_RELAXED):
            self._published.pop(address, None)
        if handed is not None:
            self._published.setdefault(address, _Clock(self._zero)).join(handed)
        if kind == ATOMIC:
            self.barrier(lane)
        elif kind == STORE_RELEASE:
            self._tick(lane)

    def _meet(self, access: _Fields) -> Race | None:
        """Hold an access against what its words keep, and keep it. Returns the first race not documented."""
        lane, start, width, kind, label = access
        end, clock, found = start + width, self._clocks[lane], None
        now, me = clock[lane], 1 << (lane + 1)
        key_of_lane = (lane + 1) << _LANE_SHIFT | _SORT[kind] << _SORT_SHIFT
        for index in range(start // _WORD_BYTES, -(-end // _WORD_BYTES)):
            base = index * _WORD_BYTES
            low, high = max(start - base, 0), min(end - base, _WORD_BYTES)
            key = key_of_lane | ((1 << high) - (1 << low)), label
            word = self._words.get(index)
            if word is None:
                word = self._words[index] = _Word({})
            elif word.last_clock == now and word.last_key == key:
                continue
            elif word.lanes != me:
                found = found or self._race_in(word, key[0], clock, access)
            word.cells.pop(key, None)
            word.cells[key] = now, access
            word.lanes |= me
            word.last_key, word.last_clock = key, now
        return found

    def _race_in(self, word: _Word, key: int, clock: _Clock, access: _Fields) -> Race | None:
        """Return the race with the newest access that makes an undocumented one."""
        lane, sort = key >> _LANE_SHIFT, key >> _SORT_SHIFT
        for (other, _), (when, first) in reversed(word.cells.items()):
            if other >> _LANE_SHIFT == lane or not other & key & _MASK or when <= clock[first[0]]:
                continue
            other_sort = other >> _SORT_SHIFT
            if (sort | other_sort) & _STORES and not sort & other_sort & _MARKED:
                race = Race(Access(*first), Access(*access), self._name_of(max(first[1], access[1])))
                if not self._is_documented(race):
                    return race
        return None

    def _is_documented(self, race: Race) -> bool:
        key: RaceKey = race.functions if race.functions in self._table else race.word
        if key not in self._table:
            return False
        self.documented[key] = self.documented.get(key, 0) + 1
        return True
