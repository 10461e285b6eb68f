"""`zsfuzz kernel fetch`: kernel sources by version, through apt, into the cache.

In:    versions.
Out:   a tree each in the cache; a line each on standard output, progress on standard error.
Never: a tree fetched twice, unless --refresh asks for it.
Next:  zsfuzz/kernel/fetch.py.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.cli.signals import interrupting_on_signals
from zsfuzz.errors import UsageError
from zsfuzz.kernel.fetch import Fetched, Wishes, fetch
from zsfuzz.kernel.versions import KEYRING, VERSIONS, kernel_source
from zsfuzz.report.progress import progress_view

EXAMPLES = """\
  zsfuzz kernel fetch 6.12
  zsfuzz kernel fetch 5.10 7.2 --cache DIR
"""


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(
        commands,
        "fetch",
        run_fetch,
        "get the source of a kernel version through apt",
        EXAMPLES,
        f"Known versions: {', '.join(VERSIONS)}. The Debian package is found on the mirrors of this machine's own\n"
        "sources, also in suites that the machine does not have; its configuration and lists stay as they are, and\n"
        "no privilege is needed. Only mm/, include/ and drivers/block/zram/ are unpacked.\n",
    )
    parser.add_argument("versions", metavar="VERSION", nargs="+", help=f"one of {', '.join(VERSIONS)}")
    options.add_cache_option(parser)
    parser.add_argument("--refresh", action="store_true", help="fetch again, and drop changes made to the tree")
    parser.add_argument(
        "--keyring", type=Path, default=Path(KEYRING), metavar="FILE", help="the keys of the suites (default: Debian's)"
    )
    options.add_json_option(parser)


def run_fetch(arguments: argparse.Namespace, output: Output) -> int:
    """Fetch the versions, one after the other."""
    versions = list(dict.fromkeys(arguments.versions))
    for version in versions:
        kernel_source(version)  # a mistake in the last one must not cost the download of the first
    if not arguments.keyring.is_file() and arguments.keyring != Path(KEYRING):
        raise UsageError(f"--keyring {arguments.keyring}: no such file; name a keyring of apt's")
    wishes = Wishes(arguments.cache, arguments.keyring, arguments.refresh)
    done = []
    for version in versions:
        done.append(_fetch(version, wishes, output))
        if not arguments.json:
            output.line(_line(done[-1]))
    if arguments.json:
        output.json({"fetched": [_document(one) for one in done]})
    return status.NOTHING_FOUND


def _fetch(version: str, wishes: Wishes, output: Output) -> Fetched:
    start = time.monotonic()
    with interrupting_on_signals(), progress_view(output.stderr) as view:

        def progress(doing: str, part: float | None) -> None:
            line = doing if part is None else f"{doing}, {part:.0%}"
            view.show(time.monotonic() - start, line, part)

        return fetch(version, wishes, progress)


def _line(done: Fetched) -> str:
    source = done.source
    state = "fetched" if done.new else "is there already"
    return (
        f"{source.version}: {state}: {source.package} {source.package_version} ({source.suite}), kernel "
        f"{source.release}, in {done.folder}"
    )


def _document(done: Fetched) -> dict[str, object]:
    return {**asdict(done.source), "folder": str(done.folder), "new": done.new}
