"""Sketch: a cheap guess of the state that a program has reached, so that the next operation makes sense.

In:    operations, in order.
Out:   live slots and the zspages they probably share, isolated page slots, references, bystanders, pools.
Never: a promise. A malloc may fail, compaction moves objects, an isolation may be refused: the executor
       counts a step that makes no sense as a no-op, and a few wrong guesses are welcome.
Next:  who reads it: zsfuzz/engine/choose.py, zsfuzz/engine/idioms.py.

Slots beyond zsfuzz/engine/vocabulary.py's limits (imported traces have thousands) are not followed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zsfuzz.engine.vocabulary import (
    BLOCKED_BY_ISOLATION,
    BLOCKED_BY_REFERENCE,
    BYSTANDER_SLOTS,
    PAGE_SLOTS,
    POOLS,
    REF_SLOTS,
    SLOTS,
)
from zsfuzz.machine.geometry import Geometry
from zsfuzz.program.ops import (
    Bystander,
    Component,
    CreatePool,
    DestroyPool,
    DropBystander,
    Fail,
    FailOperation,
    FailWhat,
    Free,
    Isolate,
    IsolatedPage,
    Malloc,
    Map,
    MapMode,
    Migrate,
    Offline,
    Online,
    Operation,
    Putback,
    SpeculativeGet,
    SpeculativePut,
    Unmap,
)

NOBODY = -1


class Group:
    """The objects that probably share one zspage."""

    __slots__ = ("isolated", "key", "members", "objs", "pages", "pool")

    def __init__(self, pool: int, key: int, pages: int, objs: int) -> None:
        self.pool = pool
        self.key = key  # of Sketch._groups
        self.pages = pages
        self.objs = objs
        self.members: list[int] = []
        self.isolated: list[int] = []  # component indexes


class SlotSet:
    """Small integers below a limit: which are in, and a list of them to pick from."""

    __slots__ = ("_at", "members")

    def __init__(self, limit: int) -> None:
        self.members: list[int] = []
        self._at = [NOBODY] * limit

    def __contains__(self, slot: int) -> bool:
        return self._at[slot] >= 0

    def __len__(self) -> int:
        return len(self.members)

    def add(self, slot: int) -> None:
        """Put in a slot that is not in."""
        self._at[slot] = len(self.members)
        self.members.append(slot)

    def remove(self, slot: int) -> None:
        """Take out a slot that is in."""
        last = self.members.pop()
        at = self._at[slot]
        if last != slot:
            self.members[at] = last
            self._at[last] = at
        self._at[slot] = NOBODY


class Sketch:
    """The guessed state. Counts are in pages unless the name says otherwise."""

    def __init__(self, geometry: Geometry, normal_pages: int, movable_pages: int) -> None:
        self.page_size = geometry.page_size
        self.classes = geometry.size_classes
        self.normal_pages = normal_pages or geometry.normal_pages
        self.memory_pages = self.normal_pages + (movable_pages or geometry.movable_pages)
        self.live = SlotSet(SLOTS)
        self.size_of = [0] * SLOTS
        self.group_of: list[Group | None] = [None] * SLOTS
        self.held = NOBODY
        self.held_mode = MapMode.RW
        self.isolated = SlotSet(PAGE_SLOTS)
        self.isolated_from: list[tuple[Group, int] | None] = [None] * PAGE_SLOTS
        self.refs = SlotSet(REF_SLOTS)
        self.bystanders = SlotSet(BYSTANDER_SLOTS)
        self._pages_of_bystander = [0] * BYSTANDER_SLOTS
        self.pools = SlotSet(POOLS)
        self.pools.add(0)
        self.offlined: list[tuple[int, int]] = []
        self.used_pages = 0
        self._groups: dict[int, list[Group]] = {}  # pool and class -> its zspages
        self._failing: Fail | None = None

    def apply(self, operation: Operation) -> None:
        """Follow one operation."""
        kind = type(operation)
        handler = _HANDLERS.get(kind)
        if handler is None:
            return
        if self.held != NOBODY and kind is not Unmap:
            return
        if kind in BLOCKED_BY_REFERENCE and self.refs.members:
            return
        if kind in BLOCKED_BY_ISOLATION and self.isolated.members:
            return
        handler(self, operation)

    def has_objects(self, pool: int) -> bool:
        """Return whether destroying the pool would be refused for the objects in it."""
        return any(group is not None and group.pool == pool for group in self.group_of)

    def _malloc(self, op: Malloc) -> None:
        failing, self._failing = self._failing, self._failing
        if failing is not None and failing.operation is FailOperation.MALLOC:
            self._failing = None
        else:
            failing = None
        if op.slot >= SLOTS or op.slot in self.live or op.pool >= POOLS or op.pool not in self.pools:
            return
        if not 0 < op.size <= self.page_size:
            return
        size_class = self.classes.class_for(op.size + 8)
        key = op.pool << 16 | size_class.index
        groups = self._groups.setdefault(key, [])
        group = _with_room(groups)
        if failing is not None and _would_fail(failing, group, size_class.pages_per_zspage):
            return
        if group is None:
            group = Group(op.pool, key, size_class.pages_per_zspage, size_class.objs_per_zspage)
            groups.append(group)
            self.used_pages += group.pages
        group.members.append(op.slot)
        self.group_of[op.slot] = group
        self.size_of[op.slot] = op.size
        self.live.add(op.slot)

    def _free(self, op: Free) -> None:
        if op.slot >= SLOTS or op.slot not in self.live:
            return
        self.live.remove(op.slot)
        group = self.group_of[op.slot]
        self.group_of[op.slot] = None
        if group is not None:
            group.members.remove(op.slot)
            self._drop_if_empty(group)

    def _drop_if_empty(self, group: Group) -> None:
        if group.members or group.isolated:
            return
        self._groups[group.key].remove(group)
        self.used_pages -= group.pages

    def _map(self, op: Map) -> None:
        if op.slot < SLOTS and op.slot in self.live:
            self.held = op.slot
            self.held_mode = op.mode

    def _unmap(self, op: Unmap) -> None:
        if op.slot == self.held:
            self.held = NOBODY

    def _isolate(self, op: Isolate) -> None:
        if op.page_slot >= PAGE_SLOTS or op.page_slot in self.isolated:
            return
        page = op.page
        if isinstance(page, Component):
            group = self.group_of[page.slot] if page.slot < SLOTS else None
            if group is None:
                return
            index = page.index % group.pages
            if index in group.isolated:
                return
            group.isolated.append(index)
            self.isolated_from[op.page_slot] = (group, index)
        elif isinstance(page, IsolatedPage):
            return
        self.isolated.add(op.page_slot)

    def _release(self, page_slot: int) -> None:
        if page_slot >= PAGE_SLOTS or page_slot not in self.isolated:
            return
        self.isolated.remove(page_slot)
        origin = self.isolated_from[page_slot]
        self.isolated_from[page_slot] = None
        if origin is not None:
            group, index = origin
            group.isolated.remove(index)
            self._drop_if_empty(group)

    def _migrate(self, op: Migrate) -> None:
        for page in op.pages:
            if isinstance(page, IsolatedPage):
                self._release(page.page_slot)

    def _putback(self, op: Putback) -> None:
        self._release(op.page_slot)

    def _offline(self, op: Offline) -> None:
        if op.start < op.end and op.start < self.memory_pages:
            self.offlined.append((op.start, op.end))

    def _online(self, op: Online) -> None:
        self.offlined = [each for each in self.offlined if each[1] <= op.start or op.end <= each[0]]

    def _get(self, op: SpeculativeGet) -> None:
        if op.ref_slot < REF_SLOTS and op.ref_slot not in self.refs:
            self.refs.add(op.ref_slot)

    def _put(self, op: SpeculativePut) -> None:
        if op.ref_slot < REF_SLOTS and op.ref_slot in self.refs:
            self.refs.remove(op.ref_slot)

    def _bystander(self, op: Bystander) -> None:
        if op.bystander_slot < BYSTANDER_SLOTS and op.bystander_slot not in self.bystanders:
            self.bystanders.add(op.bystander_slot)
            self._pages_of_bystander[op.bystander_slot] = 1 << op.order
            self.used_pages += 1 << op.order

    def _drop_bystander(self, op: DropBystander) -> None:
        if op.bystander_slot < BYSTANDER_SLOTS and op.bystander_slot in self.bystanders:
            self.bystanders.remove(op.bystander_slot)
            self.used_pages -= self._pages_of_bystander[op.bystander_slot]

    def _fail(self, op: Fail) -> None:
        self._failing = op

    def _create_pool(self, op: CreatePool) -> None:
        if op.pool < POOLS and op.pool not in self.pools:
            self.pools.add(op.pool)

    def _destroy_pool(self, op: DestroyPool) -> None:
        if op.pool < POOLS and op.pool in self.pools and not self.has_objects(op.pool):
            self.pools.remove(op.pool)


def _with_room(groups: list[Group]) -> Group | None:
    for group in reversed(groups):
        if len(group.members) < group.objs:
            return group
    return None


def _would_fail(failing: Fail, group: Group | None, pages: int) -> bool:
    if failing.what is FailWhat.HANDLE:
        return failing.ordinal == 0
    if group is not None:
        return False
    if failing.what is FailWhat.ZSPAGE:
        return failing.ordinal == 0
    return failing.ordinal < pages


_HANDLERS: dict[type[Any], Callable[[Sketch, Any], None]] = {
    Malloc: Sketch._malloc,
    Free: Sketch._free,
    Map: Sketch._map,
    Unmap: Sketch._unmap,
    Isolate: Sketch._isolate,
    Migrate: Sketch._migrate,
    Putback: Sketch._putback,
    Offline: Sketch._offline,
    Online: Sketch._online,
    SpeculativeGet: Sketch._get,
    SpeculativePut: Sketch._put,
    Bystander: Sketch._bystander,
    DropBystander: Sketch._drop_bystander,
    Fail: Sketch._fail,
    CreatePool: Sketch._create_pool,
    DestroyPool: Sketch._destroy_pool,
}
