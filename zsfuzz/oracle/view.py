"""What oracles see of the two sides: protocols, so that oracles need not import execution.

In:    nothing.
Out:   SideView, ContractView, ContentView.
Never: behaviour.
Next:  who fulfils them: zsfuzz/execute/side.py, zsfuzz/execute/contract.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.machine import Machine
from zsfuzz.target.protocol import Target


class ContentView(Protocol):
    """The bytes an object has to hold."""

    pool: int
    size: int

    def difference(self, offset: int, data: bytes) -> int:
        """Return the offset of the first known byte that differs, -1 if none does."""


class ContractView(Protocol):
    """The dictionary from slots to objects, and what else the program holds."""

    mapped: int | None

    @property
    def objects(self) -> Mapping[int, ContentView]: ...

    def classes_used(self, pool: int) -> Iterable[int]:
        """Return the raw indices of the size classes that objects of a pool were asked from in this run."""

    @property
    def pools(self) -> Mapping[int, None]: ...

    @property
    def references(self) -> Mapping[int, None]: ...


class SideView(Protocol):
    """One target on its machine."""

    role: str
    machine: Machine
    core: Core
    target: Target
    d: Descriptor
    handles: dict[int, int]
    pools: dict[int, int]
    pages: dict[int, int]
    references: dict[int, tuple[int, int, bool]]  # page, head, whether a zspage had the page then

    @property
    def isolations(self) -> list[tuple[int, int]]:
        """Return (page, result) of every page that the core isolated (0) or was refused, in the last step."""

    def read(self, address: int, length: int) -> bytes:
        """Load through a mapping."""

    def drained_projection(self) -> dict[str, int]:
        """Return what is left when everything was given back."""

    def unusable_pages(self) -> tuple[int, int]:
        """Return, per zone, the pages that are poisoned or offline and so never come back."""

    def foreign_attribute(self) -> str:
        """Return the name of a target attribute that changed since boot, "" if none did."""
