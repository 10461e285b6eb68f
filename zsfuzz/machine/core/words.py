"""Words of the core: modes, reasons, result codes and sizes, with the kernel's spelling.

In:    nothing.
Out:   constants.
Never: state, behaviour.
Next:  addresses, struct page and errno in zsfuzz/machine/layout.py.

Source: include/linux/migrate_mode.h, migrate.h, mmzone.h, page-isolation.h, compaction.h, swap.h, v5.10.
"""

from __future__ import annotations

from typing import Final

from zsfuzz.machine.layout import GFP_KERNEL, GFP_MOVABLE

EINTR: Final = 4

MIGRATEPAGE_SUCCESS: Final = 0

# enum migrate_mode
MIGRATE_ASYNC: Final = 0
MIGRATE_SYNC_LIGHT: Final = 1
MIGRATE_SYNC: Final = 2
MIGRATE_SYNC_NO_COPY: Final = 3

# enum migrate_reason
MR_COMPACTION: Final = 0
MR_MEMORY_FAILURE: Final = 1
MR_MEMORY_HOTPLUG: Final = 2
MR_SYSCALL: Final = 3
MR_CONTIG_RANGE: Final = 6

# isolate_mode_t
ISOLATE_ASYNC_MIGRATE: Final = 0x4
ISOLATE_UNEVICTABLE: Final = 0x8

# flags of start_isolate_page_range()
MEMORY_OFFLINE: Final = 0x1
REPORT_FAILURE: Final = 0x2

# enum compact_result
COMPACT_CONTINUE: Final = 4
COMPACT_COMPLETE: Final = 5
COMPACT_CONTENDED: Final = 7

NR_MIGRATE_PASSES: Final = 10  # migrate_pages() of mm/migrate.c
NR_MAX_MIGRATE_ASYNC_RETRY: Final = 3  # passes that the batch of 6.3 may take before pages go one by one

GFP_MIGRATION_TARGET: Final = GFP_KERNEL | GFP_MOVABLE  # GFP_USER | __GFP_MOVABLE | __GFP_RETRY_MAYFAIL

PAGES_PER_CLUSTER_SHIFT: Final = 1
"""COMPACT_CLUSTER_MAX and SWAP_CLUSTER_MAX are 32 pages where a pageblock has 512.

The simulated pageblock has 16, so
that the scanners would never stop inside one: a cluster is half a pageblock here."""
