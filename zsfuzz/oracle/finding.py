"""A finding: one thing that went wrong, as a value.

In:    what an oracle saw.
Out:   Finding.
Never: an exception, a decision what to do with it.
Next:  what makes two findings the same one: zsfuzz/oracle/signature.py; who makes them: zsfuzz/oracle/ and
       zsfuzz/execute/blame.py; who keeps them: zsfuzz/campaign/.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from zsfuzz.oracle.signature import signature_of


@dataclass(frozen=True, slots=True)
class Finding:
    """One divergence, broken invariant, wild access, deadlock, runaway scanner, leak or contract breach.

    kind: the oracle's word ("divergence", "invariant", "memory", "progress", "contract", "bug").
    rule: the check that fired ("I6", "outcome", "wild-access", "VM_BUG_ON PageLocked", ...).
    functions: model functions involved, outermost first; empty when a state was found wrong. field: the datum or
    struct member, "" if none. target: "reference", "candidate" or "both". step: index of the program's step, or
    len(steps) for the end. message: one line for people. details: further (name, value) pairs for people.
    request: the step's operation ("migrate"), "" at the end.
    """

    kind: str
    rule: str
    functions: tuple[str, ...]
    field: str
    target: str
    step: int
    message: str
    details: tuple[tuple[str, str], ...] = ()
    request: str = ""

    @property
    def signature(self) -> str:
        """Return what makes two findings the same one."""
        return signature_of(self)

    @property
    def id(self) -> str:
        """Return 12 hexadecimal digits made of the signature."""
        return hashlib.sha256(self.signature.encode()).hexdigest()[:12]

    def as_json(self) -> dict[str, Any]:
        """Return the finding as plain data (the caller adds "program" and "replay")."""
        return {
            "id": self.id,
            "signature": self.signature,
            "kind": self.kind,
            "rule": self.rule,
            "functions": list(self.functions),
            "field": self.field,
            "target": self.target,
            "step": self.step,
            "request": self.request,
            "message": self.message,
            "details": dict(self.details),
        }
