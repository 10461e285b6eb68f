"""`zsfuzz kernel list`: the sources and builds in the cache.

In:    the cache.
Out:   a table of sources and one of builds; the folder they lie in.
Never: a change to the cache.
Next:  zsfuzz/kernel/inventory.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.kernel.cache import kernel_folder
from zsfuzz.kernel.inventory import Inventory, ListedBuild, ListedSource, read_inventory
from zsfuzz.report.columns import table

EXAMPLES = """\
  zsfuzz kernel list
"""

_HASH_DIGITS = 12


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(
        commands, "list", run_list, "show which kernel sources and builds there are, and from what", EXAMPLES
    )
    options.add_cache_option(parser)
    options.add_json_option(parser)


def run_list(arguments: argparse.Namespace, output: Output) -> int:
    """List the cache."""
    inventory = read_inventory(arguments.cache)
    if arguments.json:
        output.json({"folder": str(kernel_folder(arguments.cache)), **inventory.as_json()})
    else:
        output.line(f"in {kernel_folder(arguments.cache)}")
        output.lines(_lines(inventory))
    for bad in inventory.bad:
        output.note(f"zsfuzz: {bad.path}: {bad.reason}")
    return status.NOTHING_FOUND


def _lines(inventory: Inventory) -> list[str]:
    sources = [("source", "kernel", "package", "suite", "mm/zsmalloc.c"), *map(_source_row, inventory.sources)]
    builds = [("build", "source", "mm/zsmalloc.c", "compiler", "features"), *map(_build_row, inventory.builds)]
    return [
        *_section(sources, "no sources; fetch some: zsfuzz kernel fetch VERSION"),
        *_section(builds, "no builds; make one: zsfuzz kernel build VERSION"),
    ]


def _section(rows: Sequence[tuple[str, ...]], if_empty: str) -> list[str]:
    return ["", *(table(rows) if len(rows) > 1 else [if_empty])]


def _source_row(one: ListedSource) -> tuple[str, ...]:
    source = one.source
    state = "" if one.unchanged else " (changed since)"
    package = f"{source.package} {source.package_version}"
    return (source.version, source.release, package, source.suite, source.zsmalloc_sha256[:_HASH_DIGITS] + state)


def _build_row(one: ListedBuild) -> tuple[str, ...]:
    name = one.name if one.present else f"{one.name} (library is gone)"
    features = " ".join(one.features) or "none"
    return (name, one.source, one.zsmalloc_sha256[:_HASH_DIGITS], one.compiler, features)
