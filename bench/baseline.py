"""The baseline: Hypothesis drives the same two targets through the same executor.

In:    headers to choose from, the cadence of the full comparison.
Out:   AllocatorMachine, run by run_baseline(); what it did in a Session.
Never: a comparison of its own: perform(), check_everything() and finish() of zsfuzz/execute/execution.py
       are what the fuzz loop runs, at the same cadence in steps.
Next:  the weights of the rules in bench/weights.py; who measures: bench/loop.py.

It is given every advantage a user could give it: slots are drawn among those that are live, rules that make
no sense have preconditions, a machine is put back instead of being made, nothing is printed, saved, shrunk or
held against a deadline.

    one example = one program:   boot (a header) | rule, rule, ... | teardown: finish()

A program that parts (an expected difference lets the designs go on differently) ends there in the fuzz loop;
here the example goes on with a new one, so that no step is lost.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from types import FunctionType
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import SearchStrategy

from bench.weights import Weights, fitted_weights
from bench.work import Mix, mix_of
from zsfuzz.engine.profile import class_table
from zsfuzz.engine.vocabulary import BYSTANDER_SLOTS, MAP_MODES, MODES, PAGE_SLOTS, POOLS, REF_SLOTS, SLOTS
from zsfuzz.execute.execution import Execution
from zsfuzz.execute.runner import machine_config
from zsfuzz.execute.side import Side
from zsfuzz.machine.geometry import geometry
from zsfuzz.machine.machine import MachineConfig
from zsfuzz.program import ops
from zsfuzz.program.program import Header, Program
from zsfuzz.target.registry import resolve_pair

_NO_STEPS = (ops.Malloc(SLOTS - 1, 1),)  # of a program that asks for the heap of all slots


class Session:
    """What all examples of a block share: the pairs of machines, and the count of what was done."""

    def __init__(self, reference: str, candidate: str, cadence: int, *, own_names: bool = False) -> None:
        """own_names: see machine_class()."""
        self.cadence = cadence
        self.own_names = own_names
        self.weights: Weights = tuple((kind, 1) for kind in _RULES)
        self.headers: tuple[Header, ...] = (Header(),)
        self._classes = resolve_pair(reference, candidate)
        self._pairs: dict[MachineConfig, tuple[Side, Side]] = {}
        self.clear()

    def clear(self) -> None:
        """Begin a new block."""
        self.programs: list[Program] = []
        self.effective: Counter[type[ops.Operation]] = Counter()
        self.checks: Counter[str] = Counter()
        self.no_ops = 0

    def pair(self, header: Header) -> tuple[Side, Side]:
        """Return two sides in the state after boot."""
        config = machine_config(Program(header, _NO_STEPS))
        pair = self._pairs.get(config)
        if pair is None:
            reference, candidate = self._classes
            pair = (Side("reference", reference, config), Side("candidate", candidate, config))
            self._pairs[config] = pair
        for side in pair:
            side.reset()
        return pair

    def fit(self, wanted: Mix, headers: Sequence[Header], examples: int, steps: int, random_seed: int) -> None:
        """Set the headers that examples draw from, and weigh the rules so that the mix comes near the wanted one."""
        self.headers = tuple(headers)
        seeds = count(random_seed)

        def measure(weights: Weights) -> Mix:
            self.weights = weights
            self.clear()
            run_baseline(self, examples, steps, next(seeds))
            return mix_of(self.effective)

        self.weights = fitted_weights(wanted, tuple(_RULES), measure)
        self.clear()

    def take_over(self, other: Session) -> None:
        """Use the headers and weights that were fitted for another session."""
        self.headers, self.weights = other.headers, other.weights

    def ended(self, header: Header, steps: list[ops.Operation], execution: Execution) -> None:
        """Take in a program that was finished."""
        self.programs.append(Program(header, tuple(steps)))
        self.checks.update(execution.result(()).checks)


def run_baseline(session: Session, examples: int, steps: int, random_seed: int) -> None:
    """Run one block. Errors: whatever an oracle raises."""
    machine = machine_class(session.weights, session.own_names)
    factory: Callable[[], AllocatorMachine] = seed(random_seed)(lambda: machine(session))
    run_state_machine_as_test(
        factory,  # type: ignore[arg-type]  # any callable that returns a machine, says its documentation
        settings=baseline_settings(examples, steps),
    )


def baseline_settings(examples: int, steps: int) -> settings:
    """Return Hypothesis' settings: generation, and nothing that costs time beside it."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )


_PICK = st.integers(0, 255)  # taken modulo what there is to pick from: each pick finds something
_MODE = st.sampled_from(MODES)


def _free_hands(self: AllocatorMachine) -> bool:
    return self.execution.contract.mapped is None


def _holds_map(self: AllocatorMachine) -> bool:
    return self.execution.contract.mapped is not None


def _has_objects(self: AllocatorMachine) -> bool:
    return _free_hands(self) and bool(self.execution.contract.objects)


def _has_room(self: AllocatorMachine) -> bool:
    return _free_hands(self) and len(self.execution.contract.objects) < self.live_cap


def _has_isolated(self: AllocatorMachine) -> bool:
    return _free_hands(self) and bool(self.execution.contract.page_slots)


def _has_references(self: AllocatorMachine) -> bool:
    return _free_hands(self) and bool(self.execution.contract.references)


def _has_bystanders(self: AllocatorMachine) -> bool:
    return _free_hands(self) and bool(self.execution.contract.bystanders)


def _has_no_references(self: AllocatorMachine) -> bool:
    return _free_hands(self) and not self.execution.contract.references


def _moves_alone(self: AllocatorMachine) -> bool:
    """Neither a reference nor an isolated page is in the way."""
    return _has_no_references(self) and not self.execution.contract.page_slots


@dataclass(frozen=True, slots=True)
class _Rule:
    """A method that becomes a rule. when: its precondition. arguments: a strategy each."""

    method: Callable[..., None]
    when: Callable[[AllocatorMachine], bool]
    arguments: Mapping[str, SearchStrategy[Any]]


_KIND_OF = {re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower(): kind.__name__ for kind in ops.OPERATIONS}
_RULES: dict[str, _Rule] = {}


def operation(
    when: Callable[[AllocatorMachine], bool], **arguments: SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Note a method as a rule; machine_class() makes it one."""

    def decorate(method: Callable[..., None]) -> Callable[..., None]:
        _RULES[_KIND_OF[method.__name__]] = _Rule(method, when, arguments)
        return method

    return decorate


class AllocatorMachine(RuleBasedStateMachine):
    """One method an operation; machine_class() makes rules of them."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.live_cap = 0
        self._booted = False

    @initialize(number=_PICK, live_cap=st.integers(6, 40))
    def boot(self, number: int, live_cap: int) -> None:
        """Choose a header and put its two machines into the state after boot."""
        self.live_cap = live_cap
        self.header = self.session.headers[number % len(self.session.headers)]
        self._begin()

    def _begin(self) -> None:
        sides = self.session.pair(self.header)
        shape = geometry(self.header.geometry)
        self.memory_pages = sides[0].machine.buddy.pages_count
        self.section_pages = shape.section_pages
        self.classes = class_table(self.header.geometry)
        self.steps: list[ops.Operation] = []
        self.execution = Execution(Program(self.header, ()), sides, self.session.cadence, None)
        self._booted = True

    def _end(self) -> None:
        self.execution.finish()
        self._booted = False
        self.session.ended(self.header, self.steps, self.execution)

    def teardown(self) -> None:
        """Compare everything, give everything back, compare what is left."""
        if self._booted:
            self._end()

    def step(self, operation: ops.Operation) -> None:
        """Perform one operation with its checks, as the fuzz loop does."""
        execution, session = self.execution, self.session
        self.steps.append(operation)
        if not execution.perform(operation):
            session.no_ops += 1
        else:
            session.effective[type(operation)] += 1
            if len(self.steps) % session.cadence == 0 and not execution.judge.parted:
                execution.check_everything()
        if execution.judge.parted:
            self._end()
            self._begin()

    # -- arguments

    def _slot(self, pick: int) -> int:
        live = list(self.execution.contract.objects)
        return live[pick % len(live)] if live else pick % SLOTS

    def _page(self, pick: int) -> ops.PageName:
        """An isolated page, a component of a live object, or any page."""
        contract = self.execution.contract
        choice, pick = pick % 8, pick // 8
        if choice < 3 and contract.page_slots:
            isolated = list(contract.page_slots)
            return ops.IsolatedPage(isolated[pick % len(isolated)])
        if choice < 7 and contract.objects:
            return ops.Component(self._slot(pick), pick % 4)
        return ops.Pfn(pick * 8 % self.memory_pages)

    def _range(self, start: int, length: int) -> tuple[int, int]:
        start %= self.memory_pages
        return start, min(start + length, self.memory_pages)

    def _section(self, pick: int) -> tuple[int, int]:
        start = pick % (self.memory_pages // self.section_pages) * self.section_pages
        return start, start + self.section_pages

    # -- objects

    @operation(_has_room, slot=st.integers(0, SLOTS - 1), size=_PICK, gfp=st.sampled_from(ops.Gfp), pool=_PICK)
    def malloc(self, slot: int, size: int, gfp: ops.Gfp, pool: int) -> None:
        """zs_malloc() into a slot that is free, of a size that fills its class."""
        objects, pools = self.execution.contract.objects, list(self.execution.contract.pools)
        while slot in objects:
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
        self.step(ops.Unmap(self.execution.contract.mapped or 0))

    @operation(
        lambda self: bool(self.execution.contract.objects),
        pick=_PICK,
        offset=st.integers(0, 4095),
        length=st.integers(1, 4096),
        number=_PICK,
    )
    def write(self, pick: int, offset: int, length: int, number: int) -> None:
        """A store through a map."""
        slot = self._held_or(pick)
        size = self.execution.contract.objects[slot].size
        self.step(ops.Write(slot, offset % size, length, number))

    @operation(
        lambda self: bool(self.execution.contract.objects),
        pick=_PICK,
        offset=st.integers(0, 4095),
        length=st.integers(1, 4096),
    )
    def read(self, pick: int, offset: int, length: int) -> None:
        """A load through a map."""
        slot = self._held_or(pick)
        size = self.execution.contract.objects[slot].size
        self.step(ops.Read(slot, offset % size, length))

    def _held_or(self, pick: int) -> int:
        held = self.execution.contract.mapped
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

    @operation(lambda self: _has_no_references(self) and len(self.execution.contract.pools) < POOLS)
    def create_pool(self) -> None:
        """zs_create_pool() of the first pool that is not there."""
        pools = self.execution.contract.pools
        self.step(ops.CreatePool(next(pool for pool in range(POOLS) if pool not in pools)))

    @operation(lambda self: _moves_alone(self) and bool(self._idle_pools()), pick=_PICK)
    def destroy_pool(self, pick: int) -> None:
        """zs_destroy_pool() of one that is empty."""
        idle = self._idle_pools()
        self.step(ops.DestroyPool(idle[pick % len(idle)]))

    def _idle_pools(self) -> list[int]:
        contract = self.execution.contract
        return [pool for pool in contract.pools if not contract.objects_in(pool)]

    def _pool(self, pick: int) -> int:
        pools = list(self.execution.contract.pools)
        return pools[pick % len(pools)] if pools else 0

    # -- pages

    @operation(_free_hands, page_slot=st.integers(0, PAGE_SLOTS - 1), pick=_PICK, index=st.integers(0, 3))
    def isolate(self, page_slot: int, pick: int, index: int) -> None:
        """isolate_movable_page()."""
        page_slots = self.execution.contract.page_slots
        while page_slot in page_slots and len(page_slots) < PAGE_SLOTS:
            page_slot = (page_slot + 1) % PAGE_SLOTS
        self.step(ops.Isolate(page_slot, ops.Component(self._slot(pick), index)))

    @operation(_has_isolated, pick=_PICK)
    def putback(self, pick: int) -> None:
        """putback_movable_pages()."""
        isolated = list(self.execution.contract.page_slots)
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
        references = self.execution.contract.references
        while ref_slot in references and len(references) < REF_SLOTS:
            ref_slot = (ref_slot + 1) % REF_SLOTS
        self.step(ops.SpeculativeGet(ref_slot, self._page(pick)))

    @operation(_has_references, pick=_PICK)
    def speculative_put(self, pick: int) -> None:
        """Drop a reference."""
        references = list(self.execution.contract.references)
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
        taken = self.execution.contract.bystanders
        while slot in taken and len(taken) < BYSTANDER_SLOTS:
            slot = (slot + 1) % BYSTANDER_SLOTS
        self.step(ops.Bystander(slot, kind, order))

    @operation(_has_bystanders, pick=_PICK)
    def drop_bystander(self, pick: int) -> None:
        """Free a bystander."""
        taken = list(self.execution.contract.bystanders)
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


@cache
def machine_class(weights: Weights, own_names: bool) -> type[AllocatorMachine]:
    """Return the state machine with its rules, each under as many names as its weight says.

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
    return type("WeightedMachine", (AllocatorMachine,), members)
