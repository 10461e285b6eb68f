"""Only the wanted files of a package arrive, and no damaged package is taken for a whole one.

In:    packages made by tests/kernel/packages.py.
Out:   trees, refusals.
Never: dpkg.
Next:  zsfuzz/kernel/unpack.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.packages import KEPT, TREE, ar_of, deb_of, link, source_deb, source_tarball, tar_of
from zsfuzz.errors import UsageError
from zsfuzz.kernel.unpack import Unpacked, unpack_package


def written(content: bytes, folder: Path) -> Path:
    path = folder / "x.deb"
    path.write_bytes(content)
    return path


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("outer", ["xz", "gz", "bz2"])
def test_the_wanted_files_are_written_and_counted(tmp_path: Path, outer: str) -> None:
    deb = written(deb_of(source_tarball(TREE), compression=outer), tmp_path)
    done = unpack_package(deb, tmp_path / "tree")
    expected = {name: TREE[name] for name in KEPT}
    assert files_below(tmp_path / "tree") == expected
    assert done == Unpacked(len(expected), sum(map(len, expected.values())))


def test_progress_goes_up_to_the_end(tmp_path: Path) -> None:
    many = {f"mm/{number}.c": bytes([number % 251]) * 5000 for number in range(1500)}
    parts: list[float] = []
    unpack_package(written(deb_of(source_tarball(many)), tmp_path), tmp_path / "tree", parts.append)
    assert len(parts) >= 3
    assert parts == sorted(parts)
    assert 0.0 <= parts[0] <= parts[-1] <= 1.0


def test_links_are_left_out(tmp_path: Path) -> None:
    tarball = tar_of(
        {"linux-source-6.1/mm/zsmalloc.c": b"z"},
        extra=[link("linux-source-6.1/mm/link.c", "../../../etc/passwd"), link("linux-source-6.1/include", "mm")],
    )
    unpack_package(written(deb_of(tarball), tmp_path), tmp_path / "tree")
    assert sorted(path.name for path in (tmp_path / "tree/mm").iterdir()) == ["zsmalloc.c"]
    assert not (tmp_path / "tree/include").exists()


@pytest.mark.parametrize("name", ["linux-source-6.1/mm/../../../outside", "/linux-source-6.1/mm/outside"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    deb = written(deb_of(tar_of({name: b"x"})), tmp_path)
    with pytest.raises(UsageError, match="a member is called"):
        unpack_package(deb, tmp_path / "a/b/tree")
    assert [path.name for path in tmp_path.rglob("outside")] == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not begin as a .deb does"),
        (b"PK\x03\x04", "does not begin as a .deb does"),
        (b"!<arch>\n", "no data.tar"),
        (ar_of({"debian-binary": b"2.0\n"}), "no data.tar"),
        (ar_of({"debian-binary": b"2.0\n"})[:-20], "a header in it is cut"),
        (deb_of(b"x", name="./usr/src/other.tar.xz"), "no usr/src/linux-source"),
        (ar_of({"data.tar.xz": b"no archive"}), ""),  # tarfile's words differ from one Python to the next
        (deb_of(b"no tarball"), ""),
    ],
    ids=range(8),
)
def test_what_is_no_package_is_refused_with_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=f"x.deb: no intact linux-source package.*{reason}"):
        unpack_package(written(content, tmp_path), tmp_path / "tree")


def test_a_package_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = source_deb()
    for kept in range(0, len(whole) - 1, 97):
        with pytest.raises(UsageError, match="no intact linux-source package"):
            unpack_package(written(whole[:kept], tmp_path), tmp_path / f"tree-{kept}")


def test_a_missing_package_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unpack_package(tmp_path / "none.deb", tmp_path / "tree")
