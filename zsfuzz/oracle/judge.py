"""Judge: compares the two sides, and says where a difference is expected.

In:    outcomes and observations of both sides; the contract's dictionary.
Out:   nothing, or a Violation that carries a finding.
Never: changes a machine.
Next:  the rules of expected differences in zsfuzz/oracle/expected.py; the projections in zsfuzz/oracle/observe.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zsfuzz.oracle.finding import Finding

if TYPE_CHECKING:
    from zsfuzz.oracle.expected import ExpectedDifferences
    from zsfuzz.oracle.view import ContentView, ContractView, SideView


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
        return Finding(
            self.kind, self.rule, self.functions, self.field, self.target, step, self.message, self.details
        )


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

    def outcome(self, action: str, arguments: tuple[Any, ...], reference: object, candidate: object) -> None:
        """Two outcomes differ: explain it, or raise."""
        if self.expected.explains_outcome(self, action, arguments, reference, candidate):
            return
        if self.parts():
            return
        field = _first_difference(reference, candidate)
        name = arguments[0].value if action == "scan" else action
        self.diverged("outcome", (name,), field, reference, candidate)

    def part(self, rule: str) -> None:
        """Note that a rule let the designs part."""
        self.parted = self.parted or rule

    def parts(self) -> bool:
        """Ask whether a rule lets the designs part here; the run then goes straight to its drain."""
        self.parted = self.parted or self.expected.parting_rule(self)
        return bool(self.parted)

    def diverged(
        self, rule: str, functions: tuple[str, ...], field: str, reference: object, candidate: object
    ) -> None:
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

    def contents(
        self, slot: int, content: ContentView, offset: int, length: int, addresses: tuple[int, int]
    ) -> None:
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

    def compare_drained(self) -> None:
        """Compare what is left when everything was given back."""
        reference, candidate = self.reference.drained_projection(), self.candidate.drained_projection()
        for name, value in reference.items():
            if candidate[name] != value:
                self.diverged("drained state", (), name, value, candidate[name])


def _first_difference(reference: object, candidate: object) -> str:
    """Return which part of two outcomes differs first, as a name without any value in it."""
    if isinstance(reference, tuple) and isinstance(candidate, tuple) and len(reference) == len(candidate):
        for position, (left, right) in enumerate(zip(reference, candidate, strict=True)):
            if left != right:
                return f"part {min(position, 3)}"
    return "result"
