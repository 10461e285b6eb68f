"""Zspage: the words of struct zspage and struct size_class, and the fullness lists between them.

In:    addresses of a zspage and of its size class.
Out:   ZspageWords: packed word, inuse, freeobj, migrate lock, statistics, fullness lists.
Never: a frame; memory that comes or goes.
Next:  the objects in a zspage's frames: reference/objects.py; offsets: reference/layout.py.

The packed word is read and written whole, as C does with bit-fields: one load, one store, nothing atomic in
between. Arguments: `zspage` and `size_class` are addresses; a fullness group is 0..3; a class index is raw.
"""

from __future__ import annotations

from reference.layout import (
    CLASS_FULLNESS_LIST,
    CLASS_MASK,
    CLASS_OBJS_PER_ZSPAGE,
    CLASS_SHIFT,
    CLASS_STATS,
    FULLNESS_MASK,
    ISOLATED_MASK,
    ISOLATED_SHIFT,
    MAGIC_MASK,
    MAGIC_SHIFT,
    ZSPAGE_FIRST_PAGE,
    ZSPAGE_FREEOBJ,
    ZSPAGE_INUSE,
    ZSPAGE_LIST,
    ZSPAGE_LOCK,
    ZSPAGE_MAGIC,
    ZSPAGE_PACKED,
    ZSPAGE_RWLOCK,
)
from reference.pages import PageWords
from zsfuzz.machine.layout import MASK32, MASK64, PG_PRIVATE, signed32
from zsfuzz.policy.size_class import get_fullness_group

_CLASS_AND_FULLNESS = CLASS_MASK << CLASS_SHIFT | FULLNESS_MASK
_ISOLATED = ISOLATED_MASK << ISOLATED_SHIFT
_ONE_ISOLATED = 1 << ISOLATED_SHIFT


class ZspageWords(PageWords):
    """struct zspage and struct size_class, word by word."""

    # -- the packed word

    def _check_magic(self, packed: int) -> None:
        if packed >> MAGIC_SHIFT & MAGIC_MASK != ZSPAGE_MAGIC:
            self.k.BUG("BUG_ON zspage->magic", "magic", f"packed word {packed:#x}: not a zspage")

    def get_zspage(self, page: int) -> int:
        """Return the zspage of a component page. Errors: Report for a wrong magic, or a private that is no
        address.

        Source: get_zspage(), v5.10. Strays: no.
        """
        zspage = self.load(page + PG_PRIVATE)
        self._check_magic(self.load32(zspage + ZSPAGE_PACKED))
        return zspage

    def get_zspage_mapping(self, zspage: int) -> tuple[int, int]:
        """Return (raw class index, fullness group). Errors: Report for a wrong magic.

        Source: get_zspage_mapping(), v5.10. Strays: returns what the kernel stores through pointers.
        """
        packed = self.load32(zspage + ZSPAGE_PACKED)
        self._check_magic(packed)
        return packed >> CLASS_SHIFT & CLASS_MASK, packed & FULLNESS_MASK

    def set_zspage_mapping(self, zspage: int, class_idx: int, fullness: int) -> None:
        """Set class and fullness.

        Source: set_zspage_mapping(), v5.10. Strays: no; compilers join the two stores.
        """
        packed = self.load32(zspage + ZSPAGE_PACKED) & ~_CLASS_AND_FULLNESS
        self.store32(zspage + ZSPAGE_PACKED, packed | class_idx << CLASS_SHIFT | fullness)

    def is_zspage_isolated(self, zspage: int) -> int:
        """Return how many pages are isolated (3 bits). Source: is_zspage_isolated(), v5.10. Strays: no."""
        return self.load32(zspage + ZSPAGE_PACKED) >> ISOLATED_SHIFT & ISOLATED_MASK

    def _mod_isolation(self, zspage: int, delta: int) -> None:
        packed = self.load32(zspage + ZSPAGE_PACKED)
        isolated = packed + delta & _ISOLATED
        self.store32(zspage + ZSPAGE_PACKED, packed & ~_ISOLATED | isolated)

    def inc_zspage_isolation(self, zspage: int) -> None:
        """Count one more isolated page. Source: inc_zspage_isolation(), v5.10. Strays: no."""
        self._mod_isolation(zspage, _ONE_ISOLATED)

    def dec_zspage_isolation(self, zspage: int) -> None:
        """Count one isolated page less; 0 wraps to 7, as 3 bits do. Source: dec_zspage_isolation(), v5.10."""
        self._mod_isolation(zspage, -_ONE_ISOLATED)

    # -- the other words

    def get_zspage_inuse(self, zspage: int) -> int:
        """Return the allocated objects. Source: get_zspage_inuse(), v5.10. Strays: no."""
        return signed32(self.load32(zspage + ZSPAGE_INUSE))

    def mod_zspage_inuse(self, zspage: int, delta: int) -> None:
        """Add to inuse. Source: mod_zspage_inuse(), v5.10. Strays: no."""
        self.store32(zspage + ZSPAGE_INUSE, self.load32(zspage + ZSPAGE_INUSE) + delta & MASK32)

    def get_freeobj(self, zspage: int) -> int:
        """Return the index at the head of the free list, 32 bits.

        Source: get_freeobj(), v5.10. Strays: no.
        """
        return self.load32(zspage + ZSPAGE_FREEOBJ)

    def set_freeobj(self, zspage: int, obj: int) -> None:
        """Set the head of the free list; only 32 bits are kept. Source: set_freeobj(), v5.10. Strays: no."""
        self.store32(zspage + ZSPAGE_FREEOBJ, obj & MASK32)

    def get_first_page(self, zspage: int) -> int:
        """Return the first component page.

        Errors: Report when it is not marked. Source: get_first_page(), v5.10.
        """
        first_page = self.load(zspage + ZSPAGE_FIRST_PAGE)
        if not self.is_first_page(first_page):
            self.k.BUG("VM_BUG_ON !is_first_page", "get_first_page", "the first page lacks PG_private")
        return first_page

    def zspage_full(self, size_class: int, zspage: int) -> bool:
        """Return whether every object is allocated. Source: zspage_full(), v5.10. Strays: no."""
        return self.get_zspage_inuse(zspage) == self.load32(size_class + CLASS_OBJS_PER_ZSPAGE)

    # -- the migrate lock: empty stubs without CONFIG_COMPACTION

    def migrate_lock_init(self, zspage: int) -> None:
        """Source: migrate_lock_init(), v5.10. Strays: no."""
        self.store(zspage + ZSPAGE_LOCK, 0)

    def migrate_read_lock(self, zspage: int) -> None:
        """Source: migrate_read_lock(), v5.10. Strays: no."""
        if self.k.compaction_enabled:
            self.k.read_lock(zspage + ZSPAGE_LOCK, ZSPAGE_RWLOCK)

    def migrate_read_unlock(self, zspage: int) -> None:
        """Source: migrate_read_unlock(), v5.10. Strays: no."""
        if self.k.compaction_enabled:
            self.k.read_unlock(zspage + ZSPAGE_LOCK, ZSPAGE_RWLOCK)

    def migrate_write_lock(self, zspage: int) -> None:
        """Source: migrate_write_lock(), v5.10, which exists with CONFIG_COMPACTION only. Strays: no."""
        self.k.write_lock(zspage + ZSPAGE_LOCK, ZSPAGE_RWLOCK)

    def migrate_write_unlock(self, zspage: int) -> None:
        """Source: migrate_write_unlock(), v5.10. Strays: no."""
        self.k.write_unlock(zspage + ZSPAGE_LOCK, ZSPAGE_RWLOCK)

    # -- statistics of a class

    def zs_stat_get(self, size_class: int, kind: int) -> int:
        """Return one counter, 64 bits. kind: enum zs_stat_type. Source: zs_stat_get(), v5.10. Strays: no."""
        return self.load(size_class + CLASS_STATS + kind * 8)

    def zs_stat_inc(self, size_class: int, kind: int, count: int) -> None:
        """Add to a counter, with class->lock held. Source: zs_stat_inc(), v5.10. Strays: no."""
        word = size_class + CLASS_STATS + kind * 8
        self.store(word, self.load(word) + count & MASK64)

    def zs_stat_dec(self, size_class: int, kind: int, count: int) -> None:
        """Subtract from a counter; below zero it wraps. Source: zs_stat_dec(), v5.10. Strays: no."""
        self.zs_stat_inc(size_class, kind, -count)

    # -- fullness lists

    def get_fullness_group(self, size_class: int, zspage: int) -> int:
        """Return the group that inuse calls for. Source: get_fullness_group(), v5.10. Strays: no."""
        inuse = self.get_zspage_inuse(zspage)
        return get_fullness_group(inuse, self.load32(size_class + CLASS_OBJS_PER_ZSPAGE))

    def first_zspage_of_group(self, size_class: int, fullness: int) -> int:
        """Return the zspage at the head of one fullness list, 0 for none.

        Source: the uses of list_first_entry_or_null() in mm/zsmalloc.c, v5.10. Strays: no.
        """
        first = self.k.list_first(size_class + CLASS_FULLNESS_LIST + fullness * 16)
        return first - ZSPAGE_LIST if first else 0

    def insert_zspage(self, size_class: int, zspage: int, fullness: int) -> None:
        """Put a zspage at the head of a list, or second when the head has more objects: fuller ones go first.

        Source: insert_zspage(), v5.10. Strays: no.
        """
        self.zs_stat_inc(size_class, fullness, 1)
        head = self.first_zspage_of_group(size_class, fullness)
        if head and self.get_zspage_inuse(zspage) < self.get_zspage_inuse(head):
            self.k.list_add(zspage + ZSPAGE_LIST, head + ZSPAGE_LIST)
            return
        self.k.list_add(zspage + ZSPAGE_LIST, size_class + CLASS_FULLNESS_LIST + fullness * 16)

    def remove_zspage(self, size_class: int, zspage: int, fullness: int) -> None:
        """Take a zspage off its list. Errors: Report for an empty list or an isolated zspage.

        Source: remove_zspage(), v5.10. Strays: no.
        """
        if self.k.list_empty(size_class + CLASS_FULLNESS_LIST + fullness * 16):
            self.k.BUG("VM_BUG_ON list_empty", "remove_zspage", f"list {fullness} of the class is empty")
        if self.is_zspage_isolated(zspage):
            self.k.BUG("VM_BUG_ON is_zspage_isolated", "remove_zspage", "an isolated zspage is on no list")
        self.k.list_del_init(zspage + ZSPAGE_LIST)
        self.zs_stat_dec(size_class, fullness, 1)

    def fix_fullness_group(self, size_class: int, zspage: int) -> int:
        """Move a zspage to the list that its inuse calls for, unless it is isolated; return that group.

        Source: fix_fullness_group(), v5.10. Strays: no.
        """
        class_idx, currfg = self.get_zspage_mapping(zspage)
        newfg = self.get_fullness_group(size_class, zspage)
        if newfg == currfg:
            return newfg
        if not self.is_zspage_isolated(zspage):
            self.remove_zspage(size_class, zspage, currfg)
            self.insert_zspage(size_class, zspage, newfg)
        self.set_zspage_mapping(zspage, class_idx, newfg)
        return newfg
