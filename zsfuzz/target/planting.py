"""Planting: faults of code that both sides run, put in for the length of one run and always taken out again.

In:    Replacements (zsfuzz/target/fault.py).
Out:   Planting, a context manager that is entered around each run of one pair of targets.
Never: a change that outlives the `with`; a second planting of one function at the same time.
Next:  who enters it: zsfuzz/execute/runner.py; the faults: zsfuzz/target/shared_faults.py.

A module that says `from a import f` has a name of its own for f. So every name of this project that stands for the
function is found, once, and all of them are changed together. Machines are made inside the `with` too, since they keep
bound methods: those belong to the pair of that runner alone.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType, TracebackType
from typing import Any, Final

from zsfuzz.errors import HarnessError
from zsfuzz.target.fault import Replacement

_OURS: Final = ("zsfuzz", "reference", "candidate")


class Planting:
    """The stand-ins of some faults. Later faults lie in front of earlier ones."""

    def __init__(self, replacements: Sequence[Replacement]) -> None:
        originals: dict[tuple[str, str], Any] = {}
        stand_ins: dict[tuple[str, str], Any] = {}
        for each in replacements:
            key = (each.owner, each.name)
            if key not in originals:
                originals[key] = stand_ins[key] = vars(owner_of(each.owner))[each.name]
            stand_ins[key] = each.make(stand_ins[key])
        self._names: list[tuple[Any, str, Any, Any]] = []  # owner, name, what is there, what stands in
        for key, original in originals.items():
            for owner, name in names_of(original, key):
                self._names.append((owner, name, original, stand_ins[key]))

    @property
    def names(self) -> list[tuple[Any, str]]:
        """Return (module or class, name) of everything that is changed."""
        return [(owner, name) for owner, name, _, _ in self._names]

    def __enter__(self) -> Planting:
        for owner, name, original, _ in self._names:
            if vars(owner)[name] is not original:
                raise HarnessError(f"{owner.__name__}.{name} has been replaced by somebody else already")
        for owner, name, _, stand_in in self._names:
            setattr(owner, name, stand_in)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for owner, name, original, _ in self._names:
            setattr(owner, name, original)


def owner_of(owner: str) -> Any:
    """Return the module "a.b", or the class "a.b:C"."""
    module_name, _, class_name = owner.partition(":")
    module = importlib.import_module(module_name)
    return getattr(module, class_name) if class_name else module


def names_of(function: Any, key: tuple[str, str]) -> list[tuple[Any, str]]:
    """Return (module or class, name) of every name that stands for a function. key: (owner, name) of its home."""
    home = owner_of(key[0])
    if not isinstance(home, ModuleType):
        return [(home, key[1])]
    ours = [module for name, module in sorted(sys.modules.items()) if name.partition(".")[0] in _OURS]
    return [(module, name) for module in ours for name, value in list(vars(module).items()) if value is function]
