"""`zsfuzz trace import`: programs of what a real kernel did.

In:    ftrace text with kprobe events of zsmalloc, plain or gzip.
Out:   packed programs in a folder, and an account of every line.
Never: an end because of one bad line.
Next:  zsfuzz/trace/files.py reads, zsfuzz/trace/account.py counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

from zsfuzz.campaign.files import check_folder, write_program
from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.program.files import PACKED_SUFFIX
from zsfuzz.trace.files import import_trace_file

_EXAMPLES = """\
  zsfuzz trace import zram.trace.gz -o captured
  zsfuzz replay captured/zram.zsf
"""


def add(commands: options.Commands) -> None:
    """Add the command and its parts."""
    parser = options.add_command(commands, "trace", run_import, "programs of kernel traces", _EXAMPLES)
    parts = cast(options.Commands, parser.add_subparsers(dest="part", metavar="COMMAND", required=True))
    importing = options.add_command(parts, "import", run_import, "make a program of an ftrace capture", _EXAMPLES)
    importing.add_argument("file", metavar="FTRACE", help="ftrace text, plain or gzip")
    importing.add_argument(
        "-o", "--output", type=options.folder, metavar="DIR", required=True, help="where programs go"
    )
    options.add_json_option(importing)


def run_import(arguments: argparse.Namespace, output: Output) -> int:
    """Import one capture."""
    source, folder = Path(arguments.file), arguments.output
    check_folder(folder, "-o")
    imported = import_trace_file(source)
    stem = source.name.removesuffix(".gz").removesuffix(".txt").removesuffix(".trace") or "trace"
    written = []
    for number, program in enumerate(imported.programs):
        path = folder / f"{stem}{f'-{number}' if number else ''}{PACKED_SUFFIX}"
        write_program(path, program)
        written.append(str(path))
    if arguments.json:
        output.json(imported.as_json() | {"files": written})
    else:
        output.lines([*imported.report().splitlines(), *(f"written: {path}" for path in written)])
    return status.NOTHING_FOUND
