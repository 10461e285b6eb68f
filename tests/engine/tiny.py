"""A runner over an allocator of a few dozen lines, to test engines and the minimizer by themselves.

In:    programs.
Out:   RunResult, with features of the state and, if a planted bug is reached, a finding.
Never: zsfuzz/engine/sketch.py: what counts as effective is decided a second time here.

    zspage: members (slots) and isolated component pages; freed when both are empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from zsfuzz.execute.result import RunResult
from zsfuzz.machine.geometry import geometry
from zsfuzz.oracle.finding import Finding
from zsfuzz.program import ops
from zsfuzz.program.program import Program

ACROSS_REFERENCES = frozenset({ops.CompactZone, ops.Offline, ops.Contig, ops.Poison, ops.CreatePool, ops.DestroyPool})
OPCODE = {operation: number for number, operation in enumerate(ops.OPERATIONS)}


@dataclass(eq=False)
class Zspage:
    """One zspage of the tiny allocator."""

    key: tuple[int, int]
    pages: int
    objs: int
    members: set[int] = field(default_factory=set)
    isolated: set[int] = field(default_factory=set)
    stage: int = 0  # how far a combination lock has turned


class TinyState:
    """The allocator, and which operations did something."""

    def __init__(self, program: Program) -> None:
        self.shape = geometry(program.header.geometry)
        self.zspages: dict[tuple[int, int], list[Zspage]] = {}
        self.live: dict[int, Zspage] = {}
        self.isolated: dict[int, tuple[Zspage, int]] = {}
        self.refs: set[int] = set()
        self.bystanders: set[int] = set()
        self.pools = {0}
        self.held, self.held_mode = -1, ops.MapMode.RW

    def find(self, page: ops.PageName) -> tuple[Zspage, int] | None:
        """Return the zspage and component index behind a name, None for a dead one."""
        match page:
            case ops.Component(slot, index):
                zspage = self.live.get(slot)
                return None if zspage is None else (zspage, index % zspage.pages)
            case ops.IsolatedPage(page_slot):
                return self.isolated.get(page_slot)
            case ops.Pfn():
                return None

    def step(self, op: ops.Operation) -> bool:
        """Run one operation; return whether it was effective."""
        if self.held >= 0:
            if isinstance(op, ops.Unmap) and op.slot == self.held:
                self.held = -1
                return True
            if isinstance(op, ops.Read):
                return op.slot == self.held and self.held_mode is not ops.MapMode.WO
            return isinstance(op, ops.Write) and op.slot == self.held and self.held_mode is not ops.MapMode.RO
        if self.refs and type(op) in ACROSS_REFERENCES:
            return False
        if self.isolated and isinstance(op, ops.Poison | ops.Offline | ops.DestroyPool):
            return False
        handler = _STEPS.get(type(op))
        return handler(self, op) if handler is not None else True

    def malloc(self, op: ops.Malloc) -> bool:
        if op.slot in self.live or op.pool not in self.pools:
            return False
        if not 0 < op.size <= self.shape.page_size:
            return True  # refused, which is an outcome
        size_class = self.shape.size_classes.class_for(op.size + 8)
        groups = self.zspages.setdefault((op.pool, size_class.index), [])
        zspage = next((each for each in groups if len(each.members) < each.objs), None)
        if zspage is None:
            key = op.pool, size_class.index
            zspage = Zspage(key, size_class.pages_per_zspage, size_class.objs_per_zspage)
            groups.append(zspage)
        zspage.members.add(op.slot)
        self.live[op.slot] = zspage
        return True

    def free(self, op: ops.Free) -> bool:
        zspage = self.live.pop(op.slot, None)
        if zspage is None:
            return False
        zspage.members.remove(op.slot)
        self.drop(zspage)
        return True

    def drop(self, zspage: Zspage) -> None:
        if not zspage.members and not zspage.isolated:
            self.zspages[zspage.key].remove(zspage)

    def map(self, op: ops.Map) -> bool:
        if op.slot not in self.live:
            return False
        self.held, self.held_mode = op.slot, op.mode
        return True

    def access(self, op: ops.Read | ops.Write) -> bool:
        return op.slot in self.live

    def isolate(self, op: ops.Isolate) -> bool:
        found = self.find(op.page)
        if op.page_slot in self.isolated:
            return False
        if found is None or not found[0].members or found[1] in found[0].isolated:
            return found is not None or isinstance(op.page, ops.Pfn)
        found[0].isolated.add(found[1])
        self.isolated[op.page_slot] = found
        return True

    def release(self, page_slot: int) -> bool:
        found = self.isolated.pop(page_slot, None)
        if found is None:
            return False
        found[0].isolated.remove(found[1])
        self.drop(found[0])
        return True

    def migrate(self, op: ops.Migrate) -> bool:
        acted = False
        for page in op.pages:
            acted |= isinstance(page, ops.Pfn) or self.find(page) is not None
            if isinstance(page, ops.IsolatedPage):
                self.release(page.page_slot)
        return acted

    def get(self, op: ops.SpeculativeGet) -> bool:
        if op.ref_slot in self.refs:
            return False
        self.refs.add(op.ref_slot)
        return True

    def put(self, op: ops.SpeculativePut) -> bool:
        found = op.ref_slot in self.refs
        self.refs.discard(op.ref_slot)
        return found

    def bystander(self, op: ops.Bystander) -> bool:
        if op.bystander_slot in self.bystanders:
            return False
        self.bystanders.add(op.bystander_slot)
        return True

    def drop_bystander(self, op: ops.DropBystander) -> bool:
        found = op.bystander_slot in self.bystanders
        self.bystanders.discard(op.bystander_slot)
        return found

    def create_pool(self, op: ops.CreatePool) -> bool:
        if op.pool in self.pools:
            return False
        self.pools.add(op.pool)
        return True

    def destroy_pool(self, op: ops.DestroyPool) -> bool:
        used = any(groups and key[0] == op.pool for key, groups in self.zspages.items())
        if op.pool not in self.pools or used:
            return False
        self.pools.remove(op.pool)
        return True


_STEPS: dict[type, Callable[[TinyState, object], bool]] = {
    ops.Malloc: TinyState.malloc,  # type: ignore[dict-item]  # each handler takes its own operation
    ops.Free: TinyState.free,  # type: ignore[dict-item]
    ops.Map: TinyState.map,  # type: ignore[dict-item]
    ops.Unmap: lambda state, op: False,
    ops.Read: TinyState.access,  # type: ignore[dict-item]
    ops.Write: TinyState.access,  # type: ignore[dict-item]
    ops.Isolate: TinyState.isolate,  # type: ignore[dict-item]
    ops.Putback: lambda state, op: isinstance(op, ops.Putback) and state.release(op.page_slot),
    ops.Migrate: TinyState.migrate,  # type: ignore[dict-item]
    ops.SpeculativeGet: TinyState.get,  # type: ignore[dict-item]
    ops.SpeculativePut: TinyState.put,  # type: ignore[dict-item]
    ops.Bystander: TinyState.bystander,  # type: ignore[dict-item]
    ops.DropBystander: TinyState.drop_bystander,  # type: ignore[dict-item]
    ops.CreatePool: TinyState.create_pool,  # type: ignore[dict-item]
    ops.DestroyPool: TinyState.destroy_pool,  # type: ignore[dict-item]
    ops.Fail: lambda state, op: True,
}

Bug = Callable[[TinyState, ops.Operation], str]
"""Looks at the state before an operation; returns the rule that breaks, or ""."""


def no_bug(state: TinyState, op: ops.Operation) -> str:
    return ""


def putback_of_the_dead(state: TinyState, op: ops.Operation) -> str:
    """A page of a zspage without objects, of several pages, is put back."""
    if isinstance(op, ops.Putback) and op.page_slot in state.isolated:
        zspage = state.isolated[op.page_slot][0]
        if not zspage.members and zspage.pages == 4:
            return "dead-putback"
    return ""


class CombinationLock:
    """Turns by one for each right operation while one zspage keeps a page isolated; opens at the last.

    free its last object -> contig -> trim -> shrink -> create_pool -> put back
    """

    TURNS: tuple[type[ops.Operation], ...] = (ops.Contig, ops.Trim, ops.Shrink, ops.CreatePool)

    def __init__(self) -> None:
        self.stage = 0

    def __call__(self, state: TinyState, op: ops.Operation) -> str:
        dead = [zspage for zspage, _ in state.isolated.values() if not zspage.members and zspage.pages > 1]
        if not dead:
            self.stage = 0
        elif self.stage < len(self.TURNS) and isinstance(op, self.TURNS[self.stage]):
            self.stage += 1
        elif self.stage == len(self.TURNS) and isinstance(op, ops.Putback) and op.page_slot in state.isolated:
            return "lock-open"
        return ""


def run_tiny(program: Program, bug: Bug = no_bug) -> RunResult:
    """Run a program; the features are (operation, effective, isolation, lock stage)."""
    state = TinyState(program)
    features: set[int] = set()
    operations = no_ops = 0
    for index, op in enumerate(program.steps):
        rule = bug(state, op)
        if rule:
            finding = Finding("bug", rule, ("putback",), "", "candidate", index, rule)
            return RunResult((finding,), operations, no_ops, tuple(sorted(features)), {}, {})
        effective = state.step(op)
        operations += effective
        no_ops += not effective
        dead = sum(not zspage.members for zspage, _ in state.isolated.values())
        stage = bug.stage if isinstance(bug, CombinationLock) else 0
        features.add(((OPCODE[type(op)] * 2 + effective) * 4 + min(dead, 3)) * 8 + stage)
    return RunResult((), operations, no_ops, tuple(sorted(features)), {}, {})


def effective_kinds(program: Program) -> Counter[type]:
    """Return how many effective operations of each class a program has."""
    state = TinyState(program)
    return Counter([type(op) for op in program.steps if state.step(op)])
