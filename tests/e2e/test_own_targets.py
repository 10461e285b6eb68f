"""A user's own target: module:attribute, in the folder the command is run in.

In:    modules of tests/e2e/targets.py.
Out:   what the commands make of them.
Never: the text of a machine's own reports.
Next:  zsfuzz/target/registry.py, zsfuzz/execute/conform.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import shell
from tests.e2e import targets

RUN = ("run", "--candidate", "own:Mine", "--runs", "60", "--seed", "3")


def own(folder: Path, source: str) -> Path:
    (folder / "own.py").write_text(source)
    return folder


def test_a_good_target_of_ones_own_runs_clean(tmp_path: Path) -> None:
    done = shell(*RUN, cwd=own(tmp_path, targets.GOOD))
    assert done.status == 0, done


def test_a_target_that_raises_is_a_finding_that_replays(tmp_path: Path) -> None:
    done = shell(*RUN, "--stop-on-first", "--json", cwd=own(tmp_path, targets.RAISES))
    assert done.status == 1, done
    (finding,) = json.loads(done.out)["findings"]
    assert finding["target"] == "candidate"
    assert "zs_malloc" in finding["signature"]
    assert "KeyError" in finding["message"] + finding["signature"]
    again = shell("replay", finding["program"], "--json", cwd=tmp_path)
    assert json.loads(again.out)["results"][0]["verdict"] == finding["signature"]


def test_a_target_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    done = shell(*RUN, cwd=own(tmp_path, targets.RAISES_AT_ONCE))
    assert "'own:Mine' cannot be made: RuntimeError: not today" in done.complaint


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (targets.INCOMPLETE, "does not define"),
        (targets.OLD, "protocol 99"),
        (targets.NO_TARGET, "no subclass"),
        (targets.BROKEN_MODULE, "at import"),
        ("", "has no 'Mine'"),
        ("def Mine(:", "SyntaxError"),
    ],
)
def test_what_is_no_target_is_one_line(tmp_path: Path, source: str, told: str) -> None:
    assert told in shell(*RUN, cwd=own(tmp_path, source)).complaint
    assert told in shell("conform", "own:Mine", cwd=tmp_path).complaint


@pytest.mark.parametrize("name", ["nonsense", "no.such.module:Mine", "candidate-literal:H99", ":"])
def test_an_unknown_target_is_one_line(tmp_path: Path, name: str) -> None:
    assert repr(name) in shell("run", "--candidate", name, cwd=tmp_path).complaint or "H99" in name


@pytest.mark.parametrize("name", ["kernel:no-such", "kernel:", "kernel:no/such/build.so"])
def test_an_unknown_kernel_is_one_line(tmp_path: Path, name: str) -> None:
    assert name in shell("run", "--candidate", name, "--runs", "5", cwd=tmp_path).complaint


@pytest.mark.parametrize("name", ["reference", "candidate"])
def test_the_built_in_targets_conform(tmp_path: Path, name: str) -> None:
    done = shell("conform", name, cwd=tmp_path)
    assert done.status == 0, done.out
    assert "FAILED" not in done.out


def test_a_target_of_ones_own_conforms(tmp_path: Path) -> None:
    done = shell("conform", "own:Mine", "--json", cwd=own(tmp_path, targets.GOOD))
    document = json.loads(done.out)
    assert document["conforms"], [check for check in document["checks"] if check["problem"]]
    assert done.status == 0


def test_conform_finds_state_that_is_kept_outside_the_arena(tmp_path: Path) -> None:
    done = shell("conform", "own:Mine", cwd=own(tmp_path, targets.KEEPS_A_COUNT))
    assert done.status == 1
    assert "calls" in done.out


def test_conform_tells_what_the_target_raised(tmp_path: Path) -> None:
    done = shell("conform", "own:Mine", cwd=own(tmp_path, targets.RAISES))
    assert done.status == 1
    assert "KeyError" in done.out
    assert "Traceback" not in done.err
