"""`zsfuzz kernel fetch`: the source of a known version, from the package archive into the cache.

In:    a version; the machine's apt.
Out:   src/<version>/ in the cache: a whole tree with its note, or nothing.
Never: a half tree under that name, whatever ends the run: it is unpacked beside it and renamed at the end.
Next:  zsfuzz/kernel/apt.py downloads, zsfuzz/kernel/unpack.py unpacks; versions are in zsfuzz/kernel/versions.py.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zsfuzz.errors import UsageError
from zsfuzz.kernel.apt import PrivateApt, Progress, read_machine
from zsfuzz.kernel.apt_text import NO_KEY, Candidate, is_absence
from zsfuzz.kernel.cache import kernel_folder, source_folder
from zsfuzz.kernel.source import (
    NEEDED,
    ZSMALLOC,
    FetchedSource,
    is_unchanged,
    read_note,
    release_of,
    sha256_of,
    write_note,
)
from zsfuzz.kernel.unpack import unpack_package
from zsfuzz.kernel.versions import KEYRING, KernelSource, kernel_source


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user may say about a fetch."""

    cache: Path | None = None
    """Instead of the usual cache folder."""
    keyring: Path = Path(KEYRING)
    refresh: bool = False
    """Fetch again what is there, and throw away changes made to it."""
    trusted: bool = False
    """For tests with a repository that nobody has signed; no option of the command sets it."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A tree, and whether this run brought it."""

    source: FetchedSource
    folder: Path
    new: bool


def fetch(version: str, wishes: Wishes, progress: Progress) -> Fetched:
    """Bring the source of one version into the cache, or find it there.

    Errors: UsageError for an unknown version, for a machine that cannot fetch, for a package that is damaged or
    holds no zsmalloc, for a full disk, and for a cached tree that was changed by hand.
    """
    recipe = kernel_source(version)
    folder = source_folder(version, wishes.cache)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(f".{version}.lock"), version):
            if not wishes.refresh and (present := _present(version, folder)):
                return Fetched(present, folder, new=False)
            workspace = kernel_folder(wishes.cache) / "apt" / version
            apt = PrivateApt(workspace, read_machine(), wishes.keyring, wishes.trusted)
            source = _bring(recipe, apt, folder, progress)
            apt.remove()
            return Fetched(source, folder, new=True)
    except OSError as error:
        where = error.filename or folder
        raise UsageError(f"{where}: {error.strerror or error}; make room there or name another --cache") from error


def _present(version: str, folder: Path) -> FetchedSource | None:
    """Return what is in the cache. Errors: UsageError when it is not what was fetched."""
    source = read_note(folder)
    if source is None:
        if folder.exists():
            raise UsageError(f"{folder} was not made by a fetch; move it away, or build from it: it is a tree")
        return None
    if not is_unchanged(folder, source):
        raise UsageError(
            f"{folder / ZSMALLOC} was changed since it was fetched; --refresh fetches {version} again and drops the "
            "change; for a patched tree make a copy elsewhere"
        )
    return source


def _bring(recipe: KernelSource, apt: PrivateApt, folder: Path, progress: Progress) -> FetchedSource:
    candidate = _find(recipe, apt, progress)
    deb, deb_sha256 = apt.download(candidate, progress)
    partial = folder.with_name(f".{recipe.version}.partial")
    _remove(partial)
    unpack_package(deb, partial, lambda part: progress(f"unpacking {candidate.package} {candidate.version}", part))
    for path in NEEDED:
        if not (partial / path).is_file():
            raise UsageError(f"{deb.name} holds no {path}; is it a kernel's source? give a tree instead")
    source = FetchedSource(
        version=recipe.version,
        release=release_of((partial / "Makefile").read_text(encoding="utf-8")),
        package=candidate.package,
        package_version=candidate.version,
        suite=candidate.suite,
        deb_sha256=deb_sha256,
        zsmalloc_sha256=sha256_of(partial / ZSMALLOC),
    )
    write_note(partial, source)
    _swap(partial, folder)
    return source


def _find(recipe: KernelSource, apt: PrivateApt, progress: Progress) -> Candidate:
    complaints = []
    for suites in recipe.rounds:
        candidate, complaint = apt.newest(recipe.package, suites, progress)
        if candidate:
            return candidate
        complaints.append(complaint)
    asked = ", ".join(suite for suites in recipe.rounds for suite in suites)
    causes = [complaint for complaint in complaints if complaint and not is_absence(complaint)]
    if not causes:
        raise UsageError(
            f"none of the suites {asked} has a package of kernel {recipe.version} on this machine's mirrors; take "
            "another version or give a tree: zsfuzz kernel build TREE"
        )
    mend = "check the network (and apt's proxy settings)"
    if NO_KEY in causes[0]:
        mend = "install a newer debian-archive-keyring, or name the mirror's own --keyring"
    raise UsageError(f"no package of kernel {recipe.version} could be found: {causes[0]}; {mend}, then run it again")


def _swap(new: Path, folder: Path) -> None:
    """Put a whole tree in its place. An older one steps aside first and is removed last."""
    old = folder.with_name(f".{folder.name}.old")
    _remove(old)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    _remove(old)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _alone(lock: Path, version: str) -> Iterator[None]:
    """Keep a second fetch of the same version out. The lock goes with the process, however that ends."""
    with open(lock, "w", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another run fetches kernel {version} right now; wait until it is done") from None
        yield
