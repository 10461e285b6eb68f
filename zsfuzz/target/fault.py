"""A fault: a named, switchable bug, as an override of one small function of a model.

In:    the entries of reference/faults.py and candidate/faults.py.
Out:   Fault; plant() makes a target class that has it.
Never: an `if fault` in a model.
Next:  how a fault is named on the command line: zsfuzz/target/registry.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.target.protocol import Target


@dataclass(frozen=True, slots=True)
class Fault:
    """One bug.

    id: "A03", "H05", "G-wrong-list". target: the model it belongs to, "reference" or "candidate". origin: a commit, a
    mail or "generic". mechanism: one sentence. concurrent: needs an interleaving. oracle: what should fire, a finding's
    kind and the beginning of its rule, "invariant I5"; the usual one first, rarer ones after commas.
    override: mixin put in front of the target class. rules_override: mixin put in front of its descriptor rules.
    """

    id: str
    target: str
    origin: str
    mechanism: str
    concurrent: bool
    oracle: str
    override: type[Any] | None = None
    rules_override: type[Any] | None = None


def plant(target: type[Target], faults: Sequence[Fault]) -> type[Target]:
    """Return a target class with faults planted; later faults lie in front of earlier ones."""
    planted: type[Target] = target
    for fault in faults:
        if fault.override is not None:
            planted = type(f"{planted.__name__}With{_identifier(fault.id)}", (fault.override, planted), {})
        if fault.rules_override is not None:
            rules: type[Descriptor] = type(
                f"{planted.rules.__name__}With{_identifier(fault.id)}",
                (fault.rules_override, planted.rules),
                {},
            )
            planted = type(planted.__name__, (planted,), {"rules": rules})
    return planted


def _identifier(text: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in text)
