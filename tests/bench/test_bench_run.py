"""The command of the benchmarks: what it prints, what it writes, how it ends.

In:    python -m bench.run --quick.
Out:   nothing.
Never: an assertion about a figure.
Next:  bench/run.py, bench/costs.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.costs import PARTS, measure_costs
from bench.run import SECTIONS, main
from bench.work import WorkNotDone
from zsfuzz.execute.execution import Execution

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")


def test_a_quick_run_writes_every_section(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZSFUZZ_CACHE", str(tmp_path / "cache"))  # without kernels: their section says so
    out = tmp_path / "results.json"
    assert main(["--quick", "--out", str(out)]) == 0
    results = json.loads(out.read_text(encoding="utf-8"))
    assert set(results) == {"environment", "quick", *SECTIONS}
    assert "not there" in results["kernel"]["not_measured"]
    assert results["quick"] is True
    assert set(results["environment"]) >= {"python", "hypothesis", "cpus"}
    printed = capsys.readouterr().out
    for heading in ("fuzz loop:", "replay of", "costs:", "policies:", "workers:", "engines:", "kernels:"):
        assert heading in printed


def test_one_section_may_be_run_alone(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    assert main(["--quick", "--only", "costs", "--out", str(out)]) == 0
    assert set(json.loads(out.read_text(encoding="utf-8"))) == {"environment", "quick", "costs"}


def test_work_not_done_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Execution, "perform", lambda *_: False)
    out = tmp_path / "results.json"
    assert main(["--quick", "--only", "costs", "--out", str(out)]) == 1
    assert not out.exists()
    assert capsys.readouterr().err == "bench: costs: no effective operation\n"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", "costs", "--out", str(tmp_path / "none" / "results.json")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--out" in error


def test_the_costs_name_both_sides_and_every_part() -> None:
    figures = measure_costs(3, 20, 8, seed=1)
    assert list(figures.actions) == ["reference", "candidate"]
    left, right = figures.actions.values()
    assert left["malloc"].calls == right["malloc"].calls > 0
    assert list(figures.parts) == list(PARTS)
    assert all(figures.parts[part].seconds > 0.0 for part in PARTS)
    assert figures.parts["drain"].calls == figures.programs == 3
    assert figures.checks["full"] >= 3


def test_costs_of_nothing_are_refused() -> None:
    with pytest.raises(WorkNotDone, match="no effective operation"):
        measure_costs(0, 20, 8, seed=1)
