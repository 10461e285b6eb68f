"""A small machine with lanes, for tests of the scheduler.

In:    lanes as lists of plain callables, one an operation; a schedule or a policy.
Out:   World.run(), World.follow().
Never: an allocator.
Next:  tests/machine/test_lanes.py, tests/machine/test_store_buffers.py.

Point 0 of an operation is its beginning, point n stands before its n-th access.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.geometry import geometry
from zsfuzz.machine.lanes import Lane, Lanes, Policy, Taken
from zsfuzz.machine.machine import Kernel, Machine, MachineConfig
from zsfuzz.machine.policies import Replay

Step = Callable[[], object]
Schedule = Mapping[tuple[int, int, int], tuple[int, int]]
"""(lane, operation, point) -> (to, held)."""


class World:
    """A machine with lanes. x, y, z: words that nobody uses; lock: a word for a lock; queue: of a wait queue.

    work: a work item."""

    def __init__(self, *, buffering: bool = False) -> None:
        self.lanes = Lanes(buffering=buffering)
        switches = ("store_buffers",) if buffering else ()
        config = MachineConfig(geometry("small"), 64, 64, 1 << 16, switches)
        self.machine = Machine(config, lanes=self.lanes)
        self.core = Core(self.machine)
        self.k = Kernel(self.machine, None)
        self.x, self.y, self.z, self.lock, self.queue = (self.machine.slab.core_alloc(1) for _ in range(5))
        self.work = self.machine.slab.core_alloc(2)
        self.seen: list[object] = []
        self._boot = self.machine.snapshot()

    def restart(self) -> None:
        """Back to the state after boot."""
        self.machine.restore(self._boot)
        self.machine.locks.order.clear()
        self.seen.clear()

    def run(self, policy: Policy, *bodies: Sequence[Step]) -> list[Taken]:
        """Run lanes from the state after boot. Returns the switches that were made."""
        self.restart()
        self.lanes.run([self._body(steps) for steps in bodies], [len(steps) for steps in bodies], policy)
        return self.lanes.taken

    def follow(self, schedule: Schedule, *bodies: Sequence[Step]) -> list[Taken]:
        """Run lanes under a schedule."""
        return self.run(Replay(schedule), *bodies)

    def _body(self, steps: Sequence[Step]) -> Callable[[Lane], None]:
        def body(lane: Lane) -> None:
            for number, step in enumerate(steps):
                self.lanes.begin(number)
                step()

        return body

    def see(self, word: int) -> Step:
        """An operation that loads a word into `seen`."""
        return lambda: self.seen.append(self.k.load(word))

    def note(self, what: object, *words: int) -> Step:
        """An operation that touches words one after the other and then says that it did."""

        def step() -> None:
            for word in words:
                self.k.load(word)
            self.seen.append(what)

        return step


def chain(*steps: Step) -> Callable[[], None]:
    """Return an operation that does several things one after the other."""

    def step() -> None:
        for each in steps:
            each()

    return step


def schedule_of(taken: Sequence[Taken]) -> dict[tuple[int, int, int], tuple[int, int]]:
    """Return what a schedule has to hold to do the same again: switches that were no matter of course."""
    return {(each.lane, each.operation, each.point): (each.to, each.held) for each in taken if not each.default}
