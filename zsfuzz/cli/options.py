"""Options that several commands share, and the numbers they take.

In:    argparse parsers, words of the command line.
Out:   checked values; UsageError for the others.
Never: a run.
Next:  zsfuzz/cli/main.py puts the commands together.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, Protocol

from zsfuzz.campaign.running import Choice
from zsfuzz.cli.output import Output
from zsfuzz.corpus.store import SUFFIXES
from zsfuzz.errors import UsageError


class HelpAsked(Exception):
    """The user asked for help. The text is the help."""


class Parser(argparse.ArgumentParser):
    """argparse, with one line for a mistake and no guessing of shortened options."""

    def __init__(self, prog: str | None = None, description: str | None = None, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def print_help(self, file: object = None) -> NoReturn:
        """Raise HelpAsked: argparse would swallow what goes wrong when it prints."""
        raise HelpAsked(self.format_help())

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of printing the usage and leaving."""
        raise UsageError(f"{message}; see `{self.prog} --help`")


class Commands(Protocol):
    """What add_subparsers() returns, as far as commands use it."""

    def add_parser(self, name: str, *, help: str, description: str, epilog: str) -> Parser: ...


Command = Callable[[argparse.Namespace, Output], int]
"""Runs one command and returns its exit status."""


def add_command(commands: Commands, name: str, run: Command, help: str, examples: str, more: str = "") -> Parser:
    """Add a command whose --help shows examples and return its parser."""
    text = help[0].upper() + help[1:] + "."
    parser = commands.add_parser(
        name, help=help, description=f"{text}\n{more}".rstrip(), epilog=f"examples:\n{examples}"
    )
    parser.set_defaults(run=run)
    return parser


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add --reference, --candidate and --fault, which override a program's header."""
    group = parser.add_argument_group("targets")
    group.add_argument("--reference", metavar="T", help="the side that is believed (default: reference)")
    group.add_argument(
        "--candidate",
        metavar="T",
        help="the side under test (default: candidate), module:attribute: your own",
    )
    group.add_argument(
        "--fault",
        metavar="ID",
        nargs="+",
        action="extend",
        default=[],
        help="plant these (see `zsfuzz faults list`)",
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """Add --cache."""
    parser.add_argument(
        "--cache",
        type=folder,
        metavar="DIR",
        help="where sources and builds are kept (default: $ZSFUZZ_CACHE, or zsfuzz below the user's cache folder)",
    )


def choice_of(arguments: argparse.Namespace) -> Choice:
    """Return what add_target_options() read."""
    return Choice(arguments.reference, arguments.candidate, tuple(dict.fromkeys(arguments.fault)))


def files_of(arguments: argparse.Namespace) -> list[str]:
    """Return the files a command was given, and take those back that `--fault ID FILE` swallowed.

    Errors: UsageError when there is none.
    """
    swallowed = [word for word in arguments.fault if word.endswith(SUFFIXES)]
    arguments.fault = [word for word in arguments.fault if word not in swallowed]
    files = [*arguments.files, *swallowed]
    if not files:
        raise UsageError(f"no FILE was given; see `zsfuzz {arguments.command} --help`")
    return files


def count(text: str) -> int:
    """Return a whole number of 1 or more. Errors: ArgumentTypeError."""
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is too small; give 1 or more")
    return value


def seed(text: str) -> int:
    """Return a whole number of 0 or more. Errors: ArgumentTypeError."""
    value = _whole(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative; give 0 or more")
    return value


def percent(text: str) -> int:
    """Return a whole number from 0 to 100. Errors: ArgumentTypeError."""
    value = _whole(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is no share; give a whole number from 0 to 100")
    return value


def seconds(text: str) -> float:
    """Return a number above 0. Errors: ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number; give seconds, as in 60 or 0.5") from None
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is no time to run; give seconds above 0")
    return value


def folder(text: str) -> Path:
    """Return a path that may become a folder. Errors: ArgumentTypeError for an empty word."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; name a folder")
    return Path(text)


def _whole(text: str) -> int:
    if len(text) > 40:  # int() refuses thousands of digits with advice for programmers
        raise argparse.ArgumentTypeError("that is far too long; give a whole number")
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
