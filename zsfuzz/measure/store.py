"""The store of a measurement: one file for each cell or mutant, whole or absent.

In:    a folder; results as plain data; a digest of the sources that were measured.
Out:   what an earlier, perhaps killed, run has finished with the same budget and the same sources.
Never: a part of a file; a result of other sources.
Next:  who asks: zsfuzz/measure/bench.py, zsfuzz/measure/score.py.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from zsfuzz.campaign.files import check_folder, write_text

_SOURCES: Final = Path(__file__).resolve().parents[2]
_PACKAGES: Final = ("zsfuzz", "reference", "candidate")
_NOT_MEASURED: Final = ("zsfuzz/cli/", "zsfuzz/report/", "zsfuzz/measure/", "zsfuzz/kernel/")
"""Parts that no result depends on: they print, or they measure."""


def sources_digest() -> str:
    """Return 16 hexadecimal digits that change when code changes that a result depends on."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((_SOURCES / package).rglob("*.py")):
            name = path.relative_to(_SOURCES).as_posix()
            if not name.startswith(_NOT_MEASURED):
                digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


class Store:
    """Results in one folder, by name."""

    def __init__(self, folder: Path, digest: str) -> None:
        """Errors: UsageError for a folder that cannot be written."""
        check_folder(folder, "--out")
        self.folder = folder
        self._digest = digest

    def load(self, name: str, budget: float) -> dict[str, Any] | None:
        """Return a finished result of the same sources and budget, None if there is none."""
        path = self._path(name)
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(document, dict) or document.get("sources") != self._digest:
            return None
        result = document.get("result")
        return result if isinstance(result, dict) and result.get("budget") == budget else None

    def save(self, name: str, result: dict[str, Any]) -> None:
        """Keep a result. Errors: UsageError when the disk says no."""
        document = {"sources": self._digest, "result": result}
        write_text(self._path(name), json.dumps(document, indent=1) + "\n")

    def write(self, name: str, text: str) -> Path:
        """Write a file beside the results and return its path."""
        path = self.folder / name
        write_text(path, text)
        return path

    def _path(self, name: str) -> Path:
        return self.folder / "cells" / f"{name}.json"
