"""Records and their sums; suspects and what becomes of them.

In:    plain values.
Out:   nothing.
Never: a process, a file.
Next:  zsfuzz/campaign/workers/record.py, zsfuzz/campaign/workers/totals.py, zsfuzz/campaign/workers/suspects.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace

from zsfuzz.campaign.tally import Tally
from zsfuzz.campaign.workers.record import NOTHING, Record
from zsfuzz.campaign.workers.runnable import name_of, seal, unseal
from zsfuzz.campaign.workers.suspects import DEATHS_ALLOWED, Cause, Suspects
from zsfuzz.campaign.workers.totals import totals_of
from zsfuzz.campaign.workers.worker import seed_of
from zsfuzz.program.block import Block, Chance
from zsfuzz.program.ops import Free, Malloc
from zsfuzz.program.program import Header, Program


def tally(scale: int) -> Tally:
    """Return a tally with something in every field there is."""
    made = Tally()
    for position, field in enumerate(fields(Tally), 1):
        number = position * scale
        old = getattr(made, field.name)
        setattr(made, field.name, Counter({"a": number, f"b{scale}": 1}) if isinstance(old, Counter) else number)
    return made


def test_a_record_comes_back_as_it_was() -> None:
    record = Record(tally(3), {"abc": 2}, {"entries": 4}, b"\x00program", ("one", "two"), "", "boom", "x.zst", "n", "m")
    assert Record.unpack(record.pack()) == record
    assert Record.unpack(NOTHING.pack()) == NOTHING


def test_every_field_of_a_tally_is_summed() -> None:
    both = tally(1)
    both.merge(tally(10))
    for position, field in enumerate(fields(Tally), 1):
        value = getattr(both, field.name)
        wanted = {"a": 11 * position, "b1": 1, "b10": 1} if isinstance(value, Counter) else 11 * position
        assert value == wanted, field.name


def test_a_tally_of_an_older_version_lacks_fields() -> None:
    assert Tally.from_plain({"programs": 4}) == Tally(programs=4)


def test_totals_are_sums_over_all_incarnations() -> None:
    records = [
        (1, Record(tally(1), {"f": 1}, {"entries": 5, "mutated": 2})),
        (2, Record(tally(1), {"g": 1, "f": 2}, {"entries": 9, "mutated": 3})),
        (1, Record(tally(1), {}, {"entries": 7, "mutated": 4})),
    ]
    totals = totals_of(records, {1: 11, 2: 12})
    assert totals.tally.programs == 3 * tally(1).programs
    assert totals.hits == {"f": 3, "g": 1}
    assert totals.engine == {"entries": 9, "mutated": 9}
    figures = [worker.as_json() for worker in totals.workers.values()]
    assert [(each["worker"], each["seed"], each["starts"]) for each in figures] == [(1, 11, 2), (2, 12, 1)]
    assert sum(each["programs"] for each in figures) == totals.tally.programs


def test_seeds_differ_by_worker_by_start_and_by_the_campaigns_seed() -> None:
    seeds = {seed_of(seed, number, start) for seed in (1, 2) for number in (1, 2) for start in (1, 2)}
    assert len(seeds) == 8
    assert seed_of(7, 2, 1) == 18404412959970863745


def test_a_program_that_survives_its_second_run_is_cleared() -> None:
    suspects = Suspects()
    assert not suspects.died("p", b"p", Cause.CRASH)
    assert suspects.hand_out() == {"p": b"p"}
    suspects.came_back(["p"], ["p"])
    assert not suspects.died("p", b"p", Cause.CRASH)


def test_a_program_that_kills_again_is_quarantined_once() -> None:
    suspects = Suspects()
    for cause in Cause:
        for _ in range(DEATHS_ALLOWED[cause]):
            assert not suspects.died(cause.name, b"", cause)
            suspects.came_back(suspects.hand_out(), [])
        assert suspects.died(cause.name, b"", cause)
        assert suspects.waiting == 0


def test_two_workers_that_die_of_one_program_are_two_deaths() -> None:
    suspects = Suspects()
    assert not suspects.died("p", b"", Cause.HANG)
    assert suspects.died("p", b"", Cause.HANG)


def test_what_a_dead_worker_did_not_get_to_waits_again() -> None:
    suspects = Suspects()
    for name in ("p", "q", "r"):
        suspects.died(name, name.encode(), Cause.KILLED)
    handed = suspects.hand_out()
    suspects.came_back(handed, ["p"])
    suspects.died("q", b"q", Cause.KILLED)
    assert suspects.hand_out() == {"q": b"q", "r": b"r"}


def test_a_program_that_is_run_again_after_everything_was_killed_is_not_blamed() -> None:
    suspects = Suspects()
    for _ in range(5):
        suspects.again("p", b"p")
    assert not suspects.died("p", b"p", Cause.CRASH)


def test_a_program_is_sealed_with_the_chance_that_makes_its_schedule() -> None:
    """Its file would hold the schedule; before it ran there is none."""
    block = Block(((Free(0),), (Free(1),)), chance=Chance("pct", 7, (3, 4), 0))
    program = Program(Header(), (Malloc(0, 32), Malloc(1, 64)), block)
    assert unseal(seal(program)) == program
    plain = replace(program, block=replace(block, chance=None))
    assert unseal(seal(plain)) == plain
    assert name_of(seal(plain)) != name_of(seal(program))
