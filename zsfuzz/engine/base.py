"""Engine: what the campaign loop asks of whatever makes programs.

In:    the results of earlier programs.
Out:   the next program.
Never: execution; the loop in between belongs to the caller.
Next:  zsfuzz/engine/random_engine.py, zsfuzz/engine/coverage_engine.py; the loop in zsfuzz/campaign/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from zsfuzz.execute.result import RunResult
from zsfuzz.program.program import Program


class Engine(Protocol):
    """A source of programs.

    Its constructor takes a random.Random that the caller seeded, and settings. The programs are a pure
    function of that seed, the settings, and the feedback in the order in which it came.
    """

    @property
    def name(self) -> str:
        """Return the word that --engine takes."""

    def next_program(self) -> Program:
        """Return the next program to run. Several may be out at a time."""

    def feedback(self, program: Program, result: RunResult) -> None:
        """Tell how a program went. program: the very object next_program() returned, or a foreign one."""

    def statistics(self) -> Mapping[str, int]:
        """Return counts for a summary, by name; the same for the same seed and feedback."""
