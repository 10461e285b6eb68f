"""Blame: which function and which side a finding names, with the bugs planted in targets of this module."""

from __future__ import annotations

from typing import ClassVar

import pytest

from candidate.allocator import Candidate
from candidate.descriptor import MemdescRules
from reference.zsmalloc import Zsmalloc
from tests.execute.programs import program
from zsfuzz.errors import HarnessError
from zsfuzz.execute.blame import finding_of_exception
from zsfuzz.execute.runner import Runner
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.oracle import observe
from zsfuzz.oracle.finding import Finding
from zsfuzz.target.protocol import ZspageView

HERE = f"{__name__}:"


class Careless(Candidate):
    """Frees unlock the page lock once more than they took it."""

    def zs_free(self, pool: int, handle: int) -> None:
        page = self.zspage_view(self.zspage_of(handle)).pages[0]
        self.release_too_much(page)
        super().zs_free(pool, handle)

    def release_too_much(self, page: int) -> None:
        self.d.unlock_page(page, self.d.compound_head(page))


class Crashing(Zsmalloc):
    """A plain Python error in a model."""

    def zs_compact(self, pool: int) -> int:
        return self.broken(pool)

    def broken(self, pool: int) -> int:
        known: dict[int, int] = {}
        return known[pool]


class Opaque(Candidate):
    """After a free, looking into a zspage follows a wild pointer."""

    FREED: ClassVar[list[int]] = []

    def zs_free(self, pool: int, handle: int) -> None:
        super().zs_free(pool, handle)
        self.FREED.append(handle)

    def zspage_view(self, zspage: int) -> ZspageView:
        if self.FREED:
            self.k.load(0x10)
        return super().zspage_view(zspage)


class WildPut(MemdescRules):
    """A primitive of the design's rules that goes wrong itself."""

    def get_page_unless_zero(self, page: int) -> bool:
        return bool(self.m.load(0x18))


class WildRules(Candidate):
    rules: ClassVar[type[Descriptor]] = WildPut


def found(steps: str, reference: str = "reference", candidate: str = "candidate") -> Finding:
    findings = Runner(reference, candidate).run(program(steps), cadence=1).findings
    assert findings, "nothing was found"
    return findings[0]


def test_whoever_uses_a_lock_wrongly_is_named_not_the_primitive() -> None:
    finding = found("h0 = malloc 100\nfree h0", candidate=HERE + "Careless")
    assert finding.rule == "I5 unlock of a lock not held"
    assert (finding.functions, finding.target, finding.request) == (("release_too_much",), "candidate", "free")


def test_a_crash_of_a_model_is_a_finding_of_its_side() -> None:
    finding = found("compact", reference=HERE + "Crashing")
    assert (finding.kind, finding.rule, finding.functions) == ("crash", "KeyError", ("broken",))
    assert finding.target == "reference"


def test_an_oracle_that_looks_into_nonsense_names_the_step_not_itself() -> None:
    Opaque.FREED.clear()
    finding = found("h0 = malloc 100\nh1 = malloc 100\nfree h1", candidate=HERE + "Opaque")
    assert (finding.rule, finding.functions, finding.target) == ("wild access", (), "candidate")
    assert finding.signature == "memory/bad access/free/candidate"


def test_the_side_is_told_by_the_traceback_even_when_the_other_one_was_at_work() -> None:
    """The comparison looks at both sides in turn; here it is the reference that cannot be read."""
    OpaqueReference.broken.clear()
    finding = found("h0 = malloc 100\ncompact", reference=HERE + "OpaqueReference")
    assert finding.target == "reference"


class OpaqueReference(Zsmalloc):
    """Placements cannot be read any more once compaction ran."""

    broken: ClassVar[list[int]] = []

    def zs_compact(self, pool: int) -> int:
        self.broken.append(pool)
        return super().zs_compact(pool)

    def placement(self, handle: int) -> int:
        if self.broken:
            self.k.load(0x10)
        return super().placement(handle)


def test_a_primitive_that_goes_wrong_itself_is_named() -> None:
    finding = found("h0 = malloc 100\np0 = isolate h0.0", candidate=HERE + "WildRules")
    assert finding.functions == ("get_page_unless_zero",)


def test_a_fault_of_the_fuzzer_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame that raises is one of zsfuzz/oracle/: a comparison is given a pool that is none."""
    compare_pool = observe._compare_pool
    monkeypatch.setattr(observe, "_compare_pool", lambda judge, pool: compare_pool(judge, pool + 1))
    with pytest.raises(HarnessError, match="KeyError in the harness at step 0"):
        found("h0 = malloc 100")


def test_users_mistakes_and_harness_faults_pass_through() -> None:
    with pytest.raises(HarnessError, match="as it is"):
        finding_of_exception(HarnessError("as it is"), "candidate", 0)
