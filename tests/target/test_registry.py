"""Targets and faults are found by the names that users type; what does not exist is explained in one line."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from zsfuzz.errors import UsageError
from zsfuzz.target.fault import Fault, plant
from zsfuzz.target.protocol import Target
from zsfuzz.target.registry import fault_ids, faults, resolve, resolve_pair, target_names


def test_the_built_in_targets_have_their_own_names() -> None:
    assert set(target_names()) == {"reference", "candidate", "candidate-literal"}
    for name in target_names():
        assert resolve(name).name == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "unknown target"),
        ("refrence", "unknown target"),
        ("kernel:5.10", "a kernel does not speak the target protocol"),
        ("no_such_module:Thing", "cannot import 'no_such_module'"),
        ("zsfuzz.errors:Nothing", "has no 'Nothing'"),
        ("zsfuzz.errors:UsageError", "no subclass of zsfuzz.target.protocol.Target"),
        ("zsfuzz.target.protocol:Target", "does not define"),
        ("candidate-literal:H99", "unknown fault"),
        ("candidate-literal:A01", "is a fault of reference"),
    ],
)
def test_a_target_that_does_not_exist_is_one_line(name: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(name)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_a_module_that_fails_on_import_is_the_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "falls_over.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        resolve("falls_over:Thing")


def test_a_target_of_another_protocol_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("future_target")
    module.Future = type("Future", (resolve("reference"),), {"protocol_version": 2})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "future_target", module)
    with pytest.raises(UsageError, match="speaks protocol 2"):
        resolve("future_target:Future")


def test_one_hazard_alone_is_the_candidate_with_that_fault() -> None:
    alone, base = resolve("candidate-literal:H05"), resolve("candidate")
    assert issubclass(alone, base) and alone is not base
    assert resolve_pair("reference", "candidate", ["H05"])[1].__mro__[2:] == alone.__mro__[2:]


def test_a_fault_goes_to_the_side_that_has_its_model() -> None:
    first_reference_fault = next(fault.id for fault in faults().values() if fault.target == "reference")
    reference, candidate = resolve_pair("reference", "candidate", [first_reference_fault])
    assert reference is not resolve("reference") and candidate is resolve("candidate")
    with pytest.raises(UsageError, match="neither side"):
        resolve_pair("candidate", "candidate", [first_reference_fault])


def test_every_fault_says_what_it_is_and_overrides_something() -> None:
    assert len(fault_ids()) == len(set(fault_ids()))
    for fault in faults().values():
        assert fault.mechanism.strip() and fault.origin and fault.oracle, fault.id
        assert fault.override or fault.rules_override or fault.replacements or fault.members, fault.id
        assert fault.shared == bool(fault.replacements or fault.members), fault.id


def test_an_override_lies_in_front_of_the_model() -> None:
    class Wrong:
        def zs_huge_class_size(self, pool: int) -> int:
            return 1

    fault = Fault("T01", "reference", "generic", "a wrong constant", False, "divergence", Wrong)
    planted: type[Target] = plant(resolve("reference"), [fault])
    assert planted.zs_huge_class_size is Wrong.zs_huge_class_size  # type: ignore[comparison-overlap]
