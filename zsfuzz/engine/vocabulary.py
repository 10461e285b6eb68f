"""Ready-made operations: frozen values are shared, so generation rarely has to build one.

In:    nothing.
Out:   tables of operations by slot, pool or page, and the slot limits of generated programs.
Never: a choice; choosing is zsfuzz/engine/choose.py.
Next:  zsfuzz/program/ops.py.

Building a frozen dataclass costs 0.3 us and 0.1 us a field; looking one up costs 0.03 us.
"""

from __future__ import annotations

from zsfuzz.program.ops import (
    Compact,
    CompactZone,
    Component,
    Contig,
    CreatePool,
    DestroyPool,
    DropBystander,
    Free,
    HugeClassSize,
    IsolatedPage,
    Map,
    MapMode,
    Migrate,
    MigrateMode,
    Offline,
    Operation,
    Pfn,
    Poison,
    Putback,
    RunWork,
    Scan,
    Scanner,
    SpeculativePut,
    Stats,
    Trim,
    Unmap,
)

SLOTS = 64
PAGE_SLOTS = 16
REF_SLOTS = 8
BYSTANDER_SLOTS = 16
POOLS = 4
CHAIN = 4  # longest chain of component pages that the size classes of zsfuzz/policy/size_class.py give
PFNS = 512  # more than a generated header asks for; an imported one may have more

CORE_KINDS: frozenset[type[Operation]] = frozenset((Migrate, Compact, CompactZone, Scan, Offline, Contig))
"""The kinds of which the published mix holds at least a quarter of the effective operations."""

BLOCKED_BY_REFERENCE: frozenset[type[Operation]] = frozenset(
    (CompactZone, Offline, Contig, Poison, CreatePool, DestroyPool)
)
BLOCKED_BY_ISOLATION: frozenset[type[Operation]] = frozenset((Offline, Poison, DestroyPool))
"""Kinds that the executor counts as no-ops while the program holds a reference, or an isolated page."""

MAP_MODES: tuple[MapMode, ...] = tuple(MapMode)
SCANNERS: tuple[Scanner, ...] = tuple(Scanner)
MODES: tuple[MigrateMode, ...] = (
    (MigrateMode.ASYNC,) * 5 + (MigrateMode.SYNC_LIGHT,) * 5 + (MigrateMode.SYNC,) * 5 + (MigrateMode.SYNC_NO_COPY,)
)
"""Weighted: zs_page_migrate() refuses SYNC_NO_COPY outright, so it is worth little."""

FREE = tuple(Free(slot) for slot in range(SLOTS))
UNMAP = tuple(Unmap(slot) for slot in range(SLOTS))
MAP = tuple(tuple(Map(slot, mode) for mode in MAP_MODES) for slot in range(SLOTS))
COMPONENT = tuple(tuple(Component(slot, index) for index in range(CHAIN)) for slot in range(SLOTS))
ISOLATED = tuple(IsolatedPage(page_slot) for page_slot in range(PAGE_SLOTS))
PFN = tuple(Pfn(pfn) for pfn in range(PFNS))
PUTBACK = tuple(Putback(page_slot) for page_slot in range(PAGE_SLOTS))
SPECULATIVE_PUT = tuple(SpeculativePut(ref_slot) for ref_slot in range(REF_SLOTS))
DROP_BYSTANDER = tuple(DropBystander(bystander_slot) for bystander_slot in range(BYSTANDER_SLOTS))
COMPACT = tuple(Compact(pool) for pool in range(POOLS))
STATS = tuple(Stats(pool) for pool in range(POOLS))
HUGE_CLASS_SIZE = tuple(HugeClassSize(pool) for pool in range(POOLS))
RUN_WORK = RunWork()
TRIM = Trim()


def pfn_name(pfn: int) -> Pfn:
    """Return a page by its number. pfn: 0 or more."""
    return PFN[pfn] if pfn < PFNS else Pfn(pfn)
