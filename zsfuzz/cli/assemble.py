"""`zsfuzz assemble`: a program file made of its text.

In:    a text file, or `-` for standard input.
Out:   a .zsf (packed) or .zst (text) file, as its name ends.
Never: a run.
Next:  the grammar is in zsfuzz/program/text.py, the files in zsfuzz/program/files.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zsfuzz.campaign.files import write_program
from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.corpus.store import SUFFIXES
from zsfuzz.errors import UsageError
from zsfuzz.program.files import load_program
from zsfuzz.program.limits import MAX_FILE_BYTES
from zsfuzz.program.program import Program
from zsfuzz.program.text import parse_program

_EXAMPLES = """\
  zsfuzz assemble program.txt -o program.zsf
  zsfuzz show old.zsf | sed 's/3256/3264/' | zsfuzz assemble - -o new.zst
"""


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "assemble", run, "make a program file of text", _EXAMPLES)
    parser.add_argument("text", metavar="TEXT", help="a file in the text form, - for standard input")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="a new .zsf or .zst file")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Write one program file."""
    path = output_path(arguments.output)
    program = _standard_input() if arguments.text == "-" else load_program(Path(arguments.text))
    write_program(path, program)
    block = program.block
    lanes = "" if block is None else f", then {block.operations_count:,} operations in {len(block.lanes)} lanes"
    output.line(f"{path}: {len(program.steps):,} steps{lanes}")
    return status.NOTHING_FOUND


def output_path(word: str) -> Path:
    """Return a path to write a program to. Errors: UsageError for a folder or an unknown ending."""
    path = Path(word)
    if path.is_dir():
        raise UsageError(f"-o {word}: that is a folder; name a file that ends in .zst or .zsf")
    if path.suffix not in SUFFIXES:
        raise UsageError(f"-o {word}: the ending says the form: .zst is text, .zsf packed")
    return path


def _standard_input() -> Program:
    try:
        text = sys.stdin.read(MAX_FILE_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"standard input: cannot read it: {error}; give a text in UTF-8") from error
    if len(text) > MAX_FILE_BYTES:
        raise UsageError(f"standard input: more than {MAX_FILE_BYTES:,} characters; give less")
    return parse_program(text, "standard input")
