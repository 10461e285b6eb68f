"""What of mm/zsmalloc.c a userspace build cannot reach, and why.

In:    nothing.
Out:   RULES, in the order in which they are tried.
Never: a reason for what merely was not reached yet: such a line belongs into the list of the missed.
Next:  applied by zsfuzz/kernel/coverage.py, which reports a rule whose line was reached.
"""

from __future__ import annotations

from zsfuzz.kernel.coverage import Rule

_ASSERTION = "an assertion of the kernel's: it fires when there is a bug, and is then a finding"

RULES: tuple[Rule, ...] = (
    Rule("*", r"\b(?:VM_)?(?:BUG|WARN)_ON(?:_ONCE|_PAGE)?\(", _ASSERTION, branches_only=True),
    Rule("*", r"\bBUG\(\)", _ASSERTION),
)
