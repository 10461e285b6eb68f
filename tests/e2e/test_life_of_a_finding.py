"""A finding's life through the commands, as a user runs them: found, replayed, minimized, kept as a test.

In:    the built-in targets, one decision of the candidate undone.
Out:   the same signature at every station.
Never: a stand-in.
Next:  zsfuzz/cli/.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import argv, environment, shell
from zsfuzz.program.files import load_program

LITERAL = ("--candidate", "candidate-literal")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Find something once: (folder, the finding as JSON)."""
    folder = tmp_path_factory.mktemp("found")
    done = shell("run", *LITERAL, "--time", "60", "--seed", "1", "--stop-on-first", "--json", cwd=folder)
    assert done.status == 1, done
    return folder, json.loads(done.out)["findings"][0]


def test_the_built_in_pair_is_clean_and_says_so(tmp_path: Path) -> None:
    done = shell("run", "--runs", "100", "--seed", "11", cwd=tmp_path)
    assert done.status == 0, done
    assert "no finding" in done.out
    assert not (tmp_path / "zsfuzz-findings").exists()


@pytest.mark.parametrize("engine", ["random", "coverage"])
def test_the_same_seed_gives_the_same_findings_and_counts(tmp_path: Path, engine: str) -> None:
    words = ("run", *LITERAL, "--engine", engine, "--runs", "25", "--workers", "1", "--seed", "9", "--json")
    reports = []
    for _ in range(2):
        document = json.loads(shell(*words, cwd=tmp_path).out)
        document.pop("seconds")
        reports.append(document)
    assert reports[0] == reports[1]
    assert reports[0]["operations"] > 0


def test_a_finding_replays_with_its_own_command(found: tuple[Path, dict[str, Any]]) -> None:
    folder, finding = found
    done = subprocess.run(
        [sys.executable, "-m", *finding["replay"].split(), "--json"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["verdict"] == finding["signature"] == result["kept_for"]


def test_the_trace_marks_one_step_and_shows_the_map(found: tuple[Path, dict[str, Any]]) -> None:
    folder, finding = found
    done = shell("replay", "--trace", finding["program"], cwd=folder)
    assert done.status == 1
    lines = done.out.splitlines()
    assert any(line.split()[:2] == ["step", "operation"] for line in lines)
    assert sum(line.startswith(">") and "|" not in line for line in lines) == 1
    assert any(line.split()[:2] == ["pfn", "zone"] for line in lines)
    assert finding["signature"] in done.out


def test_the_candidate_in_force_does_not_have_it(found: tuple[Path, dict[str, Any]]) -> None:
    folder, finding = found
    done = shell("replay", finding["program"], "--candidate", "candidate", cwd=folder)
    assert done.status == 0, done.out
    assert "the verdict changed" in done.out


def test_it_is_minimized_to_the_same_signature(found: tuple[Path, dict[str, Any]]) -> None:
    folder, finding = found
    done = shell("minimize", finding["program"], "-o", "small.zst", "--json", cwd=folder)
    assert done.status == 0, done
    document = json.loads(done.out)
    assert document["signature"] == finding["signature"]
    assert document["operations"]["after"] <= document["operations"]["before"]
    again = json.loads(shell("replay", "small.zst", "--json", cwd=folder).out)["results"][0]
    assert again["verdict"] == finding["signature"]
    assert again["as_kept"]


def test_it_becomes_a_pytest_file_that_passes(found: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, finding = found
    source = shell("show", finding["program"], "--format", "pytest", cwd=folder).out
    (tmp_path / "test_finding.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_finding.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout


def test_the_findings_folder_is_a_corpus_that_holds(found: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = found
    done = shell("corpus", "check", "zsfuzz-findings", "--json", cwd=folder)
    assert done.status == 0, done.out
    assert json.loads(done.out)["executed"] == 1


def test_a_planted_fault_is_kept_in_the_header(tmp_path: Path) -> None:
    done = shell("run", "--fault", "H05", "--time", "60", "--stop-on-first", "--json", cwd=tmp_path)
    (finding,) = json.loads(done.out)["findings"]
    assert load_program(tmp_path / finding["program"]).header.faults == ("H05",)
    assert shell("replay", finding["program"], cwd=tmp_path).status == 1


def test_faults_are_listed(tmp_path: Path) -> None:
    faults = json.loads(shell("faults", "list", "--json", cwd=tmp_path).out)["faults"]
    assert {"id", "target", "origin", "kind", "oracle"} <= faults[0].keys()
    assert "H05" in [fault["id"] for fault in faults]
    assert "H05" in shell("faults", "list", cwd=tmp_path).out


def test_an_unknown_fault_is_one_line(tmp_path: Path) -> None:
    assert "H99" in shell("run", "--fault", "H99", cwd=tmp_path).complaint


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_its_summary(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        argv("run", "--time", "100", "--json", "--corpus", "kept"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(tmp_path.glob("kept/*.zsf")):
        time.sleep(0.05)  # until the loop has kept its first program
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert json.loads(out)["stopped"] == f"stopped by {number.name}"
    assert process.returncode == 0


def test_a_pipe_closed_on_both_streams_does_not_change_the_status(tmp_path: Path) -> None:
    process = subprocess.Popen(
        argv("run", "--time", "6"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 0


def test_findings_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        argv("run", *LITERAL, "--time", "60", "--seed", "1", "--stop-on-first", "--findings", "found"),
        cwd=tmp_path,
        env=environment({"PYTHONDONTWRITEBYTECODE": "1"}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert done.returncode == 2, done.stderr
    told = [line for line in done.stderr.splitlines() if "programs," not in line]
    assert len(told) == 1
    assert "File too large" in told[0]
    assert list((tmp_path / "found").iterdir()) == []


def test_a_run_of_half_a_second_ends_in_time(tmp_path: Path) -> None:
    started = time.monotonic()
    done = shell("run", "--time", "0.5", cwd=tmp_path)
    assert done.status == 0, done
    assert time.monotonic() - started < 30


def test_the_module_and_the_package_start_the_same_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zsfuzz.cli", "--help"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == shell("--help", cwd=tmp_path).out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no device that is always full")
def test_a_report_that_cannot_be_printed_is_one_line_and_the_findings_are_kept(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            argv("run", *LITERAL, "--time", "60", "--seed", "1", "--stop-on-first", "--json"),
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert list((tmp_path / "zsfuzz-findings").glob("*.zst"))
