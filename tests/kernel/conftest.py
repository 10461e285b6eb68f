"""The fixtures that several files here share.

In:    tests/kernel/packages.py.
Out:   machine, wishes.
Never: fixtures of one test.
Next:  tests/kernel/test_fetch.py.
"""

from __future__ import annotations

from tests.kernel.packages import machine, wishes

__all__ = ["machine", "wishes"]
