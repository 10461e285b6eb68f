"""Signature: what makes two findings the same one, and the words in which oracles name what is wrong.

In:    a Finding; the two values of a datum, for the words.
Out:   signature_of(), a pure function; direction(), counter_change() and outcome_change() for the field.
Never: an address, a slot, a pfn, a seed, a fault's id.
Next:  who fills the fields in: zsfuzz/oracle/judge.py, zsfuzz/oracle/observe.py, zsfuzz/oracle/invariants.py and
       zsfuzz/execute/blame.py.

    signature = kind / rule / where / what

One bug has to look the same whichever program meets it, and two bugs different. The rules:

1. Where an oracle can tell which side is wrong, what begins with that side; otherwise it says on which side there is
   less. So a run that meets a difference asks the invariants before it believes it, then whether the two sides
   isolated the same pages: zsfuzz/execute/execution.py.
2. Where something goes wrong inside a model or the core, where is that function. Which operation led there is chance.
3. Where outcomes differ or a state is found wrong after an operation, where is the family of that operation: a page
   that moved may have been moved by a migration, by compaction or by memory hotplug.
4. Where one function finds what another left behind (a dirty page at free, a lock that nobody will release, a cursor
   that was told how far to jump), where is empty.
5. An access through a wrong pointer is one thing, whatever happens to lie at the other end of it.
6. Scanners ask in several ways whether a range could be emptied: a movable page that one side does not see as such is
   one thing, whichever way was asked, and whether the answer was held against the truth or against the other side's.
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

_BAD_ACCESS: Final = "bad access"
_ACCESSES: Final = frozenset(
    {
        "wild access",
        "wild pfn",
        "wild zone",
        "wild call",
        "wild heap access",
        "no struct page",
        "misaligned access",
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
    "I10 isolated flag",
    "I10 isolated page freed",
    "wrong answer",
    "deadlock",
    "self-deadlock",
)
"""Beginnings of rules that somebody notices who did nothing wrong himself."""

_WRONG_ANSWER: Final = "wrong answer: movable page"
_ASKING: Final = frozenset({"has_unmovable_pages", "page_is_unmovable", "isolate_single_pageblock"})
"""Scanners that ask whether a range could be emptied."""


def signature_of(finding: Finding) -> str:
    """Return kind/rule/where/what of a finding, by the rules above."""
    if finding.rule.startswith(_WRONG_ANSWER):
        return f"progress/{_WRONG_ANSWER}//{finding.target} less"
    if finding.rule == "outcome" and not _ASKING.isdisjoint(finding.functions):
        return f"progress/{_WRONG_ANSWER}//{finding.field}"
    rule = _BAD_ACCESS if finding.kind == "memory" and finding.rule in _ACCESSES else finding.rule
    what = finding.field if finding.target == "both" else f"{finding.target} {finding.field}".rstrip()
    return "/".join((finding.kind, rule, _where(finding, rule), what))


def _where(finding: Finding, rule: str) -> str:
    if rule.startswith(_FOUND_LATER):
        return ""
    if finding.functions and (rule != "outcome" or finding.request == "scan"):
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
    """Return who did less in two outcomes of one action that differ: "candidate less"; "result" when nobody did."""
    done, done_too = _done(action, reference), _done(action, candidate)
    if done == done_too:
        return "result"
    return f"{'candidate' if done_too < done else 'reference'} less"


def _done(action: str, outcome: object) -> tuple[int, ...]:
    """Return how much an action did, as something that compares; nothing where more and less mean nothing."""
    match action, outcome:
        case "isolate" | "contig" | "poison", int(result):
            return (int(result == 0),)
        case "offline" | "isolate_single_pageblock", tuple():
            return (outcome.count(0),)
        case "has_unmovable_pages" | "page_is_unmovable", tuple():
            return (outcome.count(-1),)
        case "migrate", (int(failed), int(refused)):
            return (-refused - failed,)
        case "compact_zone" | "isolate_migratepages_block" | "do_migrate_range", tuple():
            return (len(outcome),)
        case "malloc", tuple():
            return (1,)
        case _, int():
            return (outcome,)
        case _:
            return ()
