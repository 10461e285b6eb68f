"""Batched migration: lock a batch of pages first, then move them.

In:    a list of isolated pages, under the switch batched_migration.
Out:   0, or -ENOMEM; what could not be done is still on the list, for migrate_pages() to do one by one.
Never: waits for a lock while it holds the locks of the batch.
Next:  what goes on one by one, with waiting: zsfuzz/machine/core/migrate.py.

Source: migrate_pages_sync(), migrate_pages_batch(), migrate_folio_unmap(), migrate_folio_move(),
mm/migrate.c, v6.3.

    list          p0(Z)  p1(Z)  q0(Y)  p2(Z)        one lock per zspage: Z's is taken once
    targets       a      b      c      d            every page gets its target before any page moves
    locked        yes    no     yes    no           trylock only
    then          p0>a unlock, p1 (locked now)>b, q0>c, p2 (locked now)>d

Strays: v6.3 gives the target of a page that it could not lock back, and returns to the page only after the
batch, when it is not asked for MIGRATE_ASYNC; so the end would depend on how many pages share a lock. Here
such a page keeps its target and its turn: the batch tries its lock again when the pages before it have moved.
Mappings are removed when a page moves, not when it is locked; there is no TLB to flush in one go.
"""

from __future__ import annotations

from dataclasses import dataclass

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.move import (
    MigrateControl,
    leave_list,
    move_locked_page,
    put_new_page,
    put_old_page,
    put_target,
)
from zsfuzz.machine.core.words import MIGRATE_ASYNC, MIGRATEPAGE_SUCCESS
from zsfuzz.machine.layout import EAGAIN, ENOMEM


@dataclass(slots=True)
class BatchEntry:
    """One page of a batch. lock, new_lock: what trylock_page() returned for it and its target, 0 if taken."""

    page: int
    newpage: int
    is_lru: bool
    lock: int = 0
    new_lock: int = 0


def migrate_pages_batch(core: Core, head: int, control: MigrateControl) -> int:
    """Migrate what can be migrated without waiting, NR_MAX_BATCHED_MIGRATION pages at a time.

    Returns 0, or -ENOMEM when a page got no target (those before it have moved). The batch is a pageblock, as
    NR_MAX_BATCHED_MIGRATION is on x86-64.
    """
    pages, size = core.pages_on(head), core.buddy.pageblock_pages
    for first in range(0, len(pages), size):
        result = migrate_one_batch(core, pages[first : first + size], control)
        if result:
            return result
    return 0


def migrate_one_batch(core: Core, pages: tuple[int, ...], control: MigrateControl) -> int:
    """Lock, then move. Returns 0 or -ENOMEM."""
    entries: list[BatchEntry] = []
    result = 0
    for page in pages:
        core.d.thp_nr_pages(page)
        core.PageHuge(page)
        if core.d.page_count(page) == 1:
            continue  # its owner is gone: unmap_and_move() knows what to do
        newpage = control.get_new_page(page)
        if not newpage:
            result = -ENOMEM
            break
        entry = BatchEntry(page, newpage, not core.d.page_has_movable_mapping(page))
        migrate_folio_lock(core, entry)
        entries.append(entry)
    for entry in entries:
        migrate_folio_move(core, entry, control)
    return result


def migrate_folio_lock(core: Core, entry: BatchEntry) -> bool:
    """Try to lock a page and its target; both or none. Source: migrate_folio_unmap(), v6.3."""
    d = core.d
    entry.lock = d.trylock_page(entry.page)
    if not entry.lock:
        return False
    if not d.PageWriteback(entry.page):
        entry.new_lock = d.trylock_page(entry.newpage)
        if entry.new_lock:
            return True
    d.unlock_page(entry.page, entry.lock)
    entry.lock = 0
    return False


def migrate_folio_move(core: Core, entry: BatchEntry, control: MigrateControl) -> None:
    """Move one page of a batch; a page that cannot move now stays on its list.

    Source: migrate_folio_move(), v6.3.
    """
    d, result = core.d, -EAGAIN
    if entry.lock or migrate_folio_lock(core, entry):
        result = move_locked_page(core, entry.page, entry.newpage, entry.is_lru, MIGRATE_ASYNC)
        d.unlock_page(entry.newpage, entry.new_lock)
        d.unlock_page(entry.page, entry.lock)
    if result != MIGRATEPAGE_SUCCESS:
        put_new_page(core, control, entry.newpage)
        return
    put_target(core, entry.newpage, entry.is_lru)
    control.moved.append((entry.page, entry.newpage))
    leave_list(core, entry.page)
    put_old_page(core, entry.page, control)
