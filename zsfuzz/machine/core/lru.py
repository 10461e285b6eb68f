"""LRU: taking pages off the LRU and putting them back; the two halves of an anonymous page's mapping.

In:    pages that carry PG_lru.
Out:   isolation of such pages; page table entries turned into migration entries and back.
Never: touches a zsmalloc page that says it is not on the LRU.
Next:  whose pages these are: zsfuzz/machine/core/bystander.py.

Source: mm/vmscan.c, mm/swap.c, mm/rmap.c, v5.10. Strays: there are no LRU lists and no pagevecs, PG_lru alone
says that a page is on the LRU; a page is mapped by at most one page table entry, which is its bystander's
record.
"""

from __future__ import annotations

from zsfuzz.machine.core.bystander import PTE_HWPOISON, PTE_MIGRATION, PTE_PRESENT, Record, record_of_index
from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.words import ISOLATE_ASYNC_MIGRATE
from zsfuzz.machine.layout import EBUSY, EINVAL, NR_ISOLATED, PG_INDEX, PG_MAPCOUNT, PG_dirty, PG_lru


def set_page_lru(core: Core, page: int) -> None:
    """SetPageLRU() (PF_HEAD: the head's word)."""
    core.m.set_bit(PG_lru, core.d.compound_head(page))


def clear_page_lru(core: Core, page: int) -> None:
    """ClearPageLRU() (PF_HEAD: the head's word)."""
    core.m.clear_bit(PG_lru, core.d.compound_head(page))


def isolate_lru_page(core: Core, page: int) -> int:
    """Take a page off the LRU with a reference of its own. Returns 0, or -EBUSY when it was not on it.

    The caller has a reference. Source: isolate_lru_page(), mm/vmscan.c, v5.10. Strays: no lists.
    """
    d = core.d
    if not d.page_count(page):
        core.m.BUG("VM_BUG_ON !page_count", "isolate_lru_page", "isolate_lru_page() without a reference")
    if d.PageTail(page):
        core.m.BUG("WARN_ON PageTail", "isolate_lru_page", "isolate_lru_page() of a tail page")
    result = -EBUSY
    if d.PageLRU(page):
        core.lock_lru()
        if d.PageLRU(page):
            d.get_page(page)
            clear_page_lru(core, page)
            result = 0
        core.unlock_lru()
    return result


def isolate_lru_page_locked(core: Core, page: int, mode: int) -> int:
    """__isolate_lru_page(): as above, under lru_lock and without a reference. Returns 0, -EBUSY or -EINVAL.

    mode: isolate_mode_t. Source: __isolate_lru_page(), mm/vmscan.c, v5.10. Strays: unevictable pages are not
    modelled.
    """
    d = core.d
    if not d.PageLRU(page):
        return -EINVAL
    if mode & ISOLATE_ASYNC_MIGRATE and d.PageWriteback(page):
        return -EBUSY
    if not d.get_page_unless_zero(page):
        return -EBUSY
    clear_page_lru(core, page)
    return 0


def putback_lru_page(core: Core, page: int) -> None:
    """Put an isolated page back on the LRU and drop the reference of its isolation.

    Source: putback_lru_page(), lru_cache_add(), v5.10. Strays: no pagevec, the page is on the LRU at once.
    """
    if core.d.PageLRU(page):
        core.m.BUG("VM_BUG_ON PageLRU", "lru_cache_add", "lru_cache_add() of a page on the LRU")
    set_page_lru(core, page)
    core.d.put_page(page)


def mod_node_page_state(core: Core, page: int, pages_count: int) -> None:
    """mod_node_page_state(NR_ISOLATED_*). Errors: Report when the counter would fall below zero."""
    core.buddy.mod_zone_page_state(core.d.page_zone(page), NR_ISOLATED, pages_count)


# -- reverse mapping: an anonymous page's index is the slot number of the record that maps it


def page_mapping_record(core: Core, page: int, pte: int) -> Record | None:
    """Return the record whose page table entry names a page and is in state `pte`."""
    record = record_of_index(core, core.m.load(page + PG_INDEX))
    if record is None or record.page != page or record.pte != pte:
        return None
    return record


def try_to_unmap(core: Core, page: int, poisoned: bool) -> None:
    """Replace the entry that maps a page by a migration entry, or by a poison entry, and drop its reference.

    Source: try_to_unmap(), mm/rmap.c, v5.10 (TTU_MIGRATION, or a page with PG_hwpoison).
    """
    record = page_mapping_record(core, page, PTE_PRESENT)
    if record is None:
        return
    record.set_pte(PTE_HWPOISON if poisoned else PTE_MIGRATION)
    core.m.atomic_add32(page + PG_MAPCOUNT, -1)
    core.d.put_page(page)


def remove_migration_ptes(core: Core, old: int, new: int) -> None:
    """Let the migration entry of `old` map `new`. Source: remove_migration_ptes(), mm/migrate.c, v5.10."""
    record = page_mapping_record(core, old, PTE_MIGRATION)
    if record is None:
        return
    core.d.get_page(new)
    record.set_page(new)
    record.set_pte(PTE_PRESENT)
    core.m.atomic_add32(new + PG_MAPCOUNT, 1)


def page_is_dirty(core: Core, page: int) -> bool:
    """PageDirty() (PF_HEAD: the head's word)."""
    return bool(core.m.load(core.d.compound_head(page)) >> PG_dirty & 1)
