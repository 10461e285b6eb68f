"""Operations: one frozen class each, in a closed union.

In:    nothing; these are the words a program is made of.
Out:   Operation, PageName and the enumerations their fields use.
Never: behaviour. What an operation does is in zsfuzz/execute/side.py.
Next:  the text form in zsfuzz/program/text.py, the packed form in zsfuzz/program/packed.py.

A new operation fails the type check until every reader of the union handles it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_LANES = 4
"""How many lanes of operations may run at the same time, and how many CPUs a machine with lanes has."""


class Gfp(Enum):
    """The caller's gfp mask, reduced to what zsmalloc and the buddy allocator look at."""

    MOVABLE = "movable"  # GFP_NOIO | __GFP_HIGHMEM | __GFP_MOVABLE, as zram passes it
    KERNEL = "kernel"  # GFP_KERNEL: ZONE_NORMAL, unmovable pageblocks


class MapMode(Enum):
    """enum zs_mapmode."""

    RO = "ro"
    WO = "wo"
    RW = "rw"


class MigrateMode(Enum):
    """enum migrate_mode of include/linux/migrate_mode.h, v5.10."""

    ASYNC = "async"
    SYNC_LIGHT = "sync_light"
    SYNC = "sync"
    SYNC_NO_COPY = "sync_no_copy"


class PoisonKind(Enum):
    """Which of the two entries of mm/memory-failure.c is taken."""

    SOFT = "soft"  # soft_offline_page()
    HARD = "hard"  # memory_failure()


class ShrinkKind(Enum):
    """The two callbacks of the pool's shrinker."""

    COUNT = "count"
    SCAN = "scan"


class Scanner(Enum):
    """A PFN scanner that may be run by itself over a range (facts: each is a probe)."""

    ISOLATE_MIGRATEPAGES = "isolate_migratepages_block"
    ISOLATE_FREEPAGES = "isolate_freepages_block"
    HAS_UNMOVABLE = "has_unmovable_pages"
    ISOLATE_SINGLE_PAGEBLOCK = "isolate_single_pageblock"
    PAGE_IS_UNMOVABLE = "page_is_unmovable"
    SCAN_MOVABLE = "scan_movable_pages"
    SCAN_MOVABLE_OR_MASK = "scan_movable_pages_or_mask"
    DO_MIGRATE_RANGE = "do_migrate_range"
    KPAGEFLAGS = "kpageflags"
    KPAGECOUNT = "kpagecount"
    PAGE_IDLE = "page_idle"
    DUMP_PAGE = "dump_page"
    PAGE_OWNER = "page_owner"
    SPECULATIVE_GET = "speculative_get"


class BystanderKind(Enum):
    """Pages of somebody else, which scanners meet beside zsmalloc's."""

    LRU = "lru"  # an order-0 movable page on the LRU
    UNMOVABLE = "unmovable"  # a kernel page, order as given
    COMPOUND = "compound"  # a real compound page (head and tails), order >= 1
    RESERVED = "reserved"  # PG_reserved, never movable


class FailOperation(Enum):
    """The operation whose allocation fails."""

    MALLOC = "malloc"
    MIGRATE = "migrate"
    COMPACT_ZONE = "compact_zone"
    OFFLINE = "offline"
    CONTIG = "contig"
    POISON = "poison"
    CREATE_POOL = "create_pool"


class FailWhat(Enum):
    """What cannot be allocated."""

    PAGE = "page"
    ZSPAGE = "zspage"
    HANDLE = "handle"


@dataclass(frozen=True, slots=True)
class Component:
    """Page `index` of the zspage that holds the object of `slot` (text form: h3.1)."""

    slot: int
    index: int


@dataclass(frozen=True, slots=True)
class IsolatedPage:
    """The page that `Isolate(page_slot, ...)` took (text form: p2)."""

    page_slot: int


@dataclass(frozen=True, slots=True)
class Pfn:
    """A page by its frame number (text form: @37)."""

    pfn: int


PageName = Component | IsolatedPage | Pfn


@dataclass(frozen=True, slots=True)
class Malloc:
    """slot = zs_malloc(pool, size, gfp). A no-op when the slot is live."""

    slot: int
    size: int
    gfp: Gfp = Gfp.MOVABLE
    pool: int = 0


@dataclass(frozen=True, slots=True)
class Free:
    """zs_free(slot)."""

    slot: int


@dataclass(frozen=True, slots=True)
class Map:
    """zs_map_object(slot, mode), held until Unmap."""

    slot: int
    mode: MapMode


@dataclass(frozen=True, slots=True)
class Unmap:
    """zs_unmap_object(slot)."""

    slot: int


@dataclass(frozen=True, slots=True)
class Write:
    """Store `length` bytes of the pattern at `offset`; maps and unmaps if the lane holds no map."""

    slot: int
    offset: int
    length: int
    pattern: int


@dataclass(frozen=True, slots=True)
class Read:
    """Load `length` bytes at `offset`; maps and unmaps if the lane holds no map."""

    slot: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Compact:
    """zs_compact(pool)."""

    pool: int = 0


@dataclass(frozen=True, slots=True)
class Shrink:
    """The pool's shrinker, count or scan."""

    kind: ShrinkKind
    pool: int = 0


@dataclass(frozen=True, slots=True)
class Isolate:
    """page_slot = isolate_movable_page(page), then onto a core list."""

    page_slot: int
    page: PageName


@dataclass(frozen=True, slots=True)
class Migrate:
    """migrate_pages() of one list of pages; those not yet isolated are isolated first, the rest is put back."""

    pages: tuple[PageName, ...]
    mode: MigrateMode


@dataclass(frozen=True, slots=True)
class Putback:
    """putback_movable_pages() of one isolated page."""

    page_slot: int


@dataclass(frozen=True, slots=True)
class RunWork:
    """Let the deferred worker run whatever is queued."""


@dataclass(frozen=True, slots=True)
class CompactZone:
    """The two compaction scanners over [start, end) of one zone."""

    start: int
    end: int
    mode: MigrateMode


@dataclass(frozen=True, slots=True)
class Offline:
    """offline_pages() of [start, end), widened to whole sections."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Online:
    """online_pages() of [start, end), widened to whole sections."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Contig:
    """alloc_contig_range() of [start, end), then free_contig_range()."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Poison:
    """memory_failure() or soft_offline_page() of one page."""

    page: PageName
    kind: PoisonKind


@dataclass(frozen=True, slots=True)
class Scan:
    """One PFN scanner over [start, end)."""

    scanner: Scanner
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SpeculativeGet:
    """ref_slot = head of page, get_page_unless_zero(), re-check of the head."""

    ref_slot: int
    page: PageName


@dataclass(frozen=True, slots=True)
class SpeculativePut:
    """put_page() of what SpeculativeGet took."""

    ref_slot: int


@dataclass(frozen=True, slots=True)
class Bystander:
    """bystander_slot = a page of somebody else."""

    bystander_slot: int
    kind: BystanderKind
    order: int


@dataclass(frozen=True, slots=True)
class DropBystander:
    """Free a bystander."""

    bystander_slot: int


@dataclass(frozen=True, slots=True)
class Fail:
    """In the next operation of this kind, the allocation number `ordinal` (from 0) of this kind fails."""

    operation: FailOperation
    what: FailWhat
    ordinal: int


@dataclass(frozen=True, slots=True)
class Stats:
    """zs_pool_stats(), zs_get_total_pages() and the `classes` file."""

    pool: int = 0


@dataclass(frozen=True, slots=True)
class HugeClassSize:
    """zs_huge_class_size(pool)."""

    pool: int = 0


@dataclass(frozen=True, slots=True)
class CreatePool:
    """zs_create_pool(). Pool 0 exists from the start."""

    pool: int


@dataclass(frozen=True, slots=True)
class DestroyPool:
    """zs_destroy_pool(), after every object of the pool was freed and every isolation put back."""

    pool: int


@dataclass(frozen=True, slots=True)
class Trim:
    """zs_compact() and the deferred worker on every pool until neither frees a page (bounded)."""


Operation = (
    Malloc
    | Free
    | Map
    | Unmap
    | Write
    | Read
    | Compact
    | Shrink
    | Isolate
    | Migrate
    | Putback
    | RunWork
    | CompactZone
    | Offline
    | Online
    | Contig
    | Poison
    | Scan
    | SpeculativeGet
    | SpeculativePut
    | Bystander
    | DropBystander
    | Fail
    | Stats
    | HugeClassSize
    | CreatePool
    | DestroyPool
    | Trim
)

OPERATIONS: tuple[type[Operation], ...] = (
    Malloc,
    Free,
    Map,
    Unmap,
    Write,
    Read,
    Compact,
    Shrink,
    Isolate,
    Migrate,
    Putback,
    RunWork,
    CompactZone,
    Offline,
    Online,
    Contig,
    Poison,
    Scan,
    SpeculativeGet,
    SpeculativePut,
    Bystander,
    DropBystander,
    Fail,
    Stats,
    HugeClassSize,
    CreatePool,
    DestroyPool,
    Trim,
)
"""Every class of the union, in the order in which the packed form numbers them: append only."""
