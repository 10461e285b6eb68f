"""The two ways a run ends badly without a finding: the user's mistake, and ours.

In:    what went wrong, where, what to do next.
Out:   UsageError (exit status 2, one line) and HarnessError (exit status 3).
Never: a finding. Findings are values: zsfuzz/oracle/finding.py.
"""

from __future__ import annotations


class UsageError(Exception):
    """A mistake of the user. The text is one line: what, where, what to do."""


class HarnessError(Exception):
    """A fault of the fuzzer itself. Never swallowed; the program that caused it is saved."""
