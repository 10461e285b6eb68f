"""The kernel versions that are fetched by name: data, and nothing else knows one.

In:    nothing.
Out:   VERSIONS: version -> what the package is called and which suites may hold it.
Never: a host: mirrors are the machine's own (zsfuzz/kernel/apt.py).
Next:  zsfuzz/kernel/fetch.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from zsfuzz.errors import UsageError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""The keys that the suites are signed with; package debian-archive-keyring."""


@dataclass(frozen=True, slots=True)
class KernelSource:
    """How one version is found."""

    version: str
    package: str
    """A regular expression for the whole name of the package."""
    rounds: tuple[tuple[str, ...], ...]
    """Suites. The newest package of the first round that has one is taken; later rounds are for the day when a
    suite has dropped it."""


_ALL = (
    # The reference models 5.10.223, which is what bullseye closed with; its security suite went on to later ones.
    KernelSource("5.10", r"linux-source-5\.10", (("bullseye",), ("bullseye-security",))),
    KernelSource("6.1", r"linux-source-6\.1", (("bookworm", "bookworm-updates", "bookworm-security"),)),
    KernelSource("6.12", r"linux-source-6\.12", (("bookworm-security",), ("trixie", "trixie-security"))),
    # Backports move on to the next version, and their packages have been named after stable releases too.
    KernelSource("7.2", r"linux-source-7\.2(\.\d+)?", (("trixie-backports",), ("forky", "sid"))),
)

VERSIONS: dict[str, KernelSource] = {source.version: source for source in _ALL}

SUITES = ("bullseye", "bookworm", "trixie", "forky", "duke", "sid", "oldoldstable", "oldstable", "stable")
"""Names of Debian releases. A machine's source with such a suite tells where a mirror is."""

SUITE_KINDS = ("", "-updates", "-security", "-backports", "-proposed-updates")


def kernel_source(version: str) -> KernelSource:
    """Return how a version is found. Errors: UsageError for one that is not in the table."""
    if version not in VERSIONS:
        raise UsageError(
            f"kernel {version} is not known; give one of {', '.join(VERSIONS)}, or build from a tree of your own: "
            "zsfuzz kernel build TREE"
        )
    return VERSIONS[version]


def is_debian_suite(suite: str) -> bool:
    """Whether a suite is one of Debian's own, bookworm-updates for example."""
    return any(suite == release + kind for release in (*SUITES, "testing", "unstable") for kind in SUITE_KINDS)
