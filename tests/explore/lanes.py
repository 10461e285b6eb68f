"""Small lanes over a machine, for searches that can be held against each other.

In:    lanes as lists of words, each an instruction on a handful of shared words and locks.
Out:   Toy, a System of zsfuzz/explore/search.py; its end is all that any lane has seen, and memory.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from random import Random

from zsfuzz.machine.geometry import geometry
from zsfuzz.machine.lanes import Lane, Lanes, Policy
from zsfuzz.machine.machine import Machine, MachineConfig
from zsfuzz.machine.recording import NOTHING, Footprint, Recorder
from zsfuzz.machine.report import Report

Instruction = tuple[str, int]
SORTS = ("load", "store", "add", "lock", "trylock", "set", "wait", "wake", "relax", "list", "unlist", "private")


class Toy:
    """Lanes of instructions. words, locks: how many are shared."""

    def __init__(self, lanes: Sequence[Sequence[Sequence[Instruction]]], words: int = 2, locks: int = 2) -> None:
        """lanes: of operations, of instructions."""
        self.recorder = Recorder()
        self.lanes = Lanes(recorder=self.recorder)
        config = MachineConfig(geometry("linux-5.10"), 16, 16, 1 << 18)
        self.machine = machine = Machine(config, lanes=self.lanes)
        self.bodies = lanes
        count = len(lanes)
        self.words = machine.slab.core_alloc(words + locks + 2 + 2 * count + 1 + count)
        self.locks = self.words + 8 * words
        self.head = self.locks + 8 * locks
        self.entries = self.head + 16
        self.queue = self.entries + 16 * count
        self.own = self.queue + 8
        machine.lists.INIT_LIST_HEAD(self.head)
        for number in range(len(lanes)):
            machine.lists.INIT_LIST_HEAD(self.entries + 16 * number)
        self.start = machine.snapshot()
        self.seen: list[list[object]] = []
        self.executions = 0

    def shares(self, lane: int, operation: int, *, begins: bool, ends: bool) -> Footprint:
        """All is in the arena."""
        return NOTHING

    def execute(self, policy: Policy) -> Hashable:
        """Run all lanes once."""
        self.executions += 1
        self.machine.restore(self.start)
        self.machine.locks.order = {}
        self.seen = [[] for _ in self.bodies]
        left = [len(self.bodies)]
        try:
            self.lanes.run([self._body(body, left) for body in self.bodies], [len(b) for b in self.bodies], policy)
        except Report as report:
            self.recorder.on = False
            return (report.rule, report.field)
        memory = self.machine.memory
        size = self.own - self.words + 8 * len(self.bodies)
        return (memory.read_bytes(self.words, size), tuple(tuple(each) for each in self.seen))

    def _body(self, operations: Sequence[Sequence[Instruction]], left: list[int]) -> Callable[[Lane], None]:
        def body(lane: Lane) -> None:
            for number, instructions in enumerate(operations):
                self.lanes.begin(number)
                for sort, which in instructions:
                    self._do(lane.number, sort, which)
            left[0] -= 1
            if not left[0]:
                self.recorder.on = False

        return body

    def _do(self, lane: int, sort: str, which: int) -> None:
        m, seen = self.machine, self.seen[lane]
        word, lock = self.words + 8 * which, self.locks + 8 * which
        held = [address for _, address in m.locks.held]
        match sort:
            case "load":
                seen.append(m.load(word))
            case "store":
                m.store(word, 10 * lane + len(seen) + 1)
            case "add":
                seen.append(m.atomic_add(word, 1))
            case "lock":
                if lock in held:
                    m.locks.spin_unlock(lock, f"lock {which}")
                else:
                    m.locks.spin_lock(lock, f"lock {which}")
            case "trylock":
                if lock in held:
                    m.locks.spin_unlock(lock, f"lock {which}")
                else:
                    seen.append(m.locks.spin_trylock(lock, f"lock {which}"))
            case "set":
                m.set_bit(7 + lane, word)
            case "wait":
                m.wait_event(self.queue, lambda: m.load(word) != 0, "a word")
            case "wake":
                m.wake_up_all(self.queue)
            case "relax":
                seen.append(m.relax())
            case "list":
                if m.lists.list_empty(self.entries + 16 * lane):
                    m.lists.list_add(self.entries + 16 * lane, self.head)
                    seen.append(m.lists.list_first(self.head))
            case "unlist":
                m.lists.list_del_init(self.entries + 16 * lane)
            case _:
                m.store(self.own + 8 * lane, which)


def random_lanes(rng: Random, count: int, length: int) -> list[list[list[Instruction]]]:
    """Return lanes of `length` instructions each; a lock that is taken is mostly released."""
    lanes = []
    sorts = rng.sample(SORTS, rng.randrange(2, 6))
    for _ in range(count):
        body = [(rng.choice(sorts), rng.randrange(2)) for _ in range(length)]
        cut = rng.randrange(len(body) + 1)
        lanes.append([part for part in (body[:cut], body[cut:]) if part] or [[]])
    return lanes
