"""Program files that a user names.

In:    paths: files, or folders that stand for every .zst and .zsf below them.
Out:   paths in order.
Never: a traceback for a file that cannot be read.
Next:  the readers in zsfuzz/program/files.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from zsfuzz.errors import UsageError
from zsfuzz.program.files import PACKED_SUFFIX, TEXT_SUFFIX

SUFFIXES = (TEXT_SUFFIX, PACKED_SUFFIX)


def expand(words: Iterable[str]) -> list[Path]:
    """Return the files that the words name, folders replaced by the programs below them, in order.

    Errors: UsageError for a folder that cannot be read or holds no program.
    """
    paths: list[Path] = []
    for word in words:
        path = Path(word)
        paths += programs_below(path) if path.is_dir() else [path]
    return paths


def programs_below(folder: Path) -> list[Path]:
    """Return every program file below a folder, sorted. Errors: UsageError for none, or no permission."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders.sort()
        found += [Path(place) / name for name in sorted(names) if name.endswith(SUFFIXES) and name[0] != "."]
    if not found:
        raise UsageError(f"{folder}: no .zst or .zsf file in this folder; name a file or another folder")
    return found


def _refuse(error: OSError) -> None:
    raise UsageError(f"{error.filename}: cannot read it: {error.strerror}; check its permissions") from error
