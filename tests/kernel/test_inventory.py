"""The list tells what is in the cache, and what in it is no longer what it was.

In:    caches made by hand.
Out:   Inventory.
Never: a fetch or a build.
Next:  zsfuzz/kernel/inventory.py, zsfuzz/kernel/source.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zsfuzz.errors import UsageError
from zsfuzz.kernel.inventory import read_inventory
from zsfuzz.kernel.source import NOTE, FetchedSource, read_note, release_of, sha256_of, write_note


def make_source(root: Path, version: str = "6.1") -> Path:
    folder = root / "kernel/src" / version
    (folder / "mm").mkdir(parents=True)
    (folder / "mm/zsmalloc.c").write_text("int z;\n")
    digest = sha256_of(folder / "mm/zsmalloc.c")
    write_note(
        folder, FetchedSource(version, f"{version}.7", f"linux-source-{version}", "1-1", "sid", "0" * 64, digest)
    )
    return folder


def make_build(root: Path, folder_name: str = "6.1", **changed: Any) -> Path:
    folder = root / "kernel/builds" / folder_name
    folder.mkdir(parents=True)
    document = {
        "name": folder_name,
        "source": "6.1",
        "zsmalloc_sha256": "1" * 64,
        "features": ["zpdesc", "groups12"],
        "options": {"sanitize": []},
        "compiler": "gcc 12.2.0",
        "library": "kernel.so",
    }
    (folder / "build.json").write_text(json.dumps({**document, **changed}))
    (folder / "kernel.so").write_bytes(b"")
    return folder


def test_an_empty_cache_is_an_empty_list(tmp_path: Path) -> None:
    assert read_inventory(tmp_path / "none").as_json() == {"sources": [], "builds": [], "bad": []}


def test_sources_are_listed_in_order_with_whether_they_changed(tmp_path: Path) -> None:
    make_source(tmp_path, "7.2")
    (make_source(tmp_path, "6.1") / "mm/zsmalloc.c").write_text("patched")
    (tmp_path / "kernel/src/.6.12.partial").mkdir()
    listed = read_inventory(tmp_path).as_json()["sources"]
    assert [(one["version"], one["unchanged"]) for one in listed] == [("6.1", False), ("7.2", True)]


def test_builds_are_listed_with_their_features(tmp_path: Path) -> None:
    (make_build(tmp_path, "gone") / "kernel.so").unlink()
    make_build(tmp_path, "own")
    inventory = read_inventory(tmp_path)
    assert [(one.name, one.present) for one in inventory.builds] == [("gone", False), ("own", True)]
    assert inventory.as_json()["builds"][1]["features"] == ["zpdesc", "groups12"]
    assert inventory.bad == ()


@pytest.mark.parametrize("changed", [{"features": "zpdesc"}, {"name": 7}, {"library": None}])
def test_a_build_that_cannot_be_read_is_listed_as_bad(tmp_path: Path, changed: dict[str, Any]) -> None:
    make_build(tmp_path, "bad", **changed)
    make_build(tmp_path, "good")
    inventory = read_inventory(tmp_path)
    assert [one.name for one in inventory.builds] == ["good"]
    assert [one.path.name for one in inventory.bad] == ["bad"]


@pytest.mark.parametrize("note", [None, "", "[]", "{}", '{"format": 9}', "\x00"])
def test_a_source_that_cannot_be_read_is_listed_as_bad(tmp_path: Path, note: str | None) -> None:
    folder = make_source(tmp_path)
    (folder / NOTE).unlink()
    if note is not None:
        (folder / NOTE).write_text(note)
        with pytest.raises(UsageError, match="no note that this zsfuzz understands"):
            read_note(folder)
    inventory = read_inventory(tmp_path)
    assert inventory.sources == ()
    assert [one.path for one in inventory.bad] == [folder]


def test_a_note_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    folder = make_source(tmp_path)
    source = read_note(folder)
    assert source is not None
    before = (folder / NOTE).read_bytes()
    write_note(folder, source)
    assert (folder / NOTE).read_bytes() == before


@pytest.mark.parametrize(
    ("makefile", "release"),
    [
        ("# x\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\nEXTRAVERSION =\nNAME = Baby\n", "6.12.117"),
        ("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION = -rc4\n", "7.3.0-rc4"),
        ("VERSION=5\nPATCHLEVEL=10\n", "5.10.0"),
    ],
)
def test_the_release_is_what_the_makefile_says(makefile: str, release: str) -> None:
    assert release_of(makefile) == release


def test_a_makefile_without_a_version_is_told() -> None:
    with pytest.raises(ValueError, match="no version"):
        release_of("all:\n\ttrue\n")
