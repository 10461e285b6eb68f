"""Bad input through the real command line: one line, status 2, no traceback, in bounded time and memory.

In:    files that were cut, flipped, blown up, nested, or come from the future; folders without permission.
Out:   what a user reads.
Never: a machine: every one of these is refused before a target is made.
Next:  zsfuzz/cli/main.py; the readers in zsfuzz/program/.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
from pathlib import Path

import pytest

from tests.campaign.fakes import finding_at, sizes
from tests.cli.commands import argv, call, environment, shell
from zsfuzz.errors import UsageError
from zsfuzz.program.files import load_program, save_program
from zsfuzz.program.limits import MAX_FILE_BYTES
from zsfuzz.program.packed import pack_program

Capture = pytest.CaptureFixture[str]
READERS = (
    ("replay", "{}"),
    ("minimize", "{}", "-o", "out.zst"),
    ("show", "{}"),
    ("assemble", "{}", "-o", "out.zst"),
    ("corpus", "add", "corpus", "{}"),
)
GIBIBYTE = 1 << 30


def packed() -> bytes:
    return pack_program(sizes(*range(1, 40)))


def bad_files() -> dict[str, bytes]:
    whole = packed()
    return {
        "empty.zsf": b"",
        "cut.zsf": whole[: len(whole) // 2],
        "cut.zst": b"zsfuzz 1\ngeometry linux-5.10\n---\nh0 = mall",
        "flipped.zsf": whole[:3] + bytes([whole[3] ^ 0x80]) + whole[4:],
        "future.zst": b"zsfuzz 999\ngeometry linux-9.9\n---\nh0 = levitate\n",
        "future.zsf": whole.replace(b"\x01", b"\x63", 1),
        "nested.zsf": whole[:8] + b"\x91" * 200_000,
        "nested.zst": b"zsfuzz 1\n" + b"(" * 200_000,
        "numbers.zst": b"zsfuzz 1\ngeometry linux-5.10\n---\nh0 = malloc " + b"9" * 5000 + b"\n",
        "binary.zst": bytes(range(256)),
        "other.zsf": b"\x81\xa1a\x93\x01\x02\x03",  # a msgpack map of something else
    }


@pytest.mark.parametrize("name", sorted(bad_files()))
def test_every_reader_refuses_a_bad_file_in_one_line(tmp_path: Path, capsys: Capture, name: str) -> None:
    Path(name).write_bytes(bad_files()[name])
    for reader in READERS:
        words = [word.format(name) for word in reader]
        assert name in call(capsys, *words).complaint


@pytest.mark.parametrize("name", ["cut.zsf", "nested.zsf", "future.zst", "nested.zst"])
def test_a_bad_file_is_refused_in_a_process_of_little_memory(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bad_files()[name])
    done = subprocess.run(
        argv("show", name),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (GIBIBYTE, GIBIBYTE)),
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_program_of_too_many_steps_is_refused(capsys: Capture) -> None:
    Path("steps.zst").write_bytes(b"zsfuzz 1\ngeometry linux-5.10\n---\n" + b"trim\n" * ((1 << 20) + 1))
    assert "more than 1048576 steps" in call(capsys, "show", "steps.zst").complaint


def test_a_huge_file_is_refused_without_reading_it_whole(tmp_path: Path) -> None:
    with open(tmp_path / "huge.zsf", "wb") as file:
        file.write(packed())
        file.truncate(MAX_FILE_BYTES * 100)
    assert "larger than" in shell("replay", "huge.zsf", cwd=tmp_path).complaint


def test_no_flipped_bit_gives_a_traceback(capsys: Capture) -> None:
    rng = random.Random(4)
    whole = packed()
    for _ in range(200):
        position, bit = rng.randrange(len(whole)), rng.randrange(8)
        flipped = bytearray(whole)
        flipped[position] ^= 1 << bit
        Path("flipped.zsf").write_bytes(flipped)
        done = call(capsys, "show", "flipped.zsf")
        assert done.status in (0, 2), done
        assert "Traceback" not in done.err


def test_no_truncation_gives_a_traceback(capsys: Capture) -> None:
    whole = packed()
    for length in range(len(whole)):
        Path("cut.zsf").write_bytes(whole[:length])
        assert call(capsys, "show", "cut.zsf").complaint


def test_a_missing_file_is_named(capsys: Capture) -> None:
    assert "nowhere.zst" in call(capsys, "replay", "nowhere.zst").complaint


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zst")
    assert "pipe.zst" in shell("replay", "pipe.zst", cwd=tmp_path, timeout=30).complaint


def test_a_folder_without_programs_is_named(capsys: Capture) -> None:
    Path("empty").mkdir()
    assert "empty: no .zst or .zsf file" in call(capsys, "replay", "empty").complaint


needs_permissions = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


@needs_permissions
def test_a_folder_that_may_not_be_read_is_named(capsys: Capture) -> None:
    Path("secret").mkdir(mode=0)
    try:
        assert "secret" in call(capsys, "replay", "secret").complaint
        assert "secret" in call(capsys, "run", "--findings", "secret/deep").complaint
    finally:
        Path("secret").chmod(0o700)


def refuse_to_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_cannot_be_listed_is_one_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").mkdir()
    refuse_to_list(monkeypatch)
    assert "Permission denied" in call(capsys, "replay", "secret").complaint
    assert "Permission denied" in call(capsys, "corpus", "stats", "secret").complaint


def test_a_full_disk_loses_no_earlier_file_and_leaves_no_part(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    save_program(sizes(32), "out.zst")
    Path("a.txt").write_text("zsfuzz 1\ngeometry linux-5.10\n---\nh0 = malloc 64\n")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in call(capsys, "assemble", "a.txt", "-o", "out.zst").complaint
    assert load_program("out.zst") == sizes(32)
    assert sorted(os.listdir()) == ["a.txt", "out.zst"]


def test_the_output_of_assemble_may_be_no_device(capsys: Capture) -> None:
    Path("a.txt").write_text("zsfuzz 1\ngeometry linux-5.10\n---\nh0 = malloc 64\n")
    os.symlink("/dev/full", "out.zst")
    assert "out.zst" in call(capsys, "assemble", "a.txt", "-o", "out.zst").complaint


def test_a_trace_that_is_no_trace_is_one_line(capsys: Capture) -> None:
    Path("noise.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    Path("text").write_text("nothing of zsmalloc\n")
    assert "noise.gz" in call(capsys, "trace", "import", "noise.gz", "-o", "out").complaint
    assert "text" in call(capsys, "trace", "import", "text", "-o", "out").complaint
    assert "nowhere" in call(capsys, "trace", "import", "nowhere", "-o", "out").complaint


def test_an_unknown_geometry_in_a_file_names_the_file(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    class Picky:
        def run(self, program: object, **_: object) -> None:
            raise UsageError("unknown geometry 'round'; use one of linux-5.10")

    monkeypatch.setattr("zsfuzz.campaign.running.open_runner", lambda *names: Picky())
    save_program(sizes(32), "a.zst")
    assert "a.zst: unknown geometry" in call(capsys, "replay", "a.zst").complaint


def test_a_program_kept_for_a_long_verdict_is_still_read(capsys: Capture) -> None:
    save_program(sizes(32), "a.zst")
    text = Path("a.zst").read_text().replace("---", f"verdict {finding_at(0).signature}\n---")
    Path("a.zst").write_text(text)
    assert call(capsys, "show", "a.zst").out == text
