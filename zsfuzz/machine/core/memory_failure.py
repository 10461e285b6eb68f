"""Memory errors: memory_failure() (the frame is broken) and soft_offline_page() (it is going to be).

In:    a pfn.
Out:   0 or -errno; PG_hwpoison on the frame, which never goes back to the buddy allocator.
Never: hands a poisoned page out.
Next:  the migration that soft offline does: zsfuzz/machine/core/migrate.py.

Source: mm/memory-failure.c, v5.10. Strays: no signals, no hugetlb, no page cache; a free page is taken off
the buddy allocator at once by memory_failure() too, as from v5.11 on (v5.10 leaves it, and the next
allocation of a larger block around it drops the whole block).

Two places use the head of the page, and are named in the descriptor interface, so that a design can say what
it wants there: keep_poisoned() where the reference stays, soft_offline_unit() where the page to isolate is
chosen.
"""

from __future__ import annotations

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.lru import isolate_lru_page, mod_node_page_state, page_is_dirty, try_to_unmap
from zsfuzz.machine.core.migrate import migrate_pages
from zsfuzz.machine.core.movable import isolate_page_of_any_sort, putback_movable_pages
from zsfuzz.machine.core.move import MigrateControl
from zsfuzz.machine.core.page_alloc import alloc_migration_target, take_page_off_buddy
from zsfuzz.machine.core.words import MIGRATE_SYNC, MR_MEMORY_FAILURE
from zsfuzz.machine.layout import (
    EBUSY,
    EIO,
    ENXIO,
    PG_REFCOUNT,
    PG_active,
    PG_head,
    PG_lru,
    PG_reserved,
    PG_slab,
    PG_unevictable,
)

MAX_PASSES = 3


# -- memory_failure()


def memory_failure(core: Core, pfn: int) -> int:
    """Poison a frame.

    Returns 0 when its owner can do without it, -EBUSY when not, -ENXIO outside online memory.

    A page in use keeps the reference that was taken, so that its frame is not used again. Source:
    memory_failure(), v5.10.
    """
    d = core.d
    page = core.m.pfn_to_online_page(pfn)
    if not page:
        return -ENXIO
    core.PageHuge(page)
    if d.TestSetPageHWPoison(page):
        return 0
    head = d.compound_head(page)
    core.num_poisoned_pages_inc()
    if not get_hwpoison_page(core, page):
        return poison_free_page(core, page)
    if d.PageTransHuge(head):
        d.put_page(page)  # no huge page can be split here
        return -EBUSY
    if not d.PageLRU(page) and core.buddy.is_free_buddy_page(pfn):
        return 0
    lock = d.lock_page(page)
    if d.PageCompound(page) and d.compound_head(page) != head:
        result = -EBUSY
    else:
        result = contain_error(core, page)
    if result:
        d.keep_poisoned(page, head)
    d.unlock_page(page, lock)
    return result


def poison_free_page(core: Core, page: int) -> int:
    """A page without references: free, part of a larger block that is in use, or with a count that another lane froze.

    Of the last (MF_IGNORED) the core remembers that the mark stands for no reference.

    Source: memory_failure(), v5.11.
    """
    if take_page_off_buddy(core, page):
        page_ref_inc(core, page)
        return 0
    if not core.alone:
        core.ignored_errors.add(page)
    return -EBUSY


def get_hwpoison_page(core: Core, page: int) -> bool:
    """Take a reference on the head of a page. Source: get_hwpoison_page(), v5.10. Strays: no."""
    d = core.d
    head = d.compound_head(page)
    core.PageHuge(head)
    if d.PageTransHuge(head) and not d.PageAnon(head):
        return False
    if d.get_page_unless_zero(head):
        if head == d.compound_head(page):
            return True
        d.put_page(head)
    return False


def contain_error(core: Core, page: int) -> int:
    """Unmap a locked page and let the handler of its state deal with it. Returns 0 or -EBUSY.

    Source: memory_failure() from the lock on, v5.10. Strays: no filter, no unpoison.
    """
    d = core.d
    page_flags = core.m.load(page)
    if not d.PageHWPoison(page):
        d.put_page(page)
        return 0
    if d.PageTail(page) or d.PageLRU(page) or d.PageWriteback(page):
        if d.PageWriteback(page):
            core.m.locks.blocked("PG_writeback", d.compound_head(page))
        hwpoison_user_mappings(core, page)
        if d.PageLRU(page) and not d.mapping_word(page):
            return -EBUSY  # truncated
    return identify_page_state(core, page, page_flags)


def hwpoison_user_mappings(core: Core, page: int) -> None:
    """Replace what maps a user page by poison entries.

    Source: hwpoison_user_mappings(), v5.10. Strays: nobody dies.
    """
    d = core.d
    if d.PageReserved(page) or d.PageSlab(page):
        return
    if not d.PageLRU(page) or not d.page_mapped(page):
        return
    try_to_unmap(core, page, poisoned=True)


def identify_page_state(core: Core, page: int, page_flags: int) -> int:
    """Find the handler by the page's own flags, then by those saved before.

    Source: identify_page_state(), v5.10.
    """
    handler = error_state(core.m.load(page)) or error_state(page_flags)
    handled = False
    if handler == "lru":
        handled = me_pagecache_clean(core, page)
    elif handler == "head":
        handled = True  # me_huge_page() of a page that is not hugetlb's: MF_DELAYED
    return 0 if handled and core.d.page_count(page) - 1 <= 0 else -EBUSY


def error_state(flags: int) -> str:
    """Return which entry of error_states[] matches, "" for the catch-all. Strays: no swap cache, no mlock."""
    for name, bit in (("kernel", PG_reserved), ("kernel", PG_slab), ("head", PG_head), ("lru", PG_lru)):
        if flags >> bit & 1:
            return name
    return ""


def me_pagecache_clean(core: Core, page: int) -> bool:
    """Take a page off the LRU for good. Returns whether it is recovered.

    Source: me_pagecache_clean(), delete_from_lru_cache(), v5.10. Strays: no page cache to truncate.
    """
    d, m = core.d, core.m
    if not isolate_lru_page(core, page):
        m.clear_bit(PG_active, d.compound_head(page))
        m.clear_bit(PG_unevictable, d.compound_head(page))
        d.put_page(page)
    return d.PageAnon(page)


# -- soft_offline_page()


def soft_offline_page(core: Core, pfn: int) -> int:
    """Move a page's contents away and withhold its frame.

    Returns 0, -EIO (not a page for this), -EBUSY, -ENOMEM.

    Source: soft_offline_page(), v5.10. Strays: no.
    """
    page = core.m.pfn_to_online_page(pfn)
    if not page:
        return -EIO
    if core.d.PageHWPoison(page):
        return 0
    for _ in range(2):
        result = get_any_page(core, page)
        if result > 0:
            return soft_offline_in_use_page(core, page)
        if result < 0:
            return result
        if page_handle_poison(core, page, freepage=True, release=False):
            return 0
    return -EBUSY


def get_any_page(core: Core, page: int) -> int:
    """Take a reference on a page that can be moved. Returns 1, 0 for a free page, -EIO or -EBUSY.

    Source: get_any_page(), v5.10. Strays: shake_page() has nothing to drain.
    """
    d = core.d
    for number in range(MAX_PASSES + 1):
        if not get_hwpoison_page(core, page):
            if d.page_count(page):
                if number == MAX_PASSES:
                    return -EBUSY
            elif core.PageHuge(page) or core.buddy.is_free_buddy_page(core.buddy.page_to_pfn(page)):
                return 0
        elif core.PageHuge(page) or d.PageLRU(page) or d.page_has_movable_mapping(page):
            return 1
        else:
            d.put_page(page)
    return -EIO


def soft_offline_in_use_page(core: Core, page: int) -> int:
    """Refuse a huge page that cannot be split; offline any other.

    Source: soft_offline_in_use_page(), v5.10.
    """
    d = core.d
    head = d.compound_head(page)
    core.PageHuge(page)
    if d.PageTransHuge(head):
        d.put_page(page)
        return -EBUSY
    return soft_offline_single_page(core, page)


def soft_offline_single_page(core: Core, page: int) -> int:
    """__soft_offline_page(): invalidate, else isolate and migrate.

    Returns 0, -EBUSY or -ENOMEM. Source: v5.10.
    """
    d = core.d
    unit = d.soft_offline_unit(page)
    core.PageHuge(page)
    lock = d.lock_page(page)
    if d.PageWriteback(page):
        core.m.locks.blocked("PG_writeback", d.compound_head(page))
    if d.PageHWPoison(page):
        d.unlock_page(page, lock)
        d.put_page(page)
        return 0
    invalidated = invalidate_inode_page(core, page)
    d.unlock_page(page, lock)
    if invalidated:
        page_handle_poison(core, page, freepage=False, release=True)
        return 0
    if not isolate_page(core, unit):
        return -EBUSY
    control = MigrateControl(lambda source: alloc_migration_target(core, source), None, MIGRATE_SYNC, MR_MEMORY_FAILURE)
    result = migrate_pages(core, core.pagelist, control)
    if not result:
        page_handle_poison(core, page, freepage=False, release=True)
        return 0
    putback_movable_pages(core, core.pagelist)
    return -EBUSY if result > 0 else result


def invalidate_inode_page(core: Core, page: int) -> bool:
    """Drop a clean, unmapped page cache page.

    Returns whether it is gone; nothing in this machine is such a page.

    Source: invalidate_inode_page(), invalidate_complete_page(), mm/truncate.c, v5.10. Strays:
    remove_mapping() of a page that does look like one is a Report.
    """
    d = core.d
    mapping = d.page_mapping(page)
    if not mapping or page_is_dirty(core, page) or d.PageWriteback(page) or d.page_mapped(page):
        return False
    if d.mapping_word(page) == mapping:
        core.m.BUG("BUG_ON remove_mapping", "invalidate_inode_page", "a page looks like a page cache page")
    return False


def isolate_page(core: Core, page: int) -> bool:
    """Isolate a page onto core.pagelist and drop the caller's reference. Source: isolate_page(), v5.10."""
    d = core.d
    is_lru = d.PageLRU(page)
    core.PageHuge(page)
    isolated = not isolate_page_of_any_sort(core, page)
    if isolated:
        core.link(page, core.pagelist)
        if is_lru:
            mod_node_page_state(core, page, 1)
    d.put_page(page)
    return isolated


def page_handle_poison(core: Core, page: int, *, freepage: bool, release: bool) -> bool:
    """Poison a page that nobody uses any more, and keep it from being used.

    Returns False when it got used again.

    release: drop the isolation's reference first, which would free the page were it not poisoned. Source:
    page_handle_poison(), v5.10. Strays: no.
    """
    if freepage and not take_page_off_buddy(core, page):
        return False
    core.d.TestSetPageHWPoison(page)
    if release:
        core.d.put_page(page)
    page_ref_inc(core, page)
    core.num_poisoned_pages_inc()
    return True


def page_ref_inc(core: Core, page: int) -> None:
    """page_ref_inc(): raw."""
    core.m.atomic_add32(page + PG_REFCOUNT, 1)
