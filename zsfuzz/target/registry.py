"""Registry: targets and faults by the names that users type.

In:    "reference", "candidate", "candidate-literal", "candidate-literal:H05", "package.module:Attribute"; fault ids.
Out:   resolve_pair(): the two target classes of a run, faults planted; shared_planting(): what to put in and take out
       around each run. UsageError for what does not exist.
Never: instances.
Next:  the built-in targets name themselves in reference/__init__.py and candidate/__init__.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final

from zsfuzz.errors import UsageError
from zsfuzz.target.fault import SHARED_TARGETS, Fault, Replacement, plant
from zsfuzz.target.planting import Planting
from zsfuzz.target.protocol import PROTOCOL_VERSION, Target

_BUILT_IN: Final = ("reference", "candidate")  # packages with TARGETS (name -> class) and FAULTS
_SHARED: Final = "zsfuzz.target.shared_faults"  # FAULTS of what both sides run
_ONE_HAZARD: Final = "candidate-literal:"
_KERNEL: Final = "kernel:"  # whole programs at once, in C: zsfuzz/kernel/targets.py


def _targets() -> dict[str, type[Target]]:
    found: dict[str, type[Target]] = {}
    for package in _BUILT_IN:
        found.update(importlib.import_module(package).TARGETS)
    return found


def faults() -> dict[str, Fault]:
    """Return every fault by id: those of the two models, then those of what both sides run."""
    found: dict[str, Fault] = {}
    for package in (*_BUILT_IN, _SHARED):
        for fault in importlib.import_module(package).FAULTS:
            if fault.id in found:
                raise ValueError(f"two faults are called {fault.id}")
            found[fault.id] = fault
    return found


def fault_ids() -> tuple[str, ...]:
    """Return the ids of all faults."""
    return tuple(faults())


def target_names() -> tuple[str, ...]:
    """Return the names of the built-in targets."""
    return tuple(_targets())


def resolve(name: str) -> type[Target]:
    """Return the target class of a name. Errors: UsageError."""
    if name.startswith(_ONE_HAZARD):
        fault = fault_named(name.removeprefix(_ONE_HAZARD))
        if fault.target != "candidate":
            raise UsageError(f"target {name!r}: {fault.id} is a fault of {fault.target}; use --fault {fault.id}")
        return plant(resolve("candidate"), [fault])
    built_in = _targets()
    if name in built_in:
        return built_in[name]
    if name.startswith(_KERNEL):
        raise UsageError(f"target {name!r}: a kernel does not speak the target protocol; use {', '.join(built_in)}")
    if ":" in name:
        return _imported(name)
    raise UsageError(
        f"unknown target {name!r}; use {', '.join(built_in)}, {_ONE_HAZARD}Hxx or package.module:Attribute"
    )


def _imported(name: str) -> type[Target]:
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise UsageError(f"target {name!r}: cannot import {module_name!r} ({error}); is it on PYTHONPATH?") from error
    except AttributeError as error:
        raise UsageError(f"target {name!r}: module {module_name!r} has no {attribute!r}") from error
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(f"target {name!r}: importing {module_name!r} failed ({text}); mend the module") from error
    if not (isinstance(found, type) and issubclass(found, Target)):
        raise UsageError(f"target {name!r}: {attribute!r} is no subclass of zsfuzz.target.protocol.Target")
    if found.protocol_version != PROTOCOL_VERSION:
        raise UsageError(
            f"target {name!r}: speaks protocol {found.protocol_version}, zsfuzz speaks {PROTOCOL_VERSION}; adapt it"
        )
    missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
    if missing:
        raise UsageError(f"target {name!r}: does not define {missing}")
    return found


def fault_named(fault_id: str) -> Fault:
    """Return the fault of an id. Errors: UsageError for an unknown one."""
    known = faults()
    if fault_id not in known:
        raise UsageError(f"unknown fault {fault_id!r}; 'zsfuzz faults list' shows them")
    return known[fault_id]


def resolve_pair(reference: str, candidate: str, fault_names: Sequence[str] = ()) -> tuple[type[Target], type[Target]]:
    """Return the two target classes of a run.

    A fault goes to the candidate side when that side's target belongs to the fault's model, else to the reference
    side; a fault of both models to every side that one of its members fits; a fault of shared code to no class (see
    shared_planting()). Errors: UsageError for an unknown name, or a fault that fits neither side.
    """
    sides = [resolve(reference), resolve(candidate)]
    packages = [_family(side) for side in sides]
    for fault_id in fault_names:
        fault = fault_named(fault_id)
        if fault.target == "both":
            _plant_members(fault, sides, packages)
            continue
        if fault.target in SHARED_TARGETS:
            continue
        for side in (1, 0):
            if packages[side] == fault.target:
                sides[side] = plant(sides[side], [fault])
                break
        else:
            raise UsageError(f"fault {fault_id!r} belongs to {fault.target}, which is neither side of this run")
    return sides[0], sides[1]


def _plant_members(fault: Fault, sides: list[type[Target]], packages: list[str]) -> None:
    """Plant one fault of each model on the sides of that model."""
    members = [fault_named(each) for each in fault.members]
    for side, package in enumerate(packages):
        sides[side] = plant(sides[side], [each for each in members if each.target == package])
    if not any(each.target in packages for each in members):
        raise UsageError(f"fault {fault.id!r} belongs to the built-in models, and neither side of this run is one")


def shared_planting(fault_names: Sequence[str]) -> Planting | None:
    """Return what to enter around each run for the faults of shared code among some, None when there are none.

    Errors: UsageError for an unknown name.
    """
    replacements: list[Replacement] = []
    for fault_id in fault_names:
        replacements.extend(fault_named(fault_id).replacements)
    return Planting(replacements) if replacements else None


def _family(target: type[Target]) -> str:
    """Return the built-in package that a target's code comes from, "" for none."""
    for base in target.__mro__:
        package = base.__module__.partition(".")[0]
        if package in _BUILT_IN:
            return package
    return ""
