"""A run that goes on from a checkpoint gives the result of a full run, whatever it went through before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from tests.execute.programs import program
from zsfuzz.engine.deck import Deck
from zsfuzz.engine.mutate import Mutator
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.engine.rng import Dice
from zsfuzz.execute.execution import Execution
from zsfuzz.execute.prefixes import KEPT, LEAST, Prefixes, common_length
from zsfuzz.execute.runner import Runner
from zsfuzz.program import ops
from zsfuzz.program.program import Header, Program

LONG = "\n".join(f"h{slot} = malloc 2000" for slot in range(LEAST))


def families(seed: int, count: int, ends: int) -> Iterator[Program]:
    """Programs that begin alike and end differently, one family after the other."""
    engine, dice = RandomEngine(Random(seed)), Dice(Random(seed))
    settings = GenerateSettings()
    mutator = Mutator(dice, Deck(dice, settings), settings.max_steps)
    for _ in range(count):
        parent = engine.next_program()
        cut = dice.between(len(parent.steps) // 3, len(parent.steps) - 1)
        for _ in range(ends):
            other = mutator.mutate(parent, engine.next_program())
            yield replace(parent, steps=parent.steps[:cut] + other.steps[cut:])


@pytest.mark.parametrize(("faults", "seed"), [((), 1), ((), 2), (("A04",), 3), (("C-straddle",), 4)])
def test_a_resumed_run_gives_the_result_of_a_full_run(faults: tuple[str, ...], seed: int) -> None:
    resuming, full = Runner(faults=faults), Runner(faults=faults, resumes=False)
    ended = 0
    for each in families(seed, 6, 8):
        result = full.run(each)
        assert resuming.run(each) == result
        ended += bool(result.findings)
    assert resuming.steps_resumed > 400
    assert full.steps_resumed == 0
    assert bool(ended) == bool(faults)


def test_a_checkpoint_holds_what_the_program_holds() -> None:
    """Objects with bytes, an isolated page, a reference, a bystander, a pool, an armed failure, queued work."""
    start = program(
        f"""create_pool z1
        {LONG}
        write h1 0+2000 7
        h20 = malloc 900 z1
        b0 = bystander compound 2
        p0 = isolate h1.0
        p1 = isolate h20.0
        free h20
        putback p1
        fail malloc page 0"""
    )
    ends = (
        "h30 = malloc 3000",
        "read h1 0+2000",
        "drop b0",
        "run_work",
        "putback p0",
        "r0 = get h2.0",
        "destroy_pool z1",
    )
    resuming, full = Runner(), Runner(resumes=False)
    for text in (*ends, *ends):
        end = program(text).steps if "get" not in text else (ops.SpeculativeGet(0, ops.Component(2, 0)),)
        whole = replace(start, steps=start.steps + end)
        assert resuming.run(whole) == full.run(whole)
    assert resuming.steps_resumed == (2 * len(ends) - 2) * len(start.steps)


def test_nothing_is_kept_while_a_mapping_is_held() -> None:
    start = program(f"{LONG}\nmap h1 rw")
    runner = Runner()
    for slot in range(5):
        assert runner.run(replace(start, steps=(*start.steps, ops.Write(1, slot, 1, 1)))).findings == ()
    assert runner.steps_resumed == 0


def test_a_lost_word_of_a_checkpoint_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above is no formality: leave the object bytes out, and a read says so."""
    start = program(f"{LONG}\nwrite h1 0+2000 7")
    whole = [replace(start, steps=(*start.steps, ops.Read(1, 0, size))) for size in (10, 20, 2000)]
    resume = Execution.resume

    def forgetful(self: Execution, checkpoint: object) -> None:
        resume(self, checkpoint)  # type: ignore[arg-type]
        self.reference.machine.memory.arena[: self.reference.machine.memory.frame_bytes] = bytes(
            self.reference.machine.memory.frame_bytes
        )

    monkeypatch.setattr(Execution, "resume", forgetful)
    runner = Runner()
    assert [bool(runner.run(each).findings) for each in whole] == [False, False, True]


def test_an_observer_sees_every_step() -> None:
    class Seen:
        def __init__(self) -> None:
            self.steps: list[int] = []

        def step(self, index: int, *_: object) -> None:
            self.steps.append(index)

        def pages(self, *_: object) -> None:
            pass

    start = program(LONG)
    runner = Runner()
    for size in range(1, 4):
        seen = Seen()
        whole = replace(start, steps=(*start.steps, ops.Malloc(40, size)))
        runner.run(whole)
        runner.run(whole, observer=seen)
        assert seen.steps == list(range(LEAST + 1))


def test_the_deepest_checkpoint_is_taken_and_the_idlest_goes() -> None:
    runner, prefixes = Runner(), Prefixes()
    steps = tuple(ops.Malloc(slot, 100) for slot in range(60))
    sides = runner._sides(runner._key(Program(Header(), steps)))

    def keep(count: int) -> None:
        for side in sides:
            side.reset()
        execution = Execution(Program(Header(), steps), sides, 64, None)
        execution.keep_at(count)
        execution.run()
        prefixes.add(execution.kept)

    for count in (10, 40, 20):
        keep(count)
    deepest = prefixes.find(steps)
    assert deepest is not None and len(deepest.steps) == 40
    assert prefixes.find(steps[:30]) is not None
    assert prefixes.find((ops.Trim(), *steps)) is None
    for count in range(50, 50 + KEPT - 1):
        keep(count)
    assert prefixes.find(steps[:39]) is not None, "it was used last"
    assert prefixes.find(steps[:15]) is None, "it was not"


def test_a_place_is_where_two_programs_part_if_that_saves_enough() -> None:
    prefixes = Prefixes()
    steps = tuple(ops.Malloc(slot, 100) for slot in range(2 * LEAST))
    assert prefixes.place(steps, None) == -1
    assert prefixes.place((*steps[:LEAST], ops.Trim()), None) == LEAST
    assert prefixes.place((*steps[: LEAST - 1], ops.Trim()), None) == -1
    assert common_length(steps, tuple(ops.Malloc(slot, 100) for slot in range(5))) == 5
