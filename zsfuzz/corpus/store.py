"""Store: a folder of programs in which every program is there once.

In:    programs; a folder, which may be shared by several workers.
Out:   files named by their content, programs in sorted order.
Never: half a file, an overwritten file, a stop because one file among thousands is bad.
Next:  reading and writing one file in zsfuzz/program/files.py; whole-folder checks in zsfuzz/corpus/check.py.

    DIR/3f1c...a9.zsf      what add() writes: sha256 of the packed program
    DIR/seeds/h04.zst      what people put there: any name, any depth, text or packed
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from zsfuzz.errors import UsageError
from zsfuzz.program.files import PACKED_SUFFIX, TEXT_SUFFIX, load_program, save_program
from zsfuzz.program.packed import pack_program
from zsfuzz.program.program import Program

SUFFIXES = (TEXT_SUFFIX, PACKED_SUFFIX)


def content_name(program: Program) -> str:
    """Return 64 hexadecimal digits: the sha256 of the packed program, header included."""
    return hashlib.sha256(pack_program(program)).hexdigest()


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that holds no program, or not the one it should. reason: one line that names the file."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class LoadedCorpus:
    """What was read of a folder, both parts in the order of their paths."""

    programs: tuple[tuple[Path, Program], ...]
    bad: tuple[BadFile, ...]


class CorpusStore:
    """One folder. Two stores over one folder may write at the same time."""

    def __init__(self, folder: str | os.PathLike[str], *, create: bool = True) -> None:
        """Errors: UsageError when the folder cannot be made, is a file, or (create=False) is not there."""
        self.folder = Path(folder)
        if create:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(f"{self.folder}: no corpus folder: {error.strerror}; name another") from error
        if not self.folder.is_dir():
            raise UsageError(f"{self.folder}: no such folder; name one that holds programs")

    def path_of(self, program: Program) -> Path:
        """Return where add() puts the program."""
        return self.folder / (content_name(program) + PACKED_SUFFIX)

    def add(self, program: Program) -> bool:
        """Write the program unless it is there; return whether it is new.

        Errors: UsageError, one line, when the system refuses (no space, no permission); nothing is left
        behind then.
        """
        path = self.path_of(program)
        try:
            if path.exists():
                return False
        except OSError as error:
            _refuse(error)
        save_program(program, path)
        return True

    def paths(self) -> list[Path]:
        """Return every .zst and .zsf file below the folder, sorted by path.

        Names that begin with a dot are left out: files being written, and what version control keeps.
        Errors: UsageError for a folder that may not be read.
        """
        found: list[Path] = []
        for place, folders, names in os.walk(self.folder, onerror=_refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [Path(place, name) for name in names if name.endswith(SUFFIXES) and name[0] != "."]
        return sorted(found)

    def size_bytes(self, path: Path) -> int:
        """Return the size of a file of this folder. Errors: UsageError when it is gone by now."""
        try:
            return path.stat().st_size
        except OSError as error:
            _refuse(error)

    def read(self) -> Iterator[tuple[Path, Program | UsageError]]:
        """Yield each file with its program, or with the reason why it holds none, in sorted order."""
        for path in self.paths():
            try:
                yield path, load_program(path)
            except UsageError as error:
                yield path, error

    def load(self) -> LoadedCorpus:
        """Return every program, and the files that hold none with their reasons."""
        programs: list[tuple[Path, Program]] = []
        bad: list[BadFile] = []
        for path, content in self.read():
            if isinstance(content, UsageError):
                bad.append(BadFile(path, str(content)))
            else:
                programs.append((path, content))
        return LoadedCorpus(tuple(programs), tuple(bad))


def _refuse(error: OSError) -> NoReturn:
    raise UsageError(f"{error.filename}: cannot be read: {error.strerror}; check its permissions") from error
