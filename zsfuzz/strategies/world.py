"""World: what the rules of a state machine may know of the state, and where their operations go.

In:    an execution of two targets, or nothing but the operations themselves.
Out:   World, a protocol; LiveWorld, the state as it is; PlannedWorld, the state as it probably is.
Never: a choice.
Next:  the rules in zsfuzz/strategies/rules.py.

A live world performs each operation at once, on both targets, with all checks: for a test of one pair. A planned world
only writes the program down, and follows it in a sketch: the engine hands it to a runner when it is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zsfuzz.engine.sketch import NOBODY, Sketch
from zsfuzz.execute.execution import Execution
from zsfuzz.machine.geometry import geometry
from zsfuzz.program.ops import Operation
from zsfuzz.program.program import Header


class World(Protocol):
    """A state that rules choose arguments by. Slots come in the order in which they were taken."""

    memory_pages: int

    def perform(self, operation: Operation) -> None:
        """Do one operation."""

    @property
    def live(self) -> Sequence[int]:
        """Return the slots with an object."""

    @property
    def mapped(self) -> int | None:
        """Return the slot that is held mapped, if one is."""

    @property
    def page_slots(self) -> Sequence[int]:
        """Return the page slots that hold an isolated page."""

    @property
    def references(self) -> Sequence[int]:
        """Return the slots of speculative references."""

    @property
    def bystanders(self) -> Sequence[int]:
        """Return the bystanders' slots."""

    @property
    def pools(self) -> Sequence[int]:
        """Return the pools that exist."""

    def size_of(self, slot: int) -> int:
        """Return how many bytes were asked for. slot: a live one."""

    def has_objects(self, pool: int) -> bool:
        """Return whether a pool has objects."""


class LiveWorld:
    """Two targets at work. perform is called for each operation, and does it."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self._contract = execution.contract
        self.memory_pages = execution.reference.machine.buddy.pages_count

    def perform(self, operation: Operation) -> None:
        """Do it on both sides. Errors: as Execution.perform()."""
        self.execution.perform(operation)

    @property
    def live(self) -> Sequence[int]:
        return list(self._contract.objects)

    @property
    def mapped(self) -> int | None:
        return self._contract.mapped

    @property
    def page_slots(self) -> Sequence[int]:
        return list(self._contract.page_slots)

    @property
    def references(self) -> Sequence[int]:
        return list(self._contract.references)

    @property
    def bystanders(self) -> Sequence[int]:
        return list(self._contract.bystanders)

    @property
    def pools(self) -> Sequence[int]:
        return list(self._contract.pools)

    def size_of(self, slot: int) -> int:
        return self._contract.objects[slot].size

    def has_objects(self, pool: int) -> bool:
        return self._contract.objects_in(pool) > 0


class PlannedWorld:
    """A program that is being written."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.steps: list[Operation] = []
        self._sketch = Sketch(geometry(header.geometry), header.normal_pages, header.movable_pages)
        self.memory_pages = self._sketch.memory_pages

    def perform(self, operation: Operation) -> None:
        """Write it down."""
        self.steps.append(operation)
        self._sketch.apply(operation)

    @property
    def live(self) -> Sequence[int]:
        return self._sketch.live.members

    @property
    def mapped(self) -> int | None:
        return None if self._sketch.held == NOBODY else self._sketch.held

    @property
    def page_slots(self) -> Sequence[int]:
        return self._sketch.isolated.members

    @property
    def references(self) -> Sequence[int]:
        return self._sketch.refs.members

    @property
    def bystanders(self) -> Sequence[int]:
        return self._sketch.bystanders.members

    @property
    def pools(self) -> Sequence[int]:
        return self._sketch.pools.members

    def size_of(self, slot: int) -> int:
        return self._sketch.size_of[slot]

    def has_objects(self, pool: int) -> bool:
        return self._sketch.has_objects(pool)
