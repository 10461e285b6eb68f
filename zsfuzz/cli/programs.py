"""Program files that a user names.

In:    paths: files, or folders that stand for every .zst and .zsf below them.
Out:   paths in order.
Never: a traceback for a folder that cannot be read.
Next:  the readers in zsfuzz/program/files.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from zsfuzz.corpus.store import CorpusStore
from zsfuzz.errors import UsageError


def expand(words: Iterable[str]) -> list[Path]:
    """Return the files that the words name, folders replaced by the programs below them, in order.

    Errors: UsageError for a folder that cannot be read or holds no program.
    """
    paths: list[Path] = []
    for word in words:
        path = Path(word)
        if not path.is_dir():
            paths.append(path)
            continue
        found = CorpusStore(path, create=False).paths()
        if not found:
            raise UsageError(f"{path}: no .zst or .zsf file in this folder; name a file or another folder")
        paths += found
    return paths
