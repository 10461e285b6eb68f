"""Costs: what one operation costs on each side, and where the time of a program goes.

In:    programs of the random engine.
Out:   CostFigures.
Never: a rate: the clock is read around every call, which costs too. Shares and magnitudes are the point.
Next:  rates in bench/loop.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from time import process_time
from typing import Any

from bench.work import must
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.execute.execution import Execution
from zsfuzz.execute.runner import machine_config
from zsfuzz.execute.side import Side
from zsfuzz.machine.machine import MachineConfig
from zsfuzz.program.program import Program
from zsfuzz.target.registry import resolve_pair

ACTIONS = (
    "malloc",
    "free",
    "map",
    "unmap",
    "write",
    "read",
    "isolate",
    "putback",
    "migrate",
    "pool_compact",
    "shrink_count",
    "shrink_scan",
    "stats",
    "run_work",
    "trim",
    "compact_zone",
    "contig",
    "offline",
    "online",
    "poison",
    "scan",
    "speculative_get",
    "speculative_put",
    "add_bystander",
    "drop_bystander",
    "create_pool",
    "destroy_pool",
)
"""Methods of zsfuzz/execute/side.py, in the order of the table."""

PARTS = ("generation", "restore", "steps", "full checks", "drain")


@dataclass(slots=True)
class Spent:
    """Calls and the seconds in them."""

    calls: int = 0
    seconds: float = 0.0

    @property
    def microseconds(self) -> float:
        """Return the mean of one call."""
        return self.seconds / self.calls * 1e6 if self.calls else 0.0


@dataclass(slots=True)
class CostFigures:
    """actions: per side, by action. parts: of a program's life. checks: of all programs, by sort."""

    programs: int = 0
    operations: int = 0
    actions: dict[str, dict[str, Spent]] = field(default_factory=dict)
    parts: dict[str, Spent] = field(default_factory=lambda: {part: Spent() for part in PARTS})
    checks: dict[str, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Return all parts together."""
        return sum(spent.seconds for spent in self.parts.values())


class _Watch:
    """Reads the clock around calls."""

    def __init__(self, figures: CostFigures) -> None:
        self.figures = figures

    def timed(self, spent: Spent, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that adds its time to `spent`."""

        def wrapper(*arguments: Any) -> Any:
            began = process_time()
            try:
                return call(*arguments)
            finally:
                spent.seconds += process_time() - began
                spent.calls += 1

        return wrapper

    def attach(self, side: Side) -> None:
        """Time every action of a side."""
        spent = self.figures.actions.setdefault(side.role, {action: Spent() for action in ACTIONS})
        for action in ACTIONS:
            setattr(side, action, self.timed(spent[action], getattr(side, action)))


class _Stand:
    """Pairs of timed sides, one for each machine that is asked for."""

    def __init__(self, reference: str, candidate: str, watch: _Watch) -> None:
        self._classes = resolve_pair(reference, candidate)
        self._watch = watch
        self._pairs: dict[MachineConfig, tuple[Side, Side]] = {}

    def pair(self, program: Program) -> tuple[Side, Side]:
        """Return the sides of a program, as its last user left them."""
        config = machine_config(program)
        if config not in self._pairs:
            reference, candidate = self._classes
            self._pairs[config] = (Side("reference", reference, config), Side("candidate", candidate, config))
            for side in self._pairs[config]:
                self._watch.attach(side)
        return self._pairs[config]


def measure_costs(
    programs: int,
    steps: int,
    cadence: int,
    seed: int,
    reference: str = "reference",
    candidate: str = "candidate",
) -> CostFigures:
    """Run programs with a clock around everything. Errors: WorkNotDone; whatever an oracle raises."""
    figures = CostFigures()
    watch = _Watch(figures)
    engine = RandomEngine(Random(seed), GenerateSettings(steps=steps))
    next_program = watch.timed(figures.parts["generation"], engine.next_program)
    stand = _Stand(reference, candidate, watch)
    for _ in range(programs):
        program = next_program()
        sides = stand.pair(program)
        restore = watch.timed(figures.parts["restore"], lambda pair=sides: [side.reset() for side in pair])
        restore()
        _run(program, sides, cadence, watch)
    must(figures.operations > 0, "costs: no effective operation")
    return figures


def _run(program: Program, sides: tuple[Side, Side], cadence: int, watch: _Watch) -> None:
    """The loop of zsfuzz/execute/execution.py, with its parts timed."""
    figures, parts = watch.figures, watch.figures.parts
    execution = Execution(program, sides, cadence, None)
    checks_before = parts["full checks"].seconds
    check = watch.timed(parts["full checks"], execution.check_everything)
    execution.check_everything = check  # type: ignore[method-assign]  # finish() calls it as well
    began = process_time()
    for index, step in enumerate(program.steps):
        if execution.perform(step) and (index + 1) % cadence == 0 and not execution.judge.parted:
            check()
        if execution.judge.parted:
            break
    drained_from, checks_between = process_time(), parts["full checks"].seconds
    execution.finish()
    ended, checks_after = process_time(), parts["full checks"].seconds
    parts["steps"].seconds += drained_from - began - (checks_between - checks_before)
    parts["drain"].seconds += ended - drained_from - (checks_after - checks_between)
    result = execution.result(())
    parts["steps"].calls += result.operations
    parts["drain"].calls += 1
    figures.programs += 1
    figures.operations += result.operations
    for name, count in result.checks.items():
        figures.checks[name] = figures.checks.get(name, 0) + count
