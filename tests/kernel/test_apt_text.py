"""What apt prints is understood, and what it is told is whole.

In:    lines as apt 2.6 prints them, with made-up hosts.
Out:   mirrors, settings, candidates, complaints.
Never: apt itself; that is tests/kernel/test_fetch.py.
Next:  zsfuzz/kernel/apt_text.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zsfuzz.kernel import apt_text
from zsfuzz.kernel.apt_text import Candidate, Download, Mirror


def uri(base: str, suite: str, file: str = "InRelease") -> str:
    return f"'{base}/dists/{suite}/{file}' some_name 0 "


def test_mirrors_are_found_behind_debian_suites_only() -> None:
    lines = [
        "Reading package lists...",
        uri("http://a.test/debian", "bookworm"),
        uri("http://a.test/debian", "bookworm-updates"),
        uri("http://a.test/debian-security", "bookworm-security"),
        uri("http://a.test/debian", "bookworm/main/binary-amd64", "Packages.xz"),
        uri("https://b.test/node", "nodistro"),
        uri("https://c.test/postgres", "bookworm-pgdg"),
        uri("cdrom:[Debian 12]", "bookworm"),
        "'http://d.test/flat/./InRelease' d.test_flat_InRelease 0 ",
        uri("mirror+file:/etc/apt/mirrors/debian.list", "trixie"),
    ]
    assert apt_text.mirrors(lines) == (
        Mirror("http://a.test/debian", False),
        Mirror("http://a.test/debian-security", True),
        Mirror("mirror+file:/etc/apt/mirrors/debian.list", False),
    )


def test_a_suite_is_asked_for_where_it_can_be() -> None:
    mirrors = [Mirror("http://a.test/debian", False), Mirror("http://a.test/debian-security", True)]
    text = apt_text.source_entries(mirrors, ["bookworm", "bookworm-updates", "bookworm-security"], trusted=False)
    assert text.split("\n\n") == [
        "Types: deb\nURIs: http://a.test/debian\nSuites: bookworm bookworm-updates\nComponents: main",
        "Types: deb\nURIs: http://a.test/debian-security\nSuites: bookworm-security\nComponents: main\n",
    ]
    assert "Trusted" not in text
    assert apt_text.source_entries(mirrors[:1], ["bookworm-security"], trusted=False) == ""


def test_proxies_are_taken_over_and_leave_to_be_careless_is_not() -> None:
    dump = [
        'APT::Update::Post-Invoke:: "rm -f x";',
        'Acquire "";',
        'Acquire::http::Proxy "http://proxy.test:3128";',
        'Acquire::Retries "3";',
        'Acquire::AllowInsecureRepositories "1";',
        'Acquire::AllowDowngradeToInsecureRepositories "1";',
        'Acquire::Languages:: "de";',
        'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "true";',
        'Dir::Etc "etc/apt";',
    ]
    assert apt_text.acquire_settings(dump) == (
        'Acquire::http::Proxy "http://proxy.test:3128";',
        'Acquire::Retries "3";',
    )


def test_every_path_of_a_configuration_leads_into_its_folder_or_to_nothing() -> None:
    text = apt_text.configuration(Path("/some where/apt"), ['Acquire::Retries "3";'], "arm64")
    values = dict(re.findall(r'^(\S+) "([^"]*)";$', text, re.MULTILINE))
    paths = {name: value for name, value in values.items() if name.startswith("Dir::")}
    assert {"Dir::Etc::parts", "Dir::State::lists", "Dir::State::status", "Dir::Cache"} <= paths.keys()
    assert all(value == "/dev/null" or value.startswith("/some where/apt/") for value in paths.values())
    assert values["APT::Architecture"] == "arm64"
    assert values["Acquire::Retries"] == "3"


def test_the_architecture_is_read_and_its_absence_is_a_fault_of_ours() -> None:
    assert apt_text.architecture(['APT "";', 'APT::Architecture "amd64";']) == "amd64"
    with pytest.raises(ValueError, match="Architecture"):
        apt_text.architecture(['APT::Architectures:: "amd64";'])


def test_candidates_come_with_their_suites() -> None:
    lines = [
        "N: a note",
        "linux-source-7.2 | 7.2.12-1~bpo13+1 | http://a.test/debian trixie-backports/main amd64 Packages",
        "linux-source-7.2 | 7.2.12-1 | http://a.test/debian sid/main Sources",
    ]
    assert apt_text.candidates(lines) == [Candidate("linux-source-7.2", "7.2.12-1~bpo13+1", "trixie-backports")]


def test_a_download_is_promised_with_its_checksum() -> None:
    line = f"'http://a.test/x_1%3a2_all.deb' x_1%253a2_all.deb 123 SHA256:{'ab' * 32}"
    assert apt_text.download_of(["WARNING: x", line]) == Download("x_1%253a2_all.deb", "ab" * 32)
    assert apt_text.download_of(["'http://a.test/x.deb' x.deb 123 MD5Sum:00"]) is None


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("dlstatus:3:12.5000:Retrieving file 3 of 8\n", 0.125),
        ("pmstatus:dpkg-exec:100.0000:Running dpkg\n", 1.0),
        ("Get:1 http://a.test/debian bookworm InRelease [59.4 kB]\n", None),
    ],
)
def test_progress_is_told_from_talk(line: str, part: float | None) -> None:
    assert apt_text.part_done(line) == part


ABSENT = ["Err:2 http://a.test/debian forky Release", "  404  Not Found [IP: 10.0.0.1 80]"]
UNSIGNED = ["Err:1 http://a.test/debian sid InRelease", "  The public key is not available: NO_PUBKEY 6ED0E7B82643E131"]
DOWN = ["Err:3 http://a.test/debian sid InRelease", "  Could not resolve 'a.test'"]
SUMMARY = ["W: Some index files failed to download. They have been ignored, or old ones used instead."]


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ([], ""),
        (["Hit:1 http://a.test/debian sid InRelease"], ""),
        ([*ABSENT, *DOWN, *SUMMARY], "Could not resolve 'a.test' (http://a.test/debian sid InRelease)"),
        (
            [*ABSENT, *DOWN, *UNSIGNED, *SUMMARY],
            "The public key is not available: NO_PUBKEY 6ED0E7B82643E131 (http://a.test/debian sid InRelease)",
        ),
        (["W: one", "E: two."], "two"),
        (["W: Download is performed unsandboxed as root as file ..."], ""),
        (SUMMARY, ""),
    ],
)
def test_the_cause_that_a_user_can_mend_is_told(lines: list[str], cause: str) -> None:
    assert apt_text.complaint(lines) == cause


def test_an_absent_suite_is_no_broken_network() -> None:
    assert apt_text.is_absence(apt_text.complaint(ABSENT))
    assert not apt_text.is_absence(apt_text.complaint(DOWN))
