"""One fault under a hundred triggers has at most three signatures; two faults have different ones.

A trigger is a generated program that meets the fault. The rules that make it so: zsfuzz/oracle/signature.py.
"""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Final

import pytest

from tests.quality.planted import SEQUENTIAL, showing, signatures
from zsfuzz.program.files import load_program

HAZARDS: Final = Path(__file__).resolve().parents[2] / "corpus" / "hazards"
TRIGGERS: Final = 100
MOST_SIGNATURES: Final = 3
SHORT: Final = {"seed": 1, "steps": 12, "programs": 180}
"""Short programs: most of them meet a common fault, and a hundred take a second or two."""

COMMON: Final = (
    "G-missing-put",
    "G-stale-private",
    "G-wrong-list",
    "G-offset-not-copied",
    "G-pool-isolation-not-uncounted",
    "H02",
    "H03",
    "H04",
    "H05",
    "H07",
    "H08",
    "H10",
    "H11-thp",
    "H13",
    "H17",
    "H20",
    "H22",
    "H28",
    "C-fullness",
    "C-isolated-list",
    "C-pages-index",
)
"""Faults that most short programs meet, of every oracle."""

RARE: Final = frozenset(
    {
        "G-stale-cursor",
        "G-zone-state-not-moved",
        "G-half-copied",
        "G-isolates-empty",
        "C-straddle",
        "C-put-owner",
        "C-full",
        "C-list-order",
        "C-zone",
        "C-handle",
    }
)
"""Faults that few short programs meet; tests/quality/test_faults_are_found.py finds them."""

ALIKE: Final[dict[frozenset[str], str]] = {}
"""Pairs of faults that no signature tells apart, with the reason."""


@pytest.mark.parametrize("fault_id", COMMON)
def test_one_fault_under_many_triggers_has_few_signatures(fault_id: str) -> None:
    counts = signatures(showing(fault_id, **SHORT), TRIGGERS)
    assert sum(counts.values()) >= TRIGGERS // 2, "few programs met it: choose another fault for this test"
    assert len(counts) <= MOST_SIGNATURES, counts
    assert [each for each in counts if depends_on_the_trigger(each)] == []


def depends_on_the_trigger(signature: str) -> bool:
    """Return whether a signature holds an address, a pfn, a slot or a fault's id."""
    ids = "|".join(re.escape(fault.id) for fault in SEQUENTIAL)
    return bool(re.search(rf"0x[0-9a-f]{{3,}}|pfn \d|\bh\d+\b|{ids}", signature))


@pytest.mark.parametrize("text", ["read of 0xffff8880", "pfn 12", "h3", "H05", "C-zone"])
def test_what_depends_on_the_trigger_is_recognised(text: str) -> None:
    assert depends_on_the_trigger(f"divergence/outcome/isolation/{text}")
    assert not depends_on_the_trigger("invariant/I5 unlock of a lock not held/__unmap_and_move/candidate page lock")


def primary(fault_id: str) -> str:
    """Return the signature that a fault has most often: of a hazard, that of its reproducer."""
    kept = HAZARDS / f"{fault_id}.zst"
    if kept.exists():
        return load_program(kept).header.verdict or ""
    return next(iter(signatures(showing(fault_id, **SHORT), 3)), "")


def test_two_faults_have_different_signatures() -> None:
    faults = [fault.id for fault in SEQUENTIAL if fault.id not in RARE]
    found = {fault_id: primary(fault_id) for fault_id in faults}
    assert [fault_id for fault_id, signature in found.items() if not signature] == []
    alike = [{one, other} for one, other in combinations(faults, 2) if found[one] == found[other]]
    assert [pair for pair in alike if frozenset(pair) not in ALIKE] == []
