"""Shared faults: bugs on both sides of a run, so that no difference between them need show.

In:    functions of the core, the scanners, the buddy allocator and the size-class policy, by name; ids of faults of
       the two models.
Out:   FAULTS: S-.. are planted in shared code, B-.. are one bug in both models.
Never: a condition in the code that is changed; a stand-in that stays (zsfuzz/target/planting.py).
Next:  how many of them oracles 2 to 5 see by themselves: `zsfuzz faults bench --both-sides`.

The stand-ins themselves: zsfuzz/target/stand_ins.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from zsfuzz.target import stand_ins
from zsfuzz.target.fault import Fault, Replacement

_CORE: Final = "zsfuzz.machine.core."
_SCANNERS: Final = "zsfuzz.machine.scanners."
_BUDDY: Final = "zsfuzz.machine.buddy:Buddy"
_POLICY: Final = "zsfuzz.policy.size_class"


def _shared(
    fault_id: str,
    owner: str,
    name: str,
    make: Callable[[Any], Any],
    oracle: str,
    mechanism: str,
    origin: str = "generic",
) -> Fault:
    target = "policy" if owner.startswith(_POLICY) or "table" in fault_id else "core"
    replacement = Replacement(owner, name, make)
    return Fault(fault_id, target, origin, mechanism, False, oracle, replacements=(replacement,))


def _both(fault_id: str, members: tuple[str, str], oracle: str, mechanism: str) -> Fault:
    return Fault(fault_id, "both", "generic", mechanism, False, oracle, members=members)


_TABLE: Final = f"{_POLICY}:SizeClassTable"

_IN_SHARED_CODE: Final = (
    _shared(
        "S-class-rounds-down",
        _TABLE,
        "get_size_class_index",
        stand_ins.class_rounds_down,
        "invariant I11",
        "a request between two class sizes gets the smaller one",
    ),
    _shared(
        "S-class-forgets-handle",
        _TABLE,
        "get_size_class_index",
        stand_ins.class_forgets_handle,
        "invariant I11",
        "a request that is huge only with its handle gets the last class that is not",
        "7b60a68529b0, Heesub Shin, 2015",
    ),
    _shared(
        "S-half-almost-full",
        _POLICY,
        "get_fullness_group",
        stand_ins.half_is_almost_full,
        "invariant I3",
        "ALMOST_FULL begins behind a half",
    ),
    _shared(
        "S-one-left-full",
        _POLICY,
        "get_fullness_group",
        stand_ins.one_left_is_full,
        "invariant I3",
        "a zspage with one slot left counts as FULL when it has many",
    ),
    _shared(
        "S-table-three",
        "zsfuzz.machine.geometry",
        "geometry",
        stand_ins.three_pages_at_most,
        "invariant I11",
        "chains are at most three pages long",
    ),
    _shared(
        "S-refusal-reference",
        _CORE + "movable",
        "isolate_movable_page",
        stand_ins.refusal_keeps_reference,
        "invariant I6, invariant I12, bug",
        "a refused isolation keeps its reference",
    ),
    _shared(
        "S-putback-flag",
        _CORE + "movable",
        "putback_movable_page",
        stand_ins.putback_keeps_flag,
        "invariant I10, bug",
        "PG_isolated stays when a page is put back",
    ),
    _shared(
        "S-putback-last",
        _CORE + "movable",
        "putback_movable_pages",
        stand_ins.putback_misses_last,
        "invariant I10, invariant I6, invariant I12, invariant",
        "the last page of a list is not put back",
    ),
    _shared(
        "S-isolated-twice",
        _CORE + "lru",
        "mod_node_page_state",
        stand_ins.isolated_counted_twice,
        "invariant I12, invariant I7, invariant",
        "an isolated LRU page is counted twice in NR_ISOLATED",
    ),
    _shared(
        "S-isolated-zone",
        _CORE + "lru",
        "mod_node_page_state",
        stand_ins.isolated_in_wrong_zone,
        "invariant I7",
        "an isolated page is counted in ZONE_NORMAL and uncounted in its own",
    ),
    _shared(
        "S-target-leaks",
        _CORE + "move",
        "put_new_page",
        stand_ins.target_leaks,
        "invariant I12",
        "a migration target that was not used is not put",
    ),
    _shared(
        "S-old-page-kept",
        _CORE + "move",
        "put_old_page",
        stand_ins.old_page_kept,
        "invariant I12, invariant",
        "the isolation's reference to a page that moved is not put",
    ),
    _shared(
        "S-old-page-flag",
        _CORE + "move",
        "leave_old_page",
        stand_ins.flag_stays_on_old_page,
        "invariant I10",
        "PG_isolated stays on a page that moved",
    ),
    _shared(
        "S-copy-short",
        _CORE + "move",
        "migrate_page",
        stand_ins.copies_all_but_a_word,
        "contract bystander content",
        "the last word of a migrated page is not copied",
    ),
    _shared(
        "S-entry-old",
        _CORE + "lru",
        "remove_migration_ptes",
        stand_ins.entry_names_old_page,
        "memory, invariant, contract, bug",
        "the page table entry of a migrated page names the old page again",
    ),
    _shared(
        "S-target-still-free",
        _CORE + "page_alloc",
        "alloc_migration_target",
        stand_ins.target_still_counted_free,
        "invariant I12, invariant",
        "NR_FREE_PAGES goes on counting a migration target",
    ),
    _shared(
        "S-every-other",
        _CORE + "migratepages:MigrateScanner",
        "isolate_fail",
        stand_ins.scans_every_other_page,
        "progress I8",
        "the migrate scanner leaves out the page behind one that it could not isolate",
    ),
    _shared(
        "S-skip-more",
        _CORE + "migratepages:MigrateScanner",
        "skip",
        stand_ins.skips_one_too_many,
        "progress I8",
        "the migrate scanner skips one page more than a large block has",
    ),
    _shared(
        "S-miscounted-isolated",
        _CORE + "migratepages:MigrateScanner",
        "isolate_success",
        stand_ins.compound_counts_one,
        "bug, progress, invariant",
        "isolated pages are counted too low, so that the scanner never has enough",
        "38935861d85a, Zi Yan, 2020",
    ),
    _shared(
        "S-unused-lost",
        _CORE + "freepages",
        "release_freepages",
        stand_ins.unused_target_lost,
        "invariant I12",
        "the first of several unused targets of compaction is not freed",
    ),
    _shared(
        "S-target-not-uncounted",
        _CORE + "compaction",
        "compaction_alloc",
        stand_ins.freepage_not_uncounted,
        "invariant I10 count, bug VM_BUG_ON",
        "a target that was handed out still counts as available",
    ),
    _shared(
        "S-block-isolated",
        _CORE + "page_isolation",
        "undo_isolate_page_range",
        stand_ins.block_stays_isolated,
        "invariant I10 pageblock",
        "the last pageblock of a range stays isolated",
    ),
    _shared(
        "S-unmovable-overlooked",
        _CORE + "page_isolation",
        "is_skipped_or_movable",
        stand_ins.unmovable_overlooked,
        "progress wrong answer",
        "has_unmovable_pages() takes every single page for movable",
    ),
    _shared(
        "S-movable-refused",
        _CORE + "page_isolation",
        "is_skipped_or_movable",
        stand_ins.movable_refused,
        "progress wrong answer",
        "has_unmovable_pages() takes a movable page with one reference for unmovable",
    ),
    _shared(
        "S-lru-not-offered",
        _CORE + "memory_hotplug",
        "is_offered",
        stand_ins.lru_not_offered,
        "progress wrong answer",
        "scan_movable_pages() passes LRU pages over",
    ),
    _shared(
        "S-contig-last",
        _CORE + "page_alloc",
        "free_contig_range",
        stand_ins.contig_keeps_last_page,
        "invariant I12",
        "the last page of a contiguous range is not freed",
    ),
    _shared(
        "S-online-forgets",
        _CORE + "memory_hotplug",
        "online_section",
        stand_ins.online_forgets_a_page,
        "invariant I12, invariant",
        "the last page of a section is not freed when it comes online",
    ),
    _shared(
        "S-free-count",
        _BUDDY,
        "take_free_block",
        stand_ins.free_not_counted,
        "invariant I7, invariant I12",
        "NR_FREE_PAGES misses a page of a large block that is taken",
    ),
    _shared(
        "S-wrong-free-list",
        _BUDDY,
        "move_freepages_block",
        stand_ins.freed_to_wrong_list,
        "progress livelock, invariant I7 free list",
        "the free blocks of a pageblock go to the movable list whatever it becomes",
    ),
    _shared(
        "S-poison-cleared",
        _CORE + "memory_failure",
        "page_handle_poison",
        stand_ins.poison_not_withheld,
        "invariant I12, memory, invariant",
        "a page that was soft-offlined loses its poison",
    ),
    _shared(
        "S-poison-reference",
        _CORE + "memory_failure",
        "page_ref_inc",
        stand_ins.poisoned_reference_twice,
        "invariant I12, invariant I6",
        "a poisoned page is pinned twice",
    ),
    _shared(
        "S-poison-stays-free",
        _CORE + "page_alloc",
        "take_page_off_buddy",
        stand_ins.poisoned_free_page_stays_free,
        "invariant, bug, memory",
        "a free page with a memory error stays on the free list",
    ),
    _shared(
        "S-kpf-poison",
        _SCANNERS + "kpage",
        "kpf_copy_bits",
        stand_ins.poison_not_shown,
        "progress wrong answer",
        "kpageflags does not show PG_hwpoison",
    ),
    _shared(
        "S-kpf-buddy",
        _SCANNERS + "kpage",
        "stable_page_flags",
        stand_ins.free_not_shown,
        "progress wrong answer",
        "kpageflags does not show a free block of one page",
    ),
    _shared(
        "S-kpagecount",
        _SCANNERS + "kpage",
        "kpagecount",
        stand_ins.count_off_by_one,
        "progress wrong answer",
        "kpagecount is one too high for an anonymous page",
    ),
    _shared(
        "S-offline-read",
        "zsfuzz.machine.machine:Machine",
        "pfn_to_online_page",
        stand_ins.offline_is_read,
        "progress, memory, contract",
        "scanners by pfn read the struct pages of an offline section",
        "5.4 series of David Hildenbrand",
    ),
    _shared(
        "S-getter-reference",
        _SCANNERS + "references",
        "speculative_get",
        stand_ins.getter_keeps_reference,
        "invariant I6, invariant I12",
        "a speculative getter keeps a reference on a page that is isolated",
    ),
)

_IN_BOTH_MODELS: Final = (
    _both("B-class", ("A01", "C-class"), "invariant I11", "the last shared class serves what outgrows it"),
    _both("B-deferred", ("A04", "C-deferred"), "invariant I12, bug", "nobody frees what came back empty"),
    _both("B-fullness", ("G-fullness-threshold", "C-quarter"), "invariant I3", "ALMOST_FULL begins behind a quarter"),
    _both("B-zone", ("G-zone-state-not-moved", "C-zone"), "invariant I7", "NR_ZSPAGES stays in the old zone"),
    _both("B-zone-of-empty", ("G-zone-of-empty", "C-zone-of-empty"), "invariant I7", "an emptied zspage changes zones"),
    _both("B-undo", ("G-zone-state-not-undone", "C-fail-stat"), "invariant I7", "a failed malloc stays counted"),
    _both("B-handle-leak", ("G-handle-leak", "C-handle-leak"), "invariant I12, memory leak", "a handle is lost"),
    _both("B-lost-object", ("G-lost-object", "C-lost-object"), "invariant I1, memory", "object 1 is not repointed"),
    _both("B-freed-isolated", ("G-freed-while-isolated", "H16"), "bug VM_BUG_ON", "an isolated zspage is freed"),
    _both(
        "B-unflushed",
        ("A05-unflushed", "C-unflushed"),
        "bug, memory, invariant",
        "a pool is destroyed with work queued",
    ),
    _both("B-worker-batch", ("G-worker-batch", "C-worker-takes-two"), "invariant I12", "the worker takes two zspages"),
    _both("B-one-work", ("G-one-work", "C-one-work"), "invariant I12", "one pool's work is queued at a time"),
    _both(
        "B-almost-full",
        ("G-almost-full-source", "C-almost-full-stays"),
        "progress compaction",
        "nearly full zspages are no source of compaction",
    ),
    _both("B-third-piece", ("G-third-piece", "C-third-piece"), "contract object content", "a copy ends too early"),
    _both("B-revived", ("G-revived-stays-empty", "C-revived"), "invariant I3, bug", "a revived zspage stays listed"),
    _both("B-index-bits", ("G-index-bits", "C-index-bits"), "invariant I1, memory", "an index loses its top bits"),
    _both(
        "B-isolated-bits",
        ("G-isolated-bits", "C-isolated-bits"),
        "invariant, bug, progress",
        "four isolated count as none",
    ),
    _both(
        "B-compacted-wraps",
        ("G-compacted-wraps", "C-compacted-wraps"),
        "contract",
        "the count of compacted pages has five bits",
    ),
)

FAULTS: Final = _IN_SHARED_CODE + _IN_BOTH_MODELS
"""In the order of the layers that they are planted in."""
