"""`zsfuzz show`: a program as text, as JSON, or as a pytest file.

In:    one program file.
Out:   standard output; the text form is what `zsfuzz assemble` reads back, with nothing lost.
Never: a run.
Next:  zsfuzz/program/text.py, zsfuzz/report/program_json.py, zsfuzz/report/pytest_file.py.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from zsfuzz.campaign.running import Choice
from zsfuzz.campaign.verdict import CLEAN
from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.program.files import load_program
from zsfuzz.program.text import format_program
from zsfuzz.report.program_json import program_json
from zsfuzz.report.pytest_file import pytest_file

_EXAMPLES = """\
  zsfuzz show finding.zsf
  zsfuzz show finding.zst --format pytest > test_finding.py
  zsfuzz show finding.zsf > finding.txt && zsfuzz assemble finding.txt -o again.zsf
"""


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "show", run, "print a program", _EXAMPLES)
    parser.add_argument("file", metavar="FILE", help=".zst or .zsf")
    parser.add_argument(
        "--format",
        choices=("text", "json", "pytest"),
        default="text",
        help="pytest: a file that stands alone",
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print one program."""
    path = Path(arguments.file)
    program = load_program(path)
    match arguments.format:
        case "json":
            output.raw(json.dumps(program_json(program), indent=2) + "\n")
        case "pytest":
            targets = Choice().targets(program.header)
            output.raw(pytest_file(program, targets, program.header.verdict or CLEAN, path.name))
        case _:
            output.raw(format_program(program))
    return status.NOTHING_FOUND
