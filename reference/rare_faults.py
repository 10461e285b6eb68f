"""Rare faults: bugs of the legacy allocator that need a particular state, each one small method replaced.

In:    the target of this package.
Out:   RARE_FAULTS: what ordinary use does not meet: a second pool, a full zspage of many objects, a fourth isolated
       page, a failure at the last page of a chain, an object that the worker's list was meant to lose.
Never: two changes in one fault; a fault made up to be hard: each is a slip that a reviewer could let pass.
Next:  common ones, and the catalogue: reference/faults.py; how hard each one is: zsfuzz/measure/hard.json.
"""

from __future__ import annotations

from typing import Final

from reference.compaction import ZS_ALMOST_EMPTY
from reference.layout import (
    AREA_VM_MM,
    CLASS_FULLNESS_LIST,
    CLASS_LOCK,
    CLASS_OBJS_PER_ZSPAGE,
    CLASS_PAGES_PER_ZSPAGE,
    CLASS_SIZE,
    CLASS_SPINLOCK,
    ISOLATED_SHIFT,
    POOL_FREE_WORK,
    POOL_ISOLATED_PAGES,
    POOL_PAGES_ALLOCATED,
    POOL_PAGES_COMPACTED,
    POOL_SHRINKER,
    ZSPAGE_PACKED,
)
from reference.lifetime import ZS_EMPTY
from reference.zsmalloc import Zsmalloc
from zsfuzz.machine.layout import PG_owner_priv_1
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE
from zsfuzz.target.fault import Fault
from zsfuzz.target.protocol import ZS_MM_RO, ZS_MM_WO


class _PfnBitTooFew(Zsmalloc):
    def location_to_obj(self, page: int, obj_idx: int) -> int:
        pages_count = self.k.machine.buddy.pages_count
        pfn = self.k.page_to_pfn(page) & (1 << (pages_count - 1).bit_length() - 1) - 1
        return super().location_to_obj(self.k.pfn_to_page(pfn), obj_idx)


class _DestroyedUnflushed(Zsmalloc):
    def zs_flush_migration(self, pool: int) -> None:
        """What is queued stays queued."""


class _WorkerBatch(Zsmalloc):
    def splice_empty_zspages(self, pool: int, head: int) -> None:
        self.k.INIT_LIST_HEAD(head)
        for class_idx in self.class_indices:
            size_class = self.class_of(pool, class_idx)
            self.k.spin_lock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
            for _ in range(2):
                if first := self.k.list_first(size_class + CLASS_FULLNESS_LIST + ZS_EMPTY * 16):
                    self.k.list_del_init(first)
                    self.k.list_add_tail(first, head)
            self.k.spin_unlock(size_class + CLASS_LOCK, CLASS_SPINLOCK)


class _OneWorkForAll(Zsmalloc):
    def putback_zspage_deferred(self, pool: int, size_class: int, zspage: int) -> None:
        empty = self.putback_zspage(size_class, zspage) == ZS_EMPTY
        if empty and not self.k.machine.has_pending_work:
            self.k.schedule_work(pool + POOL_FREE_WORK)


class _AlmostFullIsNoSource(Zsmalloc):
    def isolate_zspage(self, size_class: int, source: bool) -> int:
        if source and not self.first_zspage_of_group(size_class, ZS_ALMOST_EMPTY):
            return 0
        return super().isolate_zspage(size_class, source)


class _TwoPieces(Zsmalloc):
    def zs_object_copy(self, size_class: int, dst: int, src: int) -> None:
        (s_page, s_idx), (d_page, d_idx) = self.obj_to_location(src), self.obj_to_location(dst)
        left = size = self.load32(size_class + CLASS_SIZE)
        s_off, d_off = size * s_idx % self.page_size, size * d_idx % self.page_size
        for _ in range(2):
            step = min(left, self.page_size - s_off, self.page_size - d_off)
            self.k.memcpy(self.k.kmap(d_page) + d_off, self.k.kmap(s_page) + s_off, step)
            left, s_off, d_off = left - step, s_off + step, d_off + step
            if not left:
                return
            if s_off >= self.page_size:
                s_page, s_off = self.get_next_page(s_page), 0
            if d_off >= self.page_size:
                d_page, d_off = self.get_next_page(d_page), 0


class _RevivedStaysEmpty(Zsmalloc):
    def fix_fullness_group(self, size_class: int, zspage: int) -> int:
        class_idx, currfg = self.get_zspage_mapping(zspage)
        if currfg != ZS_EMPTY:
            return super().fix_fullness_group(size_class, zspage)
        newfg = self.get_fullness_group(size_class, zspage)
        self.set_zspage_mapping(zspage, class_idx, newfg)
        return newfg


class _UndoStopsEarly(Zsmalloc):
    def undo_alloc_pages(self, pages: list[int]) -> None:
        super().undo_alloc_pages(pages[-2:])


class _IsolatedTwiceNotRegrouped(Zsmalloc):
    def fix_fullness_group(self, size_class: int, zspage: int) -> int:
        if self.is_zspage_isolated(zspage) > 1:
            return self.get_fullness_group(size_class, zspage)
        return super().fix_fullness_group(size_class, zspage)


class _PoisonedStaysHuge(Zsmalloc):
    def reset_page(self, page: int) -> None:
        huge = self.PageHugeObject(page) and self.d.PageHWPoison(page)
        super().reset_page(page)
        if huge:
            self.k.set_bit(PG_owner_priv_1, page)


class _FiveIndexBits(Zsmalloc):
    def repoint_object(self, handle: int, newpage: int) -> None:
        _, obj_idx = self.obj_to_location(self.handle_to_obj(handle))
        self.record_obj(handle, self.location_to_obj(newpage, obj_idx & 31) | 1)


class _LastLinkClamped(Zsmalloc):
    def set_freeobj(self, zspage: int, obj: int) -> None:
        class_idx, _ = self.get_zspage_mapping(zspage)
        row = self.k.size_classes.class_at(class_idx)
        super().set_freeobj(zspage, obj if row.huge else min(obj, row.objs_per_zspage - 1))


class _SwappedStores(Zsmalloc):
    def obj_free(self, size_class: int, obj: int) -> None:
        page, obj_idx = self.obj_to_location(obj)
        super().obj_free(size_class, obj)
        offset = self.load32(size_class + CLASS_SIZE) * obj_idx & self.page_size - 1
        self.store(self.k.kmap(page) + offset, obj_idx << 1)


class _CountedTwice(Zsmalloc):
    def putback_source(self, pool: int, size_class: int, src_zspage: int) -> int:
        return 2 * super().putback_source(pool, size_class, src_zspage)


class _ModeNotStored(Zsmalloc):
    def zs_map_object(self, pool: int, handle: int, mode: int) -> int:
        stale = self.load(self.get_cpu_area() + AREA_VM_MM)
        return super().zs_map_object(pool, handle, stale if (stale, mode) == (ZS_MM_WO, ZS_MM_RO) else mode)


class _ExactSizeRoundsUp(Zsmalloc):
    def get_size_class_index(self, size: int) -> int:
        table = self.k.size_classes
        exact = size > table.min_alloc and (size - table.min_alloc) % table.step == 0
        return table.get_size_class_index(size + exact)


class _TwoIsolatedBits(Zsmalloc):
    def _mod_isolation(self, zspage: int, delta: int) -> None:
        super()._mod_isolation(zspage, delta)
        packed = self.load32(zspage + ZSPAGE_PACKED)
        self.store32(zspage + ZSPAGE_PACKED, packed & ~(1 << ISOLATED_SHIFT + 2))


class _CompactedWraps(Zsmalloc):
    def zs_compact(self, pool: int) -> int:
        pages_freed = super().zs_compact(pool)
        self.store(pool + POOL_PAGES_COMPACTED, self.load(pool + POOL_PAGES_COMPACTED) & 31)
        return pages_freed


class _IsolatedSaturates(Zsmalloc):
    def isolate_component(self, pool: int, size_class: int, zspage: int) -> None:
        super().isolate_component(pool, size_class, zspage)
        if self.load(pool + POOL_ISOLATED_PAGES) > 7:
            self.store(pool + POOL_ISOLATED_PAGES, 7)


class _PageMinusHandle(Zsmalloc):
    def zs_malloc(self, pool: int, size: int, gfp: int) -> int:
        return 0 if size + ZS_HANDLE_SIZE > self.page_size else super().zs_malloc(pool, size, gfp)


class _TailOfPreviousLost(Zsmalloc):
    def move_page(self, pool: int, size_class: int, zspage: int, newpage: int, page: int, slots: range) -> None:
        tail_bytes = self.get_first_obj_offset(page)
        super().move_page(pool, size_class, zspage, newpage, page, slots)
        self.k.write_bytes(self.k.kmap(newpage), bytes(min(tail_bytes, self.page_size)))


class _FirstOfTwoIsLast(Zsmalloc):
    def may_free(self, zspage: int) -> bool:
        return self.is_zspage_isolated(zspage) != 1


class _EmptiedWhileListedSecond(Zsmalloc):
    def fix_fullness_group(self, size_class: int, zspage: int) -> int:
        """A zspage that falls from FULL to EMPTY at once (one object) is looked for on the wrong list."""
        class_idx, currfg = self.get_zspage_mapping(zspage)
        newfg = self.get_fullness_group(size_class, zspage)
        one_object = self.load32(size_class + CLASS_OBJS_PER_ZSPAGE) == 1
        if one_object and newfg == ZS_EMPTY and self.is_zspage_isolated(zspage):
            self.set_zspage_mapping(zspage, class_idx, currfg)
            return newfg
        return super().fix_fullness_group(size_class, zspage)


class _UndoneInFirstZone(Zsmalloc):
    def undo_alloc_pages(self, pages: list[int]) -> None:
        for page in reversed(pages):
            self.dec_zone_page_state(pages[0])
            self.d.free_page(page)


class _ZoneOfEmpty(Zsmalloc):
    def move_zone_page_state(self, newpage: int, page: int) -> None:
        if self.get_zspage_inuse(self.get_zspage(newpage)):
            super().move_zone_page_state(newpage, page)


class _FlushedWhenFirst(Zsmalloc):
    def zs_flush_migration(self, pool: int) -> None:
        if self.k.machine.pending_work()[:1] == [pool + POOL_FREE_WORK]:
            super().zs_flush_migration(pool)


class _AllIsolatedNotRegrouped(Zsmalloc):
    def fix_fullness_group(self, size_class: int, zspage: int) -> int:
        if 1 < self.load32(size_class + CLASS_PAGES_PER_ZSPAGE) == self.is_zspage_isolated(zspage):
            return self.get_fullness_group(size_class, zspage)
        return super().fix_fullness_group(size_class, zspage)


class _HeaderAlone(Zsmalloc):
    def unmap_straddling(self, area: int, pages: tuple[int, int], offset: int, size: int) -> None:
        if self.page_size - offset > 2 * ZS_HANDLE_SIZE:
            super().unmap_straddling(area, pages, offset, size)


class _LastPageHalfCopied(Zsmalloc):
    def zs_object_copy(self, size_class: int, dst: int, src: int) -> None:
        (d_page, d_idx), size = self.obj_to_location(dst), self.load32(size_class + CLASS_SIZE)
        offset = size * d_idx & self.page_size - 1
        following = self.get_next_page(d_page)
        super().zs_object_copy(size_class, dst, src)
        if following and not self.get_next_page(following) and offset + size > self.page_size:
            self.k.memset(self.k.kmap(following), 0, offset + size - self.page_size)


class _UndoneWithoutCompaction(Zsmalloc):
    def undo_alloc_pages(self, pages: list[int]) -> None:
        if self.k.compaction_enabled:
            super().undo_alloc_pages(pages)
            return
        for page in reversed(pages):
            self.d.free_page(page)


class _ThreeShrinkers(Zsmalloc):
    def zs_register_shrinker(self, pool: int) -> None:
        if len(self.k.machine.registered_shrinkers()) >= 3:
            self.store(pool + POOL_SHRINKER, 1)
            return
        super().zs_register_shrinker(pool)


class _PoisonedZone(Zsmalloc):
    def move_zone_page_state(self, newpage: int, page: int) -> None:
        if not self.d.PageHWPoison(page):
            super().move_zone_page_state(newpage, page)


class _OnePieceWithoutCompaction(Zsmalloc):
    def zs_object_copy(self, size_class: int, dst: int, src: int) -> None:
        if self.k.compaction_enabled:
            super().zs_object_copy(size_class, dst, src)
            return
        (s_page, s_idx), (d_page, d_idx) = self.obj_to_location(src), self.obj_to_location(dst)
        size = self.load32(size_class + CLASS_SIZE)
        s_off, d_off = size * s_idx % self.page_size, size * d_idx % self.page_size
        length = min(size, self.page_size - s_off, self.page_size - d_off)
        self.k.memcpy(self.k.kmap(d_page) + d_off, self.k.kmap(s_page) + s_off, length)


class _PagesWrap(Zsmalloc):
    def start_zspage(self, pool: int, size_class: int, zspage: int, handle: int) -> None:
        super().start_zspage(pool, size_class, zspage, handle)
        self.store(pool + POOL_PAGES_ALLOCATED, self.load(pool + POOL_PAGES_ALLOCATED) & 127)


def _fault(fault_id: str, override: type[Zsmalloc], oracle: str, mechanism: str, origin: str = "generic") -> Fault:
    return Fault(fault_id, Zsmalloc.name, origin, mechanism, concurrent=False, oracle=oracle, override=override)


RARE_FAULTS: Final = (
    _fault(
        "A05-unflushed",
        _DestroyedUnflushed,
        "bug Freeing non-empty class, memory",
        "a pool is destroyed while its worker is queued: nobody flushes it (the part that one thread can show)",
        origin="701d678599d0, Henry Burns, 2019",
    ),
    _fault(
        "A21",
        _PfnBitTooFew,
        "invariant I1, memory, bug",
        "an object value keeps one bit too few of the pfn, so that the upper half of the memory is lost",
        origin="cef397038167, Stefan Agner, 2020",
    ),
    _fault(
        "G-worker-batch",
        _WorkerBatch,
        "divergence, invariant I12",
        "the worker takes at most two zspages of a class and is not queued again",
    ),
    _fault(
        "G-one-work",
        _OneWorkForAll,
        "divergence deferred work, divergence outcome, invariant I12",
        "the worker is not queued for a pool while it is queued for another one",
    ),
    _fault(
        "G-almost-full-source",
        _AlmostFullIsNoSource,
        "divergence",
        "compaction takes sources from ALMOST_EMPTY only, and leaves many nearly full zspages alone",
    ),
    _fault(
        "G-third-piece",
        _TwoPieces,
        "contract object content, divergence content",
        "an object that straddles a page at both ends of its move is copied in two pieces of three",
    ),
    _fault(
        "G-revived-stays-empty",
        _RevivedStaysEmpty,
        "invariant I3, bug",
        "an object that revives an EMPTY zspage leaves it on the list that the worker takes",
    ),
    _fault(
        "G-undo-stops-early",
        _UndoStopsEarly,
        "invariant I7, divergence zone counter",
        "the error path of alloc_zspage() gives back two pages at most",
    ),
    _fault(
        "G-isolated-twice",
        _IsolatedTwiceNotRegrouped,
        "invariant I3, bug",
        "the group of a zspage is not brought up to date while two of its pages are isolated",
    ),
    _fault(
        "G-poisoned-stays-huge",
        _PoisonedStaysHuge,
        "divergence scanner view, divergence outcome, invariant",
        "the page of a huge object keeps PG_owner_priv_1 when it leaves its zspage poisoned",
    ),
    _fault(
        "G-index-bits",
        _FiveIndexBits,
        "invariant I1, memory",
        "migration keeps five bits of an object's index",
    ),
    _fault(
        "G-last-link",
        _LastLinkClamped,
        "invariant I4, invariant I1, memory, divergence content",
        "the end of a free list is clamped to the last object, which is live when the zspage is full",
    ),
    _fault(
        "G-swapped-stores",
        _SwappedStores,
        "invariant I4, memory, bug, invariant I1",
        "obj_free writes freeobj before it links the slot to it",
    ),
    _fault(
        "G-counted-twice",
        _CountedTwice,
        "divergence outcome, divergence pool statistics",
        "compaction counts the pages of an emptied source twice",
    ),
    _fault(
        "G-mode-not-stored",
        _ModeNotStored,
        "contract object content, divergence content",
        "a read-only mapping after a write-only one goes on in the old mode",
    ),
    _fault(
        "G-exact-size",
        _ExactSizeRoundsUp,
        "invariant I11, divergence placement",
        "a request that fills a slot exactly gets the next larger class",
    ),
    _fault(
        "G-isolated-bits",
        _TwoIsolatedBits,
        "invariant I10, bug, invariant I3",
        "the count of isolated pages has two bits, and a zspage may have four",
    ),
    _fault(
        "G-compacted-wraps",
        _CompactedWraps,
        "contract compaction's count, divergence pool statistics, divergence outcome",
        "the count of compacted pages has five bits",
    ),
    _fault(
        "G-isolated-saturates",
        _IsolatedSaturates,
        "divergence pool statistics, bug VM_BUG_ON isolated_pages, progress deadlock",
        "a pool counts up to seven isolated zspages",
    ),
    _fault(
        "G-page-minus-handle",
        _PageMinusHandle,
        "divergence zone counter, divergence outcome, contract",
        "a request that fills a page but for less than a handle is refused",
    ),
    _fault(
        "G-tail-of-previous",
        _TailOfPreviousLost,
        "contract object content, divergence content, memory",
        "migration copies a page from its first object on: the tail of the one before stays behind",
    ),
    _fault(
        "G-last-isolated",
        _FirstOfTwoIsLast,
        "bug VM_BUG_ON, memory",
        "the last object of a zspage with two or more isolated pages frees it",
    ),
    _fault(
        "G-emptied-isolated-huge",
        _EmptiedWhileListedSecond,
        "invariant I3, bug",
        "a huge zspage that is emptied while it is isolated stays FULL by its own word",
    ),
    _fault(
        "G-undo-zone",
        _UndoneInFirstZone,
        "invariant I7, divergence zone counter",
        "the error path of alloc_zspage() uncounts every page in the zone of the first",
    ),
    _fault(
        "G-zone-of-empty",
        _ZoneOfEmpty,
        "invariant I7",
        "a migration to another zone is not counted when the zspage has been emptied meanwhile",
    ),
    _fault(
        "G-zone-of-poisoned",
        _PoisonedZone,
        "invariant I7",
        "a migration to another zone is not counted when the page that is left is poisoned",
    ),
    _fault(
        "G-flushed-when-first",
        _FlushedWhenFirst,
        "bug Freeing non-empty class, memory",
        "a pool that is destroyed flushes its worker only when nobody's work is queued before it",
    ),
    _fault(
        "G-all-isolated",
        _AllIsolatedNotRegrouped,
        "invariant I3",
        "the group of a zspage is not brought up to date while all of its pages are isolated",
    ),
    _fault(
        "G-header-alone",
        _HeaderAlone,
        "contract object content, divergence content",
        "an object of which the first page holds little more than the header is not copied back",
    ),
    _fault(
        "G-into-last-page",
        _LastPageHalfCopied,
        "contract object content, divergence content",
        "an object that compaction moves across the border of the last page loses its tail",
    ),
    _fault(
        "G-undo-config",
        _UndoneWithoutCompaction,
        "invariant I7, divergence zone counter",
        "without compaction the error path of alloc_zspage() uncounts no page",
    ),
    _fault(
        "G-three-shrinkers",
        _ThreeShrinkers,
        "bug unregister of an unknown shrinker",
        "a fourth pool believes in a shrinker that was never registered",
    ),
    _fault(
        "G-config-copy",
        _OnePieceWithoutCompaction,
        "contract object content, divergence content",
        "without compaction of pages, compaction of objects copies them up to a page's end only",
    ),
    _fault(
        "G-pages-bits",
        _PagesWrap,
        "invariant I2, divergence pool statistics, divergence outcome",
        "a pool counts 127 pages at most",
    ),
)
"""All show in sequential programs."""
