"""Measuring: what a program reaches, as numbers that programs can be chosen by.

In:    a runner, programs.
Out:   functions for zsfuzz/corpus/merge.py: state features, or landmarks; a finding for a program that gives one.
Never: a choice.
Next:  zsfuzz/execute/features.py, zsfuzz/corpus/landmarks.py; who measures: zsfuzz/cli/merge.py.
"""

from __future__ import annotations

from zsfuzz.corpus.landmarks import LANDMARKS, LandmarkWatch
from zsfuzz.corpus.merge import Measure
from zsfuzz.execute.runner import Runner
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.program import Program


def measure_features(runner: Runner) -> Measure:
    """Return a measure by state features."""

    def measure(program: Program) -> tuple[int, ...] | Finding:
        result = runner.run(program)
        return result.findings[0] if result.findings else result.features

    return measure


def measure_landmarks(runner: Runner) -> Measure:
    """Return a measure by landmarks: their places in LANDMARKS."""

    def measure(program: Program) -> tuple[int, ...] | Finding:
        passed = landmarks_of(program, runner)
        return passed if isinstance(passed, Finding) else tuple(map(_PLACE.__getitem__, passed))

    return measure


_PLACE = {name: place for place, name in enumerate(LANDMARKS)}


def landmarks_of(program: Program, runner: Runner) -> tuple[str, ...] | Finding:
    """Return the names of the landmarks that a program's run passes, in their order."""
    failure = runner.sides_of(program)[0].machine.failure
    watch = LandmarkWatch(program.header, lambda: failure.injected_count)
    result = runner.run(program, observer=watch)
    if result.findings:
        return result.findings[0]
    return watch.passed(result, program)
