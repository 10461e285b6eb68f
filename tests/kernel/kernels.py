"""Kernels for tests: sources from the cache, builds in a folder of the test run.

In:    versions; edits of a copy of a tree.
Out:   builds, made once for all test processes; a skip with its reason where there is no source.
Never: a fetch, a write into the user's cache.
Next:  tests/kernel/test_kernel_runs.py.
"""

from __future__ import annotations

import fcntl
import shutil
from functools import cache
from pathlib import Path

import pytest

from zsfuzz.execute.result import RunResult
from zsfuzz.kernel.build import Build, BuildOptions, build
from zsfuzz.kernel.cache import source_folder
from zsfuzz.kernel.process import open_executor
from zsfuzz.kernel.runner import KernelRunner
from zsfuzz.kernel.targets import KernelTarget, PythonTarget
from zsfuzz.program.program import Program
from zsfuzz.program.text import parse_program
from zsfuzz.target.registry import resolve_pair

COPIED = ("mm/zsmalloc.c", "mm/zpdesc.h", "include/linux/zsmalloc.h")


def tree(version: str) -> Path:
    """Return the fetched tree of a version, or skip the test."""
    folder = source_folder(version)
    if not (folder / "mm" / "zsmalloc.c").is_file():
        pytest.skip(f"no source of kernel {version} in the cache; fetch it: zsfuzz kernel fetch {version}")
    return folder


@cache
def built(root: Path, source: Path, name: str, options: BuildOptions) -> Build:
    """Return a build, made by whoever comes first."""
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return build(source, name, options, root)


class Kernels:
    """Builds and runs for one test run. root: their folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def build(self, version: str, options: BuildOptions | None = None, name: str = "") -> Build:
        """Return the build of a fetched version."""
        return built(self.root, tree(version), name or version, options or BuildOptions())

    def patched(self, version: str, name: str, *edits: tuple[str, str]) -> Build:
        """Return the build of a copy in which texts were replaced; each must be there."""
        source, copy = tree(version), self.root / f"tree-{name}"
        for path in COPIED:
            if (source / path).exists():
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / path, copy / path)
        text = (copy / COPIED[0]).read_text(encoding="utf-8")
        for old, new in edits:
            assert old in text, old
            text = text.replace(old, new, 1)
        (copy / COPIED[0]).write_text(text, encoding="utf-8")
        return built(self.root, copy, name, BuildOptions())

    def runner(self, left: Build | str, right: Build | str) -> KernelRunner:
        """Return a runner on builds of this folder; a text is a Python target."""
        return KernelRunner.of(_side(left), _side(right))

    def run(self, left: Build | str, right: Build | str, steps: str, *, cadence: int = 1) -> RunResult:
        """Run a program given by its steps, one a line."""
        return self.runner(left, right).run(program(steps), cadence=cadence)


def _side(target: Build | str) -> KernelTarget | PythonTarget:
    if isinstance(target, str):
        name, _, fault = target.partition("+")
        faults = (fault,) if fault else ()
        return PythonTarget(name, resolve_pair(name, name, faults)[1], faults)
    return KernelTarget(target.name, target, open_executor(target))


def program(steps: str, *header: str) -> Program:
    """Return a program from its steps."""
    lines = [line.strip() for line in steps.strip().splitlines()]
    version = 2 if any(line.startswith("lane") for line in lines) else 1
    return parse_program("\n".join([f"zsfuzz {version}", "geometry linux-5.10", *header, "---", *lines]) + "\n")
