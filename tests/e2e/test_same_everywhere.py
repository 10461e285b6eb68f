"""One seed gives one report: under every hash seed, and on every Python that is here.

In:    `zsfuzz run --runs N --seed S --json` with state feedback, over a pair that finds something.
Out:   equal reports and equal files, times aside.
Never: a network: another Python borrows the packages of this one.
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


def _origin(package: str) -> str:
    """Return the path of a package's __init__.py."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return spec.origin


WORDS = (
    "run",
    "--candidate",
    "candidate-literal",
    "--engine",
    "coverage",
    "--runs",
    "30",
    "--seed",
    "5",
    "--json",
)
VERSIONS = ("3.11", "3.12", "3.13")
BORROWED = sorted({str(Path(origin).parents[1]) for origin in map(_origin, ("msgpack", "rich"))})


def report(python: str, folder: Path, hash_seed: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the JSON of one run without its time, and the files of its findings."""
    folder.mkdir()
    path = os.pathsep.join((str(ROOT), *BORROWED))
    done = subprocess.run(
        [python, "-m", "zsfuzz", *WORDS],
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
def here(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, bytes]]:
    return report(sys.executable, tmp_path_factory.mktemp("here") / "run", "0")


def interpreter(version: str) -> str:
    """Return an interpreter of that version; skip the test when there is none."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *map(str, sorted(versions.glob(f"{version}.*/bin/python")))]
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    for python in filter(None, found):
        done = subprocess.run([python, "-c", asked], capture_output=True, text=True, timeout=60)
        if done.stdout.strip() == version:
            return python
    pytest.skip(f"no Python {version} here")


@pytest.mark.parametrize("hash_seed", ["1", "12345"])
def test_the_order_of_hashes_decides_nothing(
    tmp_path: Path, here: tuple[dict[str, Any], dict[str, bytes]], hash_seed: str
) -> None:
    assert report(sys.executable, tmp_path / "run", hash_seed) == here


@pytest.mark.parametrize("version", VERSIONS)
def test_every_python_gives_the_same_report(
    tmp_path: Path, here: tuple[dict[str, Any], dict[str, bytes]], version: str
) -> None:
    assert report(interpreter(version), tmp_path / "run", "7") == here
