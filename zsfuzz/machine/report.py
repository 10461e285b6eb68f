"""Report: what a primitive raises when the simulated machine would have oopsed.

In:    the rule that was broken and the datum it was broken on.
Out:   an exception that zsfuzz/execute/ turns into a finding.
Never: an address, slot or seed in `rule` or `field`: they go into the message.
"""

from __future__ import annotations


class Report(Exception):
    """A sanitizer-like report. The machine that raised it is not usable any more.

    kind: "memory", "bug", "invariant", "progress", "contract". rule: the check. field: the datum.
    """

    def __init__(self, kind: str, rule: str, field: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.rule = rule
        self.field = field
        self.message = message
