"""A world for each test."""

from __future__ import annotations

import pytest

from tests.machine.core.support import World, make_world


@pytest.fixture
def world() -> World:
    """Return a world with all memory free."""
    return make_world()
