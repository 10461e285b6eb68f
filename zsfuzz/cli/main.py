"""The entry point: arguments in, an exit status out.

In:    the words of the command line.
Out:   main(): 0 nothing found, 1 a finding, 2 a user's mistake (one line), 3 a fault of ours.
Never: a traceback for a user's mistake.
Next:  the commands beside this file, e.g. zsfuzz/cli/run.py and zsfuzz/cli/replay.py.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import cast

from zsfuzz.campaign.fault import reason_of
from zsfuzz.cli import (
    assemble,
    atheris,
    conform,
    corpus,
    explore,
    faults,
    kernel,
    minimize,
    replay,
    run,
    show,
    status,
    trace,
)
from zsfuzz.cli.options import Command, Commands, HelpAsked, Parser
from zsfuzz.cli.output import Output
from zsfuzz.errors import UsageError

_EXAMPLES = """\
examples:
  zsfuzz run --time 60                                    the built-in pair
  zsfuzz run --candidate mymodule:MyAllocator --time 60   your own allocator
  zsfuzz replay --trace zsfuzz-findings/1a2b3c4d5e6f.zst  a finding, step by step
  zsfuzz minimize zsfuzz-findings/1a2b3c4d5e6f.zst -o small.zst

exit status: 0 nothing found, 1 a finding, 2 a mistake in the command or a file, 3 a fault of zsfuzz
"""


def build_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="zsfuzz",
        description="Differential fuzzer for zsmalloc-like allocators: runs programs of operations on a\n"
        "reference and on a candidate, and reports every difference and every broken invariant.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"zsfuzz {_version()}")
    commands = cast(Commands, parser.add_subparsers(dest="command", metavar="COMMAND", required=True))
    for module in (run, atheris, replay, minimize, explore, show, assemble, corpus, trace, faults, kernel, conform):
        module.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. argv: the words after `zsfuzz`, None for those of this process."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names and messages are printed in any locale
    output = Output(sys.stdout, sys.stderr)
    try:
        return _dispatch(argv, output)
    except UsageError as error:
        output.note(f"zsfuzz: {' '.join(str(error).split())}")
        return status.USER_MISTAKE
    except KeyboardInterrupt:
        output.note("zsfuzz: interrupted")
        return status.INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last resort: told in full, and an exit status of its own
        output.trouble(traceback.format_exc())
        output.note(f"zsfuzz: a fault of zsfuzz itself: {reason_of(error)}")
        return status.HARNESS_FAULT


def _dispatch(argv: Sequence[str] | None, output: Output) -> int:
    if not __debug__:
        raise UsageError("assertions are off (python -O or PYTHONOPTIMIZE) and they are checks here; run without -O")
    try:
        arguments = build_parser().parse_args(argv)
    except HelpAsked as help_asked:
        output.raw(str(help_asked))
        return status.NOTHING_FOUND
    except SystemExit as leaving:  # --version has printed
        output.lines(())
        return int(leaving.code or 0)
    sys.path.append(_here())  # for module:attribute of a file right here; last, so that it hides nothing
    command: Command = arguments.run
    return command(arguments, output)


def _here() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise UsageError(f"the current folder is gone ({error.strerror}); change into another one") from error


def _version() -> str:
    try:
        return version("zsfuzz")
    except PackageNotFoundError:
        return "(not installed)"
