"""Build: a kernel tree compiled into a library that Python can load.

In:    a tree (mm/zsmalloc.c is read where it lies), options, a name.
Out:   Build: a folder of the cache with build.json and a cffi module in API mode.
Never: an edit or a copy of kernel source: the shim includes the file by its path.
Next:  what the source has is found by zsfuzz/kernel/features.py; loading is in zsfuzz/kernel/library.py.

A build is made of its content: source, shim, options, compiler and Python decide a digest, and what has the digest
already is not built again. Headers named linux/x.h are one-line stubs in the build's folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from zsfuzz.errors import UsageError
from zsfuzz.kernel.cache import builds_folder
from zsfuzz.kernel.features import Features, detect, included_headers
from zsfuzz.kernel.inventory import BUILD_NOTE

SHIM: Final = Path(__file__).parent / "shim"
_PARTS: Final = ("report", "memory", "slab", "lanes", "system", "core")
_HEADERS: Final = ("mm/zpdesc.h", "include/linux/zsmalloc.h")
_COMMON: Final = (
    "-std=gnu11", "-O2", "-g", "-fPIC", "-fno-strict-aliasing", "-fno-omit-frame-pointer", "-U_FORTIFY_SOURCE",
    "-fvisibility=hidden",
)  # fmt: skip
_KERNEL_FILE: Final = (
    "-ffreestanding", "-Werror=implicit-function-declaration", "-Werror=implicit-int",
    "-Werror=incompatible-pointer-types", "-Werror=int-conversion",
)  # fmt: skip
SANITIZERS: Final = ("address", "undefined")
COVERAGES: Final = ("edges", "lines")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build. chain: pages of the longest zspage, None for the source's own figure. coverage: of COVERAGES."""

    compiler: str = "gcc"
    sanitize: tuple[str, ...] = ()
    chain: int | None = None
    compaction: bool = True
    coverage: str = ""


@dataclass(frozen=True, slots=True)
class Build:
    """One library. module: what it is called as a Python extension."""

    name: str
    folder: Path
    library: Path
    module: str
    features: Features
    options: BuildOptions
    source: Path
    digest: str


def build(tree: Path, name: str, options: BuildOptions | None = None, root: Path | None = None) -> Build:
    """Compile a tree, unless the same is there already. root: a cache instead of the usual one.

    Errors: UsageError for a tree without mm/zsmalloc.c, a compiler or Python headers that are not there, and for a
    construct that the shim does not know, named with its file and line.
    """
    options = options or BuildOptions()
    source = tree / "mm" / "zsmalloc.c"
    text = _read(source)
    headers = {path: _read(tree / path) for path in _HEADERS if (tree / path).exists()}
    if _HEADERS[1] not in headers:
        raise UsageError(f"{tree}: no {_HEADERS[1]}; a tree needs it beside mm/zsmalloc.c")
    features = detect(text, str(source), chain=options.chain, compaction=options.compaction)
    version = _compiler_version(options.compiler)
    digest = _digest(text, headers, tree, options, version)
    folder = builds_folder(root) / name
    module = f"_zsfuzz_kernel_{digest}"
    made = Build(name, folder, folder / f"{module}.so", module, features, options, source.absolute(), digest)
    if not made.library.is_file() or _noted_digest(folder) != digest:
        _compile(made, text, headers)
        _write_note(made, text, version)
    return made


def load_build(name: str, root: Path | None = None) -> Build | None:
    """Return the build of that name, brought up to date with its source and the shim; None when there is none.

    Errors: UsageError as build().
    """
    folder = builds_folder(root) / name
    try:
        note = json.loads((folder / BUILD_NOTE).read_text(encoding="utf-8"))
        wanted = note["options"]
        options = BuildOptions(
            wanted["compiler"], tuple(wanted["sanitize"]), wanted["chain"], wanted["compaction"], wanted["coverage"]
        )
        source = Path(note["file"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UsageError(f"{folder}: {BUILD_NOTE} cannot be read ({error}); build {name} again") from error
    return build(source.parent.parent, name, options, root)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name a kernel tree, the folder that holds mm/") from error


def _compiler_version(compiler: str) -> str:
    found = shutil.which(compiler)
    if found is None:
        raise UsageError(f"compiler {compiler!r} is not installed; install it (apt-get install {compiler}) or use --cc")
    return subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def _digest(text: str, headers: dict[str, str], tree: Path, options: BuildOptions, version: str) -> str:
    parts = [text, json.dumps(headers, sort_keys=True), str(tree.absolute()), json.dumps(asdict(options)), version]
    parts += [str(sysconfig.get_config_var("SOABI")), _cffi_version()]
    parts += [_read(path) for path in sorted(SHIM.rglob("*.[ch]"))]
    parts.append(_read(Path(__file__)))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _cffi_version() -> str:
    try:
        import cffi
    except ImportError as error:
        raise UsageError("kernel targets need cffi; install it: pip install 'zsfuzz[kernel]'") from error
    return str(cffi.__version__)


def _noted_digest(folder: Path) -> str:
    try:
        return str(json.loads((folder / BUILD_NOTE).read_text(encoding="utf-8")).get("digest"))
    except (OSError, ValueError):
        return ""


# -- compiling


def _compile(made: Build, text: str, headers: dict[str, str]) -> None:
    made.folder.mkdir(parents=True, exist_ok=True)
    for old in made.folder.glob("_zsfuzz_kernel_*.so"):
        old.unlink()
    objects = made.folder / "objects"
    stubs = made.folder / "stubs"
    shutil.rmtree(objects, ignore_errors=True)
    shutil.rmtree(stubs, ignore_errors=True)
    objects.mkdir()
    _write_stubs(stubs, made.source.parent.parent, text, headers)
    compiler, flags = made.options.compiler, _flags(made)
    built = []
    for part in _PARTS:
        target = objects / f"{part}.o"
        _run([compiler, *flags, "-Wall", "-Wextra", "-c", str(SHIM / f"{part}.c"), "-o", str(target)])
        built.append(str(target))
    driver = objects / "driver.o"
    kernel = [*flags, *_KERNEL_FILE, *_coverage_flags(made.options), f'-DZK_SOURCE="{made.source}"', "-I", str(stubs)]
    _run([compiler, *kernel, "-c", str(SHIM / "driver.c"), "-o", str(driver)])
    glue = _glue(made, objects)
    python = sysconfig.get_paths()["include"]
    if not (Path(python) / "Python.h").exists():
        raise UsageError(f"no Python.h in {python}; install Python's headers (apt-get install python3-dev)")
    _run([compiler, *flags, "-w", "-I", python, "-c", str(glue), "-o", str(objects / "glue.o")])
    link = [compiler, "-shared", "-o", str(made.library), *built, str(driver), str(objects / "glue.o")]
    _run([*link, *(flag for flag in flags if flag.startswith("-fsanitize")), *_link_flags(made.options)])


def _flags(made: Build) -> list[str]:
    macros = [f"-D{name}={value}" for name, value in made.features.macros().items()]
    sanitize = []
    if made.options.sanitize:
        sanitize = ["-fsanitize=" + ",".join(made.options.sanitize), "-fno-sanitize-recover=all"]
        if "undefined" in made.options.sanitize:
            sanitize.append("-DZK_UBSAN=1")
    return [*_COMMON, *sanitize, *macros, "-I", str(SHIM)]


def _coverage_flags(options: BuildOptions) -> list[str]:
    return {"": [], "edges": ["-fsanitize-coverage=trace-pc"], "lines": ["--coverage", "-O0"]}[options.coverage]


def _link_flags(options: BuildOptions) -> list[str]:
    # The shim asks for gcov's dump weakly, and a weak wish alone takes nothing out of libgcov.a.
    dump = ["-Wl,-u,__gcov_dump", "-Wl,-u,__gcov_reset"]
    return ["--coverage", *dump] if options.coverage == "lines" else []


def _write_stubs(stubs: Path, tree: Path, text: str, headers: dict[str, str]) -> None:
    """Make a stub of every header that the sources include; zsmalloc's own is the tree's."""
    for header in included_headers(text + "".join(headers.values())):
        stub = stubs / header
        stub.parent.mkdir(parents=True, exist_ok=True)
        own = f'#include "{(tree / _HEADERS[1]).absolute()}"\n' if header == "linux/zsmalloc.h" else ""
        stub.write_text(f'#include "zk/kernel.h"\n{own}', encoding="utf-8")


def _glue(made: Build, objects: Path) -> Path:
    from cffi import FFI
    from cffi.recompiler import make_c_source

    ffi = FFI()
    api = (SHIM / "api.h").read_text(encoding="utf-8")
    ffi.cdef(re.sub(r"/\*.*?\*/", "", api, flags=re.DOTALL))
    glue = objects / "glue.c"
    make_c_source(ffi, made.module, '#include "api.h"', str(glue))
    return glue


def _run(command: Sequence[str]) -> None:
    environment = {**os.environ, "LC_ALL": "C"}  # messages in the one form that _compile_error() knows
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise UsageError(_compile_error(done.stderr))


def _compile_error(output: str) -> str:
    """Return the one line that a user needs: file, line, symbol, and what to add where."""
    found = re.search(r"^(\S+?):(\d+):\d+: (?:fatal )?error: (.*)$", output, re.MULTILINE)
    if not found:
        last = (output.strip().splitlines() or ["the compiler said nothing"])[-1]
        return f"the library cannot be linked: {last}"
    where, line, text = found.groups()
    symbol = re.search(r"'(?:struct |enum |union )?([^']+)'", text)
    name = symbol[1] if symbol else "a construct"
    return (
        f"{where}:{line}: {text}; the shim does not know {name}: add it to zsfuzz/kernel/shim/zk/ "
        "(docs/kernel-targets.md, a new construct)"
    )


def _write_note(made: Build, text: str, version: str) -> None:
    note: dict[str, Any] = {
        "name": made.name,
        "source": str(made.source.parent.parent),
        "file": str(made.source),
        "zsmalloc_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "features": list(made.features.words),
        "options": asdict(made.options),
        "compiler": version,
        "library": made.library.name,
        "digest": made.digest,
    }
    (made.folder / BUILD_NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
