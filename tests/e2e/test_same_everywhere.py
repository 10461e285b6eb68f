"""One seed gives one report: under every hash seed, and on every Python that is here.

In:    `zsfuzz run --runs N --seed S --json` with state feedback, over a pair that finds something; and the same with a
       block in every program.
Out:   equal reports and equal files, times aside; a finding of lanes that comes again on every replay.
Never: a network: another Python has an environment of its own (`make pythons`), or borrows the packages of this one if
       it can: greenlet is compiled for one version.
Next:  zsfuzz/campaign/loop.py, zsfuzz/engine/rng.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import ROOT
from zsfuzz.execute.runner import Runner
from zsfuzz.program.files import load_program


def _origin(package: str) -> str:
    """Return the path of a package's __init__.py."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return spec.origin


STEPS = ("--candidate", "candidate-literal", "--engine", "coverage", "--runs", "30", "--seed", "5")
LANE_FAULTS = ("L-trypin", "L-poison")
LANES = (
    *("--fault", LANE_FAULTS[0], "--fault", LANE_FAULTS[1], "--geometry", "small"),
    *("--runs", "40", "--parallel", "100", "--seed", "5"),
)
WORDS = {"steps": STEPS, "lanes": LANES}
VERSIONS = ("3.11", "3.12", "3.13")
BORROWED = sorted({str(Path(origin).parents[1]) for origin in map(_origin, ("msgpack", "rich", "greenlet"))})

Report = tuple[dict[str, Any], dict[str, bytes]]


def report(python: str, folder: Path, hash_seed: str, words: str) -> Report:
    """Return the JSON of one run without its time, and the files of its findings."""
    folder.mkdir()
    own = Path(python).is_relative_to(ROOT)
    path = os.pathsep.join((str(ROOT), *(() if own else BORROWED)))
    done = subprocess.run(
        [python, "-m", "zsfuzz", "run", *WORDS[words], "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    document.pop("seconds")
    files = {file.name: file.read_bytes() for file in sorted((folder / "zsfuzz-findings").iterdir())}
    return document, files


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """The reports of this Python."""
    return {words: report(sys.executable, tmp_path_factory.mktemp(words) / "run", "0", words) for words in WORDS}


def interpreter(version: str) -> str:
    """Return an interpreter of that version that has greenlet; skip the test when there is none."""
    if version == "{}.{}".format(*sys.version_info):
        return sys.executable
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [
        str(ROOT / f".venv-{version}" / "bin" / "python"),
        shutil.which(f"python{version}"),
        *map(str, sorted(versions.glob(f"{version}.*/bin/python"))),
    ]
    asked = "import greenlet, sys; print('%d.%d' % sys.version_info[:2])"
    for python in filter(None, found):
        if not Path(python).exists():
            continue
        path = "" if Path(python).is_relative_to(ROOT) else os.pathsep.join(BORROWED)
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run([python, "-c", asked], capture_output=True, text=True, timeout=60, env=environment)
        if done.stdout.strip() == version:
            return python
    pytest.skip(f"no Python {version} with greenlet here: make pythons")


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("hash_seed", ["1", "12345"])
def test_the_order_of_hashes_decides_nothing(
    tmp_path: Path, here: dict[str, Report], hash_seed: str, words: str
) -> None:
    assert report(sys.executable, tmp_path / "run", hash_seed, words) == here[words]


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_python_gives_the_same_report(tmp_path: Path, here: dict[str, Report], version: str, words: str) -> None:
    assert report(interpreter(version), tmp_path / "run", "7", words) == here[words]


def test_the_run_with_lanes_is_one(here: dict[str, Report]) -> None:
    """Every program had a block that was judged, and something was found."""
    document, files = here["lanes"]
    assert document["concurrent_cases"] == document["programs"] == 40
    assert document["checks"]["linearizable"] >= 70 and document["checks"]["switches"] > 100
    assert {each["signature"].split("/")[0] for each in document["findings"]} >= {"divergence", "invariant"}
    assert len(files) >= 2


def test_a_finding_of_lanes_comes_again_a_hundred_times_out_of_a_hundred(
    tmp_path: Path, here: dict[str, Report]
) -> None:
    """On a runner that has run it before, on one that has not, and behind programs of other sorts."""
    document, files = here["lanes"]
    kept = {name: data for name, data in files.items() if name.endswith((".zsf", ".zst"))}
    used = Runner()
    for finding in document["findings"]:
        name = Path(finding["program"]).name
        (tmp_path / name).write_bytes(kept[name])
        program = load_program(tmp_path / name)
        assert program.block is not None and program.block.chance is None
        first = used.run(program).findings
        assert first and first[0].signature == finding["signature"]
        for number in range(100):
            runner = Runner() if number % 25 == 0 else used
            assert runner.run(program).findings == first
