"""A small machine for each test."""

from __future__ import annotations

import pytest

from zsfuzz.machine.geometry import geometry
from zsfuzz.machine.machine import Machine, MachineConfig


def make_machine(*switches: str, name: str = "small", normal: int = 64, movable: int = 64) -> Machine:
    """Return a machine with little memory."""
    return Machine(MachineConfig(geometry(name), normal, movable, 1 << 18, switches))


@pytest.fixture
def machine() -> Machine:
    """Return a machine with the heap below the memmap."""
    return make_machine()
