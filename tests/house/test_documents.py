"""Documents name what exists.

In:    README.md, ARCHITECTURE.md, CHANGELOG.md, the Makefile.
Out:   nothing.
Never: a skipped document: one that is missing is a failure.
"""

from __future__ import annotations

import re

import pytest

from tests.house.source_rules import missing_paths, repository_paths
from tests.house.test_sources import exists
from tests.house.tree import ROOT, committed_files, nothing, text_of

LONGEST_ARCHITECTURE = 200
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "candidate/DESIGN.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_in_a_document_exists(name: str) -> None:
    assert name in committed_files(), f"{name} is missing; write it"
    nothing(missing_paths(text_of(name), exists))


def test_a_planted_stale_path_is_seen() -> None:
    text = "The life of a program: `zsfuzz/program/ops.py`, then `zsfuzz/gone.py`, then mm/zsmalloc.c."
    assert repository_paths(text) == ["zsfuzz/program/ops.py", "zsfuzz/gone.py"]
    assert missing_paths(text, exists) == ["names zsfuzz/gone.py, which does not exist"]


def test_architecture_is_read_in_one_sitting() -> None:
    assert (ROOT / "ARCHITECTURE.md").is_file(), "ARCHITECTURE.md is missing; write it"
    assert len(text_of("ARCHITECTURE.md").splitlines()) <= LONGEST_ARCHITECTURE


def targets_named(text: str) -> set[str]:
    """The targets of make that a document tells people to run."""
    return set(re.findall(r"(?:`|^ {4})make ([a-z]+)", text, re.MULTILINE))


def targets_defined(makefile: str) -> set[str]:
    """The targets that a Makefile has."""
    return set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def test_every_make_target_in_the_readme_exists() -> None:
    named = targets_named(text_of("README.md"))
    assert {"fuzz", "test", "check"} <= named
    assert sorted(named - targets_defined(text_of("Makefile"))) == []


def test_a_planted_unknown_target_is_seen() -> None:
    assert targets_named("run `make magic`\n\n    make fuzz\n\nto make sure") - targets_defined(
        "fuzz: x\n\ttrue\n"
    ) == {"magic"}


def test_ci_runs_what_developers_run() -> None:
    assert "make check" in text_of(".ci/run")
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
