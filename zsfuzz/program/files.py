"""Programs in files: read by content, written whole or not at all.

In:    a path.
Out:   load_program() takes either form, whatever the name says; save_program() writes the form that is named.
Never: half a file; a wait for something that is no file; an OSError: what the system refuses is a UsageError.
Next:  the forms in zsfuzz/program/text.py and zsfuzz/program/packed.py.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from zsfuzz.errors import UsageError
from zsfuzz.program.limits import MAX_FILE_BYTES
from zsfuzz.program.packed import MAGIC, pack_program, unpack_program
from zsfuzz.program.program import Program
from zsfuzz.program.text import format_program, parse_program

TEXT_SUFFIX = ".zst"
PACKED_SUFFIX = ".zsf"


def load_program(path: str | os.PathLike[str]) -> Program:
    """Return the program in the file, packed or text by its first bytes.

    Errors: UsageError, one line: missing, unreadable, a folder, a pipe or device (nothing says how much would
    come out of them, or when), larger than MAX_FILE_BYTES, or not a well-formed program.
    """
    where = _shown_path(path)
    data = _read(path, where)
    if data.startswith(MAGIC):
        return unpack_program(data, where)
    if not data:
        raise UsageError(f"{where}: the file is empty; a program has at least a first line and a header")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{where}: neither a packed program nor UTF-8 text (byte {error.start}); is it the right file?"
        ) from None
    return parse_program(text, where)


def save_program(program: Program, path: str | os.PathLike[str]) -> None:
    """Write the program, as text to a .zst and packed to a .zsf, replacing what is there.

    The bytes go to a new file beside the target, to the disk, and only then to the target's name: a reader
    sees the old file or the new one. A symbolic link stays, and the file that it names is replaced.
    Errors: UsageError, one line, when the name has another suffix, the target is no file, or the system
    refuses (no space, no permission, no folder); the target is then as it was. HarnessError for a malformed
    program.
    """
    where = _shown_path(path)
    suffix = Path(path).suffix
    if suffix == TEXT_SUFFIX:
        data = format_program(program).encode()
    elif suffix == PACKED_SUFFIX:
        data = pack_program(program)
    else:
        raise UsageError(
            f"{where}: a program is saved as {TEXT_SUFFIX} (text) or {PACKED_SUFFIX} (packed), not {suffix!a}"
        )
    try:
        _replace(Path(os.path.realpath(path)), data, where)
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}: cannot be written: {_reason(error)}") from None


def _read(path: str | os.PathLike[str], where: str) -> bytes:
    """Return the bytes of a regular file, at most MAX_FILE_BYTES."""
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            _check_regular(os.fstat(file.fileno()).st_mode, where)
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}: cannot be read: {_reason(error)}") from None
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(f"{where}: the file is larger than {MAX_FILE_BYTES} bytes, the most that is read; split it")
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to would otherwise be waited for, without end."""
    return os.open(path, flags | os.O_NONBLOCK)


def _check_regular(mode: int, where: str) -> None:
    if stat.S_ISDIR(mode):
        raise UsageError(f"{where}: this is a folder; name a program in it")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{where}: this is no regular file; copy it into one first")


def _replace(target: Path, data: bytes, where: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        _check_regular(target.stat().st_mode, where)
    temporary, descriptor = _new_file_beside(target)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:
        # Why the write failed matters; that a disk gone bad keeps the remains as well adds nothing.
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _new_file_beside(target: Path) -> tuple[Path, int]:
    """Create a file that was not there, under a name that other processes and killed ones did not take."""
    attempt = 0
    while True:
        path = target.with_name(f".{target.name}.{os.getpid()}-{attempt}.tmp")
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            attempt += 1


def _shown_path(path: str | os.PathLike[str]) -> str:
    """Return the path for a message: in one line and printable, whatever is in it."""
    name = os.fspath(path)
    return name if name.isprintable() else ascii(name)


def _reason(error: OSError | ValueError) -> str:
    """Return the system's words alone; str() of an OSError would repeat the path."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
