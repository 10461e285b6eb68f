"""Drain: give everything back, then look at what is left (invariant I12).

In:    a side after the last step.
Out:   a side on which nothing is live; a Violation for what did not come back.
Never: compares two sides: the drained projections are compared by zsfuzz/oracle/judge.py.
Next:  the projection itself is drained_projection() in zsfuzz/execute/side.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zsfuzz.machine.failure import KMALLOC
from zsfuzz.machine.layout import NR_FREE_PAGES, VMSTAT_NAMES, ZONE_NAMES
from zsfuzz.oracle.frames import pinned_too_often
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


def probe_pool(side: Side) -> None:
    """Make a pool and destroy it: nothing of it may stay. For a drained side whose program made pools.

    Not in the drained projection, since a design may give a pool memory when it is first used.
    """
    before = _kmalloc(side)
    pool = side.target.zs_create_pool()
    if pool:
        side.target.zs_destroy_pool(pool)
    for name, live in _kmalloc(side).items():
        if live != before.get(name, 0):
            text = f"{live - before.get(name, 0)} objects of {name} stay of a pool that was made and destroyed"
            raise Violation("invariant", "I12 leak", (), "live kmalloc", side, text)


def _kmalloc(side: Side) -> dict[str, int]:
    return {name: live for name, live in side.machine.slab.live_by_cache() if name.startswith(KMALLOC)}


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
    pinned = pinned_too_often(side)
    if pinned >= 0:
        text = f"pfn {pinned} is poisoned, and more than the one reference that withholds it is left"
        raise Violation("invariant", "I12 leak", (), VMSTAT_NAMES[NR_FREE_PAGES], side, text)
    held = side.machine.locks.held
    if held:
        raise Violation("invariant", "I5 lock held at quiescence", (), held[0][0], side, f"still holds {held[0][0]}")
