"""`zsfuzz run`: options, exit statuses, what is printed and kept.

In:    a stand-in runner; the real engines.
Out:   statuses 0 to 3, JSON, findings on disk.
Never: the machine.
Next:  zsfuzz/cli/run.py.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.campaign.fakes import FakeRunner, finding_at
from tests.cli.commands import ROOT, call
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.files import load_program
from zsfuzz.program.program import Program

Capture = pytest.CaptureFixture[str]


def nothing(program: Program) -> None:
    return None


def always(program: Program) -> Finding:
    return finding_at(0)


def test_status_0_when_nothing_is_found(fake: FakeRunner, capsys: Capture) -> None:
    fake.rule = nothing
    done = call(capsys, "run", "--runs", "3", "--seed", "1")
    assert done.status == 0
    assert "no finding" in done.out
    assert not Path("zsfuzz-findings").exists()


def test_status_1_and_a_program_on_disk_when_something_is_found(fake: FakeRunner, capsys: Capture) -> None:
    fake.rule = always
    done = call(capsys, "run", "--runs", "3", "--seed", "1", "--findings", "found")
    assert done.status == 1
    (path,) = Path("found").glob("*.zst")
    assert f"zsfuzz replay {path}" in done.out
    assert load_program(path).header.verdict == finding_at(0).signature


def test_json_is_one_object_and_nothing_else_on_standard_output(fake: FakeRunner, capsys: Capture) -> None:
    fake.rule = always
    document = json.loads(call(capsys, "run", "--runs", "3", "--seed", "5", "--json").out)
    assert document["programs"] == 3
    assert document["seed"] == 5
    assert document["targets"] == ["reference", "candidate"]
    assert document["findings"][0]["hits"] == 3


def test_the_same_seed_gives_the_same_report(fake: FakeRunner, capsys: Capture) -> None:
    documents = []
    for _ in range(2):
        document = json.loads(call(capsys, "run", "--runs", "30", "--seed", "5", "--json").out)
        document.pop("seconds")
        documents.append(document)
    assert documents[0] == documents[1]


def test_without_a_seed_one_is_chosen_and_told(fake: FakeRunner, capsys: Capture) -> None:
    fake.rule = nothing
    first = json.loads(call(capsys, "run", "--runs", "1", "--json").out)["seed"]
    second = json.loads(call(capsys, "run", "--runs", "1", "--json").out)["seed"]
    assert first != second


def test_stop_on_first_stops(fake: FakeRunner, capsys: Capture) -> None:
    fake.rule = always
    done = call(capsys, "run", "--runs", "30", "--stop-on-first", "--json")
    assert json.loads(done.out)["programs"] == 1


def test_status_3_when_no_operation_had_an_effect(fake: FakeRunner, capsys: Capture) -> None:
    fake.run = _idle  # type: ignore[method-assign]
    done = call(capsys, "run", "--runs", "2")
    assert done.status == 3
    assert "nothing was tested" in done.err


def _idle(program: Program, **_: object):  # type: ignore[no-untyped-def]
    from zsfuzz.execute.result import RunResult

    return RunResult((), 0, len(program.steps), (), {}, {})


def raising(error: Exception) -> Callable[[Program], None]:
    def rule(program: Program) -> None:
        raise error

    return rule


def test_status_3_names_the_program_and_shows_the_traceback(fake: FakeRunner, capsys: Capture) -> None:
    fake.rule = raising(ValueError("boom"))
    done = call(capsys, "run", "--runs", "2", "--seed", "1")
    assert done.status == 3
    assert "Traceback" in done.err
    (path,) = Path("zsfuzz-findings").glob("harness-*.zst")
    assert str(path) in done.err.splitlines()[-1]
    assert "ValueError: boom" in done.err.splitlines()[-1]


def test_status_3_still_prints_one_json_object(fake: FakeRunner, capsys: Capture) -> None:
    fake.rule = raising(ValueError("boom"))
    done = call(capsys, "run", "--runs", "2", "--json")
    document = json.loads(done.out)
    assert document["fault"]["reason"] == "ValueError: boom"
    assert load_program(document["fault"]["program"]).operations_count


def test_a_corpus_folder_is_made_and_filled(fake: FakeRunner, capsys: Capture) -> None:
    fake.rule = nothing
    call(capsys, "run", "--no-seeds", "--runs", "5", "--seed", "1", "--corpus", "kept")
    assert list(Path("kept").glob("*.zsf"))
    done = call(capsys, "run", "--runs", "5", "--seed", "2", "--corpus", "kept", "--json")
    assert json.loads(done.out)["engine_statistics"]["seeds"] > 0


def test_it_starts_from_the_seeds_of_the_sources_unless_it_is_told_not_to(fake: FakeRunner, capsys: Capture) -> None:
    fake.rule = nothing
    seeds = len(list((ROOT / "corpus" / "seeds").glob("*.zst")))
    for words, wanted in (((), seeds), (("--no-seeds",), 0)):
        document = json.loads(call(capsys, "run", "--runs", "2", "--json", *words).out)
        assert document["engine_statistics"]["seeds"] == wanted
    assert "contradict" in call(capsys, "run", "--no-seeds", "--seeds", "x").complaint


def test_the_random_engine_says_that_it_leaves_the_corpus_alone(fake: FakeRunner, capsys: Capture) -> None:
    fake.rule = nothing
    done = call(capsys, "run", "--runs", "1", "--engine", "random", "--corpus", "kept")
    assert done.status == 0
    assert "left alone" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_summary_and_the_findings(
    fake: FakeRunner, capsys: Capture, number: signal.Signals
) -> None:
    def rule(program: Program) -> Finding | None:
        if len(fake.calls) == 5:
            signal.raise_signal(number)
        return finding_at(0) if len(fake.calls) in (3, 4) else None

    fake.rule = rule
    done = call(capsys, "run", "--time", "60", "--json")
    document = json.loads(done.out)
    assert document["stopped"] == f"stopped by {number.name}"
    assert document["programs"] == 3
    assert len(document["findings"]) == 1
    assert done.status == 1


def test_the_handlers_of_signals_are_put_back(fake: FakeRunner, capsys: Capture) -> None:
    before = signal.getsignal(signal.SIGINT)
    call(capsys, "run", "--runs", "1")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--runs", "0"], "0 is too small"),
        (["--runs", "many"], "'many' is no whole number"),
        (["--runs", "9" * 5000], "far too long"),
        (["--time", "0"], "seconds above 0"),
        (["--time", "-1"], "seconds above 0"),
        (["--time", "nan"], "seconds above 0"),
        (["--time", "inf"], "seconds above 0"),
        (["--time", "soon"], "'soon' is no number"),
        (["--seed", "-1"], "-1 is negative"),
        (["--workers", "0"], "0 is too small"),
        (["--workers", "2", "--program-time", "0"], "seconds above 0"),
        (["--workers", "2", "--memory", "0"], "0 is too small"),
        (["--workers", "2", "--engine", "steam"], "--engine steam is unknown"),
        (["--engine", "steam"], "--engine steam is unknown"),
        (["--geometry", "round"], "--geometry round is unknown"),
        (["--findings", ""], "name a folder"),
        (["--nonsense"], "unrecognized arguments"),
        (["--ru", "1"], "unrecognized arguments"),
    ],
)
def test_a_mistake_is_one_line_with_what_to_do(fake: FakeRunner, capsys: Capture, words: list[str], told: str) -> None:
    assert told in call(capsys, "run", *words).complaint


def test_a_findings_folder_that_is_a_file_is_refused_before_any_work(fake: FakeRunner, capsys: Capture) -> None:
    Path("file").write_text("")
    assert "is not a folder" in call(capsys, "run", "--findings", "file/findings").complaint
    assert fake.calls == []


def test_progress_goes_to_standard_error_in_plain_lines(
    fake: FakeRunner, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.rule = nothing
    monkeypatch.setattr("zsfuzz.report.progress.PLAIN_SECONDS", 0.0)
    done = call(capsys, "run", "--runs", "3", "--json")
    assert "3 programs" in done.err
    assert "ops/s" in done.err
    json.loads(done.out)
