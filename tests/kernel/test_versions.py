"""The table of versions can be asked for what it says.

In:    zsfuzz/kernel/versions.py.
Out:   nothing.
Never: apt.
"""

from __future__ import annotations

import re

import pytest

from zsfuzz.errors import UsageError
from zsfuzz.kernel.versions import VERSIONS, is_debian_suite, kernel_source


def test_every_suite_of_the_table_is_one_that_a_mirror_is_known_by() -> None:
    suites = [suite for source in VERSIONS.values() for suites in source.rounds for suite in suites]
    assert suites
    assert [suite for suite in suites if not is_debian_suite(suite)] == []


@pytest.mark.parametrize("suite", ["jammy", "nodistro", "bookworm-pgdg", "bookworm/updates", ""])
def test_a_suite_of_somebody_else_is_not_debians(suite: str) -> None:
    assert not is_debian_suite(suite)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pattern_fits_its_own_package_and_no_other(version: str) -> None:
    pattern = kernel_source(version).package
    names = [f"linux-source-{name}" for name in (*VERSIONS, "6.11", "6.120", "5.1", "7.20")]
    assert [name for name in names if re.fullmatch(pattern, name)] == [f"linux-source-{version}"]


def test_an_unknown_version_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"kernel 5\.15 is not known; give one of 5\.10, 6\.1, 6\.12, 7\.2"):
        kernel_source("5.15")
