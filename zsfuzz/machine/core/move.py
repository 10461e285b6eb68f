"""Moving one page: locks, the owner's callback or a plain copy, and what becomes of both pages.

In:    an isolated page on a list; a MigrateControl.
Out:   0, -EAGAIN (try again), -ENOMEM (no target) or another -errno (for good).
Never: a look at a page but through the descriptor rules.
Next:  lists of pages in zsfuzz/machine/core/migrate.py; LRU pages in zsfuzz/machine/core/lru.py.

    unmap_and_move             target allocated; afterwards: list, NR_ISOLATED, references
      __unmap_and_move         lock page, lock newpage ... unlock newpage, unlock page
        move_locked_page       an LRU page is unmapped first and mapped again afterwards
          move_to_new_page     migratepage() of the owner, or migrate_page()

Source: mm/migrate.c, v5.10. The locks are released as the kernel does, by page; what they were taken on is
passed along, and the rules of 5.10 do not look at it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.lru import mod_node_page_state, putback_lru_page, remove_migration_ptes, try_to_unmap
from zsfuzz.machine.core.movable import putback_isolated_page
from zsfuzz.machine.core.words import (
    MIGRATE_ASYNC,
    MIGRATE_SYNC,
    MIGRATE_SYNC_NO_COPY,
    MIGRATEPAGE_SUCCESS,
    MR_MEMORY_FAILURE,
)
from zsfuzz.machine.layout import (
    EAGAIN,
    EBUSY,
    ENOMEM,
    PG_INDEX,
    PG_MAPPING,
    PG_PRIVATE,
    PG_active,
    PG_dirty,
    PG_error,
    PG_mappedtodisk,
    PG_private,
    PG_private_2,
    PG_referenced,
    PG_swapbacked,
    PG_unevictable,
    PG_uptodate,
    PG_workingset,
    PG_writeback,
)

_COPIED_FLAGS = (PG_error, PG_referenced, PG_uptodate, PG_workingset, PG_mappedtodisk, PG_dirty)


@dataclass(frozen=True, slots=True)
class MigrateControl:
    """Where to, how and why pages migrate.

    get_new_page: returns a target for a page, 0 without memory. put_new_page: takes back a target that was
    not used, None for put_page(). mode, reason: the enums. memalloc: PF_MEMALLOC, the caller may not wait for
    a page lock. moved: (old, new) struct pages, in the order in which they moved.
    """

    get_new_page: Callable[[int], int]
    put_new_page: Callable[[int], None] | None
    mode: int
    reason: int
    memalloc: bool = False
    moved: list[tuple[int, int]] = field(default_factory=list)


def put_new_page(core: Core, control: MigrateControl, newpage: int) -> None:
    """Give back a target that was not used."""
    if control.put_new_page is None:
        core.d.put_page(newpage)
    else:
        control.put_new_page(newpage)


def unmap_and_move(core: Core, page: int, force: bool, control: MigrateControl) -> int:
    """Move one page to a new frame. Returns 0, -EAGAIN with the page still on its list, -ENOMEM, or -errno.

    force: wait for the page lock. Source: unmap_and_move(), v5.10. Strays: no.
    """
    newpage = 0
    if core.d.page_count(page) == 1:
        clear_page_freed_under_us(core, page)
        result = MIGRATEPAGE_SUCCESS
    else:
        newpage = control.get_new_page(page)
        if not newpage:
            return -ENOMEM
        result = __unmap_and_move(core, page, newpage, force, control)
        if result == MIGRATEPAGE_SUCCESS:
            control.moved.append((page, newpage))
    if result != -EAGAIN:
        leave_list(core, page)
    if result == MIGRATEPAGE_SUCCESS:
        put_old_page(core, page, control)
        return result
    if result != -EAGAIN:
        if core.d.page_has_movable_mapping(page):
            putback_isolated_page(core, page)
        else:
            putback_lru_page(core, page)
    put_new_page(core, control, newpage)
    return result


def clear_page_freed_under_us(core: Core, page: int) -> None:
    """Only the isolation's reference is left: the owner is gone.

    Source: unmap_and_move(), v5.10. Strays: no.
    """
    d = core.d
    head = d.compound_head(page)
    core.m.clear_bit(PG_active, head)
    core.m.clear_bit(PG_unevictable, head)
    if d.page_has_movable_mapping(page):
        lock = d.lock_page(page)
        if not d.PageMovable(page):
            d.clear_page_isolated(page)
        d.unlock_page(page, lock)


def leave_list(core: Core, page: int) -> None:
    """Unlink a page that migrated or failed for good; an LRU page is counted out of NR_ISOLATED."""
    d = core.d
    d.core_unlink(page)
    if not d.page_has_movable_mapping(page):
        mod_node_page_state(core, page, -d.thp_nr_pages(page))


def put_old_page(core: Core, page: int, control: MigrateControl) -> None:
    """Drop the isolation's reference; after soft offline page_handle_poison() does that."""
    if control.reason != MR_MEMORY_FAILURE:
        core.d.put_page(page)


def __unmap_and_move(core: Core, page: int, newpage: int, force: bool, control: MigrateControl) -> int:
    """Lock both pages and move one to the other. Returns 0 or -errno. Source: __unmap_and_move(), v5.10.

    Strays: nobody ends a writeback, so that waiting for one is a deadlock.
    """
    d = core.d
    is_lru = not d.page_has_movable_mapping(page)
    lock = d.trylock_page(page)
    if not lock:
        if not force or control.mode == MIGRATE_ASYNC or control.memalloc:
            return -EAGAIN
        lock = d.lock_page(page)
    result = wait_for_writeback(core, page, force, control.mode)
    if result == MIGRATEPAGE_SUCCESS:
        result = -EAGAIN
        new_lock = d.trylock_page(newpage)
        if new_lock:
            result = move_locked_page(core, page, newpage, is_lru, control.mode)
            d.unlock_page(newpage, new_lock)
    d.unlock_page(page, lock)
    if result == MIGRATEPAGE_SUCCESS:
        put_target(core, newpage, is_lru)
    return result


def put_target(core: Core, newpage: int, is_lru: bool) -> None:
    """Drop the allocation's reference on a target that has a new owner. Source: __unmap_and_move(), v5.10."""
    if is_lru:
        putback_lru_page(core, newpage)
    else:
        core.d.put_page(newpage)


def wait_for_writeback(core: Core, page: int, force: bool, mode: int) -> int:
    """Return 0 when a page is not under writeback, else -EBUSY or -EAGAIN.

    Source: __unmap_and_move(), v5.10.
    """
    if not core.d.PageWriteback(page):
        return MIGRATEPAGE_SUCCESS
    if mode not in (MIGRATE_SYNC, MIGRATE_SYNC_NO_COPY):
        return -EBUSY
    if force:
        core.m.locks.blocked("PG_writeback", core.d.compound_head(page))
    return -EAGAIN


def move_locked_page(core: Core, page: int, newpage: int, is_lru: bool, mode: int) -> int:
    """Move a page, both pages locked; an LRU page is unmapped meanwhile.

    Source: __unmap_and_move(), v5.10.
    """
    d, m = core.d, core.m
    if not is_lru:
        return move_to_new_page(core, newpage, page, mode)
    was_mapped, result = False, -EAGAIN
    if not d.mapping_word(page):
        if d.PageAnon(page):
            m.BUG("VM_BUG_ON PageAnon", "__unmap_and_move", "an anonymous page without a mapping")
        if m.load(page) & (1 << PG_private | 1 << PG_private_2):
            return -EAGAIN
    elif d.page_mapped(page):
        try_to_unmap(core, page, poisoned=False)
        was_mapped = True
    if not d.page_mapped(page):
        result = move_to_new_page(core, newpage, page, mode)
    if was_mapped:
        remove_migration_ptes(core, page, newpage if result == MIGRATEPAGE_SUCCESS else page)
    return result


def move_to_new_page(core: Core, newpage: int, page: int, mode: int) -> int:
    """Let newpage take the place of page; both are locked, nobody maps them. Returns 0 or -errno.

    Source: move_to_new_page(), v5.10. Strays: a mapping without migratepage() does not exist.
    """
    d, m = core.d, core.m
    is_lru = not d.page_has_movable_mapping(page)
    for locked in (page, newpage):
        if not d.PageLocked(locked):
            m.BUG("VM_BUG_ON !PageLocked", "move_to_new_page", "a page is moved that is not locked")
    mapping = d.page_mapping(page)
    if is_lru:
        if mapping:
            result = m.mapping_operations(mapping).migratepage(mapping, newpage, page, mode)
        else:
            result = migrate_page(core, newpage, page)
    else:
        check_isolated(core, page, "VM_BUG_ON !PageIsolated")
        if not d.PageMovable(page):
            d.clear_page_isolated(page)
            return MIGRATEPAGE_SUCCESS
        result = m.mapping_operations(mapping).migratepage(mapping, newpage, page, mode)
        if result == MIGRATEPAGE_SUCCESS:
            check_isolated(core, page, "WARN_ON !PageIsolated")
    if result == MIGRATEPAGE_SUCCESS:
        leave_old_page(core, page)
    return result


def check_isolated(core: Core, page: int, rule: str) -> None:
    """Errors: Report for a page that lost PG_isolated on its way."""
    if not core.d.PageIsolated(page):
        core.m.BUG(rule, "move_to_new_page", "PG_isolated is clear on a page that is being moved")


def leave_old_page(core: Core, page: int) -> None:
    """Clear what says that the old page was isolated or mapped.

    Source: move_to_new_page(), v5.10. Strays: no.
    """
    d = core.d
    if d.page_has_movable_mapping(page):
        check_isolated(core, page, "VM_BUG_ON !PageIsolated")
        d.clear_page_isolated(page)
    if not d.PageMappingFlags(page):
        core.m.store(page + PG_MAPPING, 0)


# -- pages without an owner's callback


def migrate_page(core: Core, newpage: int, page: int) -> int:
    """Move an anonymous page that nobody maps any more. Returns 0, or -EAGAIN when somebody has a reference.

    Source: migrate_page(), migrate_page_move_mapping(), v5.10. Strays: the copy that the caller of
    MIGRATE_SYNC_NO_COPY makes with other means is made here.
    """
    d, m = core.d, core.m
    if d.PageWriteback(page):
        m.BUG("BUG_ON PageWriteback", "migrate_page", "a page is moved that is under writeback")
    if d.page_count(page) != 1:
        return -EAGAIN
    m.store(newpage + PG_INDEX, m.load(page + PG_INDEX))
    m.store(newpage + PG_MAPPING, m.load(page + PG_MAPPING))
    if m.test_bit(PG_swapbacked, page):
        m.set_bit(PG_swapbacked, newpage)
    m.memory.memcpy(m.kmap(newpage), m.kmap(page), m.page_size * d.thp_nr_pages(page))
    migrate_page_states(core, newpage, page)
    return MIGRATEPAGE_SUCCESS


def migrate_page_states(core: Core, newpage: int, page: int) -> None:
    """Copy the flags that go with the content.

    Source: migrate_page_states(), v5.10. Strays: no swap, no KSM.
    """
    m = core.m
    for bit in _COPIED_FLAGS:
        if m.test_bit(bit, page):
            m.set_bit(bit, newpage)
    for bit in (PG_active, PG_unevictable):
        if m.test_bit(bit, page):
            m.clear_bit(bit, page)
            m.set_bit(bit, newpage)
    m.clear_bit(PG_private, page)
    m.store(page + PG_PRIVATE, 0)
    if m.test_bit(PG_writeback, newpage):
        m.BUG("BUG_ON PageWriteback", "migrate_page_states", "a fresh page is under writeback")
