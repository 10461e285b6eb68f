"""Packages and package archives made by hand, and a machine whose apt knows them.

In:    names and contents of files.
Out:   .deb files, repositories for `file:` sources, and an apt configuration that stands for a whole machine.
Never: dpkg-deb, a network, or a line of the kernel's own source.
Next:  tests/kernel/test_fetch.py, tests/kernel/test_unpack.py.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from zsfuzz.kernel.fetch import Wishes

TREE = {
    "Makefile": b"# a comment\nVERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 7\nEXTRAVERSION =\n",
    "COPYING": b"a license\n",
    "mm/zsmalloc.c": b"int zs_malloc(void) { return 0; }\n",
    "mm/Kconfig": b"config ZSMALLOC\n",
    "include/linux/zsmalloc.h": b"int zs_malloc(void);\n",
    "drivers/block/zram/zcomp.c": b"int zcomp;\n",
    "drivers/block/nbd.c": b"int nbd;\n",
    "kernel/fork.c": b"int fork;\n",
}
KEPT = sorted(set(TREE) - {"drivers/block/nbd.c", "kernel/fork.c"})

needs_apt = pytest.mark.skipif(
    shutil.which("apt-get") is None or shutil.which("dpkg") is None, reason="no apt on this machine"
)


def tar_of(files: Mapping[str, bytes], compression: str = "xz", extra: Iterable[tarfile.TarInfo] = ()) -> bytes:
    """Return a tarball. extra: members without contents, links for example."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info)
    return buffer.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    """Return a symbolic link for tar_of()."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def ar_of(members: Mapping[str, bytes]) -> bytes:
    """Return an ar archive as a .deb is one."""
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)


def deb_of(tarball: bytes, name: str = "./usr/src/linux-source-6.1.tar.xz", compression: str = "xz") -> bytes:
    """Return a package that holds a source tarball and a file that nobody wants."""
    data = tar_of({"./usr/share/doc/copyright": b"c" * 3000, name: tarball}, compression)
    return ar_of({"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar.{compression}": data})


def source_tarball(tree: Mapping[str, bytes], top: str = "linux-source-6.1") -> bytes:
    """Return what a linux-source package has inside."""
    return tar_of({f"{top}/{name}": content for name, content in tree.items()})


def source_deb(**changed: bytes) -> bytes:
    """Return a package with TREE in it. changed: the contents of mm/zsmalloc.c, as zsmalloc=b"..."."""
    return deb_of(source_tarball({**TREE, **({"mm/zsmalloc.c": changed["zsmalloc"]} if changed else {})}))


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine's apt, all of it in one folder: sources, lists, settings."""

    folder: Path
    mirror: Path

    def add_package(self, suite: str, version: str, deb: bytes, name: str = "linux-source-6.1") -> Path:
        """Put a package into a suite of the mirror, and return where it lies."""
        pool = self.mirror / "pool" / f"{name}_{version.replace(':', '%3a')}_all.deb"
        pool.parent.mkdir(parents=True, exist_ok=True)
        pool.write_bytes(deb)
        index = self.mirror / "dists" / suite / "main" / f"binary-{_architecture()}" / "Packages"
        index.parent.mkdir(parents=True, exist_ok=True)
        entry = (
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody\n"
            f"Filename: {pool.relative_to(self.mirror)}\nSize: {len(deb)}\n"
            f"SHA256: {hashlib.sha256(deb).hexdigest()}\nDescription: a test\n\n"
        )
        with open(index, "a", encoding="utf-8") as stream:
            stream.write(entry)
        self._write_release(suite)
        return pool

    def _write_release(self, suite: str) -> None:
        folder = self.mirror / "dists" / suite
        index = next(folder.glob("main/*/Packages"))
        content = index.read_bytes()
        (folder / "Release").write_text(
            f"Origin: test\nSuite: {suite}\nCodename: {suite}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
            f"Architectures: {_architecture()} all\nComponents: main\nNo-Support-for-Architecture-all: Packages\n"
            f"SHA256:\n {hashlib.sha256(content).hexdigest()} {len(content)} {index.relative_to(folder)}\n",
            encoding="utf-8",
        )

    def everything(self) -> dict[str, bytes]:
        """Return every file of the machine with its contents."""
        return {str(path): path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file()}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with a bookworm, one Debian mirror, and a source of somebody else."""
    folder, mirror = tmp_path / "machine", tmp_path / "mirror"
    for name in ("lists/partial", "archives/partial", "etc"):
        (folder / name).mkdir(parents=True)
    (folder / "status").write_text("", encoding="utf-8")
    (folder / "etc/sources.list").write_text(
        f"deb file:{mirror} bookworm main\ndeb file:{tmp_path}/else nodistro main\n", encoding="utf-8"
    )
    (folder / "apt.conf").write_text(
        f'Dir::Etc "{folder}/etc/";\nDir::Etc::parts "/dev/null";\nDir::Etc::sourceparts "/dev/null";\n'
        f'Dir::State "{folder}/";\nDir::State::status "{folder}/status";\nDir::Cache "{folder}/";\n'
        f'APT::Update::Post-Invoke {{ "touch {folder}/hook-ran"; }};\n'
        f'APT::Update::Pre-Invoke {{ "touch {folder}/hook-ran"; }};\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("APT_CONFIG", str(folder / "apt.conf"))
    return Machine(folder, mirror)


@pytest.fixture
def wishes(tmp_path: Path) -> Wishes:
    """A cache of its own, and leave to use a mirror that nobody has signed."""
    return Wishes(cache=tmp_path / "cache", keyring=tmp_path / "no-keyring", trusted=True)


def _architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
