"""Each expected difference is used where it should be, and its nearest neighbour is still a finding.

The neighbours are planted: targets of this module that differ from a built-in one by a single bit, page or refusal.
"""

from __future__ import annotations

from typing import ClassVar

import pytest

from candidate.allocator import Candidate
from candidate.descriptor import MemdescRules
from reference.zsmalloc import Zsmalloc
from tests.execute.programs import found, program
from zsfuzz.execute.result import RunResult
from zsfuzz.execute.runner import Runner
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.layout import GFP_KERNEL, PG_referenced
from zsfuzz.oracle.expected import RULES
from zsfuzz.target.protocol import Shown, ZspageView

HERE = f"{__name__}:"


def run(steps: str, reference: str = "reference", candidate: str = "candidate") -> RunResult:
    """Run a pair with everything checked after every step."""
    return Runner(reference, candidate).run(program(steps), cadence=1)


def clean(steps: str) -> RunResult:
    """Run the built-in pair, and insist on no finding."""
    result = run(steps)
    assert not result.findings, result.findings[0].message
    return result


def rule_and_field(result: RunResult) -> tuple[str, str]:
    """Return what was found first, and insist that no rule excused anything of it."""
    assert result.findings, "nothing was found"
    assert not result.parted
    return result.findings[0].rule, result.findings[0].field


# -- D1, D2: what scanners see


class OneMapping(MemdescRules):
    """A memdesc tail counts as mapped once: kpagecount is off by one."""

    def page_mapcount(self, page: int) -> int:
        return super().page_mapcount(page) + bool(self.page_memdesc(page))


class Counted(Candidate):
    rules: ClassVar[type[Descriptor]] = OneMapping


class OneFlagMore(Candidate):
    """PG_referenced is set on every page that a zspage gets, behind the back of the check on stores."""

    def attach_page(self, zspage: int, page: int) -> bool:
        self.k.machine.set_bit(PG_referenced, page)
        return super().attach_page(zspage, page)


class OneFlagDeclared(Candidate):
    """The design says that its pages show KPF_LRU as well, and they do not."""

    def shown_to_scanners(self, view: ZspageView, index: int) -> Shown:
        return Shown(0, super().shown_to_scanners(view, index).kpageflags | 1 << 5)


class NothingDeclared(Candidate):
    """The design does not say what its pages show."""

    def shown_to_scanners(self, view: ZspageView, index: int) -> Shown:
        return Shown(0, 0)


class OffsetDeclared(Zsmalloc):
    """The legacy design says that kpagecount is the offset, which is one too few."""

    def shown_to_scanners(self, view: ZspageView, index: int) -> Shown:
        shown = super().shown_to_scanners(view, index)
        return Shown(shown.kpagecount - 1, shown.kpageflags)


PAGES_OF_EVERY_SORT = """
    h0 = malloc 3256
    h1 = malloc 4096
    scan kpagecount 0..256
    scan kpageflags 0..256
"""


def test_d1_and_d2_explain_what_the_two_designs_show() -> None:
    """Four pages of one zspage and a huge one, looked at by the oracle and by the two scanners."""
    result = clean(PAGES_OF_EVERY_SORT)
    assert result.expected["D1"] >= 5 and result.expected["D2"] >= 5
    assert result.expected["D3"] == result.expected["D4"] == 0


@pytest.mark.parametrize(
    ("reference", "candidate", "field"),
    [
        ("reference", "Counted", "candidate"),
        ("OffsetDeclared", "candidate", "reference"),
        ("reference", "OneFlagMore", "REFERENCED"),
        ("reference", "OneFlagDeclared", "LRU"),
        ("reference", "NothingDeclared", "COMPOUND_TAIL"),
    ],
)
def test_one_bit_beside_d1_and_d2_is_a_finding(reference: str, candidate: str, field: str) -> None:
    names = [name if name in ("reference", "candidate") else HERE + name for name in (reference, candidate)]
    assert rule_and_field(run(PAGES_OF_EVERY_SORT, *names)) == ("scanner view", field)


@pytest.mark.parametrize("candidate", ["Counted", "OneFlagMore"])
def test_a_scan_finds_it_too_when_nothing_else_is_compared(candidate: str) -> None:
    """At a cadence that is never reached, the outcome of the scan is all there is."""
    result = Runner("reference", HERE + candidate).run(program(PAGES_OF_EVERY_SORT), cadence=1000)
    assert result.findings[0].rule == "scanner view"
    assert result.findings[0].request == "scan"


def test_d2_does_not_reach_beyond_the_pages_of_zspages() -> None:
    """A bystander's page shows the same on both sides, or it is a finding."""
    steps = "b0 = bystander lru 0\nscan kpageflags 0..256\nscan kpagecount 0..256"
    assert clean(steps).expected == dict.fromkeys(RULES, 0)


# -- D3: frames withheld by a speculative reference


class FreeLoses(Candidate):
    """Every free takes a page from the buddy allocator and forgets it: one more frame is away."""

    def zs_free(self, pool: int, handle: int) -> None:
        self.k.alloc_page(GFP_KERNEL)
        super().zs_free(pool, handle)


class LegacyFreeLoses(Zsmalloc):
    """The same on the other side: one less is away than the rule predicts."""

    def zs_free(self, pool: int, handle: int) -> None:
        self.k.alloc_page(GFP_KERNEL)
        super().zs_free(pool, handle)


FREED_UNDER_A_REFERENCE = """
    h0 = malloc 3256
    r0 = speculative_get h0.1
    free h0
    h1 = malloc 3256
"""

MOVED_UNDER_A_REFERENCE = """
    h0 = malloc 3256
    r0 = speculative_get @0
    free h0
"""


def test_d3_lets_the_designs_part_when_a_zspage_is_freed_under_a_reference() -> None:
    """Reference: [. w . .] is freed but for w. Candidate: [w w w w] until the reference is dropped."""
    result = clean(FREED_UNDER_A_REFERENCE)
    assert (result.parted, result.expected["D3"]) == ("D3", 1)
    assert result.operations == 3  # the run goes straight to its drain
    assert result.checks["drain"] == 1


@pytest.mark.parametrize(("reference", "candidate"), [("reference", "FreeLoses"), ("LegacyFreeLoses", "candidate")])
def test_one_frame_beside_d3_is_a_finding(reference: str, candidate: str) -> None:
    names = [name if name in ("reference", "candidate") else HERE + name for name in (reference, candidate)]
    rule, field = rule_and_field(run(FREED_UNDER_A_REFERENCE, *names))
    assert (rule, field.split(",")[0]) == ("zone counter", "nr_free_pages")


def test_without_a_reference_no_frame_is_excused() -> None:
    steps = FREED_UNDER_A_REFERENCE.replace("r0 = speculative_get h0.1", "")
    assert rule_and_field(run(steps, candidate=HERE + "FreeLoses"))[0] == "zone counter"


def test_a_reference_on_somebody_elses_page_excuses_nothing() -> None:
    """The zspage is freed, the bystander's page is not: both designs give everything back."""
    steps = "b0 = bystander lru 0\nr0 = speculative_get @0\nh0 = malloc 3256\nfree h0"
    result = clean(steps)
    assert (result.parted, result.expected["D3"]) == ("", 0)


def test_what_d3_withheld_comes_back_when_the_reference_is_dropped() -> None:
    """The drain drops it; a page that stays away then is a leak."""
    leaking = found(FREED_UNDER_A_REFERENCE, candidate=HERE + "NeverFreed")
    assert (leaking.rule, leaking.field) == ("I12 leak", "nr_free_pages")


class NeverFreed(Candidate):
    """The destructor of a zspage that outlived its owner does nothing."""

    def zspage_destructor(self, zspage: int) -> None:
        """Nobody frees the pages."""


# -- D4: an exchange refused under a speculative reference


class RefusesAll(Candidate):
    """No page is ever exchanged."""

    def freeze_zspage(self, zspage: int, references: int) -> bool:
        return False


class RefusesAlike(Candidate):
    """When one zspage has a reference that nobody accounts for, no page of any zspage is exchanged."""

    refused = False

    def freeze_zspage(self, zspage: int, references: int) -> bool:
        zspages = {self.zspage_of(handle) for handle in HANDLES}
        held = any(self.d.page_ref_count(each) > 1 + self.get_isolation(each) for each in zspages)
        return not held and super().freeze_zspage(zspage, references)

    def zs_malloc(self, pool: int, size: int, gfp: int) -> int:
        handle = super().zs_malloc(pool, size, gfp)
        HANDLES.append(handle)
        return handle


HANDLES: list[int] = []

EXCHANGED_UNDER_A_REFERENCE = """
    h0 = malloc 3256
    h1 = malloc 4096
    r0 = speculative_get h0.1
    migrate h0.2 h1.0 sync
    stats
"""


def test_d4_lets_the_designs_part_when_an_exchange_is_refused() -> None:
    """h0's zspage has a reference: the candidate moves h1's page only."""
    result = clean(EXCHANGED_UNDER_A_REFERENCE)
    assert (result.parted, result.expected["D4"]) == ("D4", 1)
    assert result.operations == 4


def test_a_refusal_without_a_reference_is_a_finding() -> None:
    steps = EXCHANGED_UNDER_A_REFERENCE.replace("r0 = speculative_get h0.1", "")
    assert rule_and_field(run(steps, candidate=HERE + "RefusesAll")) == ("outcome", "candidate less")


def test_one_refusal_more_than_d4_predicts_is_a_finding() -> None:
    """The reference is on h0's zspage, and h1's page stays as well."""
    HANDLES.clear()
    result = run(EXCHANGED_UNDER_A_REFERENCE, candidate=HERE + "RefusesAlike")
    assert rule_and_field(result) == ("outcome", "candidate less")


def test_a_design_that_exchanges_under_a_reference_needs_no_excuse() -> None:
    """The rule is not used where there is nothing to explain, and the run goes on."""
    result = Runner("reference", "candidate", ("C-freeze",)).run(program(EXCHANGED_UNDER_A_REFERENCE), cadence=1)
    assert (result.parted, result.expected["D4"], result.operations) == ("", 0, 5)


def test_every_rule_has_a_test_here() -> None:
    assert set(RULES) == {"D1", "D2", "D3", "D4"}
