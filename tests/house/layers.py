"""The layer table, and who breaks it.

In:    a module's name and its source text.
Out:   one line per import that points up or sideways.
Never: an import of the product: a broken layer must not keep the check from running.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

Layers = Mapping[str, frozenset[str]]


def _layer(*packages: str) -> frozenset[str]:
    return frozenset(packages)


_BASE = (
    "zsfuzz.errors",
    "zsfuzz.policy",
    "zsfuzz.program",
    "zsfuzz.machine",
    "zsfuzz.target",
    "zsfuzz.oracle",
)
_RUN = (*_BASE, "zsfuzz.execute")
_SEARCH = (
    "zsfuzz.errors",
    "zsfuzz.policy",  # sizes at the edges of classes
    "zsfuzz.program",
    "zsfuzz.execute.result",
    "zsfuzz.oracle.finding",
    "zsfuzz.machine.geometry",  # names and sizes, so that a generator aims at pages that exist
)
_WORK = (
    *_RUN,
    "zsfuzz.engine",
    "zsfuzz.strategies",
    "zsfuzz.minimize",
    "zsfuzz.explore",
    "zsfuzz.corpus",
    "zsfuzz.trace",
)
_ALL = (*_WORK, "zsfuzz.kernel", "zsfuzz.campaign", "zsfuzz.report", "zsfuzz.measure")

LAYERS: Layers = {
    "zsfuzz": _layer(),
    "zsfuzz.errors": _layer(),
    "zsfuzz.policy": _layer(),
    "zsfuzz.program": _layer("zsfuzz.errors", "zsfuzz.policy"),
    # The machine speaks of gfp and migrate modes in the program's words, and of nothing else above it.
    "zsfuzz.machine": _layer("zsfuzz.errors", "zsfuzz.policy", "zsfuzz.program.ops"),
    "zsfuzz.target": _layer("zsfuzz.errors", "zsfuzz.policy", "zsfuzz.program.ops", "zsfuzz.machine"),
    # The two allocators never import each other: shared code hides shared bugs.
    "reference": _layer("zsfuzz.machine", "zsfuzz.policy", "zsfuzz.target"),
    "candidate": _layer("zsfuzz.machine", "zsfuzz.policy", "zsfuzz.target"),
    "zsfuzz.oracle": _layer("zsfuzz.errors", "zsfuzz.policy", "zsfuzz.program", "zsfuzz.machine", "zsfuzz.target"),
    "zsfuzz.execute": _layer(*_BASE),
    "zsfuzz.engine": _layer(*_SEARCH),
    "zsfuzz.minimize": _layer(*_SEARCH),
    # A state machine over a pair of targets, and the engine made of it: the one part of the search that runs targets.
    "zsfuzz.strategies": _layer(*_RUN, "zsfuzz.engine"),
    "zsfuzz.explore": _layer(*_RUN),  # it drives the lanes of a machine itself
    "zsfuzz.corpus": _layer(
        "zsfuzz.errors",
        "zsfuzz.policy",  # the kinds of size classes that landmarks name
        "zsfuzz.program",
        "zsfuzz.oracle",
        "zsfuzz.execute",
        "zsfuzz.machine.geometry",
    ),
    "zsfuzz.trace": _layer("zsfuzz.errors", "zsfuzz.policy", "zsfuzz.program"),
    "zsfuzz.kernel": _layer(*_RUN),
    "zsfuzz.campaign": _layer(*_WORK, "zsfuzz.kernel"),
    "zsfuzz.report": _layer(*_WORK, "zsfuzz.kernel", "zsfuzz.campaign"),
    "zsfuzz.measure": _layer(*_WORK, "zsfuzz.campaign"),
    "zsfuzz.pytest_plugin": _layer(*_ALL),
    "zsfuzz.cli": _layer(*_ALL),
    "zsfuzz.__main__": _layer("zsfuzz.cli"),
}
"""Package -> packages it may import beside itself. The longest name that fits a module is its package."""

_OURS = ("zsfuzz", "reference", "candidate")


def package_of(module: str, layers: Layers = LAYERS) -> str | None:
    """The entry that a module belongs to; None when nobody gave it a layer."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in layers:
            # "zsfuzz" itself is one file; a package below it needs a line of its own.
            return None if name == "zsfuzz" and module != "zsfuzz" else name
    return None


def imports_of(module: str, source: str, is_package: bool = False) -> list[tuple[int, str]]:
    """(line, imported dotted name) of every import of our own code, relative ones resolved."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                kept = parts[: len(parts) - node.level + (1 if is_package else 0)]
                base = ".".join([*kept, base]) if base else ".".join(kept)
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return [(line, name) for line, name in found if name.split(".", 1)[0] in _OURS]


def layer_problems(module: str, source: str, layers: Layers = LAYERS, is_package: bool = False) -> list[str]:
    """One line per import that the table does not allow."""
    package = package_of(module, layers)
    if package is None:
        return [f"{module}: no layer; give its package a line in tests/house/layers.py"]
    may = (package, *sorted(layers[package]))
    return [
        f"{module}:{line}: {package} may not import {name}"
        for line, name in imports_of(module, source, is_package)
        if not any(name == allowed or name.startswith(allowed + ".") for allowed in may)
    ]


def table_cycle(layers: Layers = LAYERS) -> list[str]:
    """A cycle of the table itself, as the packages on it; empty when every import points down."""
    state: dict[str, int] = {}

    def visit(package: str, path: list[str]) -> list[str]:
        state[package] = 1
        for allowed in sorted(layers[package]):
            # A permission for one module (zsfuzz.program.ops) is an edge to its package.
            below = package_of(allowed, layers)
            if below is None or below == package:
                continue
            if state.get(below) == 1:
                return [*path, package, below]
            if below not in state and (cycle := visit(below, [*path, package])):
                return cycle
        state[package] = 2
        return []

    for package in layers:
        if package not in state and (cycle := visit(package, [])):
            return cycle
    return []
