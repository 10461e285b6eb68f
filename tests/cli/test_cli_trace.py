"""`zsfuzz trace import`: a capture in, programs and an account out.

In:    ftrace text, plain, compressed, cut, with noise in it.
Out:   files, counts, statuses.
Never: an end because of a bad line.
Next:  zsfuzz/cli/trace.py.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.cli.commands import call
from tests.trace import text
from zsfuzz.program.files import load_program
from zsfuzz.program.ops import Free, Malloc

Capture = pytest.CaptureFixture[str]
LINES = [*text.allocated(0x10, 100), *text.allocated(0x20, 3000), text.free(0x10), text.free(0x20)]


@pytest.mark.parametrize("name", ["zram.trace", "zram.trace.gz"])
def test_a_capture_becomes_a_packed_program(capsys: Capture, name: str) -> None:
    whole = "".join(LINES).encode()
    Path(name).write_bytes(gzip.compress(whole) if name.endswith(".gz") else whole)
    done = call(capsys, "trace", "import", name, "-o", "out")
    assert done.status == 0
    assert "written: out/zram.zsf" in done.out
    steps = load_program("out/zram.zsf").steps
    assert [step.size for step in steps if isinstance(step, Malloc)] == [100, 3000]
    assert sum(isinstance(step, Free) for step in steps) == 2


def test_bad_lines_are_counted_and_told(capsys: Capture) -> None:
    Path("zram.trace").write_text("".join(["noise\n", *LINES, "more noise: (\x00\n"]))
    document = json.loads(call(capsys, "trace", "import", "zram.trace", "-o", "out", "--json").out)
    assert document["counts"]["malformed"] >= 1
    assert document["files"] == ["out/zram.zsf"]


def test_a_capture_that_was_cut_gives_what_could_be_read(capsys: Capture) -> None:
    whole = gzip.compress("".join(LINES * 200).encode())
    Path("zram.gz").write_bytes(whole[: len(whole) * 3 // 4])
    done = call(capsys, "trace", "import", "zram.gz", "-o", "out")
    assert done.status == 0
    assert "stopped early" in done.out
    assert load_program("out/zram.zsf").steps
