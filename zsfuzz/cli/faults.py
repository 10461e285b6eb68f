"""`zsfuzz faults`: the bugs that can be planted, and how well they are found.

In:    the catalogue of zsfuzz/target/registry.py.
Out:   a table, or JSON.
Never: a run.
Next:  `zsfuzz run --fault ID` in zsfuzz/cli/run.py; `zsfuzz faults bench` in zsfuzz/cli/faults_bench.py.
"""

from __future__ import annotations

import argparse
from typing import cast

from zsfuzz.cli import faults_bench, options, status
from zsfuzz.cli.output import Output
from zsfuzz.measure.hardness import is_hard
from zsfuzz.report.columns import table
from zsfuzz.target.registry import faults

_EXAMPLES = """\
  zsfuzz faults list
  zsfuzz run --fault H05 --time 60 --stop-on-first
  zsfuzz faults bench --sample 12 --budget 10
"""


def add(commands: options.Commands) -> None:
    """Add the command and its parts."""
    parser = options.add_command(commands, "faults", run_list, "the bugs that can be planted with --fault", _EXAMPLES)
    parts = cast(options.Commands, parser.add_subparsers(dest="part", metavar="COMMAND", required=True))
    listing = options.add_command(parts, "list", run_list, "list every fault by its id", _EXAMPLES)
    options.add_json_option(listing)
    faults_bench.add(parts)


def run_list(arguments: argparse.Namespace, output: Output) -> int:
    """Print the catalogue."""
    catalogue = faults().values()
    if arguments.json:
        entries = [
            {
                "id": fault.id,
                "target": fault.target,
                "origin": fault.origin,
                "kind": fault.kind,
                "oracle": fault.oracle,
                "hard": is_hard(fault.id),
                "mechanism": fault.mechanism,
            }
            for fault in catalogue
        ]
        output.json({"faults": entries})
        return status.NOTHING_FOUND
    rows = [("id", "target", "kind", "hard", "origin", "oracle", "what goes wrong")]
    rows += [
        (
            fault.id,
            fault.target,
            fault.kind,
            "hard" if is_hard(fault.id) else "",
            fault.origin,
            fault.oracle,
            fault.mechanism,
        )
        for fault in catalogue
    ]
    output.lines(table(rows, (0, 0, 0, 0, 28, 20, 72)))
    return status.NOTHING_FOUND
