"""A campaign of two processes: its sums, what it does with workers that die, and how it ends.

In:    `zsfuzz run --workers 2` on small budgets; targets that end their process.
Out:   nothing.
Never: a figure that depends on which worker is faster.
Next:  zsfuzz/campaign/workers/supervisor.py, zsfuzz/campaign/workers/crew.py.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.campaign.workers.deadly import DEADLY, FINDINGS, Run, children_of, is_there, left_in
from tests.cli.commands import shell
from zsfuzz.corpus.check import check_store
from zsfuzz.corpus.store import CorpusStore
from zsfuzz.program.files import load_program

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")

TWO = ("--workers", "2")


def test_two_workers_share_a_corpus_and_their_counts_are_summed(tmp_path: Path) -> None:
    run = Run(tmp_path, *TWO, "--runs", "110", "--seed", "1", "--corpus", "kept", "--geometry", "small")
    document = run.report()
    assert run.process.returncode == 0, run.err
    assert (document["workers"], document["programs"], document["stopped"]) == (2, 110, "110 programs")
    figures = document["worker_figures"]
    assert [each["programs"] for each in figures] == [55, 55]
    assert sum(each["operations"] for each in figures) == document["operations"] > 1000
    assert document["checks"]["drain"] >= 110
    assert document["engine_statistics"]["foreign"] > 0
    assert check_store(CorpusStore(tmp_path / "kept", create=False)).bad == ()
    assert not (tmp_path / FINDINGS).exists()


def test_findings_of_all_workers_are_one_list_by_signature(tmp_path: Path) -> None:
    run = Run(tmp_path, *TWO, "--runs", "40", "--seed", "1", "--candidate", "candidate-literal:H05")
    document = run.report()
    assert run.process.returncode == 1, run.err
    findings = document["findings"]
    assert len({finding["signature"] for finding in findings}) == len(findings) >= 1
    assert sum(finding["hits"] for finding in findings) > len(findings)
    for finding in findings:
        kept = json.loads((tmp_path / finding["program"]).with_suffix(".json").read_text())
        assert {name: kept[name] for name in finding} == finding
        assert (kept["seed"], kept["targets"]) == (1, ["reference", "candidate-literal:H05"])
        program = load_program(tmp_path / finding["program"])
        assert (program.header.verdict, len(program.steps)) == (finding["signature"], finding["steps"])
    done = shell("replay", findings[0]["program"], "--json", cwd=tmp_path)
    assert done.status == 1
    assert left_in(tmp_path / FINDINGS) == []


def test_the_first_finding_of_any_worker_stops_all(tmp_path: Path) -> None:
    run = Run(tmp_path, *TWO, "--time", "60", "--candidate", "candidate-literal:H05", "--stop-on-first")
    document = run.report()
    assert (run.process.returncode, document["stopped"]) == (1, "first finding")
    assert document["seconds"] < 30


@pytest.mark.parametrize(
    ("target", "words", "reason"),
    [
        ("Hangs", ("--program-time", "1.5"), "ran too long"),
        ("Eats", ("--memory", "250"), "took too much memory"),
        ("Crashes", (), "crashed its worker"),
    ],
)
def test_a_program_that_ends_its_worker_is_quarantined_and_the_others_run(
    tmp_path: Path, target: str, words: tuple[str, ...], reason: str
) -> None:
    (tmp_path / "own.py").write_text(DEADLY)
    run = Run(tmp_path, *TWO, "--runs", "32", "--seed", "4", "--candidate", f"own:{target}", *words)
    document = run.report()
    assert run.process.returncode == 3, run.err
    assert document["programs"] == 32
    assert document["worker_deaths"] >= 2
    assert document["quarantined"]
    for culprit in document["quarantined"]:
        assert reason in culprit["reason"]
        assert culprit["program"] in run.err
        assert load_program(tmp_path / culprit["program"]).header.candidate == f"own:{target}"
    assert document["fault"] == document["quarantined"][0]
    assert "zs_compact" in run.err or target == "Eats"  # its own last words


def test_a_program_in_quarantine_is_not_run_again_by_the_next_campaign(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(DEADLY)
    words = (*TWO, "--runs", "32", "--seed", "4", "--candidate", "own:Crashes", "--corpus", "kept")
    first = Run(tmp_path, *words).report()
    for culprit in first["quarantined"]:
        shutil.copy(tmp_path / culprit["program"], tmp_path / "kept")
    again = Run(tmp_path, *TWO, "--runs", "20", "--seed", "99", "--candidate", "own:Crashes", "--corpus", "kept")
    again.report()
    old = {culprit["program"] for culprit in first["quarantined"]}
    assert "is not run again as long as it lies there" in again.err
    assert not old & {culprit["program"] for culprit in again.report()["quarantined"]}


def test_workers_that_never_get_to_a_program_end_the_campaign(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(DEADLY)
    run = Run(tmp_path, *TWO, "--runs", "20", "--candidate", "own:AtOnce")
    run.wait_for(lambda: run.workers() or run.process.poll() is not None)
    (tmp_path / "now").write_text("")
    for pid in run.workers():
        os.kill(pid, signal.SIGKILL)
    assert run.report()["fault"]["reason"].startswith("workers die before their first program")
    assert run.process.returncode == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_sums_so_far(tmp_path: Path, number: signal.Signals) -> None:
    run = Run(tmp_path, *TWO, "--time", "100", "--candidate", "candidate-literal:H05")
    run.wait_for(lambda: list((tmp_path / FINDINGS).glob("*.json")))
    run.process.send_signal(number)
    document = run.report(30)
    assert document["stopped"] == f"stopped by {number.name}"
    assert run.process.returncode == 1
    assert document["programs"] > 0
    on_disk = {path.stem for path in (tmp_path / FINDINGS).glob("*.zst")}
    assert {finding["id"] for finding in document["findings"]} == on_disk
    assert left_in(tmp_path / FINDINGS) == []


def test_a_second_signal_does_not_wait_for_a_program_that_hangs(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(DEADLY)
    run = Run(tmp_path, *TWO, "--time", "100", "--seed", "4", "--candidate", "own:Hangs")
    run.wait_for(run.has_begun)
    time.sleep(3)  # by now both have met a program that hangs
    workers = run.workers()
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert run.process.poll() is None
    run.process.send_signal(signal.SIGINT)
    assert run.report(10)["stopped"] in ("interrupted", "stopped by SIGINT")
    assert not any(map(is_there, workers))


def test_a_second_campaign_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = Run(tmp_path, *TWO, "--time", "60")
    first.wait_for(first.has_begun)
    refused = shell("run", *TWO, "--runs", "5", "--findings", FINDINGS, cwd=tmp_path)
    assert "another campaign with workers is running there" in refused.complaint
    first.process.send_signal(signal.SIGINT)
    assert first.report()["programs"] > 0


def test_workers_whose_supervisor_was_killed_end_by_themselves(tmp_path: Path) -> None:
    run = Run(tmp_path, *TWO, "--time", "100")
    run.wait_for(lambda: run.has_begun(2))
    workers = run.workers()
    assert len(workers) == 2
    run.kill()
    end = time.monotonic() + 20
    while any(map(is_there, workers)):
        assert time.monotonic() < end, "a worker outlived its supervisor"
        time.sleep(0.05)
    assert children_of(run.process.pid) == []


def test_a_worker_that_is_stopped_is_replaced(tmp_path: Path) -> None:
    run = Run(tmp_path, *TWO, "--runs", "60", "--seed", "1", "--program-time", "1")
    run.wait_for(lambda: run.has_begun(2))
    victim = run.workers()[0]
    os.kill(victim, signal.SIGSTOP)
    document = run.report()
    assert (document["programs"], document["worker_deaths"]) == (60, 1)
    assert run.process.returncode == 0, run.err
