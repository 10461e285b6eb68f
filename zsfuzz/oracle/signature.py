"""Signature: what makes two findings the same one, and the words in which oracles name what is wrong.

In:    a Finding; the two values of a datum, for the words.
Out:   signature_of(), a pure function; direction(), counter_change() and outcome_change() for the field.
Never: an address, a slot, a pfn, a seed, a fault's id.
Next:  who fills the fields in: zsfuzz/oracle/judge.py, zsfuzz/oracle/observe.py, zsfuzz/oracle/invariants.py and
       zsfuzz/execute/blame.py.

    signature = kind / rule / where / what

One bug has to look the same whichever program meets it, and two bugs different. The rules:

1. Where an oracle can tell which side is wrong, what begins with that side. A broken invariant can, so the run asks
   the invariants before it believes a mere difference. Otherwise what says on which side the value is lower.
2. Where something goes wrong inside a model or the core, where is that function. Which operation led there is chance.
3. Where a state is found wrong after an operation, where is the family of that operation: a page that moved may have
   been moved by a migration, by compaction or by memory hotplug.
4. Where one function finds what another left behind (a dirty page at free, a lock that nobody will release, a cursor
   that was told how far to jump), where is empty.
5. An access through a wrong pointer is one thing, whatever happens to lie at the other end of it.
6. Outcomes that differ are told apart by who did less, not by how much; and by what it was that was not done: a page
   may not have been isolated, or have been isolated and not moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from zsfuzz.machine.layout import ZONE_NAMES

if TYPE_CHECKING:
    from zsfuzz.oracle.finding import Finding

_MOVING: Final = "page movement"

_FAMILY: Final = {
    "write": "map",
    "read": "map",
    "unmap": "map",
    "shrink": "compact",
    "trim": "compact",
    "isolate": _MOVING,
    "migrate": _MOVING,
    "putback": _MOVING,
    "compact_zone": _MOVING,
    "offline": _MOVING,
    "online": _MOVING,
    "contig": _MOVING,
    "poison": _MOVING,
    "scan": _MOVING,
    "speculative_put": "speculative_get",
    "drop_bystander": "bystander",
    "destroy_pool": "create_pool",
    "": "drain",
}
"""Operation after which a state was found wrong -> family; others are their own."""

_OUTCOME_FAMILY: Final = {
    "isolate": "isolation",
    "migrate": "isolation",
    "contig": "isolation",
    "offline": "isolation",
    "poison": "isolation",
    "do_migrate_range": "isolation",
    "compact_zone": "compaction",
    "isolate_migratepages_block": "compaction",
    "shrink_scan": "pool_compact",
    "trim": "pool_compact",
}
"""Action whose outcomes differ -> family; others are their own. alloc_contig_range() and hotplug get at each page by
isolate_movable_page() alone, compaction looks for reasons to pass it by first."""

_BAD_ACCESS: Final = "bad access"
_ACCESSES: Final = frozenset(
    {
        "wild access",
        "wild pfn",
        "wild zone",
        "wild call",
        "wild heap access",
        "no struct page",
        "uninitialised read",
        "use-after-free page",
        "use-after-free slab",
        "out-of-bounds slab",
    }
)
"""What a wrong pointer may hit."""

_FOUND_LATER: Final = (
    "I6 bad page",
    "I8 scanner",
    "I9 head overwritten",
    "I10 isolated page freed",
    "wrong answer",
    "deadlock",
    "self-deadlock",
)
"""Beginnings of rules that somebody notices who did nothing wrong himself."""


def signature_of(finding: Finding) -> str:
    """Return kind/rule/where/what of a finding, by the rules above."""
    rule = _BAD_ACCESS if finding.kind == "memory" and finding.rule in _ACCESSES else finding.rule
    what = finding.field if finding.target == "both" else f"{finding.target} {finding.field}".rstrip()
    return "/".join((finding.kind, rule, _where(finding, rule), what))


def _where(finding: Finding, rule: str) -> str:
    if rule.startswith(_FOUND_LATER):
        return ""
    if rule == "outcome":
        return ">".join(_OUTCOME_FAMILY.get(name, name) for name in finding.functions)
    if finding.functions:
        return ">".join(finding.functions)
    return _FAMILY.get(finding.request, finding.request)


def direction(name: str, reference: int, candidate: int) -> str:
    """Return a datum with who has less of it: "nr_zspages, candidate lower"."""
    if reference == candidate:
        return name
    return f"{name}, {'candidate' if candidate < reference else 'reference'} lower"


def counter_change(name: str, reference: Sequence[int], candidate: Sequence[int]) -> str:
    """Return a counter of every zone with who has less in all; "between zones" when the sums agree."""
    if sum(reference) == sum(candidate):
        return f"{name}, between zones"
    return direction(name, sum(reference), sum(candidate))


def without_zone(name: str) -> str:
    """Return the name of a datum of the drained projection without the zone it ends in."""
    datum, _, last = name.rpartition(" ")
    return datum if last in ZONE_NAMES else name


def outcome_change(action: str, reference: object, candidate: object) -> str:
    """Return in which way two outcomes of one action differ: "candidate isolates less", or "result"."""
    done, done_too = _done(action, reference), _done(action, candidate)
    for (deed, amount), (_, amount_too) in zip(done, done_too, strict=False):
        if amount != amount_too:
            return f"{'candidate' if amount_too < amount else 'reference'} {deed} less"
    return "result"


def _done(action: str, outcome: object) -> tuple[tuple[str, int], ...]:
    """Return how much of what an action did, what comes first first; nothing where more and less mean nothing."""
    match action, outcome:
        case "isolate" | "contig" | "poison", int(result):
            return (("isolates", int(result == 0)),)
        case "offline", tuple():
            return (("isolates", outcome.count(0)),)
        case "migrate", (int(failed), int(refused)):
            return ("isolates", -refused), ("moves", -failed)
        case "compact_zone", (_, int(isolated), int(), *moved):
            return ("isolates", isolated), ("moves", len(moved))
        case "isolate_migratepages_block" | "do_migrate_range", tuple():
            return (("isolates", len(outcome)),)
        case "malloc", tuple():
            return (("allocates", 1),)
        case "malloc", int():
            return (("allocates", 0),)
        case _, int():
            return (("does", outcome),)
        case _:
            return ()
