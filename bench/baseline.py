"""The baseline: Hypothesis drives the same two targets through the same executor.

In:    headers to choose from, the cadence of the full comparison.
Out:   AllocatorMachine, run by run_baseline(); what it did in a Session.
Never: rules or a comparison of its own: both are the state machine's that users have
       (zsfuzz/strategies/machine.py), at the same cadence in steps as the fuzz loop's.
Next:  the weights of the rules in bench/weights.py; who measures: bench/loop.py.

It is given every advantage a user could give it: slots are drawn among those that are live, rules that make
no sense have preconditions, a machine is put back instead of being made, nothing is printed, saved, shrunk or
held against a deadline.

    one example = one program:   boot (a header) | rule, rule, ... | teardown: finish()

A program that parts (an expected difference lets the designs go on differently) ends there in the fuzz loop;
here the example goes on with a new one, so that no step is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import count

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from bench.weights import fitted_weights
from bench.work import Mix, mix_of
from zsfuzz.execute.execution import Execution
from zsfuzz.program import ops
from zsfuzz.program.program import Header, Program
from zsfuzz.strategies.machine import PairMachine, Pairs
from zsfuzz.strategies.rules import KINDS, Weights, with_rules


class Session:
    """What all examples of a block share: the pairs of machines, and the count of what was done."""

    def __init__(self, reference: str, candidate: str, cadence: int, *, own_names: bool = False) -> None:
        """own_names: see with_rules() of zsfuzz/strategies/rules.py."""
        self.cadence = cadence
        self.own_names = own_names
        self.weights: Weights = tuple((kind, 1) for kind in KINDS)
        self.headers: tuple[Header, ...] = (Header(),)
        self.pairs = Pairs(reference, candidate)
        self.clear()

    def clear(self) -> None:
        """Begin a new block."""
        self.programs: list[Program] = []
        self.effective: Counter[type[ops.Operation]] = Counter()
        self.checks: Counter[str] = Counter()
        self.no_ops = 0

    def fit(self, wanted: Mix, headers: Sequence[Header], examples: int, steps: int, random_seed: int) -> None:
        """Set the headers that examples draw from, and weigh the rules so that the mix comes near the wanted one."""
        self.headers = tuple(headers)
        seeds = count(random_seed)

        def measure(weights: Weights) -> Mix:
            self.weights = weights
            self.clear()
            run_baseline(self, examples, steps, next(seeds))
            return mix_of(self.effective)

        self.weights = fitted_weights(wanted, KINDS, measure)
        self.clear()

    def take_over(self, other: Session) -> None:
        """Use the headers and weights that were fitted for another session."""
        self.headers, self.weights = other.headers, other.weights

    def ended(self, header: Header, steps: list[ops.Operation], execution: Execution) -> None:
        """Take in a program that was finished."""
        self.programs.append(Program(header, tuple(steps)))
        self.checks.update(execution.result(()).checks)


def run_baseline(session: Session, examples: int, steps: int, random_seed: int) -> None:
    """Run one block. Errors: whatever an oracle raises."""
    machine = machine_class(session.weights, session.own_names)
    factory: Callable[[], AllocatorMachine] = seed(random_seed)(lambda: machine(session))
    run_state_machine_as_test(
        factory,  # type: ignore[arg-type]  # any callable that returns a machine, says its documentation
        settings=baseline_settings(examples, steps),
    )


def baseline_settings(examples: int, steps: int) -> settings:
    """Return Hypothesis' settings: generation, and nothing that costs time beside it."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )


class AllocatorMachine(PairMachine):
    """The state machine, counted."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.pairs, self.headers, self.cadence = session.pairs, session.headers, session.cadence

    def performed(self, operation: ops.Operation, effective: bool) -> None:
        """Count one step."""
        if effective:
            self.session.effective[type(operation)] += 1
        else:
            self.session.no_ops += 1

    def end(self) -> None:
        """Take in a program that ends."""
        super().end()
        self.session.ended(self.header, self.steps, self.execution)


@cache
def machine_class(weights: Weights, own_names: bool) -> type[AllocatorMachine]:
    """Return the state machine with its rules, each under as many names as its weight says."""
    return with_rules(AllocatorMachine, weights, own_names=own_names)
