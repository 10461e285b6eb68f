"""Expected differences: the named rules by which the two designs may differ, each an exact prediction.

In:    a datum on which the two sides differ, and their states.
Out:   True when a rule predicts both values; each use is counted.
Never: a tolerance. A rule that does not predict both values exactly does not apply.
Next:  the reason for each rule in docs/adr/0005-expected-differences.md.

Rules (facts of the two designs, not of the targets' code):
D1 kpagecount: a page shows what its design declares by shown_to_scanners(): the reference first-object offset + 1,
   since units overlays _mapcount; the candidate 0.
D2 kpageflags: likewise the bits that come from the design: PRIVATE on the first page, OWNER_PRIVATE on a huge one and
   MMAP on every one against COMPOUND_TAIL, a tail without a head. All other bits must be equal.
D3 speculative reference: a reference taken on a page pins that page in the reference and the whole zspage in the
   candidate; when such a zspage is freed, or the page migrated away, different frames stay allocated. The frames are
   predicted exactly; from there on placements may differ, so the run goes straight to its drain.
D4 refused exchange: while such a reference is held the candidate refuses to migrate any page of that zspage, since a
   head may not change under a reference; the reference migrates. The rule predicts how many more pages fail to move,
   and the run goes straight to its drain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from zsfuzz.machine.layout import NR_FREE_PAGES
from zsfuzz.machine.scanners.kpage import kpageflag_names
from zsfuzz.oracle.signature import direction
from zsfuzz.program.ops import Scanner

if TYPE_CHECKING:
    from zsfuzz.oracle.judge import Judge
    from zsfuzz.oracle.view import SideView
    from zsfuzz.target.protocol import ZspageView

RULES: Final = {
    "D1": "kpagecount of a zspage's page: offset + 1 against 0",
    "D2": "kpageflags of a zspage's page: PRIVATE, OWNER_PRIVATE, MMAP against COMPOUND_TAIL",
    "D3": "frames withheld by a speculative reference: the page against the zspage",
    "D4": "migration refused while a speculative reference is held on the zspage",
}


class ExpectedDifferences:
    """The registry, with the uses of one run."""

    def __init__(self) -> None:
        self._uses = dict.fromkeys(RULES, 0)
        self._views: dict[tuple[str, int], ZspageView] = {}

    def forget(self) -> None:
        """Drop what was read of the two states: a step is about to change them."""
        self._views.clear()

    def uses(self) -> dict[str, int]:
        """Return how often each rule was used."""
        return dict(self._uses)

    def copy(self) -> ExpectedDifferences:
        """Return a copy that later uses do not reach."""
        other = ExpectedDifferences()
        other._uses = self._uses.copy()
        return other

    def explains_page_view(self, judge: Judge, name: str, pfn: int, reference: int, candidate: int) -> bool:
        """Return whether D1 or D2 predicts what the two designs show of a pfn."""
        if (reference, candidate) != self._predicted(judge, name, pfn, reference):
            return False
        self._uses["D1" if name == "kpagecount" else "D2"] += 1
        return True

    def wrong_in_view(self, judge: Judge, name: str, pfn: int, reference: int, candidate: int) -> str:
        """Return what of two values is not as predicted: names of flags, or the side; what differs if nothing is."""
        predicted = self._predicted(judge, name, pfn, reference)
        if predicted is None:
            left, right = 0, reference ^ candidate
        else:
            left, right = reference ^ predicted[0], candidate ^ predicted[1]
        if name == "kpageflags":
            return kpageflag_names(left | right)
        if predicted is None:
            return direction(name, reference, candidate)
        return "reference" if left else "candidate"

    def _predicted(self, judge: Judge, name: str, pfn: int, reference: int) -> tuple[int, int] | None:
        """Return both values of a page that both designs have at the same place of a zspage, None for others."""
        page = judge.reference.machine.buddy.pfn_to_page(pfn)
        views = [self._zspage_of(side, page) for side in (judge.reference, judge.candidate)]
        if views[0] is None or views[1] is None or views[0].pages != views[1].pages:
            return None
        index = views[0].pages.index(page)
        left = judge.reference.target.shown_to_scanners(views[0], index)
        right = judge.candidate.target.shown_to_scanners(views[1], index)
        if name == "kpagecount":
            return left.kpagecount, right.kpagecount
        common = reference & ~left.kpageflags
        return common | left.kpageflags, common | right.kpageflags

    def _zspage_of(self, side: SideView, page: int) -> ZspageView | None:
        """Return the zspage that has a page by its own account too, None for none."""
        zspage = side.target.page_owner(page)
        if not zspage:
            return None
        view = self._views.get((side.role, zspage))
        if view is None:
            view = self._views[(side.role, zspage)] = side.target.zspage_view(zspage)
        return view if page in view.pages else None

    def explains_outcome(
        self, judge: Judge, action: str, arguments: tuple[Any, ...], reference: object, candidate: object
    ) -> bool:
        """Return whether a rule predicts every part on which two outcomes differ."""
        if action == "migrate":
            return self._explains_refusal(judge, arguments[0], reference, candidate)
        if action != "scan" or arguments[0] not in (Scanner.KPAGECOUNT, Scanner.KPAGEFLAGS):
            return False
        if not isinstance(reference, tuple) or not isinstance(candidate, tuple) or len(reference) != len(candidate):
            return False
        start = arguments[1]
        name = "kpagecount" if arguments[0] is Scanner.KPAGECOUNT else "kpageflags"
        return all(
            one == other or self.explains_page_view(judge, name, start + number, one, other)
            for number, (one, other) in enumerate(zip(reference, candidate, strict=True))
        )

    def _explains_refusal(self, judge: Judge, pages: list[int], reference: object, candidate: object) -> bool:
        """Return whether D4 predicts how many more pages the candidate failed to move."""
        target, d = judge.candidate.target, judge.candidate.d
        held = [head for _, head, _ in judge.candidate.references.values()]
        refused = [page for page in pages if target.page_owner(page) and d.compound_head(page) in held]
        match reference, candidate:
            case ((int(failed), rest), (int(failed_too), rest_too)) if refused and rest == rest_too:
                explained = failed_too - failed == len(refused)
            case _:
                explained = False
        if explained:
            self._uses["D4"] += 1
            judge.part("D4")
        return explained

    def parting_rule(self, judge: Judge) -> str:
        """Return "D3" when the free pages of both zones are exactly what the live references withhold, else ""."""
        if not judge.contract.references:
            return ""
        withheld = [_withheld_by_page(judge.reference), _withheld_by_zspage(judge.candidate)]
        if not any(withheld):
            return ""
        sides = (judge.reference, judge.candidate)
        for zone in (0, 1):
            totals = []
            for side, pages in zip(sides, withheld, strict=True):
                buddy = side.machine.buddy
                kept = sum(1 for pfn in _pfns(side, pages) if buddy.zone_of_pfn(pfn) == zone)
                totals.append(buddy.zone_page_state(zone, NR_FREE_PAGES) + kept)
            if totals[0] != totals[1]:
                return ""
        self._uses["D3"] += 1
        return "D3"


def _withheld_by_page(side: SideView) -> list[int]:
    """Pages with a live reference that no zspage owns any more."""
    return [page for page, _, owned in side.references.values() if owned and not side.target.page_owner(page)]


def _withheld_by_zspage(side: SideView) -> list[int]:
    """Pages still tied to a zspage that is dead but for its references."""
    withheld: list[int] = []
    for page, _, _ in side.references.values():
        zspage = side.target.page_owner(page)
        if zspage and _is_dead(side, zspage):
            withheld.extend(side.target.zspage_view(zspage).pages)
    return withheld


def _pfns(side: SideView, pages: list[int]) -> frozenset[int]:
    """Return the frames among pages that would be free; a poisoned one stays away in any case."""
    return frozenset(side.machine.buddy.page_to_pfn(page) for page in pages if not side.d.PageHWPoison(page))


def _is_dead(side: SideView, zspage: int) -> bool:
    view = side.target.zspage_view(zspage)
    if view.inuse or view.isolated:
        return False
    return not any(
        zspage in side.target.fullness_list(pool, view.class_index, group)
        for pool in side.pools.values()
        for group in range(4)
    )
