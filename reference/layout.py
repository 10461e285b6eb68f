"""Layout: where the legacy design keeps what, in struct zspage, size_class, zs_pool and the mapping area.

In:    nothing.
Out:   byte offsets and sizes with the kernel's member names; the bits of a zspage's packed word.
Never: state, or an offset inside struct page (those are zsfuzz/machine/layout.py's).
Next:  who reads the zspage's words: reference/zspage.py; the pool's: reference/pool.py.

    struct zspage      0        4      8         16          24     40
                      [ packed | inuse | freeobj | first_page | list | lock ]        48 bytes
    packed word        bits 0-1 fullness, 2-10 class, 11-13 isolated, 14-21 magic

Source: mm/zsmalloc.c, v5.10.223, compiled for x86-64 with CONFIG_COMPACTION. Strays: without compaction the
lock word is still there, unused; a pool has no name, its shrinker is one word, it keeps the worker's local
list head (one worker a pool runs at a time), and size_class[] stands last in it, because its length depends
on the geometry; spinlocks are 8 bytes, which moves nothing (the kernel pads there).
"""

from __future__ import annotations

from typing import Final

# struct zspage
ZSPAGE_PACKED: Final = 0  # 32 bits
ZSPAGE_INUSE: Final = 4  # 32 bits
ZSPAGE_FREEOBJ: Final = 8  # 32 bits
ZSPAGE_FIRST_PAGE: Final = 16
ZSPAGE_LIST: Final = 24
ZSPAGE_LOCK: Final = 40
SIZEOF_ZSPAGE: Final = 48

FULLNESS_MASK: Final = 0x3
CLASS_SHIFT: Final = 2
CLASS_MASK: Final = 0x1FF
ISOLATED_SHIFT: Final = 11
ISOLATED_MASK: Final = 0x7
MAGIC_SHIFT: Final = 14
MAGIC_MASK: Final = 0xFF
ZSPAGE_MAGIC: Final = 0x58

# struct size_class
CLASS_LOCK: Final = 0
CLASS_FULLNESS_LIST: Final = 8  # 4 list heads of 16 bytes
CLASS_SIZE: Final = 72  # 32 bits
CLASS_OBJS_PER_ZSPAGE: Final = 76  # 32 bits
CLASS_PAGES_PER_ZSPAGE: Final = 80  # 32 bits
CLASS_INDEX: Final = 84  # 32 bits
CLASS_STATS: Final = 88  # 6 words
SIZEOF_SIZE_CLASS: Final = 136

# enum zs_stat_type: the first four are the fullness groups
CLASS_ALMOST_EMPTY: Final = 1
CLASS_ALMOST_FULL: Final = 2
OBJ_ALLOCATED: Final = 4
OBJ_USED: Final = 5

# struct zs_pool
POOL_HANDLE_CACHEP: Final = 0
POOL_ZSPAGE_CACHEP: Final = 8
POOL_PAGES_ALLOCATED: Final = 16
POOL_PAGES_COMPACTED: Final = 24
POOL_SHRINKER: Final = 32  # shrinker.nr_deferred: not zero while registered
POOL_INODE: Final = 40  # inode->i_mapping
POOL_FREE_WORK: Final = 48  # a work_struct, 16 bytes
POOL_MIGRATION_WAIT: Final = 64
POOL_ISOLATED_PAGES: Final = 72
POOL_DESTROYING: Final = 80
POOL_FREE_PAGES: Final = 88  # list head that async_free_zspage() has on its stack
POOL_SIZE_CLASS: Final = 104  # one pointer for every raw class index

# struct mapping_area, one a CPU
AREA_VM_BUF: Final = 0
AREA_VM_ADDR: Final = 8
AREA_VM_MM: Final = 16
SIZEOF_MAPPING_AREA: Final = 24

HANDLE_PIN_BIT: Final = 0

# lock classes, as lockdep would name them
PIN_BIT: Final = "pin bit"
ZSPAGE_RWLOCK: Final = "zspage rwlock"
CLASS_SPINLOCK: Final = "class->lock"
