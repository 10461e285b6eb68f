"""Views: how oracles look inside a candidate. No write, no lock, no BUG where it can be helped.

In:    handles, zspages, struct pages, pools.
Out:   the values of zsfuzz/target/protocol.py.
Never: a call that an allocator function makes: a view must not change what it looks at.
Next:  who looks: zsfuzz/oracle/invariants.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from candidate.fullness import CLASS_LOCK_NAME
from candidate.layout import (
    CLASS_BITS,
    CLASS_FULLNESS_LIST,
    CLASS_LOCK,
    CLASS_STATS,
    FULLNESS_BITS,
    OBJ_ALLOCATED,
    OBJ_USED,
    POOL_ISOLATED_PAGES,
    POOL_PAGES_ALLOCATED,
    POOL_SIZE_CLASS,
)
from candidate.pool import Pool
from zsfuzz.machine.layout import KPF_COMPOUND_TAIL, PG_COMPOUND_HEAD, VMEMMAP_START
from zsfuzz.policy.size_class import OBJ_TAG_BITS, SizeClass
from zsfuzz.target.protocol import CounterWord, Shown, ZspageView, counter


class Views(Pool):
    """Projections of the arena."""

    def placement(self, handle: int) -> int:
        """Return where an object is: pfn << 32 | object index in its zspage."""
        pfn, obj_idx = self.encoding.obj_to_location(self.k.load(handle))
        return pfn << 32 | obj_idx

    def zspage_of(self, handle: int) -> int:
        """Return the zspage of an object."""
        pfn, _ = self.encoding.obj_to_location(self.k.load(handle))
        return self.page_owner(self.k.pfn_to_page(pfn))

    def page_owner(self, page: int) -> int:
        """Return what a page's compound_head names, if that is outside the memmap; 0 otherwise."""
        word = self.k.load(page + PG_COMPOUND_HEAD)
        if not word & 1 or VMEMMAP_START <= word - 1 < self.memmap_end():
            return 0
        return word - 1

    def memmap_end(self) -> int:
        """Return the address behind the last struct page."""
        return VMEMMAP_START + self.k.machine.memory.memmap_bytes

    def view_class(self, zspage: int) -> SizeClass:
        """Return the constants of a zspage's class, by its packed word."""
        return self.k.size_classes.class_at(self.get_packed(zspage, CLASS_BITS))

    def zspage_view(self, zspage: int) -> ZspageView:
        """Return one zspage, read from the arena."""
        size_class = self.view_class(zspage)
        pages = tuple(self.zspage_pages(zspage))
        return ZspageView(
            zspage=zspage,
            class_index=size_class.index,
            fullness=self.get_packed(zspage, FULLNESS_BITS),
            inuse=self.get_zspage_inuse(zspage),
            isolated=self.get_isolation(zspage),
            pages=pages,
            offsets=tuple(self.first_obj_offset(size_class.size_bytes, index) for index in range(len(pages))),
            free_indices=self.free_indices(zspage, size_class),
        )

    def slot_address(self, zspage: int, size_class: SizeClass, index: int) -> int:
        """Return the address of an object slot."""
        page_index, offset = divmod(index * size_class.size_bytes, self.k.page_size)
        return self.k.kmap(self.nth_page(zspage, page_index)) + offset

    def free_indices(self, zspage: int, size_class: SizeClass) -> tuple[int, ...]:
        """Return the free list up to the first index that is no object, at most objs + 1 entries."""
        objects = size_class.objs_per_zspage
        indices: list[int] = []
        index = self.get_freeobj(zspage)
        while index < objects and len(indices) <= objects:
            indices.append(index)
            index = self.k.load(self.slot_address(zspage, size_class, index)) >> OBJ_TAG_BITS
        return tuple(indices)

    def fullness_list(self, pool: int, class_index: int, group: int) -> tuple[int, ...]:
        """Return the zspages of one fullness list, first to last."""
        class_ = self.k.load(pool + POOL_SIZE_CLASS + 8 * class_index)
        head = class_ + CLASS_FULLNESS_LIST + 16 * group
        return tuple(entry - self.LIST for entry in self.k.list_entries(head))

    def object_header(self, zspage: int, index: int) -> int:
        """Return the header word of a slot; of a huge zspage the word that holds its handle."""
        size_class = self.view_class(zspage)
        if size_class.huge:
            return self.get_huge_handle(zspage)
        return self.k.load(self.slot_address(zspage, size_class, index))

    def isolated_zspages(self, pool: int) -> int:
        """Return pool->isolated_pages."""
        return self.k.load(pool + POOL_ISOLATED_PAGES)

    def lock_words(self, pool: int) -> tuple[tuple[str, int], ...]:
        """Return the locks of a pool's size classes."""
        return tuple((CLASS_LOCK_NAME, class_ + CLASS_LOCK) for class_ in self.classes_of(pool))

    def shown_to_scanners(self, view: ZspageView, index: int) -> Shown:
        """Return what a tail without a head shows: no map count, KPF_COMPOUND_TAIL, no flag of its own."""
        return Shown(0, 1 << KPF_COMPOUND_TAIL)

    def counter_words(self, pool: int, class_indices: Iterable[int]) -> Iterable[CounterWord]:
        """Return the counters that never fall below zero."""
        yield counter("pages_allocated", "I2 counter out of range", pool + POOL_PAGES_ALLOCATED, pool)
        yield counter("isolated_pages", "I10 counter out of range", pool + POOL_ISOLATED_PAGES, pool)
        for class_index in class_indices:
            class_ = self.k.load(pool + POOL_SIZE_CLASS + 8 * class_index)
            for name, statistic in (("obj_used", OBJ_USED), ("obj_allocated", OBJ_ALLOCATED)):
                yield counter(name, "I2 counter out of range", class_ + CLASS_STATS + 8 * statistic, class_)

    def zspage_words(self, view: ZspageView, objs_per_zspage: int) -> Iterable[CounterWord]:
        """Return inuse, and the count that everybody's references are in."""
        zspage = view.zspage
        yield CounterWord("inuse", "I2 counter out of range", zspage + self.INUSE, 0, 32, 0, objs_per_zspage, zspage)
        count = zspage + self.REFCOUNT & ~7
        yield CounterWord("_refcount", "I6 refcount below zero", count, 32, 32, 0, (1 << 31) - 1, zspage)
