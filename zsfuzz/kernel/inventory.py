"""`zsfuzz kernel list`: what the cache holds.

In:    the folders src/ and builds/ of the cache.
Out:   Inventory: sources with their packages, builds with their features, and what cannot be read.
Never: an end because of one bad entry: it is listed as bad, with the reason.
Next:  notes of sources: zsfuzz/kernel/source.py; a build writes build.json beside its library.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zsfuzz.errors import UsageError
from zsfuzz.kernel.cache import builds_folder, kernel_folder
from zsfuzz.kernel.source import FetchedSource, is_unchanged, read_note

BUILD_NOTE = "build.json"
_BUILD_KEYS = {
    "name": str,
    "source": str,
    "zsmalloc_sha256": str,
    "features": list,
    "compiler": str,
    "library": str,
}


@dataclass(frozen=True, slots=True)
class ListedSource:
    """A tree in the cache."""

    source: FetchedSource
    folder: Path
    unchanged: bool


@dataclass(frozen=True, slots=True)
class ListedBuild:
    """A library in the cache, as its build.json has it."""

    name: str
    source: str
    zsmalloc_sha256: str
    features: tuple[str, ...]
    options: Any
    compiler: str
    library: Path
    present: bool
    """Whether the library that the note speaks of is there."""


@dataclass(frozen=True, slots=True)
class BadEntry:
    """Something in the cache that could not be read."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything in the cache."""

    sources: tuple[ListedSource, ...]
    builds: tuple[ListedBuild, ...]
    bad: tuple[BadEntry, ...]

    def as_json(self) -> dict[str, Any]:
        """Return a document of plain values."""
        return {
            "sources": [
                {**asdict(one.source), "folder": str(one.folder), "unchanged": one.unchanged} for one in self.sources
            ],
            "builds": [
                {**asdict(one), "features": list(one.features), "library": str(one.library)} for one in self.builds
            ],
            "bad": [{"path": str(one.path), "reason": one.reason} for one in self.bad],
        }


def read_inventory(root: Path | None = None) -> Inventory:
    """Read the cache. root: instead of the usual one. Errors: UsageError when a folder cannot be listed."""
    sources: list[ListedSource] = []
    builds: list[ListedBuild] = []
    bad: list[BadEntry] = []
    for folder in _folders(kernel_folder(root) / "src"):
        try:
            if (source := read_note(folder)) is None:
                bad.append(BadEntry(folder, "no note of a fetch; move it away"))
            else:
                sources.append(ListedSource(source, folder, is_unchanged(folder, source)))
        except (UsageError, OSError) as error:
            bad.append(BadEntry(folder, str(error)))
    for folder in _folders(builds_folder(root)):
        try:
            builds.append(_build_of(folder))
        except (ValueError, KeyError, TypeError, OSError) as error:
            bad.append(BadEntry(folder, f"no {BUILD_NOTE} that this zsfuzz understands ({error!r}); build it again"))
    return Inventory(tuple(sources), tuple(builds), tuple(bad))


def _folders(parent: Path) -> list[Path]:
    """Return the folders right below parent in the order of their names; hidden ones are work in progress."""
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"cannot list {parent}: {error.strerror}; name another --cache") from error


def _build_of(folder: Path) -> ListedBuild:
    document = json.loads((folder / BUILD_NOTE).read_text(encoding="utf-8"))
    for key, kind in _BUILD_KEYS.items():
        if not isinstance(document[key], kind):
            raise ValueError(f"{key} is {document[key]!r}")
    library = folder / document["library"]
    return ListedBuild(
        name=document["name"],
        source=document["source"],
        zsmalloc_sha256=document["zsmalloc_sha256"],
        features=tuple(map(str, document["features"])),
        options=document.get("options"),
        compiler=document["compiler"],
        library=library,
        present=library.is_file(),
    )
