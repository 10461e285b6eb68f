"""Stand-ins: what shared functions are replaced by while a fault is planted.

In:    the function that is there.
Out:   one maker for each shared fault: it takes the function and returns the stand-in, which has its name.
Never: a second deviation; a condition in the code that is changed.
Next:  which fault uses which: zsfuzz/target/shared_faults.py; how they are put in: zsfuzz/target/planting.py.

A stand-in calls what it stands in for where it can, so that a fault is one deviation and not a second copy. They take
and give what their originals do; their types say Any, since a maker serves whatever it is handed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zsfuzz.machine.layout import (
    MIGRATE_MOVABLE,
    NR_FREE_PAGES,
    NR_ISOLATED,
    PG_REFCOUNT,
    PG_hwpoison,
    PG_isolated,
)
from zsfuzz.policy.size_class import FullnessGroup, SizeClassTable

# -- policy


def class_rounds_down(original: Any) -> Any:
    def get_size_class_index(table: SizeClassTable, size_with_handle: int) -> int:
        if size_with_handle <= table.min_alloc:
            return 0
        return min((size_with_handle - table.min_alloc) // table.step, len(table.index_of) - 1)

    return get_size_class_index


def class_forgets_handle(original: Any) -> Any:
    def get_size_class_index(table: SizeClassTable, size_with_handle: int) -> int:
        index: int = original(table, size_with_handle)
        payload: int = original(table, max(size_with_handle - 8, 1))
        return payload if table.class_at(index).huge and not table.class_at(payload).huge else index

    return get_size_class_index


def half_is_almost_full(original: Any) -> Any:
    def get_fullness_group(inuse: int, objs_per_zspage: int) -> FullnessGroup:
        group: FullnessGroup = original(inuse, objs_per_zspage)
        many = inuse * 2 > objs_per_zspage
        return FullnessGroup.ZS_ALMOST_FULL if group is FullnessGroup.ZS_ALMOST_EMPTY and many else group

    return get_fullness_group


def one_left_is_full(original: Any) -> Any:
    def get_fullness_group(inuse: int, objs_per_zspage: int) -> FullnessGroup:
        nearly = objs_per_zspage > 8 and inuse == objs_per_zspage - 1
        return FullnessGroup.ZS_FULL if nearly else original(inuse, objs_per_zspage)

    return get_fullness_group


def three_pages_at_most(original: Any) -> Any:
    tables: dict[str, Any] = {}

    def geometry(name: str) -> Any:
        if name not in tables:
            shape = replace(original(name))
            vars(shape)["size_classes"] = _table_of_three(shape.page_size)
            tables[name] = shape
        return tables[name]

    return geometry


def _table_of_three(page_size: int) -> SizeClassTable:
    """Return the table of another longest chain: other classes, fewer objects to a zspage."""
    return SizeClassTable(page_size, max_pages_per_zspage=3)


# -- taking pages and giving them back


def refusal_keeps_reference(original: Any) -> Any:
    def isolate_movable_page(core: Any, page: int, *rest: Any) -> int:
        result: int = original(core, page, *rest)
        if result and core.d.page_has_movable_mapping(page):
            core.d.get_page_unless_zero(page)
        return result

    return isolate_movable_page


def putback_keeps_flag(original: Any) -> Any:
    def putback_movable_page(core: Any, page: int) -> None:
        original(core, page)
        core.d.set_page_isolated(page)

    return putback_movable_page


def putback_misses_last(original: Any) -> Any:
    def putback_movable_pages(core: Any, head: int) -> None:
        pages = core.pages_on(head)
        if len(pages) > 1:
            core.d.core_unlink(pages[-1])
        original(core, head)

    return putback_movable_pages


def isolated_counted_twice(original: Any) -> Any:
    def mod_node_page_state(core: Any, page: int, pages_count: int) -> None:
        original(core, page, 2 * pages_count if pages_count > 0 else pages_count)

    return mod_node_page_state


def isolated_in_wrong_zone(original: Any) -> Any:
    def mod_node_page_state(core: Any, page: int, pages_count: int) -> None:
        core.buddy.mod_zone_page_state(0 if pages_count > 0 else core.d.page_zone(page), NR_ISOLATED, pages_count)

    return mod_node_page_state


# -- moving


def target_leaks(original: Any) -> Any:
    def put_new_page(core: Any, control: Any, newpage: int) -> None:
        if control.put_new_page is not None:
            original(core, control, newpage)

    return put_new_page


def old_page_kept(original: Any) -> Any:
    def put_old_page(core: Any, page: int, control: Any) -> None:
        """Nobody drops the isolation's reference."""

    return put_old_page


def flag_stays_on_old_page(original: Any) -> Any:
    def leave_old_page(core: Any, page: int) -> None:
        original(core, page)
        core.m.set_bit(PG_isolated, page)

    return leave_old_page


def copies_all_but_a_word(original: Any) -> Any:
    def migrate_page(core: Any, newpage: int, page: int) -> int:
        last = core.m.kmap(page) + core.m.page_size - 8
        kept = core.m.load(last)
        core.m.store(last, 0)
        result: int = original(core, newpage, page)
        core.m.store(last, kept)
        return result

    return migrate_page


def entry_names_old_page(original: Any) -> Any:
    def remove_migration_ptes(core: Any, old: int, new: int) -> None:
        original(core, old, new if new == old else old)

    return remove_migration_ptes


def target_still_counted_free(original: Any) -> Any:
    def alloc_migration_target(core: Any, page: int) -> int:
        target: int = original(core, page)
        if target:
            core.buddy.mod_zone_page_state(core.d.page_zone(target), NR_FREE_PAGES, 1)
        return target

    return alloc_migration_target


# -- scanners of compaction


def scans_every_other_page(original: Any) -> Any:
    def isolate_fail(scanner: Any) -> None:
        original(scanner)
        scanner.low_pfn += 1

    return isolate_fail


def skips_one_too_many(original: Any) -> Any:
    def skip(scanner: Any, pages_count: int) -> None:
        original(scanner, pages_count + (pages_count > 4))

    return skip


def compound_counts_one(original: Any) -> Any:
    def isolate_success(scanner: Any, page: int) -> None:
        original(scanner, page)
        if scanner.cc.nr_migratepages > 1:
            scanner.cc.nr_migratepages -= 1

    return isolate_success


def unused_target_lost(original: Any) -> Any:
    def release_freepages(core: Any, head: int) -> int:
        pages = core.pages_on(head)
        if len(pages) > 1:
            core.d.core_unlink(pages[0])
        return int(original(core, head))

    return release_freepages


def freepage_not_uncounted(original: Any) -> Any:
    def compaction_alloc(core: Any, cc: Any) -> int:
        page: int = original(core, cc)
        if page:
            cc.nr_freepages += 1
        return page

    return compaction_alloc


# -- page isolation, offline, contig


def block_stays_isolated(original: Any) -> Any:
    def undo_isolate_page_range(core: Any, start: int, end: int, migratetype: int) -> None:
        original(core, start, max(start, end - core.buddy.pageblock_pages), migratetype)

    return undo_isolate_page_range


def unmovable_overlooked(original: Any) -> Any:
    def is_skipped_or_movable(core: Any, page: int, flags: int) -> bool:
        return True

    return is_skipped_or_movable


def movable_refused(original: Any) -> Any:
    def is_skipped_or_movable(core: Any, page: int, flags: int) -> bool:
        return bool(core.d.PageLRU(page)) or (bool(original(core, page, flags)) and core.d.page_ref_count(page) > 1)

    return is_skipped_or_movable


def lru_not_offered(original: Any) -> Any:
    def is_offered(core: Any, page: int) -> bool:
        return not core.d.PageLRU(page) and bool(original(core, page))

    return is_offered


def contig_keeps_last_page(original: Any) -> Any:
    def free_contig_range(core: Any, pfn: int, pages_count: int) -> None:
        original(core, pfn, pages_count - (pages_count > 3))

    return free_contig_range


def online_without_last_block(original: Any) -> Any:
    def largest_healthy_order(core: Any, pfn: int, end: int) -> int:
        order: int = original(core, pfn, end)
        return max(order - 1, 0) if pfn + (1 << order) == end and order > 2 else order

    return largest_healthy_order


def online_forgets_a_page(original: Any) -> Any:
    def online_section(core: Any, start: int, end: int) -> int:
        result: int = original(core, start, end)
        if not result and core.buddy.is_free_buddy_page(end - 1):
            core.buddy.split_free_block(end - 1)
            core.buddy.take_free_block(end - 1)
        return result

    return online_section


# -- the buddy allocator


def free_not_counted(original: Any) -> Any:
    def take_free_block(buddy: Any, pfn: int) -> int:
        order: int = original(buddy, pfn)
        if order > 2:
            buddy.mod_zone_page_state(buddy.zone_of_pfn(pfn), NR_FREE_PAGES, 1)
        return order

    return take_free_block


def merges_unequal(original: Any) -> Any:
    def _mergeable(buddy: Any, zone: int, pfn: int, other: int, order: int) -> bool:
        if buddy.buddy_order(other) + 1 == order and order == 2:
            return True
        return bool(original(buddy, zone, pfn, other, order))

    return _mergeable


def freed_to_wrong_list(original: Any) -> Any:
    def move_freepages_block(buddy: Any, pfn: int, migratetype: int) -> int:
        return int(original(buddy, pfn, MIGRATE_MOVABLE))

    return move_freepages_block


# -- memory errors


def poison_not_withheld(original: Any) -> Any:
    def keep(core: Any, page: int, **options: Any) -> bool:
        kept = bool(original(core, page, **options))
        if kept and options["release"]:
            core.m.clear_bit(PG_hwpoison, page)
        return kept

    return keep


def poisoned_reference_twice(original: Any) -> Any:
    def page_ref_inc(core: Any, page: int) -> None:
        core.m.atomic_add32(page + PG_REFCOUNT, 2)

    return page_ref_inc


def poisoned_free_page_stays_free(original: Any) -> Any:
    def take_page_off_buddy(core: Any, page: int) -> bool:
        pfn = core.buddy.page_to_pfn(page)
        return bool(core.buddy.is_free_buddy_page(pfn))

    return take_page_off_buddy


# -- what user space and speculative getters see


def poison_not_shown(original: Any) -> Any:
    def kpf_copy_bits(flags: int) -> int:
        return int(original(flags)) & ~(1 << 19)  # KPF_HWPOISON

    return kpf_copy_bits


def free_not_shown(original: Any) -> Any:
    def stable_page_flags(machine: Any, page: int) -> int:
        shown: int = original(machine, page)
        return shown & ~(1 << 10) if page and machine.d.PageBuddy(page) and machine.d.buddy_order(page) == 0 else shown

    return stable_page_flags


def count_off_by_one(original: Any) -> Any:
    def kpagecount(machine: Any, pfn: int) -> int:
        count: int = original(machine, pfn)
        page = machine.pfn_to_online_page(pfn)
        return count + bool(page and machine.d.PageAnon(page))

    return kpagecount


def offline_is_read(original: Any) -> Any:
    def pfn_to_online_page(machine: Any, pfn: int) -> int:
        page: int = original(machine, pfn)
        inside = 0 <= pfn < machine.buddy.pages_count
        return page or (machine.buddy.pfn_to_page(pfn) if inside else 0)

    return pfn_to_online_page


def getter_keeps_reference(original: Any) -> Any:
    def probe_speculative_get(core: Any, page: int) -> int:
        head: int = original(core, page)
        if head and core.d.page_has_movable_mapping(page) and core.d.page_count(page) > 2:
            core.d.get_page_unless_zero(page)
        return head

    return probe_speculative_get
