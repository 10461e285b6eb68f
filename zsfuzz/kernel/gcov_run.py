"""Runs gcov on what a run of an instrumented build left.

In:    a folder with .gcda files, their .gcno files beside them; the compiler that made the build.
Out:   FileCoverage of one source file, summed over all of them.
Never: a file written: gcov prints, and its own files would lie about.
Next:  zsfuzz/kernel/gcov.py reads what it prints.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from zsfuzz.errors import UsageError
from zsfuzz.kernel.gcov import FileCoverage, GcovError, merge, parse


def gcov_of(compiler: str) -> str:
    """Return the gcov that belongs to a gcc: gcc-13 writes what gcov-13 reads.

    compiler: a command, or what a build noted: its first word counts.
    Errors: UsageError for another compiler, and for a gcc without its gcov.
    """
    command = (compiler.split() or [""])[0]
    folder, name = os.path.split(command)
    if not re.search(r"gcc(?:-[\d.]+)?$", name):
        raise UsageError(
            f"coverage is measured with gcc's gcov, and this build is {compiler}'s; build it with --cc gcc"
        )
    gcov = os.path.join(folder, re.sub(r"gcc(-[\d.]+)?$", r"gcov\1", name))
    if shutil.which(gcov) is None:
        raise UsageError(f"{gcov} is not on this machine; it comes with {name}: install that gcc whole")
    return gcov


def read_coverage(folder: Path, source: Path, gcov: str) -> FileCoverage:
    """Return what the .gcda files below a folder say of one source file.

    source: as the compiler was given it, or absolute.
    Errors: UsageError when there is nothing, or gcov cannot read it.
    """
    data = sorted(folder.rglob("*.gcda"))
    if not data:
        raise UsageError(f"{folder}: no .gcda file here; run the build that was made for coverage first")
    found = []
    for path in data:
        # gcov opens the .gcno beside the .gcda by the path it is given, and takes no prefix here.
        done = subprocess.run(
            [gcov, "--json-format", "--stdout", "--branch-probabilities", path.name],
            cwd=path.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        try:
            if done.returncode != 0:
                raise GcovError(done.stderr.decode(errors="replace").strip() or f"status {done.returncode}")
            file = parse(done.stdout, lambda name: _is(source, name))
        except GcovError as error:
            raise UsageError(f"{path}: gcov could not read it ({error}); run the build again") from error
        if file is not None:
            found.append(file)
    if not found:
        raise UsageError(f"{folder}: nothing here was compiled from {source}; name the build that was")
    return merge(found)


def _is(source: Path, name: str) -> bool:
    """Whether gcov speaks of this source. Compilers are given absolute paths of trees, so that no guess is needed."""
    return os.path.realpath(name) == os.path.realpath(source)
