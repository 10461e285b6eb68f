"""`zsfuzz conform`: whether a target follows the target protocol.

In:    the name of a target, usually module:attribute.
Out:   one line for each point of the protocol; exit status 1 if one failed.
Never: fuzzing.
Next:  zsfuzz/execute/conform.py.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.target.protocol import PROTOCOL_VERSION
from zsfuzz.target.registry import resolve

_EXAMPLES = """\
  zsfuzz conform mymodule:MyAllocator
  zsfuzz conform candidate --json
"""

_MORE = """\
Exit status: 0 every check passed, 1 one failed, 2 there is no such target or it lacks a method, 3 a fault.
"""


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(
        commands, "conform", run, "check a target against the target protocol", _EXAMPLES, _MORE
    )
    parser.add_argument("target", metavar="T", help="a target's name, module:attribute for your own")
    options.add_json_option(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Check one target."""
    from zsfuzz.execute.conform import conform  # here: it needs the machine, --help of the others does not

    checks = conform(resolve(arguments.target))
    failed = [check for check in checks if check.problem]
    if arguments.json:
        output.json(
            {
                "target": arguments.target,
                "protocol_version": PROTOCOL_VERSION,
                "conforms": not failed,
                "checks": [asdict(check) for check in checks],
            }
        )
        return status.FINDING if failed else status.NOTHING_FOUND
    for check in checks:
        output.line(f"{'FAILED' if check.problem else 'ok':6}  {check.rule}")
        if check.problem:
            output.line(f"        {check.problem}")
    output.line(f"{len(checks) - len(failed)} of {len(checks)} checks passed, protocol {PROTOCOL_VERSION}")
    return status.FINDING if failed else status.NOTHING_FOUND
