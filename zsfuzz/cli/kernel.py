"""`zsfuzz kernel`: sources, builds and coverage of the real mm/zsmalloc.c.

In:    the words after `kernel`.
Out:   one command a module, added here in the order in which they are used.
Never: work of its own.
Next:  zsfuzz/cli/kernel_fetch.py, zsfuzz/cli/kernel_list.py, zsfuzz/cli/kernel_coverage.py.
"""

from __future__ import annotations

from typing import cast

from zsfuzz.cli import kernel_build, kernel_coverage, kernel_fetch, kernel_list, options

PARTS = (kernel_fetch, kernel_build, kernel_list, kernel_coverage)
"""A new command of this family is a module with EXAMPLES and add(), named here."""

_EXAMPLES = "".join(module.EXAMPLES for module in PARTS)


def add(commands: options.Commands) -> None:
    """Add the command and its parts."""
    parser = options.add_command(
        commands, "kernel", kernel_list.run_list, "the kernel's own mm/zsmalloc.c as a target", _EXAMPLES
    )
    parts = cast(options.Commands, parser.add_subparsers(dest="part", metavar="COMMAND", required=True))
    for module in PARTS:
        module.add(parts)
