"""A fetched tree and the note beside it: what it is, exactly.

In:    a folder below src/ of the cache.
Out:   FetchedSource, from and to zsfuzz-source.json; the hash that shows whether the tree was changed since.
Never: a date, a host or a path in the note: two machines that fetch one package write the same.
Next:  written by zsfuzz/kernel/fetch.py, listed by zsfuzz/kernel/inventory.py.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from zsfuzz.errors import UsageError

NOTE = "zsfuzz-source.json"
FORMAT = 1
ZSMALLOC = Path("mm/zsmalloc.c")
NEEDED = (ZSMALLOC, Path("include/linux/zsmalloc.h"))
"""Without these no build can be made of a tree."""


@dataclass(frozen=True, slots=True)
class FetchedSource:
    """One tree of the cache."""

    version: str
    """As it was asked for: 6.1."""
    release: str
    """As the tree's Makefile has it: 6.1.192."""
    package: str
    package_version: str
    suite: str
    deb_sha256: str
    zsmalloc_sha256: str


def sha256_of(path: Path) -> str:
    """Return the SHA256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_note(folder: Path, source: FetchedSource) -> None:
    """Write the note of a tree."""
    text = json.dumps({"format": FORMAT, **asdict(source)}, indent=2) + "\n"
    (folder / NOTE).write_text(text, encoding="utf-8")


def read_note(folder: Path) -> FetchedSource | None:
    """Return what a folder's note says, None when there is no note.

    Errors: UsageError for a note that cannot be understood.
    """
    path = folder / NOTE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        values = {field.name: document[field.name] for field in fields(FetchedSource)}
        if not all(isinstance(value, str) for value in values.values()):
            raise ValueError("a value that is no text")
        return FetchedSource(**values)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path}: no note that this zsfuzz understands ({error}); remove the folder and fetch again"
        ) from error


def is_unchanged(folder: Path, source: FetchedSource) -> bool:
    """Whether mm/zsmalloc.c is the one that was fetched."""
    path = folder / ZSMALLOC
    return path.is_file() and sha256_of(path) == source.zsmalloc_sha256


def release_of(makefile: str) -> str:
    """Return 6.1.192 for the top of a kernel's Makefile. Errors: ValueError when it says no version."""
    values = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *=[ \t]*(.*?)[ \t]*$", makefile, re.M))
    if not {"VERSION", "PATCHLEVEL"} <= values.keys():
        raise ValueError("the Makefile names no version")
    return f"{values['VERSION']}.{values['PATCHLEVEL']}.{values.get('SUBLEVEL', '0')}{values.get('EXTRAVERSION', '')}"
