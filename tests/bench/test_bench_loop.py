"""The loop benchmark does the work it reports: tiny blocks, and planted ways of not doing it.

In:    bench/loop.py and bench/baseline.py with a few programs of a few steps.
Out:   nothing.
Never: an assertion about a time.
Next:  bench/tables.py, which prints the figures.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.baseline import AllocatorMachine, Session, baseline_settings, machine_class, run_baseline
from bench.loop import BASELINES, LoopSettings, Row, measure_loop, recount
from bench.tables import loop_data, loop_lines
from bench.weights import fitted_weights
from bench.work import Mix, WorkNotDone
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.execute.execution import Execution
from zsfuzz.execute.runner import Runner
from zsfuzz.program import ops
from zsfuzz.program.program import Header, Program
from zsfuzz.strategies.rules import Weights

TINY = LoopSettings(blocks=1, programs=3, examples=3, steps=24, cadence=8, core_least=0.0, most_distance=1.0)
"""A mix of a few dozen operations says nothing; tests/bench/test_bench_work.py has the check of mixes."""

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")


def test_every_row_has_its_blocks_mix_and_checks() -> None:
    figures = measure_loop(TINY)
    assert [row.name for row in figures.rows] == ["hypothesis", "hypothesis-swarm", "random", "coverage"]
    for row in figures.rows:
        assert len(row.blocks) == TINY.blocks
        assert row.mix.total == row.operations > 0
        assert row.checks["counters"] == row.operations
        assert row.checks["full"] > 0 < row.checks["drain"]
        assert row.rate > 0.0
    assert figures.ratio("hypothesis") == 1.0


def test_the_figures_can_be_printed_and_kept() -> None:
    figures = measure_loop(TINY)
    lines, data = loop_lines(figures), loop_data(figures)
    assert any(line.startswith("coverage") for line in lines)
    assert set(data) == {"settings", "baseline_weights", "rows", "ratios", "mix_distances", "wanted_ratio"}
    assert set(data["ratios"]) == {"random", "coverage"}
    assert set(data["ratios"]["random"]) == set(BASELINES)
    for row in data["rows"].values():
        assert sum(block["operations"] for block in row["blocks"]) == sum(row["mix"].values())


def test_every_operation_has_a_rule_and_every_rule_a_weight() -> None:
    """A rule for each kind, under as many names as its weight says."""
    weights = tuple((kind.__name__, 2 + number % 2) for number, kind in enumerate(ops.OPERATIONS))
    rules = machine_class(weights, own_names=True).setup_state().rules
    names = [rule.function.__name__ for rule in rules]
    assert names.count("malloc") == 2
    assert names.count("compact_zone") == dict(weights)["CompactZone"]
    assert len(names) == sum(weight for _, weight in weights)
    shared = machine_class(weights, own_names=False).setup_state().rules
    assert [rule.function.__name__ for rule in shared] == ["operation"] * len(names)


def test_the_weights_are_fitted_to_what_comes_out() -> None:
    """Free acts only half as often as it is asked for, Trim never does; Free ends up with twice its share."""
    wanted = Mix({"Malloc": 50, "Free": 50})

    def measure(weights: Weights) -> Mix:
        asked = dict(weights)
        return Mix({"Malloc": asked["Malloc"] * 2, "Free": asked["Free"]})

    weights = dict(fitted_weights(wanted, ("Malloc", "Free", "Trim"), measure))
    assert weights["Free"] == pytest.approx(2 * weights["Malloc"], rel=0.1)
    assert weights["Trim"] == 1


def test_hypothesis_is_not_held_back() -> None:
    chosen = baseline_settings(examples=7, steps=11)
    assert (chosen.max_examples, chosen.stateful_step_count) == (7, 11)
    assert chosen.deadline is None
    assert chosen.database is None
    assert [phase.name for phase in chosen.phases] == ["generate"]


def test_the_baseline_runs_under_the_headers_it_is_given() -> None:
    session = Session("reference", "candidate", cadence=8)
    header = Header("small", switches=("heap_above_memmap",))
    session.headers = (header,)
    run_baseline(session, 2, 12, random_seed=3)
    assert {program.header for program in session.programs} == {header}
    assert sum(len(program.steps) for program in session.programs) == session.effective.total() + session.no_ops


def counted_but_not_done(self: AllocatorMachine, operation: ops.Operation) -> None:
    self.steps.append(operation)
    self.session.effective[type(operation)] += 1


def done_but_not_compared(self: AllocatorMachine, operation: ops.Operation) -> None:
    self.steps.append(operation)
    if self.execution.perform(operation):
        self.session.effective[type(operation)] += 1
    else:
        self.session.no_ops += 1
    if self.execution.judge.parted:
        self.end()
        self.begin()


@pytest.mark.parametrize(
    ("planted", "claim"),
    [
        (counted_but_not_done, "operations counted"),
        (done_but_not_compared, "checks of 'full'"),
    ],
)
def test_a_baseline_that_does_less_is_refused(
    monkeypatch: pytest.MonkeyPatch, planted: Callable[..., None], claim: str
) -> None:
    monkeypatch.setattr(AllocatorMachine, "step", planted)
    with pytest.raises(WorkNotDone, match=claim):
        measure_loop(TINY)


def test_a_loop_whose_operations_are_not_completed_is_refused() -> None:
    """The loop stopped after two of four steps and said that it was done."""
    program = Program(Header("small"), tuple(ops.Malloc(slot, 700) for slot in range(4)))
    runner = Runner()
    short = runner.run(Program(program.header, program.steps[:2]))
    row = Row("random")
    with pytest.raises(WorkNotDone, match="random: 2 operations took effect, 4 when run again"):
        recount(row, [program], [short], runner)
    recount(row, [program], [runner.run(program)], runner)
    assert row.mix.counts == {"Malloc": 4}


def test_a_loop_without_the_full_comparison_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Execution, "check_everything", lambda _: None)
    with pytest.raises(WorkNotDone, match="without a full comparison"):
        measure_loop(TINY)


def test_a_finding_is_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """H05 is a planted bug of the candidate that any migration can show."""
    steps = [ops.Malloc(slot, 700) for slot in range(8)]
    moves = [ops.Migrate((ops.Component(slot, 0),), ops.MigrateMode.SYNC) for slot in range(8)]
    program = Program(Header("small"), (*steps, *moves, *(ops.Free(slot) for slot in range(8))))
    monkeypatch.setattr(RandomEngine, "next_program", lambda _: program)
    with pytest.raises(WorkNotDone, match="random: a finding stopped a run"):
        measure_loop(LoopSettings(blocks=1, programs=2, examples=2, steps=8, candidate="candidate-literal:H05"))
