"""Addresses, struct page and the constants of the simulated 64-bit machine.

In:    nothing.
Out:   names with the kernel's spelling; offsets in bytes.
Never: state.
Next:  who reads through them: zsfuzz/machine/memory.py and zsfuzz/machine/descriptor.py.

Source: include/linux/mm_types.h, page-flags.h, poison.h, v5.10, x86-64 with CONFIG_MEMCG; address
constants of arch/x86 with 4-level paging. The order of PG_ bits is that of 5.10 with CONFIG_MMU,
CONFIG_MEMORY_FAILURE and idle page tracking.
"""

from __future__ import annotations

from typing import Final

PAGE_OFFSET: Final = 0xFFFF888000000000  # direct map: frames, then the slab heap
VMEMMAP_START: Final = 0xFFFFEA0000000000  # struct page of pfn 0
HEAP_ABOVE: Final = 0xFFFFFFFF80000000  # where the slab heap lies under the switch heap_above_memmap

MASK64: Final = (1 << 64) - 1
MASK32: Final = (1 << 32) - 1

# struct page
STRUCT_PAGE_SIZE: Final = 64
PG_FLAGS: Final = 0
PG_LRU: Final = 8  # list_head; its first word is also compound_head
PG_COMPOUND_HEAD: Final = 8
PG_COMPOUND_DTOR: Final = 16  # byte, first tail page only
PG_COMPOUND_ORDER: Final = 17  # byte, first tail page only
PG_COMPOUND_MAPCOUNT: Final = 20  # 32 bits, first tail page only
PG_COMPOUND_NR: Final = 24  # 32 bits, first tail page only
PG_MAPPING: Final = 24
PG_INDEX: Final = 32  # also freelist
PG_PRIVATE: Final = 40
PG_MAPCOUNT: Final = 48  # 32 bits; also page_type and units
PG_REFCOUNT: Final = 52  # 32 bits
PG_MEMCG: Final = 56

# page->flags, bit numbers
PG_locked: Final = 0
PG_referenced: Final = 1
PG_uptodate: Final = 2
PG_dirty: Final = 3
PG_lru: Final = 4
PG_active: Final = 5
PG_workingset: Final = 6
PG_waiters: Final = 7
PG_error: Final = 8
PG_slab: Final = 9
PG_owner_priv_1: Final = 10
PG_arch_1: Final = 11
PG_reserved: Final = 12
PG_private: Final = 13
PG_private_2: Final = 14
PG_writeback: Final = 15
PG_head: Final = 16
PG_mappedtodisk: Final = 17
PG_reclaim: Final = 18
PG_isolated: Final = PG_reclaim  # non-lru isolated movable page
PG_swapbacked: Final = 19
PG_unevictable: Final = 20
PG_mlocked: Final = 21
PG_hwpoison: Final = 23
NR_PAGEFLAGS: Final = 27
ZONES_PGSHIFT: Final = 62  # two bits at the top of page->flags

FLAG_NAMES: Final = {
    value: name[3:]
    for name, value in sorted(globals().items())
    if name.startswith("PG_") and name[3:].islower() and name != "PG_isolated"
}

PAGE_FLAGS_CHECK_AT_FREE: Final = sum(
    1 << bit
    for bit in (
        PG_lru,
        PG_locked,
        PG_private,
        PG_private_2,
        PG_writeback,
        PG_reserved,
        PG_slab,
        PG_active,
        PG_unevictable,
        PG_mlocked,
    )
)
PAGE_FLAGS_CHECK_AT_PREP: Final = ((1 << NR_PAGEFLAGS) - 1) & ~(1 << PG_hwpoison)

# page->page_type (shares its word with _mapcount)
PAGE_TYPE_BASE: Final = 0xF0000000
PAGE_MAPCOUNT_RESERVE: Final = -128
PT_buddy: Final = 0x00000080
PT_offline: Final = 0x00000100
PT_kmemcg: Final = 0x00000200
PT_table: Final = 0x00000400

# page->mapping, low bits
PAGE_MAPPING_ANON: Final = 1
PAGE_MAPPING_MOVABLE: Final = 2
PAGE_MAPPING_FLAGS: Final = 3
TAIL_MAPPING: Final = 0xDEAD000000000400

NULL_COMPOUND_DTOR: Final = 0
COMPOUND_PAGE_DTOR: Final = 1
HUGETLB_PAGE_DTOR: Final = 2

LIST_POISON1: Final = 0xDEAD000000000100
LIST_POISON2: Final = 0xDEAD000000000122
PAGE_POISON: Final = 0xAA  # byte that fills free frames
SLAB_POISON: Final = 0x6B  # byte that fills freed slab objects

# zones and migrate types
ZONE_NORMAL: Final = 0
ZONE_MOVABLE: Final = 1
ZONE_NAMES: Final = ("Normal", "Movable")
MIGRATE_UNMOVABLE: Final = 0
MIGRATE_MOVABLE: Final = 1
MIGRATE_RECLAIMABLE: Final = 2
MIGRATE_ISOLATE: Final = 3
MIGRATE_TYPES: Final = 4

# vmstat items, per zone
NR_FREE_PAGES: Final = 0
NR_ZSPAGES: Final = 1
NR_ISOLATED: Final = 2  # NR_ISOLATED_ANON + _FILE of the node, kept per zone here
NR_VM_ZONE_STAT_ITEMS: Final = 3
VMSTAT_NAMES: Final = ("nr_free_pages", "nr_zspages", "nr_isolated")

# /proc/kpageflags, bit numbers (include/uapi/linux/kernel-page-flags.h, include/linux/kernel-page-flags.h)
KPF_LOCKED: Final = 0
KPF_ERROR: Final = 1
KPF_REFERENCED: Final = 2
KPF_UPTODATE: Final = 3
KPF_DIRTY: Final = 4
KPF_LRU: Final = 5
KPF_ACTIVE: Final = 6
KPF_SLAB: Final = 7
KPF_WRITEBACK: Final = 8
KPF_RECLAIM: Final = 9
KPF_BUDDY: Final = 10
KPF_MMAP: Final = 11
KPF_ANON: Final = 12
KPF_SWAPBACKED: Final = 14
KPF_COMPOUND_HEAD: Final = 15
KPF_COMPOUND_TAIL: Final = 16
KPF_HUGE: Final = 17
KPF_UNEVICTABLE: Final = 18
KPF_HWPOISON: Final = 19
KPF_NOPAGE: Final = 20
KPF_THP: Final = 22
KPF_OFFLINE: Final = 23
KPF_PGTABLE: Final = 26
KPF_RESERVED: Final = 32
KPF_MLOCKED: Final = 33
KPF_PRIVATE: Final = 35
KPF_PRIVATE_2: Final = 36
KPF_OWNER_PRIVATE: Final = 37

# errno
EIO: Final = 5
ENXIO: Final = 6
ENOENT: Final = 2
EAGAIN: Final = 11
ENOMEM: Final = 12
EBUSY: Final = 16
EINVAL: Final = 22

GFP_HIGHMEM: Final = 0x02
GFP_MOVABLE: Final = 0x08
GFP_KERNEL: Final = 0xCC0
GFP_NOIO: Final = 0xC00


def signed32(value: int) -> int:
    """Return a 32-bit word as the int that the kernel would read."""
    return value - (1 << 32) if value & 0x80000000 else value
