"""A fault of shared code is there for one run, and for nobody else; nothing of it stays.

In:    the shared faults of the catalogue, and stand-ins made here.
Out:   nothing.
Never: a search for programs.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from zsfuzz.errors import HarnessError
from zsfuzz.execute.runner import Runner
from zsfuzz.machine.core import lru, memory_failure, movable, move
from zsfuzz.program.text import parse_program
from zsfuzz.target.fault import Replacement
from zsfuzz.target.planting import Planting, owner_of
from zsfuzz.target.registry import faults, shared_planting

SHARED = [fault for fault in faults().values() if fault.replacements]
REFUSED = parse_program("zsfuzz 1\ngeometry small\n---\nh0 = malloc 4\np0 = isolate h0.0\nputback p0\n")


def _everything() -> dict[str, Any]:
    """Every name of the project that a replacement could change, with what it stands for."""
    found: dict[str, Any] = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in ("zsfuzz", "reference", "candidate"):
            found |= {f"{name}.{key}": value for key, value in vars(module).items()}
    for fault in SHARED:
        for each in fault.replacements:
            found[f"{each.owner}.{each.name}"] = vars(owner_of(each.owner))[each.name]
    return found


def _stand_in(original: Any) -> Any:
    def putback_lru_page(core: Any, page: int) -> None:
        original(core, page)

    return putback_lru_page


def test_every_importer_sees_the_stand_in_and_afterwards_the_original() -> None:
    """`from x import f` gives a module a name of its own."""
    original = lru.putback_lru_page
    planting = Planting([Replacement("zsfuzz.machine.core.lru", "putback_lru_page", _stand_in)])
    with planting:
        assert lru.putback_lru_page is not original
        assert vars(move)["putback_lru_page"] is vars(movable)["putback_lru_page"] is lru.putback_lru_page
    assert vars(move)["putback_lru_page"] is vars(movable)["putback_lru_page"] is lru.putback_lru_page is original


def test_two_stand_ins_of_one_function_lie_in_front_of_each_other() -> None:
    calls: list[str] = []

    def noting(word: str) -> Replacement:
        def make(original: Any) -> Any:
            def page_ref_inc(core: Any, page: int) -> None:
                calls.append(word)
                original(core, page)

            return page_ref_inc

        return Replacement("zsfuzz.machine.core.memory_failure", "page_ref_inc", make)

    class Counting:
        class m:
            @staticmethod
            def atomic_add32(address: int, value: int) -> None:
                calls.append("original")

    with Planting([noting("first"), noting("second")]):
        memory_failure.page_ref_inc(Counting, 0)  # type: ignore[arg-type]
    assert calls == ["second", "first", "original"]


def test_an_exception_takes_the_stand_in_out() -> None:
    before = _everything()
    with pytest.raises(ZeroDivisionError), Planting([Replacement(_HOME, "putback_lru_page", _stand_in)]):
        raise ZeroDivisionError
    assert _everything() == before


def test_two_plantings_of_one_function_do_not_mix() -> None:
    one, other = (Planting([Replacement(_HOME, "putback_lru_page", _stand_in)]) for _ in range(2))
    with one, pytest.raises(HarnessError, match="replaced by somebody else"), other:
        pass
    assert lru.putback_lru_page.__module__ == _HOME


_HOME = "zsfuzz.machine.core.lru"


@pytest.mark.parametrize("fault", SHARED, ids=lambda fault: fault.id)
def test_nothing_of_a_shared_fault_is_left_after_a_run(fault: Any) -> None:
    sound = Runner()
    clean = sound.run(REFUSED)
    before = _everything()
    runner = Runner(faults=(fault.id,))
    assert _everything() == before, "a runner plants nothing before it runs"
    runner.run(REFUSED)
    assert _everything() == before
    assert sound.run(REFUSED) == clean and not clean.findings


def test_runners_take_turns_without_seeing_each_other() -> None:
    faulty, sound = Runner(faults=("S-putback-flag",)), Runner()
    for _ in range(2):
        assert faulty.run(REFUSED).findings
        assert not sound.run(REFUSED).findings


def test_every_shared_fault_names_something_that_is_there() -> None:
    for fault in SHARED:
        planting = shared_planting([fault.id])
        assert planting is not None
        assert planting.names, fault.id
        for each in fault.replacements:
            importlib.import_module(each.owner.partition(":")[0])


def test_faults_of_one_model_need_no_planting() -> None:
    assert shared_planting(["A01", "H05", "B-zone"]) is None
