"""Targets of a user's own, for tests: one that works, and some that do not.

In:    nothing.
Out:   source texts of modules, to be written beside a command's working folder.
Never: imported by the tests themselves.
Next:  tests/e2e/test_own_targets.py.
"""

from __future__ import annotations

GOOD = """
import candidate

class Mine(candidate.TARGETS["candidate"]):
    name = "mine"
"""

RAISES = """
import candidate

class Mine(candidate.TARGETS["candidate"]):
    name = "mine"

    def zs_malloc(self, pool, size, gfp):
        if size > 3000:
            raise KeyError("my own bug")
        return super().zs_malloc(pool, size, gfp)
"""

RAISES_AT_ONCE = """
import candidate

class Mine(candidate.TARGETS["candidate"]):
    name = "mine"

    def __init__(self, kernel):
        raise RuntimeError("not today")
"""

KEEPS_A_COUNT = """
import candidate

class Mine(candidate.TARGETS["candidate"]):
    name = "mine"

    def zs_malloc(self, pool, size, gfp):
        self.calls = getattr(self, "calls", 0) + 1
        return super().zs_malloc(pool, size, gfp)
"""

INCOMPLETE = """
from zsfuzz.target.protocol import Target

class Mine(Target):
    name = "mine"

    def zs_create_pool(self):
        return 1
"""

OLD = """
import candidate

class Mine(candidate.TARGETS["candidate"]):
    name = "mine"
    protocol_version = 99
"""

NO_TARGET = "Mine = 7\n"

BROKEN_MODULE = "raise RuntimeError('at import')\n"
