"""Where kernel sources and builds are kept.

In:    ZSFUZZ_CACHE, XDG_CACHE_HOME, HOME; or a folder that the user named.
Out:   paths: src/<version>/ holds an unpacked tree, builds/ what was compiled from trees.
Never: a folder made: who writes into one makes it.
Next:  filled by zsfuzz/kernel/fetch.py, listed by zsfuzz/kernel/inventory.py.
"""

from __future__ import annotations

import os
from pathlib import Path

from zsfuzz.errors import UsageError


def cache_root() -> Path:
    """Return the folder that everything cached lies below.

    ZSFUZZ_CACHE wins; then XDG_CACHE_HOME/zsfuzz, where a relative XDG_CACHE_HOME is ignored, as its
    specification has it; then ~/.cache/zsfuzz. Errors: UsageError when there is no home folder either.
    """
    if named := os.environ.get("ZSFUZZ_CACHE"):
        return Path(named).absolute()
    if os.path.isabs(xdg := os.environ.get("XDG_CACHE_HOME", "")):
        return Path(xdg) / "zsfuzz"
    try:
        return Path.home() / ".cache" / "zsfuzz"
    except RuntimeError as error:
        raise UsageError("there is no home folder for the cache; name a folder in ZSFUZZ_CACHE") from error


def kernel_folder(root: Path | None = None) -> Path:
    """Return the kernel part of the cache. root: instead of cache_root()."""
    return (cache_root() if root is None else root) / "kernel"


def source_folder(version: str, root: Path | None = None) -> Path:
    """Return where the unpacked tree of one version belongs."""
    return kernel_folder(root) / "src" / version


def builds_folder(root: Path | None = None) -> Path:
    """Return where builds belong."""
    return kernel_folder(root) / "builds"
