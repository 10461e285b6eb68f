"""Kernel trees for tests that need one.

In:    a version.
Out:   its tree: from the cache, else fetched into it. A test that gets none is skipped with the reason.
Never: a tree in this repository.
Next:  zsfuzz/kernel/fetch.py.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from zsfuzz.errors import UsageError
from zsfuzz.kernel.cache import source_folder
from zsfuzz.kernel.fetch import Wishes, fetch


@cache
def _tree(version: str) -> Path | str:
    """Return the tree, or why there is none."""
    folder = source_folder(version)
    if (folder / "mm/zsmalloc.c").is_file():
        return folder
    try:
        return fetch(version, Wishes(), lambda _doing, _part: None).folder
    except UsageError as error:
        return f"no source of kernel {version}: {error}"


def kernel_tree(version: str) -> Path:
    """Return the tree of a version, or skip the test."""
    tree = _tree(version)
    if isinstance(tree, str):
        pytest.skip(tree)
    return tree
