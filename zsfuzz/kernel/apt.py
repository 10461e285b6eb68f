"""Gets one package through apt from suites that the machine itself need not have.

In:    the machine's own apt: its mirrors, its Acquire settings (proxies for one), its architecture. All are asked
       for at run time, with commands that change nothing and need no privilege.
Out:   a private apt: own sources, lists, cache, status and keys in one folder; packages, verified.
Never: the machine's own lists, cache or configuration written; its hooks run; a host name of ours; a signature waived.
Next:  zsfuzz/kernel/fetch.py drives it; what apt prints is read in zsfuzz/kernel/apt_text.py.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zsfuzz.errors import UsageError
from zsfuzz.kernel import apt_text
from zsfuzz.kernel.apt_text import Candidate, Mirror

Progress = Callable[[str, float | None], None]
"""Told what is being done, and which part of it is over: 0.0..1.0, None when nobody knows."""

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Machine:
    """What is taken over from the machine's apt."""

    mirrors: tuple[Mirror, ...]
    acquire: tuple[str, ...]
    """Lines of configuration."""
    architecture: str


def read_machine() -> Machine:
    """Ask the machine's apt for its mirrors and settings.

    Errors: UsageError when there is no apt, when its configuration is broken, or when no source of it is Debian's.
    """
    if shutil.which("apt-get") is None:
        raise UsageError(
            "apt-get is not on this machine, and sources are fetched with it; give a tree instead: "
            "zsfuzz kernel build TREE"
        )
    uris = _quietly(["apt-get", "update", "--print-uris"])
    mirrors = apt_text.mirrors(uris)
    if not mirrors:
        raise UsageError(
            "no source of this machine's apt is a Debian suite, so there is no mirror to ask; add one to apt's "
            "sources or give a tree: zsfuzz kernel build TREE"
        )
    dump = _quietly(["apt-config", "dump"])
    return Machine(mirrors, apt_text.acquire_settings(dump), apt_text.architecture(dump))


class PrivateApt:
    """An apt of its own in one folder. Two at a time in one folder are kept apart by whoever makes them."""

    def __init__(self, folder: Path, machine: Machine, keyring: Path, trusted: bool = False) -> None:
        """Write the configuration.

        folder: made; lists and half downloads of an earlier run in it are used. keyring: the keys that suites
        must be signed with. trusted: for a repository of a test that nobody has signed.
        Errors: UsageError for a folder that apt cannot be told of, and without the keyring.
        """
        if not keyring.is_file() and not trusted:
            raise UsageError(
                f"{keyring}: no such keyring; install the package debian-archive-keyring or name a keyring"
            )
        if unfit := re.search(r'["\x00-\x1f]', str(folder)):
            raise UsageError(f"{folder}: apt takes no path with {unfit.group()!r} in it; name another cache folder")
        self._folder = folder.absolute()
        self._machine = machine
        self._trusted = trusted
        for name in ("sources", "keys", "lists/partial", "archives/partial", "packages"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        key_link = self._folder / "keys" / f"keyring{keyring.suffix}"
        key_link.unlink(missing_ok=True)
        if keyring.is_file():
            key_link.symlink_to(keyring.absolute())
        (self._folder / "status").write_text("", encoding="utf-8")
        (self._folder / "apt.conf").write_text(
            apt_text.configuration(self._folder, machine.acquire, machine.architecture), encoding="utf-8"
        )

    def newest(self, package: str, suites: Sequence[str], progress: Progress) -> tuple[Candidate | None, str]:
        """Return the newest package of these suites whose name matches, and the first thing apt complained of.

        package: a regular expression for the whole name. None: no suite that could be read has one.
        """
        entries = apt_text.source_entries(self._machine.mirrors, suites, self._trusted)
        (self._folder / "sources" / "kernel.sources").write_text(entries, encoding="utf-8")
        progress("reading package lists", None)
        # apt exits with an error when one of several suites is missing; whether that matters shows below.
        lines, _ = self._apt(
            ["apt-get", "update", "--option", "APT::Status-Fd=1"], lambda part: progress("reading package lists", part)
        )
        complaint = apt_text.complaint(lines)
        names, _ = self._apt(["apt-cache", "pkgnames", "linux-source-"])
        names = sorted(name for name in names if re.fullmatch(package, name))
        if not names:
            return None, complaint
        table, _ = self._apt(["apt-cache", "madison", *names])
        return _newest(apt_text.candidates(table)), complaint

    def download(self, candidate: Candidate, progress: Progress) -> tuple[Path, str]:
        """Download a package, or what is missing of it, and return its path and SHA256.

        Errors: UsageError when the download fails or is not what the suite's index says.
        """
        wanted = f"{candidate.package}={candidate.version}"
        # Asked in a folder that never holds the package: where apt finds it whole, it has nothing to say.
        told, status = self._apt(["apt-get", "download", "--print-uris", wanted], folder="archives")
        promised = apt_text.download_of(told)
        if status != 0 or promised is None:
            raise UsageError(f"apt does not say where {wanted} is: {apt_text.complaint(told)}; run it again")
        path = self._folder / "packages" / promised.name
        doing = f"downloading {candidate.package} {candidate.version}"
        progress(doing, None)
        lines, status = self._apt(
            ["apt-get", "download", "--option", "APT::Status-Fd=1", wanted], lambda part: progress(doing, part)
        )
        if status != 0:
            raise UsageError(
                f"apt could not download {wanted}: {apt_text.complaint(lines)}; check the network (and apt's proxy "
                "settings), then run it again: it goes on where it stopped"
            )
        found = _sha256(path)
        if found != promised.sha256:
            path.unlink()
            raise UsageError(
                f"{promised.name} has SHA256 {found}, the suite's index says {promised.sha256}; it was thrown away, "
                "run it again"
            )
        return path, found

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder)

    def _apt(
        self, words: Sequence[str], tick: Callable[[float], None] = lambda _: None, folder: str = "packages"
    ) -> tuple[list[str], int]:
        return _run(words, self._folder / folder, {"APT_CONFIG": str(self._folder / "apt.conf")}, tick)


def _quietly(words: Sequence[str]) -> list[str]:
    """Run a command of the machine's apt that must succeed. Errors: UsageError with what it said."""
    lines, status = _run(words, Path("/"), {}, lambda _: None)
    if status != 0:
        raise UsageError(f"`{' '.join(words)}` failed: {apt_text.complaint(lines)}; mend this machine's apt first")
    return lines


def _run(
    words: Sequence[str], folder: Path, extra: Mapping[str, str], tick: Callable[[float], None]
) -> tuple[list[str], int]:
    """Run a command and return its lines (both streams) and its exit status; it does not outlive an interrupt."""
    process = subprocess.Popen(
        words,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C", **extra},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    lines = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if (part := apt_text.part_done(line)) is None:
                lines.append(line.rstrip("\n"))
            else:
                tick(part)
        status = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()
    return lines, status


def _newest(candidates: Iterable[Candidate]) -> Candidate | None:
    """Return the newest by Debian's own order of versions; of equals, the first."""
    best: Candidate | None = None
    for candidate in candidates:
        if best is None or _is_newer(candidate.version, best.version):
            best = candidate
    return best


def _is_newer(left: str, right: str) -> bool:
    """dpkg's comparison: 0 true, 1 false; anything else is a version that dpkg cannot read."""
    done = subprocess.run(["dpkg", "--compare-versions", left, "gt", right], capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise UsageError(f"dpkg cannot compare {left!r} with {right!r}: {done.stderr.decode(errors='replace').strip()}")
    return done.returncode == 0


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
