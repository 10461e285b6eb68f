"""`zsfuzz faults`: the bugs that can be planted.

In:    the catalogue of zsfuzz/target/registry.py.
Out:   a table, or JSON.
Never: a run.
Next:  `zsfuzz run --fault ID` in zsfuzz/cli/run.py.
"""

from __future__ import annotations

import argparse
from typing import cast

from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.report.columns import table
from zsfuzz.target.registry import faults

_EXAMPLES = """\
  zsfuzz faults list
  zsfuzz run --fault H05 --time 60 --stop-on-first
"""


def add(commands: options.Commands) -> None:
    """Add the command and its parts."""
    parser = options.add_command(commands, "faults", run_list, "the bugs that can be planted with --fault", _EXAMPLES)
    parts = cast(options.Commands, parser.add_subparsers(dest="part", metavar="COMMAND", required=True))
    listing = options.add_command(parts, "list", run_list, "list every fault by its id", _EXAMPLES)
    options.add_json_option(listing)


def run_list(arguments: argparse.Namespace, output: Output) -> int:
    """Print the catalogue."""
    catalogue = faults().values()
    if arguments.json:
        entries = [
            {
                "id": fault.id,
                "target": fault.target,
                "origin": fault.origin,
                "kind": "concurrent" if fault.concurrent else "sequential",
                "oracle": fault.oracle,
                "mechanism": fault.mechanism,
            }
            for fault in catalogue
        ]
        output.json({"faults": entries})
        return status.NOTHING_FOUND
    rows = [("id", "target", "origin", "oracle", "what goes wrong")]
    rows += [(fault.id, fault.target, fault.origin, fault.oracle, fault.mechanism) for fault in catalogue]
    output.lines(table(rows, (0, 0, 28, 20, 72)))
    return status.NOTHING_FOUND
