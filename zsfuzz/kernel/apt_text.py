"""What apt prints, read; and what apt is told, written.

In:    lines of apt-get, apt-cache and apt-config; mirrors and suites.
Out:   mirrors, candidates, complaints; a configuration and a list of sources.
Never: a command run, a file touched.
Next:  zsfuzz/kernel/apt.py runs the commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from zsfuzz.kernel.versions import is_debian_suite

_SECURITY = "-security"
_URI = re.compile(r"'([^']+)' ")
_RELEASE_FILE = re.compile(r"(.+)/dists/(.+)/InRelease")
_SETTING = re.compile(r'(Acquire::\S*) "[^"]*";')
_NOT_TAKEN = ("Acquire::Allow", "Acquire::IndexTargets", "Acquire::Changelogs", "Acquire::Languages")
"""Settings that are not taken over: a machine's leave to use unsigned suites is not ours, the rest is not needed."""
_PROGRESS = re.compile(r"(?:dl|pm)status:[^:]*:([0-9.]+):")
_HARMLESS = re.compile(r"Download is performed unsandboxed|Some index files failed to download")
_ABSENT = re.compile(r"\b404\b|File not found|does not have a Release file")
NO_KEY = "NO_PUBKEY"
_DOWNLOAD = re.compile(r"'[^']*' (\S+) \d+ SHA256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where suites can be had. Security suites often lie elsewhere than the others."""

    uri: str
    security: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A package that a suite has."""

    package: str
    version: str
    suite: str


@dataclass(frozen=True, slots=True)
class Download:
    """What an index says about the file of a package."""

    name: str
    sha256: str


def mirrors(lines: Iterable[str]) -> tuple[Mirror, ...]:
    """Return the mirrors behind the Debian suites among the machine's sources, in order, each once.

    lines: of `apt-get update --print-uris`, which knows every form of sources and prints one InRelease a suite.
    A source of somebody else may call its suite bookworm too: then it is asked in vain, for the keys decide.
    """
    found = []
    for line in lines:
        uri = _URI.match(line)
        release = _RELEASE_FILE.fullmatch(uri[1]) if uri else None
        if release and not release[1].startswith("cdrom:") and is_debian_suite(release[2]):
            found.append(Mirror(release[1], release[2].endswith(_SECURITY)))
    return tuple(dict.fromkeys(found))


def acquire_settings(dump: Iterable[str]) -> tuple[str, ...]:
    """Return the lines of `apt-config dump` that say how files are got: proxies, timeouts, retries."""
    return tuple(line for line in dump if _SETTING.fullmatch(line) and not line.startswith(_NOT_TAKEN))


def architecture(dump: Iterable[str]) -> str:
    """Return the machine's architecture as apt calls it. Errors: ValueError when apt does not say."""
    for line in dump:
        if found := re.fullmatch(r'APT::Architecture "([^"]+)";', line):
            return found[1]
    raise ValueError("apt-config dump has no APT::Architecture")


def configuration(folder: Path, acquire: Iterable[str], architecture: str) -> str:
    """Return an apt.conf whose every path leads into folder and that reads nothing of /etc/apt but credentials.

    For $APT_CONFIG, which apt reads before anything else: so the machine's own files are not read at all, and with
    them none of their hooks. folder: absolute, without quotes in it.
    """
    nothing = (
        "Etc::main",
        "Etc::parts",
        "Etc::sourcelist",
        "Etc::preferences",
        "Etc::preferencesparts",
        "Etc::trusted",
    )
    paths = {
        **{f"Dir::{name}": "/dev/null" for name in nothing},
        "Dir::Etc::sourceparts": f"{folder}/sources/",
        "Dir::Etc::trustedparts": f"{folder}/keys/",
        "Dir::State": f"{folder}/",
        "Dir::State::lists": f"{folder}/lists/",
        "Dir::State::status": f"{folder}/status",
        "Dir::Cache": f"{folder}/",
        "Dir::Cache::archives": f"{folder}/archives/",
        "Dir::Log": f"{folder}/",
        "APT::Architecture": architecture,
    }
    return "\n".join(
        [
            *(f'{name} "{value}";' for name, value in paths.items()),
            f'APT::Architectures {{ "{architecture}"; }};',
            *acquire,
            'Acquire::Languages { "none"; };',
            "",
        ]
    )


def source_entries(mirrors: Iterable[Mirror], suites: Sequence[str], trusted: bool) -> str:
    """Return a .sources file that has every suite at every mirror where it may be."""
    entries = []
    for mirror in mirrors:
        fitting = [suite for suite in suites if suite.endswith(_SECURITY) == mirror.security]
        if fitting:
            lines = ["Types: deb", f"URIs: {mirror.uri}", f"Suites: {' '.join(fitting)}", "Components: main"]
            entries.append("\n".join([*lines, *(["Trusted: yes"] if trusted else []), ""]))
    return "\n".join(entries)


def candidates(lines: Iterable[str]) -> list[Candidate]:
    """Return what `apt-cache madison` printed; the suites' order among equals is apt's."""
    found = []
    for line in lines:
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 3 and cells[2].endswith(" Packages"):
            suite = cells[2].split()[-3].split("/")[0]
            found.append(Candidate(cells[0], cells[1], suite))
    return found


def download_of(lines: Iterable[str]) -> Download | None:
    """Return what `apt-get download --print-uris` promised for one package."""
    for line in lines:
        if found := _DOWNLOAD.match(line):
            return Download(found[1], found[2])
    return None


def part_done(line: str) -> float | None:
    """Return 0.0..1.0 for a line of APT::Status-Fd, None for any other line."""
    found = _PROGRESS.match(line)
    return min(float(found[1]) / 100.0, 1.0) if found else None


def complaint(lines: Sequence[str]) -> str:
    """Return what tells best what went wrong, in a form that fits into a sentence; "" for nothing.

    An `Err:` line is followed by its cause, indented: that says more than apt's summary of it. Of several causes a
    missing key comes first, and a suite that a mirror does not carry last: it may be missing rightly.
    """
    causes = []
    for line, following in pairwise([*lines, ""]):
        if line.startswith("Err:") and following.startswith("  "):
            causes.append(f"{following.strip()} ({' '.join(line.split()[1:4])})")
    for mark in ("E: ", "W: "):
        causes += [line.removeprefix(mark).strip().rstrip(".") for line in lines if line.startswith(mark)]
    return min((cause for cause in causes if not _HARMLESS.search(cause)), key=_rank, default="")


def _rank(cause: str) -> int:
    return 0 if NO_KEY in cause else 2 if is_absence(cause) else 1


def is_absence(cause: str) -> bool:
    """Whether a complaint says that a mirror was asked and does not have the file."""
    return bool(_ABSENT.search(cause))
