"""The whole way of a fetch, with a mirror made by hand: configuration, index, download, checksum, unpacking.

In:    the machine and mirror of tests/kernel/packages.py.
Out:   trees in a cache; refusals.
Never: a network, except in the one test that is marked so.
Next:  zsfuzz/kernel/fetch.py, zsfuzz/kernel/apt.py.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kernel.packages import KEPT, TREE, Machine, deb_of, needs_apt, source_deb, source_tarball
from zsfuzz.errors import UsageError
from zsfuzz.kernel.fetch import Wishes, fetch
from zsfuzz.kernel.source import NOTE, sha256_of

pytestmark = needs_apt


def quietly(_doing: str, _part: float | None) -> None:
    """No progress."""


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") if folder.exists() else []


def test_a_fetch_leaves_a_tree_with_its_note_and_nothing_else(machine: Machine, wishes: Wishes) -> None:
    deb = source_deb()
    machine.add_package("bookworm", "6.1.7-1", deb)
    done = fetch("6.1", wishes, quietly)
    assert wishes.cache is not None
    assert done.new
    assert done.folder == wishes.cache / "kernel/src/6.1"
    files = {str(path.relative_to(done.folder)): path for path in done.folder.rglob("*") if path.is_file()}
    assert sorted(files) == sorted([*KEPT, NOTE])
    assert all(files[name].read_bytes() == TREE[name] for name in KEPT)
    note = json.loads(files[NOTE].read_text())
    assert note["package"] == "linux-source-6.1"
    assert (note["package_version"], note["suite"], note["release"]) == ("6.1.7-1", "bookworm", "6.1.7")
    assert note["zsmalloc_sha256"] == sha256_of(files["mm/zsmalloc.c"])
    assert str(machine.mirror) not in files[NOTE].read_text()
    assert entries(wishes.cache / "kernel/src") == ["6.1"]
    assert entries(wishes.cache / "kernel/apt") == []


def test_the_machines_own_apt_stays_as_it_was(machine: Machine, wishes: Wishes) -> None:
    machine.add_package("bookworm", "6.1.7-1", source_deb())
    before = machine.everything()
    fetch("6.1", wishes, quietly)
    after = {path: content for path, content in machine.everything().items() if not path.endswith("/lock")}
    assert after == {path: content for path, content in before.items() if not path.endswith("/lock")}


def test_a_suite_that_the_machine_does_not_have_is_found_on_its_mirror(machine: Machine, wishes: Wishes) -> None:
    machine.add_package("trixie-backports", "7.2.9-1~bpo13+1", source_deb(), name="linux-source-7.2")
    source = fetch("7.2", wishes, quietly).source
    assert (source.package, source.suite) == ("linux-source-7.2", "trixie-backports")


def test_the_newest_package_is_taken_as_debian_orders_versions(machine: Machine, wishes: Wishes) -> None:
    """7.2.9 < 7.2.10~rc1 < 7.2.10, and a package may be named after a stable release."""
    machine.add_package("trixie-backports", "7.2.10~rc1-1", source_deb(), name="linux-source-7.2")
    machine.add_package("trixie-backports", "7.2.10-1", source_deb(zsmalloc=b"newest"), name="linux-source-7.2.10")
    machine.add_package("trixie-backports", "7.2.9-1", source_deb(), name="linux-source-7.2")
    machine.add_package("trixie-backports", "7.20.1-1", source_deb(), name="linux-source-7.20")
    done = fetch("7.2", wishes, quietly)
    assert (done.source.package, done.source.package_version) == ("linux-source-7.2.10", "7.2.10-1")
    assert (done.folder / "mm/zsmalloc.c").read_bytes() == b"newest"


def test_a_later_round_of_suites_is_asked_when_the_first_has_nothing(machine: Machine, wishes: Wishes) -> None:
    machine.add_package("bookworm", "6.1.7-1", source_deb())
    machine.add_package("sid", "7.2.12-1", source_deb(), name="linux-source-7.2")
    assert fetch("7.2", wishes, quietly).source.suite == "sid"


def test_a_second_fetch_asks_nobody(machine: Machine, wishes: Wishes) -> None:
    machine.add_package("bookworm", "6.1.7-1", source_deb())
    first = fetch("6.1", wishes, quietly)
    shutil.rmtree(machine.mirror)
    assert fetch("6.1", wishes, quietly) == dataclasses.replace(first, new=False)


def test_refresh_brings_what_is_newest_now(machine: Machine, wishes: Wishes) -> None:
    machine.add_package("bookworm", "6.1.7-1", source_deb())
    fetch("6.1", wishes, quietly)
    machine.add_package("bookworm", "6.1.8-1", source_deb(zsmalloc=b"new"))
    assert fetch("6.1", wishes, quietly).source.package_version == "6.1.7-1"
    done = fetch("6.1", dataclasses.replace(wishes, refresh=True), quietly)
    assert done.source.package_version == "6.1.8-1"
    assert (done.folder / "mm/zsmalloc.c").read_bytes() == b"new"
    assert entries(done.folder.parent) == ["6.1"]


def test_a_tree_that_was_changed_is_not_taken_for_the_kernels(machine: Machine, wishes: Wishes) -> None:
    machine.add_package("bookworm", "6.1.7-1", source_deb())
    changed = fetch("6.1", wishes, quietly).folder / "mm/zsmalloc.c"
    changed.write_bytes(b"a patch")
    with pytest.raises(UsageError, match="was changed since it was fetched; --refresh"):
        fetch("6.1", wishes, quietly)
    assert changed.read_bytes() == b"a patch"
    fetch("6.1", dataclasses.replace(wishes, refresh=True), quietly)
    assert changed.read_bytes() == TREE["mm/zsmalloc.c"]


def test_a_tree_that_no_fetch_made_is_left_alone(machine: Machine, wishes: Wishes) -> None:
    assert wishes.cache is not None
    mine = wishes.cache / "kernel/src/6.1/mm/zsmalloc.c"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(UsageError, match="was not made by a fetch"):
        fetch("6.1", wishes, quietly)
    assert mine.read_bytes() == b"mine"


def test_a_damaged_package_is_refused(machine: Machine, wishes: Wishes) -> None:
    """One bit in the middle of the file on the mirror; its size is right."""
    deb = machine.add_package("bookworm", "6.1.7-1", source_deb())
    content = bytearray(deb.read_bytes())
    content[len(content) // 2] ^= 1
    deb.write_bytes(content)
    with pytest.raises(UsageError, match=r"linux-source-6\.1=6\.1\.7-1.*Hash Sum mismatch"):
        fetch("6.1", wishes, quietly)
    assert wishes.cache is not None
    assert entries(wishes.cache / "kernel/src") == []


def test_our_own_look_at_the_checksum_refuses_too(
    machine: Machine, wishes: Wishes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """apt is told that it succeeded, as a broken apt would."""
    machine.add_package("bookworm", "6.1.7-1", source_deb())
    monkeypatch.setattr("zsfuzz.kernel.apt._sha256", lambda _path: "0" * 64)
    with pytest.raises(UsageError, match="the suite's index says"):
        fetch("6.1", wishes, quietly)
    assert wishes.cache is not None
    assert entries(wishes.cache / "kernel/apt/6.1/packages") == []


def test_half_a_download_is_completed(machine: Machine, wishes: Wishes) -> None:
    deb = source_deb()
    machine.add_package("bookworm", "6.1.7-1", deb)
    assert wishes.cache is not None
    half = wishes.cache / "kernel/apt/6.1/packages/linux-source-6.1_6.1.7-1_all.deb"
    half.parent.mkdir(parents=True)
    half.write_bytes(deb[: len(deb) // 2])
    assert fetch("6.1", wishes, quietly).new


def test_a_download_that_is_already_whole_is_used(machine: Machine, wishes: Wishes) -> None:
    deb = source_deb()
    machine.add_package("bookworm", "6.1.7-1", deb)
    assert wishes.cache is not None
    whole = wishes.cache / "kernel/apt/6.1/packages/linux-source-6.1_6.1.7-1_all.deb"
    whole.parent.mkdir(parents=True)
    whole.write_bytes(deb)
    assert fetch("6.1", wishes, quietly).new


@pytest.mark.parametrize("stage", ["reading package lists", "downloading", "unpacking"])
def test_an_interrupt_leaves_no_tree_and_the_next_fetch_succeeds(machine: Machine, wishes: Wishes, stage: str) -> None:
    machine.add_package("bookworm", "6.1.7-1", source_deb())

    def interrupted(doing: str, _part: float | None) -> None:
        if doing.startswith(stage):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("6.1", wishes, interrupted)
    assert wishes.cache is not None
    assert "6.1" not in entries(wishes.cache / "kernel/src")
    assert fetch("6.1", wishes, quietly).new
    assert entries(wishes.cache / "kernel/src") == ["6.1"]


def test_two_fetches_of_one_version_do_not_meet(machine: Machine, wishes: Wishes) -> None:
    assert wishes.cache is not None
    lock = wishes.cache / "kernel/src/.6.1.lock"
    lock.parent.mkdir(parents=True)
    with open(lock, "w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match=r"another run fetches kernel 6\.1"):
            fetch("6.1", wishes, quietly)


def test_a_mirror_that_does_not_answer_is_named_with_its_cause(machine: Machine, wishes: Wishes) -> None:
    """Nobody listens on port 9 of this machine; a proxy there stands for a network that is down."""
    (machine.folder / "etc/sources.list").write_text("deb http://mirror.invalid/debian bookworm main\n")
    with open(machine.folder / "apt.conf", "a", encoding="utf-8") as settings:
        settings.write('Acquire::http::Proxy "http://127.0.0.1:9";\nAcquire::Retries "0";\n')
    with pytest.raises(
        UsageError, match=r"kernel 6\.1 could be found: Could not connect to 127\.0\.0\.1.*check the net"
    ):
        fetch("6.1", wishes, quietly)


def test_a_version_that_no_suite_has_is_told_apart_from_no_network(machine: Machine, wishes: Wishes) -> None:
    machine.add_package("bookworm", "6.2.1-1", source_deb(), name="linux-source-6.2")
    with pytest.raises(UsageError, match=r"none of the suites bookworm, .* has a package of kernel 6\.1"):
        fetch("6.1", wishes, quietly)


def test_a_machine_without_a_debian_source_is_told_so(machine: Machine, wishes: Wishes) -> None:
    (machine.folder / "etc/sources.list").write_text(f"deb file:{machine.mirror} jammy main\n", encoding="utf-8")
    with pytest.raises(UsageError, match="no source of this machine's apt is a Debian suite"):
        fetch("6.1", wishes, quietly)


def test_a_machine_without_apt_is_told_so(wishes: Wishes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"apt-get is not on this machine.*give a tree"):
        fetch("6.1", wishes, quietly)


def test_broken_sources_of_the_machine_are_told_in_apts_words(machine: Machine, wishes: Wishes) -> None:
    (machine.folder / "etc/sources.list").write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"Malformed line 1.*mend this machine's apt"):
        fetch("6.1", wishes, quietly)


def test_without_a_keyring_nothing_is_fetched(machine: Machine, wishes: Wishes) -> None:
    machine.add_package("bookworm", "6.1.7-1", source_deb())
    with pytest.raises(UsageError, match="no such keyring; install the package debian-archive-keyring"):
        fetch("6.1", dataclasses.replace(wishes, trusted=False), quietly)


def test_a_package_without_zsmalloc_is_refused(machine: Machine, wishes: Wishes) -> None:
    without = {name: content for name, content in TREE.items() if name != "include/linux/zsmalloc.h"}
    machine.add_package("bookworm", "6.1.7-1", deb_of(source_tarball(without)))
    with pytest.raises(UsageError, match=r"holds no include/linux/zsmalloc\.h"):
        fetch("6.1", wishes, quietly)


def signed_mirror(machine: Machine, folder: Path) -> Path:
    """Sign bookworm with a new key, and return the keyring that has it."""
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    base = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*base, "--quick-generate-key", "test", "ed25519", "sign", "never"], check=True)
    keyring = folder / "keyring.gpg"
    subprocess.run([*base, "--output", str(keyring), "--export", "test"], check=True)
    suite = machine.mirror / "dists/bookworm"
    (suite / "InRelease").unlink(missing_ok=True)
    subprocess.run([*base, "--output", str(suite / "InRelease"), "--clearsign", str(suite / "Release")], check=True)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    return keyring


@pytest.mark.skipif(shutil.which("gpg") is None, reason="no gpg on this machine to sign with")
def test_only_a_suite_signed_with_a_key_of_the_keyring_is_used(
    machine: Machine, wishes: Wishes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine.add_package("bookworm", "6.1.7-1", source_deb())
    wrong = signed_mirror(machine, tmp_path_factory.mktemp("other"))
    right = signed_mirror(machine, tmp_path_factory.mktemp("own"))  # signs over the other's signature
    with pytest.raises(UsageError, match=r"NO_PUBKEY.*--keyring"):
        fetch("6.1", dataclasses.replace(wishes, trusted=False, keyring=wrong), quietly)
    assert fetch("6.1", dataclasses.replace(wishes, trusted=False, keyring=right), quietly).new


@pytest.mark.slow
@pytest.mark.network
def test_the_real_archive_has_6_1(tmp_path: Path) -> None:
    try:
        done = fetch("6.1", Wishes(cache=tmp_path), quietly)
    except UsageError as error:
        if "check the network" in str(error) or "no source of this machine's apt" in str(error):
            pytest.skip(str(error))
        raise
    assert done.source.release.startswith("6.1.")
    text = (done.folder / "mm/zsmalloc.c").read_text()
    assert "zs_malloc(" in text
    assert (done.folder / "include/linux/zsmalloc.h").is_file()
    assert done.source.zsmalloc_sha256 == sha256_of(done.folder / "mm/zsmalloc.c")
