"""Movable pages: taking them from their owner, and giving them back.

In:    pages whose owner registered address space operations; lists of isolated pages, LRU pages among them.
Out:   0 or -EBUSY; PG_isolated, a reference, NR_ISOLATED.
Never: moves a page.
Next:  moving in zsfuzz/machine/core/move.py; who calls: zsfuzz/machine/core/migrate.py and the scanners of
       the core.

Source: mm/migrate.c, v5.10. Each VM_BUG_ON of the kernel on these paths is here and raises a Report.
"""

from __future__ import annotations

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.lru import isolate_lru_page, mod_node_page_state, putback_lru_page
from zsfuzz.machine.core.words import ISOLATE_UNEVICTABLE
from zsfuzz.machine.layout import EBUSY


def isolate_movable_page(core: Core, page: int, mode: int = ISOLATE_UNEVICTABLE) -> int:
    """Ask a movable page's owner to let it go. Returns 0 with a reference and PG_isolated, or -EBUSY.

    mode: isolate_mode_t. Source: isolate_movable_page(), v5.10. Strays: no.
    """
    d, result = core.d, -EBUSY
    if d.get_page_unless_zero(page):
        if d.page_has_movable_mapping(page):
            lock = d.trylock_page(page)
            if lock:
                result = 0 if isolate_locked_page(core, page, mode) else -EBUSY
                d.unlock_page(page, lock)
        if result:
            d.put_page(page)
    core.isolations.append((page, result))
    return result


def isolate_locked_page(core: Core, page: int, mode: int) -> bool:
    """Do the part of isolate_movable_page() that is under the page lock.

    Errors: Report for a page that says it is isolated while the core has it on no list (I10).
    """
    d, m = core.d, core.m
    if not d.PageMovable(page):
        return False
    if d.PageIsolated(page):
        core.must_be_listed(page)
        return False
    mapping = d.page_mapping(page)
    if not mapping:
        m.BUG("VM_BUG_ON !mapping", "isolate_movable_page", "a movable page without a mapping")
    if not m.mapping_operations(mapping).isolate_page(page, mode):
        return False
    if d.PageIsolated(page):
        m.BUG("WARN_ON PageIsolated", "isolate_movable_page", "the owner set PG_isolated by itself")
    d.set_page_isolated(page)
    return True


def putback_movable_pages(core: Core, head: int) -> None:
    """Give every page of a list back to its owner or to the LRU; the list is empty afterwards.

    Source: putback_movable_pages(), v5.10. Strays: no.
    """
    d = core.d
    for page in core.each_page(head):
        core.PageHuge(page)
        d.core_unlink(page)
        if not d.page_has_movable_mapping(page):
            mod_node_page_state(core, page, -d.thp_nr_pages(page))
            putback_lru_page(core, page)
            continue
        if not d.PageIsolated(page):
            core.m.BUG("VM_BUG_ON !PageIsolated", "putback_movable_pages", "a page to be put back is not isolated")
        putback_isolated_page(core, page)


def putback_isolated_page(core: Core, page: int) -> None:
    """Give one isolated page back and drop its reference.

    When its owner has let go of it, only PG_isolated is cleared. Source: putback_movable_pages() and
    unmap_and_move(), v5.10, which both do so. Strays: no.
    """
    d = core.d
    lock = d.lock_page(page)
    if d.PageMovable(page):
        putback_movable_page(core, page)
    else:
        d.clear_page_isolated(page)
    d.unlock_page(page, lock)
    d.put_page(page)


def putback_movable_page(core: Core, page: int) -> None:
    """Call the owner's putback_page(). page: locked and isolated. Source: putback_movable_page(), v5.10."""
    d, m = core.d, core.m
    for name, holds in (
        ("PageLocked", d.PageLocked(page)),
        ("PageMovable", d.PageMovable(page)),
        ("PageIsolated", d.PageIsolated(page)),
    ):
        if not holds:
            m.BUG(f"VM_BUG_ON !{name}", "putback_movable_page", f"{name}() is false for a page to be put back")
    m.mapping_operations(d.page_mapping(page)).putback_page(page)
    d.clear_page_isolated(page)


def isolate_page_of_any_sort(core: Core, page: int) -> int:
    """Isolate a page that may be on the LRU or movable otherwise.

    The caller has a reference. Returns 0 or -EBUSY.

    NR_ISOLATED is the caller's: it counts after the page is on a list. Source: do_migrate_range(),
    isolate_page(), v5.10, which both do so. Strays: no.
    """
    if core.d.PageLRU(page):
        return isolate_lru_page(core, page)
    return isolate_movable_page(core, page, ISOLATE_UNEVICTABLE)
