"""Layout: struct zspage as a memory descriptor, and the structs around it, as byte offsets.

In:    the offsets of struct page, which the descriptor has to mirror.
Out:   ZspageLayout, asserted when this module is imported, as offsetof assertions would; offsets of the other
       structs.
Never: state, a load, a store.
Next:  who reads a zspage through these offsets: candidate/zspage.py; why it looks like this:
       candidate/DESIGN.md.

    struct zspage, 128 bytes (two struct pages), 16-byte aligned
       0 flags            PG_locked, PG_waiters, zone bits; no bit of zsmalloc's own
       8 list             list_head; bit 0 of the word is 0, so that PageTail(zspage) is false
      24 mapping          0 until complete, then the pool's mapping | PAGE_MAPPING_MOVABLE
      32 handle           of the one object of a huge zspage
      40 packed           fullness:2 class:9 isolated:3 magic:8
      48 page_type        -1: not mapped, no type that a scanner knows
      52 _refcount        owner 1, one an isolated page, one a speculative reference
      56 memcg_data       0
      64 inuse   68 freeobj   72 lock (rwlock)
      80 second struct page: compound_dtor 0, compound_order 0, compound_mapcount -1
      88 0
      96 pages[4]

Source of the struct page side: include/linux/mm_types.h, v5.10. The descriptor itself is this design's.
"""

from __future__ import annotations

from typing import ClassVar, Final

from zsfuzz.machine.layout import (
    MASK32,
    PG_COMPOUND_HEAD,
    PG_COMPOUND_MAPCOUNT,
    PG_FLAGS,
    PG_MAPCOUNT,
    PG_MAPPING,
    PG_MEMCG,
    PG_REFCOUNT,
    STRUCT_PAGE_SIZE,
)
from zsfuzz.machine.machine import WORK_STRUCT_BYTES
from zsfuzz.policy.size_class import ZS_MAX_PAGES_PER_ZSPAGE

ZSPAGE_MAGIC: Final = 0x58
MEMDESC_ALIGN: Final = 16  # bytes; bit 0 of compound_head says tail, three more are left for types of memdesc (H34)

FULLNESS_BITS: Final = (0, 2)  # (shift, width) in the packed word
CLASS_BITS: Final = (2, 9)
ISOLATED_BITS: Final = (11, 3)
MAGIC_BITS: Final = (14, 8)


class ZspageLayout:
    """struct zspage. Offsets and sizes in bytes; class attributes, so that a planted bug can move one."""

    FLAGS: ClassVar[int] = 0
    LIST: ClassVar[int] = 8
    MAPPING: ClassVar[int] = 24
    HANDLE: ClassVar[int] = 32
    PACKED: ClassVar[int] = 40
    PAGE_TYPE: ClassVar[int] = 48
    REFCOUNT: ClassVar[int] = 52
    MEMCG: ClassVar[int] = 56
    INUSE: ClassVar[int] = 64
    FREEOBJ: ClassVar[int] = 68
    LOCK: ClassVar[int] = 72
    SECOND: ClassVar[int] = 80
    PAGES: ClassVar[int] = 96
    SIZE: ClassVar[int] = 128
    ALIGN: ClassVar[int] = 16
    SECOND_VALUE: ClassVar[int] = MASK32 << 32  # dtor 0, order 0, mapcount -1


def check_layout(layout: type[ZspageLayout]) -> None:
    """Hold a layout against struct page. Errors: AssertionError naming the member; also under python -O."""
    wanted = (
        ("flags", layout.FLAGS, PG_FLAGS),
        ("list over compound_head", layout.LIST, PG_COMPOUND_HEAD),
        ("mapping", layout.MAPPING, PG_MAPPING),
        ("page_type", layout.PAGE_TYPE, PG_MAPCOUNT),
        ("_refcount", layout.REFCOUNT, PG_REFCOUNT),
        ("memcg_data", layout.MEMCG, PG_MEMCG),
        ("compound_mapcount", layout.SECOND + 4, STRUCT_PAGE_SIZE + PG_COMPOUND_MAPCOUNT),
        ("end of pages", layout.PAGES + 8 * ZS_MAX_PAGES_PER_ZSPAGE, layout.SIZE),
        ("size", layout.SIZE, 2 * STRUCT_PAGE_SIZE),
        ("alignment", layout.ALIGN, MEMDESC_ALIGN),
    )
    for member, offset, expected in wanted:
        if offset != expected:
            raise AssertionError(f"struct zspage: {member} is at {offset}, struct page has it at {expected}")


check_layout(ZspageLayout)

# struct size_class
CLASS_LOCK: Final = 0
CLASS_FULLNESS_LIST: Final = 8  # list_head[NR_ZS_FULLNESS]
CLASS_SIZE: Final = 72
CLASS_OBJS: Final = 80
CLASS_PAGES: Final = 88
CLASS_INDEX: Final = 96
CLASS_STATS: Final = 104  # counts by statistic
CLASS_BYTES: Final = 152

OBJ_ALLOCATED: Final = 4  # enum zs_stat_type; 0..3 are the fullness groups
OBJ_USED: Final = 5

# struct zs_pool
POOL_PAGES_ALLOCATED: Final = 0
POOL_PAGES_COMPACTED: Final = 8
POOL_ISOLATED_PAGES: Final = 16
POOL_DESTROYING: Final = 24
POOL_MAPPING: Final = 32
POOL_MIGRATION_WAIT: Final = 40
POOL_HANDLE_CACHE: Final = 48
POOL_FREE_PAGES: Final = 56  # list_head of async_free_zspage(), on its stack in the kernel
POOL_FREE_WORK: Final = 72
POOL_SIZE_CLASS: Final = POOL_FREE_WORK + WORK_STRUCT_BYTES  # size_class *[raw index]

# struct mapping_area, one a CPU
AREA_BUF: Final = 0
AREA_ADDR: Final = 8
AREA_MODE: Final = 16
AREA_BYTES: Final = 24
