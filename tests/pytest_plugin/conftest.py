"""Turns on pytester, which runs pytest inside a test.

In:    nothing.
Out:   the pytester fixture.
Never: the plugin under test: each test loads it by itself.
Next:  tests/pytest_plugin/test_pytest_plugin.py.
"""

from __future__ import annotations

pytest_plugins = ["pytester"]
