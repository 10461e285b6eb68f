"""Views: how oracles look inside the legacy design.

In:    handles, zspages, struct pages, in any state, broken ones too.
Out:   Views: placements, owners, ZspageView, lists and headers, read from the arena.
Never: writes, takes a lock, follows a chain or a list for ever.
Next:  what the values mean: zsfuzz/target/protocol.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from reference.layout import (
    CLASS_FULLNESS_LIST,
    CLASS_LOCK,
    CLASS_MASK,
    CLASS_SHIFT,
    CLASS_SPINLOCK,
    CLASS_STATS,
    FULLNESS_MASK,
    ISOLATED_MASK,
    ISOLATED_SHIFT,
    MAGIC_MASK,
    MAGIC_SHIFT,
    OBJ_ALLOCATED,
    OBJ_USED,
    POOL_ISOLATED_PAGES,
    POOL_PAGES_ALLOCATED,
    ZSPAGE_FIRST_PAGE,
    ZSPAGE_FREEOBJ,
    ZSPAGE_INUSE,
    ZSPAGE_LIST,
    ZSPAGE_MAGIC,
    ZSPAGE_PACKED,
)
from reference.pool import Pool
from zsfuzz.machine.layout import KPF_MMAP, KPF_OWNER_PRIVATE, KPF_PRIVATE, PG_INDEX, PG_PRIVATE
from zsfuzz.policy.size_class import OBJ_TAG_BITS, SizeClass
from zsfuzz.target.protocol import CounterWord, Shown, ZspageView, counter

_MOST_PAGES_FOLLOWED = 16  # a longer chain is a cycle


class Views(Pool):
    """The second half of the target protocol."""

    def placement(self, handle: int) -> int:
        """Return pfn << 32 | object index, the pin bit ignored.

        Source: obj_to_location(), v5.10. Strays: the format.
        """
        obj = self.load(handle) >> OBJ_TAG_BITS
        return obj >> self.obj_index_bits << 32 | obj & self.obj_index_mask

    def zspage_of(self, handle: int) -> int:
        """Return the zspage that a live object's page names. Errors: Report for a handle that was freed.

        Source: get_zspage(), v5.10. Strays: the magic is not asked for.
        """
        page, _ = self.obj_to_location(self.load(handle))
        return self.load(page + PG_PRIVATE)

    def page_owner(self, page: int) -> int:
        """Return the zspage that page->private names, 0 when it names no live one.

        Whether that zspage has the page in its chain is for the caller to compare. Source: get_zspage(),
        v5.10. Strays: the magic is asked for, not insisted on.
        """
        zspage = self.load(page + PG_PRIVATE)
        if not self.k.machine.slab.is_live(zspage):
            return 0
        magic = self.load32(zspage + ZSPAGE_PACKED) >> MAGIC_SHIFT & MAGIC_MASK
        return zspage if magic == ZSPAGE_MAGIC else 0

    def zspage_view(self, zspage: int) -> ZspageView:
        """Return one zspage.

        Errors: Report for memory that is none. Source: struct zspage, v5.10. Strays: no.
        """
        packed = self.load32(zspage + ZSPAGE_PACKED)
        pages = self._chain(zspage)
        row = self._row(packed)
        return ZspageView(
            zspage=zspage,
            class_index=packed >> CLASS_SHIFT & CLASS_MASK,
            fullness=packed & FULLNESS_MASK,
            inuse=self.load32(zspage + ZSPAGE_INUSE),
            isolated=packed >> ISOLATED_SHIFT & ISOLATED_MASK,
            pages=pages,
            offsets=tuple(self.get_first_obj_offset(page) for page in pages),
            free_indices=self._free_indices(self.load32(zspage + ZSPAGE_FREEOBJ), pages, row),
        )

    def _row(self, packed: int) -> SizeClass:
        """Return the class that a packed word names; an index that is none counts as the largest."""
        class_idx = min(packed >> CLASS_SHIFT & CLASS_MASK, self.zs_size_classes - 1)
        return self.k.size_classes.class_at(class_idx)

    def _chain(self, zspage: int) -> tuple[int, ...]:
        pages: list[int] = []
        page = self.load(zspage + ZSPAGE_FIRST_PAGE)
        while page and len(pages) < _MOST_PAGES_FOLLOWED:
            pages.append(page)
            page = self.get_next_page(page)
        return tuple(pages)

    def _free_indices(self, freeobj: int, pages: tuple[int, ...], row: SizeClass) -> tuple[int, ...]:
        indices: list[int] = []
        while freeobj < row.objs_per_zspage and len(indices) <= row.objs_per_zspage:
            indices.append(freeobj)
            number, offset = divmod(freeobj * row.size_bytes, self.page_size)
            if number >= len(pages):
                break
            freeobj = self.load(self.k.kmap(pages[number]) + offset) >> OBJ_TAG_BITS
        return tuple(indices)

    def fullness_list(self, pool: int, class_index: int, group: int) -> tuple[int, ...]:
        """Return the zspages of one list, first to last. Source: class->fullness_list, v5.10. Strays: no."""
        head = self.class_of(pool, class_index) + CLASS_FULLNESS_LIST + group * 16
        return tuple(entry - ZSPAGE_LIST for entry in self.k.list_entries(head))

    def object_header(self, zspage: int, index: int) -> int:
        """Return the header word of a slot, of a huge zspage page->index. Errors: Report for a slot without a
        page.

        Source: obj_to_head(), v5.10. Strays: no.
        """
        pages = self._chain(zspage)
        if self.PageHugeObject(pages[0]):
            return self.load(pages[0] + PG_INDEX)
        row = self._row(self.load32(zspage + ZSPAGE_PACKED))
        number, offset = divmod(index * row.size_bytes, self.page_size)
        if number >= len(pages):
            self.k.BUG("object_header", "index", f"slot {index} lies behind the {len(pages)} pages of its zspage")
        return self.load(self.k.kmap(pages[number]) + offset)

    def isolated_zspages(self, pool: int) -> int:
        """Return pool->isolated_pages, which counts zspages. Source: struct zs_pool, v5.10. Strays: no."""
        return self.load(pool + POOL_ISOLATED_PAGES)

    def lock_words(self, pool: int) -> tuple[tuple[str, int], ...]:
        """Return the class locks; a zspage's lock goes with its zspage. Source: struct size_class, v5.10."""
        return tuple((CLASS_SPINLOCK, self.class_of(pool, class_idx) + CLASS_LOCK) for class_idx in self.class_indices)

    def shown_to_scanners(self, view: ZspageView, index: int) -> Shown:
        """Return what page->units and the two page flags of the design show.

        Source: fs/proc/page.c kpagecount_read(), stable_page_flags(), v5.10. Strays: no.
        """
        flags = 1 << KPF_MMAP
        if index == 0:
            flags |= 1 << KPF_PRIVATE
        if self.k.size_classes.class_at(view.class_index).huge:
            flags |= 1 << KPF_OWNER_PRIVATE
        return Shown(view.offsets[index] + 1, flags)

    def counter_words(self, pool: int, class_indices: Iterable[int]) -> Iterable[CounterWord]:
        """Return the counters that never fall below zero."""
        yield counter("pages_allocated", "I2 counter out of range", pool + POOL_PAGES_ALLOCATED, pool)
        yield counter("isolated_pages", "I10 counter out of range", pool + POOL_ISOLATED_PAGES, pool)
        for class_idx in class_indices:
            size_class = self.class_of(pool, class_idx)
            for name, kind in (("obj_used", OBJ_USED), ("obj_allocated", OBJ_ALLOCATED)):
                yield counter(name, "I2 counter out of range", size_class + CLASS_STATS + kind * 8, size_class)

    def zspage_words(self, view: ZspageView, objs_per_zspage: int) -> Iterable[CounterWord]:
        """Return inuse: 32 bits in the upper half of the first word."""
        zspage = view.zspage
        yield CounterWord("inuse", "I2 counter out of range", zspage, ZSPAGE_INUSE * 8, 32, 0, objs_per_zspage, zspage)
