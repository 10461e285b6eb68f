"""`zsfuzz corpus merge` and `distill` on the machine.

In:    a small corpus of the engine coverage.
Out:   nothing.
Never: a stand-in.
Next:  zsfuzz/cli/merge.py, zsfuzz/campaign/measuring.py.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.commands import call
from zsfuzz.campaign.measuring import landmarks_of, measure_features
from zsfuzz.corpus.landmarks import LANDMARKS
from zsfuzz.corpus.store import CorpusStore
from zsfuzz.execute.runner import Runner
from zsfuzz.program.files import save_program
from zsfuzz.program.ops import Free, Malloc
from zsfuzz.program.program import Header, Program
from zsfuzz.program.text import parse_program

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def big(capsys: Capture) -> Path:
    """Ten programs, and the first half of each: the halves are needless."""
    call(capsys, "run", "--no-seeds", "--runs", "10", "--seed", "1", "--geometry", "small", "--corpus", "big")
    for path, program in CorpusStore(Path("big"), create=False).load().programs:
        half = replace(program, steps=program.steps[: len(program.steps) // 2], block=None)
        save_program(half, path.with_name(f"half-{path.name}"))
    return Path("big")


def passed_by(text: str) -> tuple[str, ...]:
    """Return the landmarks that a program of these steps passes."""
    passed = landmarks_of(parse_program(f"zsfuzz 1\n---\n{text}\n", "here"), Runner())
    assert isinstance(passed, tuple)
    return passed


def reached(folder: Path) -> set[int]:
    measure = measure_features(Runner())
    units: set[int] = set()
    for _, program in CorpusStore(folder, create=False).load().programs:
        measured = measure(program)
        assert isinstance(measured, tuple)
        units |= set(measured)
    return units


def test_merge_keeps_every_feature_in_fewer_programs(big: Path, capsys: Capture) -> None:
    done = call(capsys, "corpus", "merge", "out", big, "--json")
    report = json.loads(done.out)
    assert done.status == 0
    assert report["covered"] == report["units"] == len(reached(big)) == len(reached(Path("out")))
    assert len(report["kept"]) <= report["programs"] // 2
    again = json.loads(call(capsys, "corpus", "merge", "out2", big, "--json").out)
    assert [Path(path).name for path in again["kept"]] == [Path(path).name for path in report["kept"]]


def test_distill_keeps_landmarks_in_short_programs_that_say_clean(capsys: Capture) -> None:
    steps = [f"h{slot} = malloc {size}" for slot, size in enumerate((100, 200, 3256, 24, 4000, 0, 24, 24))]
    steps += ["free h0", "free h1", "compact", "scan kpagecount 0..20", "scan kpagecount 0..64", "free h2"]
    Path("long.zst").write_text("zsfuzz 1\n---\n" + "\n".join(steps) + "\n")
    done = call(capsys, "corpus", "distill", "out", "long.zst", "--cover", "landmarks", "--text")
    assert done.status == 0
    assert "landmarks are reached, as run again from the folder" in done.out
    ((_, program),) = CorpusStore(Path("out"), create=False).load().programs
    assert program.header.verdict == "clean"
    assert len(program.steps) <= 8
    passed = landmarks_of(program, Runner())
    assert isinstance(passed, tuple)
    assert {"class huge", "class of 4 pages", "malloc of 0 bytes", "scan kpagecount"} <= set(passed)
    assert call(capsys, "corpus", "check", "out").status == 0


def test_a_program_with_a_finding_is_status_1(capsys: Capture) -> None:
    program = parse_program("zsfuzz 1\n---\nh0 = malloc 1\nmigrate h0.0 async\n", "here")
    save_program(program, "a.zst")
    save_program(Program(Header(), (Malloc(0, 32), Free(0))), "b.zst")
    assert call(capsys, "corpus", "merge", "out", "a.zst", "b.zst").status == 0
    done = call(capsys, "corpus", "merge", "out2", "a.zst", "b.zst", "--candidate", "candidate-literal:H05")
    assert done.status == 1
    assert "left out, it gives invariant/I5" in done.out


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("h0 = malloc 0", "malloc of 0 bytes"),
        ("h0 = malloc 9999", "malloc of more than a page"),
        ("h0 = malloc 9999", "malloc: refused"),
        ("h0 = malloc 4000", "class huge"),
        ("h0 = malloc 24", "class of 1 pages"),
        ("h0 = malloc 3256", "class of 4 pages"),
        ("h0 = malloc 3256\nh1 = malloc 3256", "object straddles two pages"),
        ("h0 = malloc 3256", "object of a straddling class in one page"),
        ("create_pool z1\nh0 = malloc 32 z1", "malloc in a second pool"),
        ("fail malloc zspage 0\nh0 = malloc 100", "failure of malloc zspage"),
        ("fail malloc handle 0\nh0 = malloc 100", "failure of malloc handle"),
        ("h0 = malloc 100\nfail migrate page 0\nmigrate h0.0 sync", "failure of migrate page"),
        ("h0 = malloc 100\np0 = isolate h0.0\nmigrate p0 sync", "page named by isolation"),
        ("scan kpagecount 0..9", "scan kpagecount"),
    ],
)
def test_a_landmark_is_passed_where_it_should_be(text: str, wanted: str) -> None:
    assert wanted in passed_by(text)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("free h0", "operation free"),  # a no-op
        ("fail malloc page 5\nh0 = malloc 100", "failure of malloc page"),  # it did not come up
        ("fail malloc page 0\nh0 = malloc 9999", "failure of malloc page"),  # refused for its size
        ("h0 = malloc 24", "object straddles two pages"),
        ("h0 = malloc 9999", "class huge"),
        ("h0 = malloc 100 z1", "malloc in a second pool"),  # which there is not
    ],
)
def test_a_landmark_is_not_passed_beside_it(text: str, other: str) -> None:
    assert other in LANDMARKS
    assert other not in passed_by(text)
