"""Drain: give everything back, then look at what is left (invariant I12).

In:    a side after the last step.
Out:   a side on which nothing is live; a Violation for what did not come back.
Never: compares two sides: the drained projections are compared by zsfuzz/oracle/judge.py.
Next:  the projection itself is drained_projection() in zsfuzz/execute/side.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zsfuzz.machine.layout import NR_FREE_PAGES, VMSTAT_NAMES, ZONE_NAMES
from zsfuzz.oracle.judge import Violation
from zsfuzz.oracle.signature import without_zone

if TYPE_CHECKING:
    from zsfuzz.execute.contract import Contract
    from zsfuzz.execute.side import Side


def drain(side: Side, contract: Contract) -> None:
    """Drop references, put pages back, free objects and bystanders, run the worker; then check I12."""
    for slot in list(side.references):
        side.speculative_put(slot)
    for slot in list(side.pages):
        side.putback(slot)
    for slot in list(side.handles):
        side.free(slot, contract.objects[slot].pool)
    for slot in list(contract.bystanders):
        side.drop_bystander(slot)
    while side.machine.pending_work():
        side.machine.run_work()
    _check_drained(side)


def _check_drained(side: Side) -> None:
    left = side.drained_projection()
    at_boot = side.boot_projection
    gone = side.unusable_pages()
    for name, value in at_boot.items():
        now = left[name]
        if name.startswith(VMSTAT_NAMES[NR_FREE_PAGES]):
            now += gone[ZONE_NAMES.index(name.split()[-1])]
        if now != value:
            rule = "I12 leak" if "live" in name or "free" in name else "I12 drained state"
            raise Violation("invariant", rule, (), without_zone(name), side, f"{name}: {value} at boot, {now} drained")
    held = side.machine.locks.held
    if held:
        raise Violation("invariant", "I5 lock held at quiescence", (), held[0][0], side, f"still holds {held[0][0]}")
