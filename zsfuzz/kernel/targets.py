"""Targets: a name of the command line as one side of a kernel run.

In:    "kernel:NAME", "kernel:VERSION", "kernel:PATH", or a Python target's name; fault ids.
Out:   KernelTarget or PythonTarget. UsageError for what does not exist, with the commands that make it.
Never: a fetch: sources come from the network only when the user asks for them.
Next:  builds in zsfuzz/kernel/build.py; Python targets in zsfuzz/target/registry.py.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zsfuzz.errors import UsageError
from zsfuzz.kernel.build import Build, build, load_build
from zsfuzz.kernel.cache import builds_folder, source_folder
from zsfuzz.kernel.features import Features
from zsfuzz.kernel.library import Executor
from zsfuzz.kernel.process import open_executor
from zsfuzz.kernel.versions import VERSIONS
from zsfuzz.oracle.eras import Era
from zsfuzz.target.protocol import Target
from zsfuzz.target.registry import resolve_pair

PREFIX: Final = "kernel:"

Design = tuple[object, ...]
"""Two sides of one design agree in everything that can be observed."""

_REFERENCE_DESIGN: Final[Design] = (4, 4, False, True)


@dataclass(frozen=True, slots=True)
class KernelTarget:
    """A build."""

    name: str
    build: Build
    executor: Executor

    @property
    def era(self) -> Era:
        """Return what the era rules need to know."""
        features = self.build.features
        return Era(
            features.chain,
            features.has("ERROR_POINTER"),
            features.has("LARGE_IS_ENOSPC"),
            features.has("LEAST_WASTE"),
        )

    @property
    def design(self) -> Design:
        """Return what decides about placements and statistics."""
        return design_of(self.build.features)

    @property
    def compaction(self) -> bool:
        """Return whether compaction is compiled in."""
        return self.build.features.compaction


@dataclass(frozen=True, slots=True)
class PythonTarget:
    """A Python target, faults planted. Only the reference is of a kernel's design."""

    name: str
    target: type[Target]
    faults: tuple[str, ...]

    @property
    def era(self) -> Era:
        """Return the seed era's facts: both built-in designs keep its interface."""
        return Era()

    @property
    def design(self) -> Design:
        """Return 5.10's design for the reference, none for others."""
        return _REFERENCE_DESIGN if self.name == "reference" else (self.name,)

    @property
    def compaction(self) -> bool:
        """Return True: a Python side follows the kernel beside it."""
        return True


def design_of(features: Features) -> Design:
    """Return the design of a source: fullness groups, longest zspage, class rule, what becomes of isolated zspages."""
    return (features.groups, features.chain, features.has("LEAST_WASTE"), features.has("POOL_ISOLATED"))


def are_of_one_design(left: KernelTarget | PythonTarget, right: KernelTarget | PythonTarget) -> bool:
    """Return whether two sides agree in everything that can be observed."""
    if left is right:
        return True
    if isinstance(left, KernelTarget) and isinstance(right, KernelTarget) and left.compaction != right.compaction:
        return False
    return left.design == right.design


def is_kernel(name: str) -> bool:
    """Return whether a target's name is a kernel's."""
    return name.startswith(PREFIX)


def resolve_side(name: str, faults: tuple[str, ...], other: str) -> KernelTarget | PythonTarget:
    """Return one side. faults: of the whole run; those of a Python target's model go to it.

    Errors: UsageError for an unknown name, or a fault that fits no side of the run.
    """
    if is_kernel(name):
        if faults and is_kernel(other):
            raise UsageError(f"fault {faults[0]!r} belongs to a Python model; this run has two kernels")
        made = find_build(name.removeprefix(PREFIX))
        return KernelTarget(name, made, open_executor(made))
    target = resolve_pair(name, name, faults)[1] if faults else resolve_pair(name, name)[1]
    return PythonTarget(name, target, faults)


def with_faults_of(
    side: KernelTarget | PythonTarget, other: KernelTarget | PythonTarget
) -> KernelTarget | PythonTarget:
    """Return a side that has what the kernel beside it really has.

    The reference keeps one later fix (A16: without compaction its pages are not asked for as movable). Beside a kernel
    without compaction that does not have it, neither has the reference.
    """
    if isinstance(side, KernelTarget) or side.name != "reference" or not isinstance(other, KernelTarget):
        return side
    if other.compaction or other.build.features.has("STRIPS_MOVABLE") or "A16" in side.faults:
        return side
    faults = (*side.faults, "A16")
    return PythonTarget(side.name, resolve_pair(side.name, side.name, faults)[1], faults)


def find_build(name: str, root: Path | None = None) -> Build:
    """Return the build that a user means: a build's name, or a tree, which is built.

    Errors: UsageError, with the two commands that would make it.
    """
    if not name:
        raise UsageError(f"target {PREFIX!r} names no kernel; use {PREFIX}NAME or {PREFIX}PATH")
    if "/" in name or name in (".", ".."):
        tree = Path(name).expanduser()
        if not (tree / "mm" / "zsmalloc.c").is_file():
            raise UsageError(f"target {PREFIX}{name}: no mm/zsmalloc.c in {tree}; name the root of a kernel tree")
        return build(tree, "tree-" + hashlib.sha256(str(tree.resolve()).encode()).hexdigest()[:12], root=root)
    found = load_build(name, root)
    if found is not None:
        return found
    if (source_folder(name, root) / "mm" / "zsmalloc.c").is_file():
        raise UsageError(f"target {PREFIX}{name} is not built; build it: zsfuzz kernel build {name}")
    if name in VERSIONS:
        raise UsageError(
            f"target {PREFIX}{name} is not there; make it: zsfuzz kernel fetch {name}; zsfuzz kernel build {name}"
        )
    there = sorted(path.name for path in _builds(root))
    raise UsageError(
        f"target {PREFIX}{name}: no build has that name; there are {', '.join(there) or 'none'}; "
        f"make one: zsfuzz kernel build TREE -o {name}"
    )


def _builds(root: Path | None) -> list[Path]:
    folder = builds_folder(root)
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
