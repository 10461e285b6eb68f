"""Migration of a list of pages: passes, retries, errors.

In:    a list of isolated pages; a MigrateControl that says where to, how and why.
Out:   how many pages stayed, or -ENOMEM; pages that failed for good are back with their owners.
Never: a look at a page but through the descriptor rules.
Next:  one page in zsfuzz/machine/core/move.py; the batches of 6.3 in zsfuzz/machine/core/migrate_batch.py;
       taking pages and giving them back in zsfuzz/machine/core/movable.py.

Source: mm/migrate.c, v5.10. Strays: no memory cgroups, no statistics, no swap.
"""

from __future__ import annotations

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.migrate_batch import migrate_pages_batch
from zsfuzz.machine.core.movable import isolate_movable_page, putback_movable_pages
from zsfuzz.machine.core.move import MigrateControl, unmap_and_move
from zsfuzz.machine.core.page_alloc import alloc_migration_target
from zsfuzz.machine.core.words import (
    MIGRATE_SYNC_NO_COPY,
    MIGRATEPAGE_SUCCESS,
    MR_SYSCALL,
    NR_MAX_MIGRATE_ASYNC_RETRY,
    NR_MIGRATE_PASSES,
)
from zsfuzz.machine.layout import EAGAIN, ENOMEM

__all__ = [
    "MigrateControl",
    "isolate_movable_page",
    "migrate_pages",
    "migrate_pages_to_new",
    "putback_movable_pages",
]


def migrate_pages(core: Core, head: int, control: MigrateControl) -> int:
    """Migrate the pages of a list. Returns how many did not move, or -ENOMEM when no target could be had.

    Pages that failed for good have been put back; those that may succeed another time are still on the list,
    and the caller puts them back. Source: migrate_pages(), v5.10; under batched_migration v6.3. Strays: see
    the two halves.
    """
    failed_count, first_pass = 0, 0
    if core.batched_migration and control.mode != MIGRATE_SYNC_NO_COPY:
        if migrate_pages_batch(core, head, control) < 0:
            return -ENOMEM
        first_pass = NR_MAX_MIGRATE_ASYNC_RETRY
    retry = 1
    for number in range(first_pass, NR_MIGRATE_PASSES):
        if not retry:
            break
        retry = 0
        for page in core.each_page(head):
            result = migrate_one_page(core, page, number > 2, control)
            if result == -ENOMEM:
                return -ENOMEM
            if result == -EAGAIN:
                retry += 1
            elif result != MIGRATEPAGE_SUCCESS:
                failed_count += 1
    return failed_count + retry


def migrate_one_page(core: Core, page: int, force: bool, control: MigrateControl) -> int:
    """Do what migrate_pages() does with each page: look at its size, then unmap_and_move(), v5.10.

    Strays: a huge page without a target is not split.
    """
    core.d.thp_nr_pages(page)
    core.PageHuge(page)
    return unmap_and_move(core, page, force, control)


def migrate_pages_to_new(core: Core, head: int, mode: int) -> int:
    """Migrate a list to freshly allocated pages, as move_pages(2) does. Returns migrate_pages()'s result.

    mode: enum migrate_mode. Source: do_move_pages_to_node(), v5.10. Strays: putting back is the caller's.
    """
    control = MigrateControl(lambda page: alloc_migration_target(core, page), None, mode, MR_SYSCALL)
    return migrate_pages(core, head, control)
