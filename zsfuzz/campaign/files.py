"""Files that are whole or absent, and one line for a user when the disk says no.

In:    paths and contents.
Out:   write_text(), write_bytes(), write_program(), check_folder(), writing().
Never: the formats; programs are zsfuzz/program/files.py.
Next:  findings in zsfuzz/campaign/findings.py.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zsfuzz.errors import UsageError
from zsfuzz.program.files import save_program
from zsfuzz.program.program import Program


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn an OSError of the block into a UsageError that names the path and what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"cannot write {path}: {reason}; make room there or name another place") from error


def write_text(path: Path, text: str) -> None:
    """Write a text as write_bytes() does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    Errors: UsageError when the disk is full, the folder is read-only or the name is impossible.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):  # the first error is the one to report
                os.unlink(temporary)
            raise


def write_program(path: Path, program: Program) -> None:
    """Save a program, making its folder. Errors: UsageError as write_text()."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_program(program, path)


def check_folder(folder: Path, option: str) -> None:
    """Refuse, before any work is done, a folder that could not be written later.

    The folder may be missing; then its nearest existing ancestor is looked at. option: how the user named it.
    Errors: UsageError.
    """
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UsageError(f"{option} {folder}: {nearest} is not a folder; name a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {folder}: no permission to write in {nearest}; name another folder")
