"""Judge: compares the two sides, and says where a difference is expected.

In:    outcomes and observations of both sides; the contract's dictionary.
Out:   nothing, or a Violation that carries a finding.
Never: changes a machine.
Next:  the rules of expected differences in zsfuzz/oracle/expected.py; the projections in zsfuzz/oracle/observe.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from zsfuzz.machine.layout import NR_FREE_PAGES, VMSTAT_NAMES, ZONE_NAMES
from zsfuzz.oracle.finding import Finding
from zsfuzz.oracle.signature import direction, outcome_change, without_zone
from zsfuzz.program.ops import Scanner

if TYPE_CHECKING:
    from zsfuzz.oracle.expected import ExpectedDifferences
    from zsfuzz.oracle.view import ContentView, ContractView, SideView


PAGE_VIEWS: Final = (Scanner.KPAGEFLAGS.value, Scanner.KPAGECOUNT.value)
"""Scanners that show one value a pfn."""


class Violation(Exception):
    """An oracle fired. Carries everything of a finding but the step."""

    def __init__(
        self,
        kind: str,
        rule: str,
        functions: tuple[str, ...],
        field: str,
        side: SideView | None,
        message: str,
        details: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.kind, self.rule, self.functions, self.field = kind, rule, functions, field
        self.target = "both" if side is None else side.role
        self.message, self.details = message, details

    def finding_at(self, step: int) -> Finding:
        """Return the finding of this violation."""
        return Finding(self.kind, self.rule, self.functions, self.field, self.target, step, self.message, self.details)


def shorten(value: object, limit: int = 240) -> str:
    """Return a value as text, cut in the middle when it is long."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"


class Judge:
    """One run's comparison of two sides. parted: the rule after which the designs may legally go on differently."""

    def __init__(
        self, reference: SideView, candidate: SideView, contract: ContractView, expected: ExpectedDifferences
    ) -> None:
        self.reference, self.candidate = reference, candidate
        self.contract = contract
        self.expected = expected
        self.parted = ""

    def outcome(self, action: str, arguments: tuple[Any, ...], reference: Any, candidate: Any) -> None:
        """Two outcomes differ: explain it, or raise."""
        if self.expected.explains_outcome(self, action, arguments, reference, candidate):
            return
        if self.parts():
            return
        name = arguments[0].value if action == "scan" else action
        if action == "malloc" and reference and candidate:
            self.place_diverged("malloc", reference[1], candidate[1])
        if name in PAGE_VIEWS and len(reference) == len(candidate):
            self.page_views(name, arguments[1], reference, candidate)
        self.diverged("outcome", (name,), outcome_change(name, reference, candidate), reference, candidate)

    def compare_isolations(self) -> None:
        """Raise for the first page that the core got from one side only in the last step."""
        logs = self.reference.isolations, self.candidate.isolations
        for number, (one, other) in enumerate(zip_longest(*logs)):
            if one == other:
                continue
            pages = [[page for page, _ in log[number:]] for log in logs]
            if one and (one[0] not in pages[1] or (other and one[0] == other[0])):
                (page, result), rest, sides = one, pages[1], (self.reference, self.candidate)
            else:
                (page, result), rest, sides = other, pages[0], (self.candidate, self.reference)
            side = sides[0] if result else sides[1]
            does = "refuses" if result or page in rest else "passes over"
            zspage = side.target.page_owner(page)
            empty = zspage and not side.target.zspage_view(zspage).inuse
            field = f"{side.role} {does} a page{' of an empty zspage' if empty else ''}"
            self.diverged("isolation", (), field, one, other)

    def page_views(self, name: str, start: int, reference: Sequence[int], candidate: Sequence[int]) -> None:
        """Raise for the first pfn that a scanner of single pages sees differently without a reason.

        name: of PAGE_VIEWS. start: pfn of the first value.
        """
        for pfn, (one, other) in enumerate(zip(reference, candidate, strict=True), start):
            if one == other or self.expected.explains_page_view(self, name, pfn, one, other):
                continue
            field = self.expected.wrong_in_view(self, name, pfn, one, other)
            self.diverged("scanner view", (name,), field, f"pfn {pfn}: {one:#x}", f"{other:#x}")

    def place_diverged(self, whose: str, reference: int, candidate: int) -> None:
        """Raise for an object that is at two places. whose: for people."""
        pfns = reference >> 32, candidate >> 32
        buddy = self.reference.machine.buddy
        if pfns[0] == pfns[1]:
            field = "object index"
        else:
            field = "pfn" if buddy.zone_of_pfn(pfns[0]) == buddy.zone_of_pfn(pfns[1]) else "zone"
        self.diverged("placement", (), field, f"{whose} at {_place(reference)}", _place(candidate))

    def part(self, rule: str) -> None:
        """Note that a rule let the designs part."""
        self.parted = self.parted or rule

    def parts(self) -> bool:
        """Ask whether a rule lets the designs part here; the run then goes straight to its drain."""
        self.parted = self.parted or self.expected.parting_rule(self)
        return bool(self.parted)

    def diverged(self, rule: str, functions: tuple[str, ...], field: str, reference: object, candidate: object) -> None:
        """Raise the divergence of one datum."""
        where = " ".join(functions) or "state"
        raise Violation(
            "divergence",
            rule,
            functions,
            field,
            None,
            f"{where} {field}: reference {shorten(reference, 80)}, candidate {shorten(candidate, 80)}",
            (("reference", shorten(reference)), ("candidate", shorten(candidate))),
        )

    def contents(self, slot: int, content: ContentView, offset: int, length: int, addresses: tuple[int, int]) -> None:
        """Read an object on both sides, and hold it against the dictionary and against each other."""
        data = []
        for side, address in zip((self.reference, self.candidate), addresses, strict=True):
            data.append(side.read(address + offset, length))
            wrong = content.difference(offset, data[-1])
            if wrong >= 0:
                text = f"h{slot} byte {wrong} of {content.size} is not what was written"
                raise Violation("contract", "object content", (), "bytes", side, text)
        if data[0] != data[1]:
            self.diverged("content", (), "unwritten bytes", data[0], data[1])

    def compare_drained(self, *, usable_only: bool = True) -> None:
        """Compare what is left when everything was given back.

        usable_only: frames that are poisoned or offline are not counted as free ones.
        """
        projections = []
        for side in (self.reference, self.candidate):
            projection, lost = side.drained_projection(), side.unusable_pages()
            for zone, name in enumerate(ZONE_NAMES):
                projection[f"{VMSTAT_NAMES[NR_FREE_PAGES]} {name}"] += 0 if usable_only else lost[zone]
            projections.append(projection)
        reference, candidate = projections
        for name, value in reference.items():
            if candidate[name] != value:
                field = direction(without_zone(name), value, candidate[name])
                self.diverged("drained state", (), field, f"{name}: {value}", candidate[name])


def _place(placement: int) -> str:
    return f"pfn {placement >> 32} object {placement & 0xFFFFFFFF}"
