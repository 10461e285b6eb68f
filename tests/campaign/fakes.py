"""Stand-ins for tests: a runner whose findings the test decides, an engine with a list, a clock that ticks.

In:    rules of a test.
Out:   FakeRunner, FakeEngine, Ticks, and small programs.
Never: a machine.
Next:  tests/campaign/, tests/cli/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from zsfuzz.execute.result import Observer, PageRow, RunResult
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.ops import Free, Malloc, Operation, Stats
from zsfuzz.program.program import Header, Program


def finding_at(step: int, rule: str = "I6") -> Finding:
    """Return a finding that differs from others by its rule."""
    return Finding("invariant", rule, ("zs_free", "obj_free"), "inuse", "candidate", step, f"{rule} is broken")


def sizes(*values: int) -> Program:
    """Return a program that allocates these sizes, slot by slot."""
    return Program(Header(), tuple(Malloc(slot, size) for slot, size in enumerate(values)))


def big_is_bad(program: Program) -> Finding | None:
    """Rule: the first malloc of more than 4000 bytes is an I6, of exactly 13 bytes an I7."""
    for index, step in enumerate(program.steps):
        if isinstance(step, Malloc) and step.size > 4000:
            return finding_at(index)
        if isinstance(step, Malloc) and step.size == 13:
            return finding_at(index, "I7")
    return None


class FakeRunner:
    """Gives what a rule says. Every step but Stats is effective. calls: (program, cadence) of each run."""

    def __init__(self, rule: Callable[[Program], Finding | None] = big_is_bad) -> None:
        self.rule = rule
        self.calls: list[tuple[Program, int | None]] = []

    def run(self, program: Program, *, cadence: int | None = None, observer: Observer | None = None) -> RunResult:
        self.calls.append((program, cadence))
        finding = self.rule(program)
        last = len(program.steps) if finding is None else finding.step + 1
        steps = program.steps[:last]
        effective = sum(not isinstance(step, Stats) for step in steps)
        if observer is not None:
            _observe(observer, steps, finding)
        return RunResult(
            findings=() if finding is None else (finding,),
            operations=effective,
            no_ops=len(steps) - effective,
            features=(len(steps),),
            expected={"E1": 1} if any(isinstance(step, Free) for step in steps) else {},
            checks={"full": len(steps)},
        )


def _observe(observer: Observer, steps: tuple[Operation, ...], finding: Finding | None) -> None:
    for index, step in enumerate(steps):
        broken = finding is not None and finding.step == index
        observer.step(index, step, "ok", "broken" if broken else "ok", not isinstance(step, Stats))
    row = PageRow(0, "NORMAL", "zspage 3264#1", 0, False, False, 1)
    observer.pages(len(steps) - 1, [row], [row])


class FakeEngine:
    """Hands out programs of a list, over and over. told: what came back."""

    name = "fake"

    def __init__(self, programs: Iterable[Program]) -> None:
        self._programs = list(programs)
        self.told: list[tuple[Program, RunResult]] = []
        self._next = 0

    def next_program(self) -> Program:
        program = self._programs[self._next % len(self._programs)]
        self._next += 1
        return program

    def feedback(self, program: Program, result: RunResult) -> None:
        self.told.append((program, result))

    def statistics(self) -> Mapping[str, int]:
        return {"generated": self._next}


class Ticks:
    """A clock that goes on by one step whenever it is read."""

    def __init__(self, step: float = 0.01) -> None:
        self._now = 100.0
        self._step = step

    def __call__(self) -> float:
        self._now += self._step
        return self._now
