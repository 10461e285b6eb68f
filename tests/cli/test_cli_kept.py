"""The commands on kept programs: replay, minimize, show, assemble, corpus.

In:    programs, and a stand-in runner that finds what a test decides.
Out:   what is printed, exit statuses, files.
Never: the machine.
Next:  zsfuzz/cli/replay.py, zsfuzz/cli/minimize.py, zsfuzz/cli/show.py, zsfuzz/cli/assemble.py,
       zsfuzz/cli/corpus.py.
"""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.campaign.fakes import FakeRunner, finding_at, sizes
from tests.cli.commands import call
from zsfuzz.campaign import running
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.block import Block, Switch
from zsfuzz.program.files import load_program, save_program
from zsfuzz.program.ops import Component, Free, Isolate, Malloc, Trim
from zsfuzz.program.program import Header, Program
from zsfuzz.program.text import format_program

Capture = pytest.CaptureFixture[str]
SIGNATURE = finding_at(0).signature
BLOCK = Block(
    ((Free(0),), (Isolate(0, Component(0, 1)), Trim())),
    (Switch(0, 0, 4, 1, held=1), Switch(1, 2, 0, 0)),
)


def keep(name: str, program: Program, **header: object) -> str:
    save_program(replace(program, header=replace(program.header, **header)), name)  # type: ignore[arg-type]
    return name


def test_replay_says_clean_with_status_0(fake: FakeRunner, capsys: Capture) -> None:
    done = call(capsys, "replay", keep("a.zst", sizes(32)))
    assert done.status == 0
    assert "a.zst: clean" in done.out


def test_replay_compares_after_every_step(fake: FakeRunner, capsys: Capture) -> None:
    call(capsys, "replay", keep("a.zst", sizes(32)))
    assert [cadence for _, cadence in fake.calls] == [1]


def test_replay_takes_another_cadence(fake: FakeRunner, capsys: Capture) -> None:
    call(capsys, "replay", keep("a.zst", sizes(32)), "--cadence", "100")
    assert [cadence for _, cadence in fake.calls] == [100]
    assert "too small" in call(capsys, "replay", "a.zst", "--cadence", "0").complaint


def test_replay_of_a_finding_has_status_1(fake: FakeRunner, capsys: Capture) -> None:
    done = call(capsys, "replay", keep("a.zst", sizes(32, 5000), verdict=SIGNATURE))
    assert done.status == 1
    assert SIGNATURE in done.out
    assert "verdict changed" not in done.out


def test_replay_says_plainly_that_a_kept_finding_is_gone(fake: FakeRunner, capsys: Capture) -> None:
    path = keep("a.zst", sizes(32), verdict=SIGNATURE)
    done = call(capsys, "replay", path)
    assert done.status == 0
    assert "the verdict changed" in done.out
    assert f"kept for  {SIGNATURE}" in done.out
    assert "now gives clean" in done.out
    assert call(capsys, "replay", path, "--strict").status == 1


def test_replay_says_plainly_that_another_finding_came(fake: FakeRunner, capsys: Capture) -> None:
    done = call(capsys, "replay", keep("a.zst", sizes(13), verdict=SIGNATURE))
    assert done.status == 1
    assert f"now gives {finding_at(0, 'I7').signature}" in done.out


def test_replay_trace_shows_both_sides_and_the_map(fake: FakeRunner, capsys: Capture) -> None:
    done = call(capsys, "replay", "--trace", keep("a.zst", sizes(32, 5000)))
    assert [">", "1", "h1", "=", "malloc", "5000", "ok", "broken"] in [line.split() for line in done.out.splitlines()]
    assert "zspage 3264#1" in done.out


def test_replay_takes_targets_from_the_header_unless_told_otherwise(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def remember(*names: object) -> FakeRunner:
        asked.append(names)
        return FakeRunner()

    monkeypatch.setattr(running, "open_runner", remember)
    path = keep("a.zst", sizes(32), reference="left", candidate="right", faults=("H05",))
    call(capsys, "replay", path)
    call(capsys, "replay", path, "--candidate", "other", "--fault", "H05", "H07")
    assert asked == [("left", "right", ()), ("left", "other", ("H07",))]


def test_a_file_after_fault_is_still_a_file(fake: FakeRunner, capsys: Capture) -> None:
    assert call(capsys, "replay", "--fault", "H05", keep("a.zst", sizes(32))).status == 0


def test_replay_of_a_folder_runs_every_program_in_it(fake: FakeRunner, capsys: Capture) -> None:
    Path("folder/deep").mkdir(parents=True)
    keep("folder/a.zst", sizes(32))
    keep("folder/deep/b.zsf", sizes(5000))
    done = call(capsys, "replay", "folder", "--json")
    assert [entry["file"] for entry in json.loads(done.out)["results"]] == [
        "folder/a.zst",
        "folder/deep/b.zsf",
    ]
    assert done.status == 1


def test_replay_json_has_one_result_for_each_file(fake: FakeRunner, capsys: Capture) -> None:
    done = call(capsys, "replay", keep("a.zst", sizes(5000)), keep("b.zsf", sizes(32)), "--json")
    results = json.loads(done.out)["results"]
    assert [len(entry["findings"]) for entry in results] == [1, 0]
    assert {"id", "signature", "kind", "target", "program", "replay"} <= results[0]["findings"][0].keys()


def test_replay_of_a_fault_of_ours_names_the_file(fake: FakeRunner, capsys: Capture) -> None:
    def rule(program: Program) -> None:
        raise ValueError("boom")

    fake.rule = rule
    done = call(capsys, "replay", keep("a.zst", sizes(32)))
    assert done.status == 3
    assert "ValueError: boom; the program that caused it is in a.zst" in done.err.splitlines()[-1]


def test_minimize_keeps_the_signature_and_says_what_it_took(fake: FakeRunner, capsys: Capture) -> None:
    path = keep("a.zst", sizes(32, 64, 5000, 96), faults=("H05",))
    done = call(capsys, "minimize", path, "-o", "small.zst", "--json")
    assert done.status == 0
    document = json.loads(done.out)
    small = load_program("small.zst")
    assert document["signature"] == SIGNATURE == small.header.verdict
    assert document["operations"] == {"before": 4, "after": 1}
    assert document["lanes"] == {"before": 1, "after": 1}
    assert document["preemptions"] == {"before": 0, "after": 0}
    assert document["executions"] > 0
    assert [type(step) for step in small.steps] == [Malloc]
    assert (small.header.reference, small.header.candidate) == ("reference", "candidate")
    assert small.header.faults == ("H05",)


def test_minimize_counts_lanes_and_preemptions(fake: FakeRunner, capsys: Capture) -> None:
    path = keep("a.zst", replace(sizes(32, 5000), block=BLOCK))
    document = json.loads(call(capsys, "minimize", path, "-o", "small.zst", "--json").out)
    # The finding is in the steps: neither the block nor its switches are needed.
    assert document["operations"] == {"before": 5, "after": 1}
    assert document["lanes"] == {"before": 2, "after": 1}
    assert document["preemptions"] == {"before": 2, "after": 0}
    assert load_program("small.zst").block is None


def test_minimize_never_takes_another_finding(fake: FakeRunner, capsys: Capture) -> None:
    """[13 is an I7 | 5000 is an I6]: the I6 comes first here, and must not give way to the shorter I7."""
    call(capsys, "minimize", keep("a.zst", sizes(32, 5000, 13)), "-o", "small.zsf")
    assert load_program("small.zsf").header.verdict == SIGNATURE
    assert FakeRunner().run(load_program("small.zsf")).findings[0].rule == "I6"


def test_minimize_of_a_clean_program_is_a_mistake(fake: FakeRunner, capsys: Capture) -> None:
    done = call(capsys, "minimize", keep("a.zst", sizes(32)), "-o", "small.zst")
    assert "nothing to minimize" in done.complaint
    assert not Path("small.zst").exists()


def test_minimize_interrupted_keeps_the_best_so_far(fake: FakeRunner, capsys: Capture) -> None:
    def rule(program: Program) -> Finding | None:
        if len(fake.calls) == 12:
            raise KeyboardInterrupt
        return finding_at(0) if any(step.size > 4000 for step in program.steps) else None  # type: ignore[union-attr]

    fake.rule = rule
    path = keep("a.zst", sizes(*range(1, 60), 5000))
    done = call(capsys, "minimize", path, "-o", "small.zst", "--json")
    document = json.loads(done.out)
    assert document["interrupted"]
    assert len(load_program("small.zst").steps) == document["operations"]["after"] < 60


def test_minimize_keeps_the_best_so_far_and_the_culprit_when_the_harness_fails(
    fake: FakeRunner, capsys: Capture
) -> None:
    def rule(program: Program) -> Finding | None:
        if len(fake.calls) == 12:
            raise ValueError("boom")
        return finding_at(0) if any(step.size > 4000 for step in program.steps) else None  # type: ignore[union-attr]

    fake.rule = rule
    done = call(capsys, "minimize", keep("a.zst", sizes(*range(1, 60), 5000)), "-o", "small.zst")
    assert done.status == 3
    assert "small.harness.zst" in done.err.splitlines()[-1]
    assert load_program("small.harness.zst").steps
    assert len(load_program("small.zst").steps) < 60


@pytest.mark.parametrize("out", ["small", "small.txt", "."])
def test_minimize_refuses_an_output_without_a_form(fake: FakeRunner, capsys: Capture, out: str) -> None:
    assert ".zst" in call(capsys, "minimize", keep("a.zst", sizes(5000)), "-o", out).complaint


def test_show_and_assemble_lose_nothing_either_way(capsys: Capture) -> None:
    program = replace(sizes(32, 5000), header=Header(candidate="candidate-literal", verdict=SIGNATURE))
    save_program(program, "a.zsf")
    shown = call(capsys, "show", "a.zsf")
    assert shown.out == format_program(program)
    Path("a.txt").write_text(shown.out)
    assert call(capsys, "assemble", "a.txt", "-o", "b.zsf").status == 0
    assert Path("b.zsf").read_bytes() == Path("a.zsf").read_bytes()
    assert call(capsys, "show", "b.zsf").out == shown.out


def test_assemble_reads_standard_input(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(format_program(sizes(32))))
    assert call(capsys, "assemble", "-", "-o", "a.zst").status == 0
    assert load_program("a.zst") == sizes(32)


def test_assemble_says_where_the_text_is_wrong(capsys: Capture) -> None:
    Path("a.txt").write_text("zsfuzz 1\ngeometry linux-5.10\n---\nh0 = malloc\n")
    assert "a.txt:4: a size is missing" in call(capsys, "assemble", "a.txt", "-o", "a.zsf").complaint
    assert not Path("a.zsf").exists()


def test_show_json_holds_every_field(capsys: Capture) -> None:
    keep("a.zst", sizes(32), verdict="clean")
    document = json.loads(call(capsys, "show", "a.zst", "--format", "json").out)
    assert document["header"]["verdict"] == "clean"
    assert document["steps"] == [
        {"operation": "Malloc", "slot": 0, "size": 32, "gfp": "movable", "pool": 0},
    ]


def test_show_and_assemble_keep_a_block(capsys: Capture) -> None:
    program = replace(sizes(32), block=BLOCK)
    save_program(program, "a.zsf")
    Path("a.txt").write_text(call(capsys, "show", "a.zsf").out)
    done = call(capsys, "assemble", "a.txt", "-o", "b.zsf")
    assert done.out == "b.zsf: 1 steps, then 3 operations in 2 lanes\n"
    assert load_program("b.zsf") == program


def test_show_json_holds_the_block(capsys: Capture) -> None:
    save_program(sizes(32), "a.zst")
    assert json.loads(call(capsys, "show", "a.zst", "--format", "json").out)["block"] is None
    save_program(replace(sizes(32), block=BLOCK), "b.zst")
    assert json.loads(call(capsys, "show", "b.zst", "--format", "json").out)["block"] == {
        "lanes": [
            [{"operation": "Free", "slot": 0}],
            [
                {"operation": "Isolate", "page_slot": 0, "page": {"page": "Component", "slot": 0, "index": 1}},
                {"operation": "Trim"},
            ],
        ],
        "schedule": [
            {"lane": 0, "operation": 0, "point": 4, "to": 1, "held": 1},
            {"lane": 1, "operation": 2, "point": 0, "to": 0, "held": 0},
        ],
        "chance": None,
    }


def test_show_pytest_holds_the_block(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    program = replace(sizes(32), block=BLOCK)
    keep("a.zst", program)
    source = call(capsys, "show", "a.zst", "--format", "pytest").out
    runner = FakeRunner()
    monkeypatch.setitem(sys.modules, "zsfuzz.execute.runner", SimpleNamespace(Runner=lambda *names: runner))
    space: dict[str, Any] = {}
    exec(compile(source, "test_generated.py", "exec"), space)
    space["test_a"]()
    assert [(ran.steps, ran.block) for ran, _ in runner.calls] == [(program.steps, BLOCK)]


@pytest.mark.parametrize(("program", "verdict"), [(sizes(32), "clean"), (sizes(5000), SIGNATURE)])
def test_show_pytest_is_a_test_that_passes_on_its_own(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, program: Program, verdict: str
) -> None:
    keep("a finding.zst", program, verdict=verdict)
    source = call(capsys, "show", "a finding.zst", "--format", "pytest").out
    stand_in = SimpleNamespace(Runner=lambda *names: FakeRunner())
    monkeypatch.setitem(sys.modules, "zsfuzz.execute.runner", stand_in)
    space: dict[str, Any] = {}
    exec(compile(source, "test_generated.py", "exec"), space)
    space["test_a_finding"]()


def test_show_pytest_fails_when_the_verdict_changed(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    keep("a.zst", sizes(5000), verdict="clean")
    source = call(capsys, "show", "a.zst", "--format", "pytest").out
    stand_in = SimpleNamespace(Runner=lambda *names: FakeRunner())
    monkeypatch.setitem(sys.modules, "zsfuzz.execute.runner", stand_in)
    space: dict[str, Any] = {}
    exec(compile(source, "test_generated.py", "exec"), space)
    with pytest.raises(AssertionError):
        space["test_a"]()


def test_corpus_add_keeps_each_program_once(capsys: Capture) -> None:
    keep("a.zst", sizes(32))
    keep("b.zsf", sizes(32))
    keep("c.zst", sizes(64))
    done = call(capsys, "corpus", "add", "corpus", "a.zst", "b.zsf", "c.zst", "--json")
    assert done.status == 0
    report = json.loads(done.out)
    assert (len(report["added"]), report["present"]) == (2, 1)


def test_corpus_add_tells_of_a_file_that_is_no_program_and_adds_the_others(capsys: Capture) -> None:
    keep("a.zst", sizes(32))
    Path("b.zst").write_text("no")
    done = call(capsys, "corpus", "add", "corpus", "b.zst", "a.zst")
    assert "b.zst" in done.complaint
    assert len(list(Path("corpus").iterdir())) == 1


def test_corpus_check_finds_a_verdict_that_changed(fake: FakeRunner, capsys: Capture) -> None:
    Path("corpus").mkdir()
    keep("corpus/good.zst", sizes(5000), verdict=SIGNATURE)
    assert call(capsys, "corpus", "check", "corpus").status == 0
    keep("corpus/bad.zst", sizes(32), verdict=SIGNATURE)
    done = call(capsys, "corpus", "check", "corpus", "--json")
    assert done.status == 1
    (bad,) = json.loads(done.out)["bad"]
    assert "bad.zst" in bad["file"]


def test_corpus_stats_counts(capsys: Capture) -> None:
    Path("corpus").mkdir()
    keep("corpus/a.zst", sizes(32, 64), verdict="clean")
    document = json.loads(call(capsys, "corpus", "stats", "corpus", "--json").out)
    assert document["operations"] == {"Malloc": 2}
    done = call(capsys, "corpus", "stats", "corpus")
    assert "Malloc 2" in done.out


def test_a_corpus_folder_that_is_not_there_is_a_mistake(capsys: Capture) -> None:
    assert "nowhere" in call(capsys, "corpus", "stats", "nowhere").complaint
    assert "nowhere" in call(capsys, "corpus", "check", "nowhere").complaint
