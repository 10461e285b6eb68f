"""The engine `hypothesis`: Hypothesis' state machine, asked for one program after the other.

In:    a seeded random.Random, settings, the results of runs.
Out:   HypothesisEngine, an Engine of zsfuzz/engine/base.py.
Never: a thread, a database, a clock of ours. Hypothesis gives up shrinking after five minutes by its own clock; in
       shorter shrinks the programs are a function of the seed and of Hypothesis' version.
Next:  how a driver is asked: zsfuzz/engine/pulled.py; the rules: zsfuzz/strategies/rules.py.

    round:   EXAMPLES examples, each a program of up to settings.steps rules, written down in a planned world
             finding? raise it: Hypothesis shrinks, each attempt is a program like any other
             end: its signature is known now, and raises no more
    round:   ...

So the run goes on after a finding, and each new signature is shrunk once; the campaign keeps the shortest program that
it saw of each. Novelty, the share of features that few programs reached, goes to target().
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings, target
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from zsfuzz.engine.deck import Deck
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.pulled import Ask, Pulled
from zsfuzz.engine.rng import Dice
from zsfuzz.execute.result import RunResult
from zsfuzz.program.program import Header, Program
from zsfuzz.strategies.rules import Rules, usual_weights, with_rules
from zsfuzz.strategies.world import PlannedWorld

EXAMPLES = 200
"""Of a round. Headers are dealt for a round; target() is at work in its second half."""

_SEEDS = 1 << 32


class FindingSeen(Exception):
    """A program gave a finding that is not known yet. There is one subclass for each signature, since Hypothesis
    takes two exceptions of one class from one line for one failure.
    """


class _ProgramMachine(Rules):
    """One example: rules write a program down, its end runs it."""

    engine: HypothesisEngine
    world: PlannedWorld

    def choose_header(self, number: int) -> Header:
        headers = self.engine.headers
        header = headers[number % len(headers)]
        self.world = PlannedWorld(header)
        return header

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.engine.run_program(Program(self.world.header, tuple(self.world.steps)))


class HypothesisEngine:
    """Generates and shrinks as Hypothesis does."""

    name = "hypothesis"

    def __init__(self, rng: Random, generate: GenerateSettings | None = None) -> None:
        self._dice = Dice(rng)
        self._generate = generate or GenerateSettings()
        self._deck = Deck(self._dice, self._generate)
        self.headers: tuple[Header, ...] = self._deck.headers
        machine: type[_ProgramMachine] = type("_ProgramMachine", (_ProgramMachine,), {"engine": self})
        self._machine = with_rules(machine, usual_weights())
        self._known: dict[str, None] = {}
        self._hits: dict[int, int] = {}
        self._counts = {"rounds": 0, "examples": 0, "shrunk": 0}
        self._ask: Ask | None = None
        self._failed: dict[str, None] = {}
        self._pulled = Pulled(self._drive)

    # -- an Engine

    def next_program(self) -> Program:
        """Return the next program that Hypothesis wants to see run."""
        return self._pulled.next_program()

    def feedback(self, program: Program, result: RunResult) -> None:
        """Tell Hypothesis how a program went; a foreign one means nothing to it."""
        self._pulled.feedback(program, result)

    def statistics(self) -> Mapping[str, int]:
        """Return counts: rounds, examples, signatures that were shrunk, features seen."""
        return {**self._counts, "features": len(self._hits)}

    # -- the driver

    def _drive(self, ask: Ask) -> None:
        self._ask = ask
        while True:
            self.headers = tuple([self._deck.deal() for _ in range(4)])
            self._counts["rounds"] += 1
            try:
                self._round(self._dice.below(_SEEDS))
            except (FindingSeen, Flaky, BaseExceptionGroup) as error:
                _must_be_findings(error)
                self._counts["shrunk"] += len(self._failed)
                self._known.update(self._failed)
                self._failed = {}

    def _round(self, random_seed: int) -> None:
        @seed(random_seed)
        def factory() -> Rules:
            return self._machine()

        run_state_machine_as_test(
            factory,  # type: ignore[arg-type]  # any callable that returns a machine, says its documentation
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=self._generate.steps,
                deadline=None,
                database=None,
                derandomize=False,
                verbosity=Verbosity.quiet,
                phases=(Phase.generate, Phase.target, Phase.shrink),
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            ),
        )

    def run_program(self, program: Program) -> None:
        """Have a program run. Errors: FindingSeen for a signature that was not shrunk yet."""
        assert self._ask is not None
        self._counts["examples"] += 1
        result = self._ask(program)
        target(self._novelty(result), label="novelty")
        for finding in result.findings:
            signature = finding.signature
            if signature not in self._known:
                self._failed[signature] = None
                raise _class_for(signature)(signature)

    def _novelty(self, result: RunResult) -> float:
        """Return the sum over the features of one over the programs that reached them, this one included."""
        novelty = 0.0
        for feature in result.features:
            count = self._hits[feature] = self._hits.get(feature, 0) + 1
            novelty += 1.0 / count
        return novelty


_CLASSES: dict[str, type[FindingSeen]] = {}


def _class_for(signature: str) -> type[FindingSeen]:
    if signature not in _CLASSES:
        _CLASSES[signature] = type("FindingSeen", (FindingSeen,), {})
    return _CLASSES[signature]


def _must_be_findings(error: BaseException) -> None:
    """Raise what is no finding: a fault of ours, or a request to stop."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            _must_be_findings(each)
    elif not isinstance(error, FindingSeen | Flaky):
        raise error
