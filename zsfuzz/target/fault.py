"""A fault: a named, switchable bug, as an override of one small function of a model.

In:    the entries of reference/faults.py, candidate/faults.py and zsfuzz/target/shared_faults.py.
Out:   Fault; plant() makes a target class that has it.
Never: an `if fault` in a model.
Next:  how a fault is named on the command line: zsfuzz/target/registry.py; how a fault of code that both sides run
       is put in and taken out again: zsfuzz/target/planting.py.

A fault of one model is a mixin in front of its class. A fault of shared code (the core, the scanners, the policy) has
no class to be in front of: it names functions and what stands in for them. A fault of both models names one fault of
each; then no difference between the sides shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.target.protocol import Target

SHARED_TARGETS = ("core", "policy", "both")
"""Targets of faults that change both sides of a run."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """One function of shared code, and what stands in for it while a fault is planted.

    owner: "package.module", or "package.module:Class" for a method. name: of the function. make: takes the function
    that is there and returns the stand-in.
    """

    owner: str
    name: str
    make: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """One bug.

    id: "A03", "H05", "G-wrong-list". target: the model it belongs to, "reference" or "candidate"; "core", "policy" for
    code that both sides run; "both" for the same bug in both models. origin: a commit, a mail or "generic". mechanism:
    one sentence. concurrent: needs an interleaving. oracle: what should fire, a finding's kind and the beginning of its
    rule, "invariant I5"; the usual one first, rarer ones after commas.
    override: mixin put in front of the target class. rules_override: mixin put in front of its descriptor rules.
    replacements: functions of shared code. members: ids of the faults that a fault of both models is made of.
    """

    id: str
    target: str
    origin: str
    mechanism: str
    concurrent: bool
    oracle: str
    override: type[Any] | None = None
    rules_override: type[Any] | None = None
    replacements: tuple[Replacement, ...] = ()
    members: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Return "sequential" or "concurrent"."""
        return "concurrent" if self.concurrent else "sequential"

    @property
    def shared(self) -> bool:
        """Return whether it changes both sides, so that a difference between them need not show it."""
        return self.target in SHARED_TARGETS


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
