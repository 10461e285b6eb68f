"""Which faults are canaries, and which one is a day's.

In:    tries whose outcome the test decides; the committed list.
Out:   nothing.
Never: a clock.
Next:  bench/canary.py, bench/canaries.json, the target `smoke` of the Makefile.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from bench.canary import CANARIES, FOUND_SHARE, SECONDS, choose, document_of, main, measure, table_of, try_fault
from tests.quality.planted import SEQUENTIAL
from zsfuzz.target.registry import faults

LIST = json.loads(CANARIES.read_text(encoding="utf-8"))


def tries(missed: tuple[int, ...] = (), seconds: float = 0.01) -> Callable[[int], tuple[bool, float]]:
    """A try that misses at these seeds."""
    return lambda seed: (seed not in missed, seconds)


def test_a_fault_that_is_missed_once_in_a_hundred_tries_is_a_canary() -> None:
    tried = measure("f", 100, tries((50,)))
    assert (tried.verdict, tried.found, tried.tries) == ("canary", 99, 100)


def test_a_fault_that_is_missed_twice_is_given_up_at_once() -> None:
    tried = measure("f", 100, tries((3, 7)))
    assert (tried.verdict, tried.found, tried.tries) == ("missed", 5, 7)


def test_a_fault_that_takes_long_is_given_up_soon() -> None:
    assert measure("f", 100, tries(seconds=2.0)).tries == 5
    assert measure("f", 100, tries(seconds=0.2)).verdict == "slow"
    assert measure("f", 100, tries(seconds=0.1)).verdict == "canary"


def test_a_real_fault_is_tried_on_the_engine() -> None:
    found, seconds = try_fault("H05")(1)
    assert found
    assert 0 < seconds < SECONDS


def test_the_committed_list_holds_faults_that_exist_and_were_measured() -> None:
    assert set(LIST["canaries"]) <= set(faults()) & {fault.id for fault in SEQUENTIAL}
    assert len(LIST["canaries"]) >= 20
    for fault in LIST["canaries"]:
        entry = LIST["faults"][fault]
        assert entry["tries"] == LIST["tries"] == 100
        assert entry["found"] >= FOUND_SHARE * 100
        assert entry["most_seconds"] <= SECONDS


def test_every_canary_has_its_turn_before_the_first_comes_again() -> None:
    count = len(LIST["canaries"])
    days = [date(2026, 2, 27) + timedelta(days=number) for number in range(count)]
    assert sorted(choose(day, LIST) for day in days) == sorted(LIST["canaries"])
    assert choose(days[0], LIST) == choose(days[0] + timedelta(days=count), LIST)


def test_the_command_prints_the_fault_of_a_day_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--date", "2026-02-28"]) == 0
    assert capsys.readouterr().out == choose(date(2026, 2, 28), LIST) + "\n"


def test_a_list_without_a_canary_is_no_list(tmp_path: Path) -> None:
    done = [measure("f", 100, tries((1, 2)))]
    with pytest.raises(ValueError, match="measure again"):
        choose(date(2026, 2, 28), document_of(done, 100))
    assert "0 canaries of 1 faults" in table_of(done)[-1]
