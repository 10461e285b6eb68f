"""The files that the house rules look at.

In:    the repository this file lies in.
Out:   relative paths and their text, sorted.
Never: files that git would not commit, where git can say which those are.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("zsfuzz", "reference", "candidate")

_NOT_OURS = {".git", ".venv", ".fuzz", "findings", "__pycache__", "build", "dist"}
_CACHES = (".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")


@cache
def committed_files() -> tuple[str, ...]:
    """Every file that is or would be committed; without git, every file outside the known caches."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        return tuple(sorted(name for name in set(listed.split("\0")) if name and (ROOT / name).is_file()))
    found = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        ours = not any(part in _NOT_OURS or part in _CACHES or part.endswith(".egg-info") for part in parts)
        if ours and path.is_file():
            found.append("/".join(parts))
    return tuple(sorted(found))


def python_files(*folders: str) -> tuple[str, ...]:
    """The Python files below the given top-level folders; without arguments, all of them."""
    return tuple(
        name for name in committed_files() if name.endswith(".py") and (not folders or name.split("/", 1)[0] in folders)
    )


def text_of(name: str) -> str:
    """The text of one file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def nothing(problems: list[str]) -> None:
    """Fail with every problem on a line of its own: all of them are to be mended, not only the first."""
    assert not problems, "\n" + "\n".join(problems)


def module_name(path: str) -> str:
    """zsfuzz/program/ops.py -> zsfuzz.program.ops; a package's __init__.py is the package."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
