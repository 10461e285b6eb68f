"""`zsfuzz kernel build`: a kernel tree, compiled into a library that runs here.

In:    a tree, a Debian package of kernel sources, or a version that was fetched.
Out:   a build in the cache, under a name that `kernel:NAME` takes.
Never: a change of the tree.
Next:  zsfuzz/kernel/build.py.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.errors import UsageError
from zsfuzz.kernel.build import COVERAGES, SANITIZERS, Build, BuildOptions, build
from zsfuzz.kernel.cache import source_folder
from zsfuzz.kernel.unpack import unpack_package
from zsfuzz.kernel.versions import VERSIONS

EXAMPLES = """\
  zsfuzz kernel build 6.12
  zsfuzz kernel build ~/linux -o mine
  zsfuzz kernel build ~/linux -o mine-asan --sanitize address,undefined
"""


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(
        commands, "build", run_build, "compile a kernel's mm/zsmalloc.c, unmodified, into a target", EXAMPLES
    )
    parser.add_argument(
        "source", metavar="TREE|DEB|VERSION", help="a kernel tree, a linux-source .deb, or a fetched version"
    )
    parser.add_argument("-o", "--output", metavar="NAME", help="what the target is called: kernel:NAME")
    parser.add_argument("--cc", metavar="CC", default="gcc", help="the compiler, gcc or clang (default: gcc)")
    parser.add_argument("--sanitize", metavar="LIST", default="", help=f"with sanitizers: {','.join(SANITIZERS)}")
    parser.add_argument("--coverage", metavar="KIND", default="", help=f"with coverage: {' or '.join(COVERAGES)}")
    parser.add_argument(
        "--chain", metavar="N", type=options.count, help="pages of the longest zspage, where that is an option"
    )
    parser.add_argument("--no-compaction", action="store_true", help="without CONFIG_COMPACTION")
    options.add_cache_option(parser)
    options.add_json_option(parser)


def run_build(arguments: argparse.Namespace, output: Output) -> int:
    """Build one tree."""
    sanitize = tuple(word for word in arguments.sanitize.split(",") if word)
    for word in sanitize:
        if word not in SANITIZERS:
            raise UsageError(f"--sanitize {word} is unknown; use {','.join(SANITIZERS)}")
    if arguments.coverage and arguments.coverage not in COVERAGES:
        raise UsageError(f"--coverage {arguments.coverage} is unknown; use {' or '.join(COVERAGES)}")
    wanted = BuildOptions(arguments.cc, sanitize, arguments.chain, not arguments.no_compaction, arguments.coverage)
    tree, default = _tree_of(arguments.source, arguments.cache)
    made = build(tree, _name(arguments.output or default), wanted, arguments.cache)
    _show(made, arguments.json, output)
    return status.NOTHING_FOUND


def _tree_of(source: str, cache: Path | None) -> tuple[Path, str]:
    """Return the tree that the user means and the name that its build gets by default. Errors: UsageError."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path, path.resolve().name
    if source.endswith(".deb"):
        return _unpacked(path, cache)
    fetched = source_folder(source, cache)
    if (fetched / "mm" / "zsmalloc.c").is_file():
        return fetched, source
    if source in VERSIONS:
        raise UsageError(f"{source} was not fetched; fetch it: zsfuzz kernel fetch {source}")
    raise UsageError(f"{source}: neither a folder, a .deb nor a fetched version; name the root of a kernel tree")


def _unpacked(path: Path, cache: Path | None) -> tuple[Path, str]:
    if not path.is_file():
        raise UsageError(f"{path}: no such file; name a linux-source package")
    name = path.name.removesuffix(".deb")
    folder = source_folder(name, cache)
    if not (folder / "mm" / "zsmalloc.c").is_file():
        unpack_package(path, folder)
    return folder, name


def _name(name: str) -> str:
    if not name or "/" in name or name.startswith(".") or not name.isprintable() or " " in name:
        raise UsageError(f"-o {name!r} is no name; use letters, digits, dots and dashes")
    return name


def _show(made: Build, as_json: bool, output: Output) -> None:
    if as_json:
        output.json(
            {
                "name": made.name,
                "target": f"kernel:{made.name}",
                "source": str(made.source),
                "library": str(made.library),
                "features": list(made.features.words),
                "options": asdict(made.options),
            }
        )
        return
    output.line(f"kernel:{made.name} from {made.source}")
    output.line(f"  features: {' '.join(made.features.words)}")
    output.line(f"  next: zsfuzz run --reference kernel:{made.name} --candidate kernel:{made.name}")
