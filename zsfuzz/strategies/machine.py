"""A Hypothesis state machine over any pair of targets, for users' own tests.

In:    the names of two targets.
Out:   state_machine(): a class whose TestCase pytest runs.
Never: a comparison of its own: perform(), check_everything() and finish() of zsfuzz/execute/execution.py are what
       the fuzz loop runs.
Next:  the rules in zsfuzz/strategies/rules.py; the same under `zsfuzz run`: zsfuzz/strategies/hypothesis_engine.py.

    TestMyAllocator = state_machine(candidate="mymodule:MyAllocator").TestCase
"""

from __future__ import annotations

from collections.abc import Sequence

from zsfuzz.engine.vocabulary import SLOTS
from zsfuzz.execute.execution import Execution
from zsfuzz.execute.runner import machine_config
from zsfuzz.execute.side import Side
from zsfuzz.machine.machine import MachineConfig
from zsfuzz.program import ops
from zsfuzz.program.program import Header, Program
from zsfuzz.strategies.rules import Rules, usual_weights, with_rules
from zsfuzz.strategies.world import LiveWorld
from zsfuzz.target.registry import resolve_pair

_NO_STEPS = (ops.Malloc(SLOTS - 1, 1),)  # of a program that asks for the heap of all slots


class Pairs:
    """The machines of one pair of targets, made once for each header."""

    def __init__(self, reference: str, candidate: str, faults: tuple[str, ...] = ()) -> None:
        """Errors: UsageError for an unknown target or fault."""
        self._classes = resolve_pair(reference, candidate, faults)
        self._pairs: dict[MachineConfig, tuple[Side, Side]] = {}

    def get(self, header: Header) -> tuple[Side, Side]:
        """Return two sides in the state after boot."""
        config = machine_config(Program(header, _NO_STEPS))
        pair = self._pairs.get(config)
        if pair is None:
            reference, candidate = self._classes
            pair = (Side("reference", reference, config), Side("candidate", candidate, config))
            self._pairs[config] = pair
        for side in pair:
            side.reset()
        return pair


class PairMachine(Rules):
    """Performs each rule's operation on both targets at once. What an oracle says is raised.

    A program that parts (an expected difference lets the designs go on differently) is finished there, and another one
    begins: no rule is lost.
    """

    pairs: Pairs
    headers: Sequence[Header]
    cadence: int

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[ops.Operation] = []
        self._booted = False

    def choose_header(self, number: int) -> Header:
        """Choose a header and put its two machines into the state after boot."""
        self.header = self.headers[number % len(self.headers)]
        self.begin()
        return self.header

    def begin(self) -> None:
        """Begin a program."""
        self.steps = []
        self.execution = Execution(Program(self.header, ()), self.pairs.get(self.header), self.cadence, None)
        self.world = LiveWorld(self.execution)
        self._booted = True

    def end(self) -> None:
        """Compare everything, give everything back, compare what is left."""
        self._booted = False
        self.execution.finish()

    def teardown(self) -> None:
        """End the program, if one was begun."""
        if self._booted:
            self.end()

    def step(self, operation: ops.Operation) -> None:
        """Perform one operation with its checks, as the fuzz loop does."""
        execution = self.execution
        self.steps.append(operation)
        try:
            effective = execution.perform(operation)
            self.performed(operation, effective)
            if effective and len(self.steps) % self.cadence == 0 and not execution.judge.parted:
                execution.check_everything()
        except BaseException:
            self._booted = False  # nothing can be given back in a broken state
            raise
        if execution.judge.parted:
            self.end()
            self.begin()

    def performed(self, operation: ops.Operation, effective: bool) -> None:
        """For whoever wants to count."""


def state_machine(
    reference: str = "reference",
    candidate: str = "candidate",
    *,
    faults: tuple[str, ...] = (),
    cadence: int = 16,
    headers: Sequence[Header] = (Header("small"), Header()),
) -> type[PairMachine]:
    """Return a state machine over a pair of targets.

    cadence: everything is compared after so many steps, and at the end. headers: each example draws one.
    Errors: UsageError for an unknown target or fault.
    """
    members = {"pairs": Pairs(reference, candidate, faults), "headers": tuple(headers), "cadence": cadence}
    base: type[PairMachine] = type("PairMachine", (PairMachine,), members)
    return with_rules(base, usual_weights())
