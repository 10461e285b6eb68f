"""Rules: each operation as a rule of a Hypothesis state machine, its arguments chosen by the state.

In:    a world (zsfuzz/strategies/world.py).
Out:   Rules, the methods; with_rules(), which makes a state machine class of them with a weight each.
Never: execution, an assertion.
Next:  machines of one pair of targets in zsfuzz/strategies/machine.py, of the engine in
       zsfuzz/strategies/hypothesis_engine.py.

Slots are drawn among those that are live; rules that make no sense have preconditions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.strategies import SearchStrategy

from zsfuzz.engine.profile import CORE_WEIGHTS, OTHER_WEIGHTS, class_table
from zsfuzz.engine.vocabulary import BYSTANDER_SLOTS, MAP_MODES, MODES, PAGE_SLOTS, POOLS, REF_SLOTS, SLOTS
from zsfuzz.machine.geometry import geometry
from zsfuzz.program import ops
from zsfuzz.program.program import Header
from zsfuzz.strategies.world import World

Weights = tuple[tuple[str, int], ...]
"""(name of a kind of operation, weight of 1 or more), a value that can be a key."""

_PICK = st.integers(0, 255)  # taken modulo what there is to pick from: each pick finds something
_MODE = st.sampled_from(MODES)


def _free_hands(self: Rules) -> bool:
    return self.world.mapped is None


def _holds_map(self: Rules) -> bool:
    return self.world.mapped is not None


def _has_objects(self: Rules) -> bool:
    return _free_hands(self) and bool(self.world.live)


def _has_room(self: Rules) -> bool:
    return _free_hands(self) and len(self.world.live) < self.live_cap


def _has_isolated(self: Rules) -> bool:
    return _free_hands(self) and bool(self.world.page_slots)


def _has_references(self: Rules) -> bool:
    return _free_hands(self) and bool(self.world.references)


def _has_bystanders(self: Rules) -> bool:
    return _free_hands(self) and bool(self.world.bystanders)


def _has_no_references(self: Rules) -> bool:
    return _free_hands(self) and not self.world.references


def _moves_alone(self: Rules) -> bool:
    """Neither a reference nor an isolated page is in the way."""
    return _has_no_references(self) and not self.world.page_slots


@dataclass(frozen=True, slots=True)
class _Rule:
    """A method that becomes a rule. when: its precondition. arguments: a strategy each."""

    method: Callable[..., None]
    when: Callable[[Rules], bool]
    arguments: Mapping[str, SearchStrategy[Any]]


_KIND_OF = {re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower(): kind.__name__ for kind in ops.OPERATIONS}
_RULES: dict[str, _Rule] = {}


def operation(
    when: Callable[[Rules], bool], **arguments: SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Note a method as a rule; machine_class() makes it one."""

    def decorate(method: Callable[..., None]) -> Callable[..., None]:
        _RULES[_KIND_OF[method.__name__]] = _Rule(method, when, arguments)
        return method

    return decorate


class Rules(RuleBasedStateMachine):
    """One method an operation; with_rules() makes rules of them. choose_header() of a derived class sets the world."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.live_cap = 0

    @initialize(number=_PICK, live_cap=st.integers(6, 40))
    def boot(self, number: int, live_cap: int) -> None:
        """Choose a header. live_cap: objects that may be live at a time."""
        self.live_cap = live_cap
        self.enter(self.choose_header(number))

    def choose_header(self, number: int) -> Header:
        """Choose a header by a number of 0..255, and set the world."""
        raise NotImplementedError

    def enter(self, header: Header) -> None:
        """Note what the arguments of a header's operations are made from."""
        self.section_pages = geometry(header.geometry).section_pages
        self.classes = class_table(header.geometry)

    def step(self, operation: ops.Operation) -> None:
        """Perform one operation."""
        self.world.perform(operation)

    # -- arguments

    def _slot(self, pick: int) -> int:
        live = self.world.live
        return live[pick % len(live)] if live else pick % SLOTS

    def _page(self, pick: int) -> ops.PageName:
        """An isolated page, a component of a live object, or any page."""
        world = self.world
        choice, pick = pick % 8, pick // 8
        if choice < 3 and world.page_slots:
            isolated = world.page_slots
            return ops.IsolatedPage(isolated[pick % len(isolated)])
        if choice < 7 and world.live:
            return ops.Component(self._slot(pick), pick % 4)
        return ops.Pfn(pick * 8 % self.world.memory_pages)

    def _range(self, start: int, length: int) -> tuple[int, int]:
        start %= self.world.memory_pages
        return start, min(start + length, self.world.memory_pages)

    def _section(self, pick: int) -> tuple[int, int]:
        start = pick % (self.world.memory_pages // self.section_pages) * self.section_pages
        return start, start + self.section_pages

    # -- objects

    @operation(_has_room, slot=st.integers(0, SLOTS - 1), size=_PICK, gfp=st.sampled_from(ops.Gfp), pool=_PICK)
    def malloc(self, slot: int, size: int, gfp: ops.Gfp, pool: int) -> None:
        """zs_malloc() into a slot that is free, of a size that fills its class."""
        live, pools = self.world.live, self.world.pools
        while slot in live and len(live) < SLOTS:
            slot = (slot + 1) % SLOTS
        served = self.classes[size % len(self.classes)]
        request = served.size_bytes - (0 if served.huge else 8)
        self.step(ops.Malloc(slot, request, gfp, pools[pool % len(pools)] if pools else 0))

    @operation(_has_objects, pick=_PICK)
    def free(self, pick: int) -> None:
        """zs_free()."""
        self.step(ops.Free(self._slot(pick)))

    @operation(_has_objects, pick=_PICK, mode=st.sampled_from(MAP_MODES))
    def map(self, pick: int, mode: ops.MapMode) -> None:
        """zs_map_object()."""
        self.step(ops.Map(self._slot(pick), mode))

    @operation(_holds_map)
    def unmap(self) -> None:
        """zs_unmap_object()."""
        self.step(ops.Unmap(self.world.mapped or 0))

    @operation(
        lambda self: bool(self.world.live),
        pick=_PICK,
        offset=st.integers(0, 4095),
        length=st.integers(1, 4096),
        number=_PICK,
    )
    def write(self, pick: int, offset: int, length: int, number: int) -> None:
        """A store through a map."""
        slot = self._held_or(pick)
        size = self.world.size_of(slot)
        self.step(ops.Write(slot, offset % size, length, number))

    @operation(
        lambda self: bool(self.world.live),
        pick=_PICK,
        offset=st.integers(0, 4095),
        length=st.integers(1, 4096),
    )
    def read(self, pick: int, offset: int, length: int) -> None:
        """A load through a map."""
        slot = self._held_or(pick)
        size = self.world.size_of(slot)
        self.step(ops.Read(slot, offset % size, length))

    def _held_or(self, pick: int) -> int:
        held = self.world.mapped
        return self._slot(pick) if held is None else held

    # -- pools

    @operation(_free_hands, pool=_PICK)
    def compact(self, pool: int) -> None:
        """zs_compact()."""
        self.step(ops.Compact(self._pool(pool)))

    @operation(_free_hands, kind=st.sampled_from(ops.ShrinkKind), pool=_PICK)
    def shrink(self, kind: ops.ShrinkKind, pool: int) -> None:
        """The pool's shrinker."""
        self.step(ops.Shrink(kind, self._pool(pool)))

    @operation(_free_hands, pool=_PICK)
    def stats(self, pool: int) -> None:
        """The statistics."""
        self.step(ops.Stats(self._pool(pool)))

    @operation(_free_hands, pool=_PICK)
    def huge_class_size(self, pool: int) -> None:
        """zs_huge_class_size()."""
        self.step(ops.HugeClassSize(self._pool(pool)))

    @operation(lambda self: _has_no_references(self) and len(self.world.pools) < POOLS)
    def create_pool(self) -> None:
        """zs_create_pool() of the first pool that is not there."""
        pools = self.world.pools
        self.step(ops.CreatePool(next(pool for pool in range(POOLS) if pool not in pools)))

    @operation(lambda self: _moves_alone(self) and bool(self._idle_pools()), pick=_PICK)
    def destroy_pool(self, pick: int) -> None:
        """zs_destroy_pool() of one that is empty."""
        idle = self._idle_pools()
        self.step(ops.DestroyPool(idle[pick % len(idle)]))

    def _idle_pools(self) -> list[int]:
        return [pool for pool in self.world.pools if not self.world.has_objects(pool)]

    def _pool(self, pick: int) -> int:
        pools = self.world.pools
        return pools[pick % len(pools)] if pools else 0

    # -- pages

    @operation(_free_hands, page_slot=st.integers(0, PAGE_SLOTS - 1), pick=_PICK, index=st.integers(0, 3))
    def isolate(self, page_slot: int, pick: int, index: int) -> None:
        """isolate_movable_page()."""
        page_slots = self.world.page_slots
        while page_slot in page_slots and len(page_slots) < PAGE_SLOTS:
            page_slot = (page_slot + 1) % PAGE_SLOTS
        self.step(ops.Isolate(page_slot, ops.Component(self._slot(pick), index)))

    @operation(_has_isolated, pick=_PICK)
    def putback(self, pick: int) -> None:
        """putback_movable_pages()."""
        isolated = self.world.page_slots
        self.step(ops.Putback(isolated[pick % len(isolated)]))

    @operation(
        lambda self: _has_objects(self) or _has_isolated(self),
        picks=st.lists(st.integers(0, 511), min_size=1, max_size=3),
        mode=_MODE,
    )
    def migrate(self, picks: list[int], mode: ops.MigrateMode) -> None:
        """migrate_pages() of a short list."""
        self.step(ops.Migrate(tuple([self._page(pick) for pick in picks]), mode))

    @operation(_free_hands, ref_slot=st.integers(0, REF_SLOTS - 1), pick=st.integers(0, 511))
    def speculative_get(self, ref_slot: int, pick: int) -> None:
        """A reference as a PFN walker takes it."""
        references = self.world.references
        while ref_slot in references and len(references) < REF_SLOTS:
            ref_slot = (ref_slot + 1) % REF_SLOTS
        self.step(ops.SpeculativeGet(ref_slot, self._page(pick)))

    @operation(_has_references, pick=_PICK)
    def speculative_put(self, pick: int) -> None:
        """Drop a reference."""
        references = self.world.references
        self.step(ops.SpeculativePut(references[pick % len(references)]))

    @operation(_moves_alone, pick=st.integers(0, 511), kind=st.sampled_from(ops.PoisonKind))
    def poison(self, pick: int, kind: ops.PoisonKind) -> None:
        """A memory error."""
        self.step(ops.Poison(self._page(pick), kind))

    # -- ranges

    @operation(_free_hands, scanner=st.sampled_from(ops.Scanner), start=_PICK, length=st.integers(4, 64))
    def scan(self, scanner: ops.Scanner, start: int, length: int) -> None:
        """One PFN scanner."""
        self.step(ops.Scan(scanner, *self._range(start, length)))

    @operation(_has_no_references, start=_PICK, length=st.integers(4, 64), mode=_MODE)
    def compact_zone(self, start: int, length: int, mode: ops.MigrateMode) -> None:
        """The two compaction scanners."""
        self.step(ops.CompactZone(*self._range(start, length), mode))

    @operation(_has_no_references, start=_PICK, length=st.integers(1, 16))
    def contig(self, start: int, length: int) -> None:
        """alloc_contig_range()."""
        self.step(ops.Contig(*self._range(start, length)))

    @operation(_moves_alone, pick=_PICK)
    def offline(self, pick: int) -> None:
        """offline_pages() of a section."""
        self.step(ops.Offline(*self._section(pick)))

    @operation(_free_hands, pick=_PICK)
    def online(self, pick: int) -> None:
        """online_pages() of a section."""
        self.step(ops.Online(*self._section(pick)))

    # -- the rest

    @operation(
        _free_hands,
        slot=st.integers(0, BYSTANDER_SLOTS - 1),
        kind=st.sampled_from(ops.BystanderKind),
        order=st.integers(0, 3),
    )
    def bystander(self, slot: int, kind: ops.BystanderKind, order: int) -> None:
        """A page of somebody else."""
        taken = self.world.bystanders
        while slot in taken and len(taken) < BYSTANDER_SLOTS:
            slot = (slot + 1) % BYSTANDER_SLOTS
        self.step(ops.Bystander(slot, kind, order))

    @operation(_has_bystanders, pick=_PICK)
    def drop_bystander(self, pick: int) -> None:
        """Free a bystander."""
        taken = self.world.bystanders
        self.step(ops.DropBystander(taken[pick % len(taken)]))

    @operation(
        _free_hands,
        operation=st.sampled_from(ops.FailOperation),
        what=st.sampled_from(ops.FailWhat),
        ordinal=st.integers(0, 3),
    )
    def fail(self, operation: ops.FailOperation, what: ops.FailWhat, ordinal: int) -> None:
        """A failure of a later allocation."""
        self.step(ops.Fail(operation, what, ordinal))

    @operation(_free_hands)
    def run_work(self) -> None:
        """The deferred worker."""
        self.step(ops.RunWork())

    @operation(_free_hands)
    def trim(self) -> None:
        """Everything that gives memory back."""
        self.step(ops.Trim())


KINDS: tuple[str, ...] = tuple(_RULES)
"""The names of the kinds that have a rule: all of zsfuzz/program/ops.py."""

_NAMES = {each.method.__name__: kind for kind, each in _RULES.items()}
_HALF = 2  # Hypothesis looks through all names at each step: half as many are as good and cost less


def usual_weights() -> Weights:
    """Return the weights of the fuzz loop's own programs, about."""
    weights = dict.fromkeys(KINDS, 1)
    for name, weight in (*CORE_WEIGHTS, *OTHER_WEIGHTS):
        weights[_NAMES[name]] = max(1, weight // _HALF)
    weights[_NAMES["unmap"]] = weights[_NAMES["map"]]
    return tuple(weights.items())


Machine = TypeVar("Machine", bound=Rules)


def with_rules(base: type[Machine], weights: Weights, *, own_names: bool = False) -> type[Machine]:
    """Return a class derived from `base` that has each rule under as many names as its weight says.

    own_names: let each rule have the name of its method, as rules have. Hypothesis leaves rules out of an
    example by their names, its own way of swarm testing, and to choose a rule that is neither left out nor
    without sense costs it much. Without, all rules have one name: nothing is left out, to choose is cheap.
    """
    members: dict[str, Any] = {}
    for kind, weight in weights:
        each = _RULES[kind]
        name = each.method.__name__ if own_names else "operation"
        method = FunctionType(each.method.__code__, globals(), name)
        method.__annotations__ = each.method.__annotations__
        as_rule: Callable[[Callable[..., None]], Callable[..., None]] = rule(**each.arguments)  # type: ignore[call-overload]
        made = precondition(each.when)(as_rule(method))
        members.update({f"{each.method.__name__}_{number}": made for number in range(weight)})
    return type(f"Weighted{base.__name__}", (base,), members)
