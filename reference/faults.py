"""Faults: bugs that can be planted in the legacy allocator, each one small method replaced.

In:    nothing.
Out:   FAULTS: first bugs that zsmalloc had (A..), then what is easily got wrong (G-..).
Never: two changes in one fault; a fault that is on unless it was asked for.
Next:  those that need a particular state in reference/rare_faults.py; how they are planted in zsfuzz/target/fault.py;
       that each one shows in tests/reference/test_faults.py.

An override derives from Zsmalloc so that its types are checked; plant() puts it in front of the target.
"""

from __future__ import annotations

from typing import Final

from reference.compaction import ZS_ALMOST_EMPTY, ZS_ALMOST_FULL, ZsCompactControl
from reference.layout import CLASS_OBJS_PER_ZSPAGE, CLASS_SIZE
from reference.rare_faults import RARE_FAULTS
from reference.zsmalloc import Zsmalloc
from zsfuzz.machine.layout import PG_INDEX, PG_MAPCOUNT, PG_PRIVATE
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE
from zsfuzz.target.fault import Fault


class _ClassUnderallocation(Zsmalloc):
    def get_size_class_index(self, size: int) -> int:
        index = super().get_size_class_index(size)
        largest_not_huge = self.k.size_classes.classes[-2]
        if size - ZS_HANDLE_SIZE <= largest_not_huge.size_bytes:
            return min(index, largest_not_huge.index)
        return index


class _HugeHeadDereference(Zsmalloc):
    def obj_to_head(self, page: int, address: int) -> int:
        if self.PageHugeObject(page):
            return self.load(self.load(page + PG_INDEX))
        return super().obj_to_head(page, address)


class _EmptyLeftForever(Zsmalloc):
    def putback_zspage_deferred(self, pool: int, size_class: int, zspage: int) -> None:
        self.putback_zspage(size_class, zspage)


class _MovableGfpWithoutCompaction(Zsmalloc):
    def page_gfp(self, gfp: int) -> int:
        return gfp


class _FullnessThreshold(Zsmalloc):
    def get_fullness_group(self, size_class: int, zspage: int) -> int:
        group = super().get_fullness_group(size_class, zspage)
        too_many = self.load32(size_class + CLASS_OBJS_PER_ZSPAGE) // 4 < self.get_zspage_inuse(zspage)
        return ZS_ALMOST_FULL if group == ZS_ALMOST_EMPTY and too_many else group


class _MissingPut(Zsmalloc):
    def drop_old_page(self, page: int) -> None:
        self.reset_page(page)


class _StalePrivate(Zsmalloc):
    def reset_page(self, page: int) -> None:
        private = self.load(page + PG_PRIVATE)
        super().reset_page(page)
        self.set_page_private(page, private)


class _StaleCursor(Zsmalloc):
    def next_source_page(self, cc: ZsCompactControl) -> bool:
        obj_idx = cc.obj_idx
        more = super().next_source_page(cc)
        cc.obj_idx = obj_idx
        return more


class _WrongList(Zsmalloc):
    def insert_zspage(self, size_class: int, zspage: int, fullness: int) -> None:
        listed = ZS_ALMOST_FULL if fullness == ZS_ALMOST_EMPTY else fullness
        super().insert_zspage(size_class, zspage, listed)


class _FreeobjNotRestored(Zsmalloc):
    def obj_free(self, size_class: int, obj: int) -> None:
        page, _ = self.obj_to_location(obj)
        freeobj = self.get_freeobj(self.get_zspage(page))
        super().obj_free(size_class, obj)
        self.set_freeobj(self.get_zspage(page), freeobj)


class _ZoneStateNotMoved(Zsmalloc):
    def move_zone_page_state(self, newpage: int, page: int) -> None:
        """Neither zone is told."""


class _LostObject(Zsmalloc):
    def repoint_object(self, handle: int, newpage: int) -> None:
        _, obj_idx = self.obj_to_location(self.handle_to_obj(handle))
        if obj_idx != 1:
            super().repoint_object(handle, newpage)


class _HandleLeak(Zsmalloc):
    def drop_unused_handle(self, pool: int, handle: int) -> None:
        """Nobody frees it."""


class _ZoneStateNotUndone(Zsmalloc):
    def undo_alloc_pages(self, pages: list[int]) -> None:
        for page in reversed(pages):
            self.d.free_page(page)


class _OffsetNotCopied(Zsmalloc):
    def take_over_page_words(self, newpage: int, oldpage: int) -> None:
        units = self.load32(newpage + PG_MAPCOUNT)
        super().take_over_page_words(newpage, oldpage)
        self.store32(newpage + PG_MAPCOUNT, units)


class _HugeHandleNotCopied(Zsmalloc):
    def take_over_page_words(self, newpage: int, oldpage: int) -> None:
        self.set_first_obj_offset(newpage, self.get_first_obj_offset(oldpage))


class _HalfMapped(Zsmalloc):
    def copy_from_second_page(self, buffer: int, page: int, length: int) -> None:
        """The buffer keeps what the last mapping left there."""


class _HalfCopied(Zsmalloc):
    def zs_object_copy(self, size_class: int, dst: int, src: int) -> None:
        (s_page, s_idx), (d_page, d_idx) = self.obj_to_location(src), self.obj_to_location(dst)
        size = self.load32(size_class + CLASS_SIZE)
        s_off, d_off = size * s_idx % self.page_size, size * d_idx % self.page_size
        length = min(size, self.page_size - s_off, self.page_size - d_off)
        self.k.memcpy(self.k.kmap(d_page) + d_off, self.k.kmap(s_page) + s_off, length)


class _PinLeft(Zsmalloc):
    def unpin_objects(self, page: int, frame: int, slots: range) -> None:
        super().unpin_objects(page, frame, slots[:-1])


class _PoolIsolationNotUncounted(Zsmalloc):
    def zs_pool_dec_isolated(self, pool: int) -> None:
        """The pool goes on waiting for it."""


class _IsolatesEmpty(Zsmalloc):
    def may_isolate(self, zspage: int) -> bool:
        return True


class _FreedWhileIsolated(Zsmalloc):
    def may_free(self, zspage: int) -> bool:
        return True


def _fault(fault_id: str, override: type[Zsmalloc], oracle: str, mechanism: str, origin: str = "generic") -> Fault:
    return Fault(fault_id, Zsmalloc.name, origin, mechanism, concurrent=False, oracle=oracle, override=override)


COMMON_FAULTS: Final = (
    _fault(
        "A01",
        _ClassUnderallocation,
        "invariant I11",
        "a request whose handle makes it outgrow the last shared class is served from it all the same",
        origin="7b60a68529b0, Heesub Shin, 2015",
    ),
    _fault(
        "A03",
        _HugeHeadDereference,
        "memory misaligned access, invariant I1",
        "the handle in a huge page's word is dereferenced, and the object does not look allocated",
        origin="12a7bfad5bb8, Hui Zhu, 2015",
    ),
    _fault(
        "A04",
        _EmptyLeftForever,
        "divergence deferred work, invariant I12",
        "nobody schedules the worker when an empty zspage is put back after isolation",
        origin="1a87aa03597e, Henry Burns, 2019",
    ),
    _fault(
        "A16",
        _MovableGfpWithoutCompaction,
        "divergence placement, divergence zone counter",
        "without compaction pages are still asked for as movable",
        origin="694d6b99923e, Harry Yoo, 2025",
    ),
    _fault(
        "G-fullness-threshold",
        _FullnessThreshold,
        "invariant I3",
        "ALMOST_FULL begins behind a quarter, as the comment says, and not behind three",
    ),
    _fault(
        "G-missing-put",
        _MissingPut,
        "divergence zone counter, invariant I12, progress livelock",
        "zs_page_migrate keeps the reference to the old page",
    ),
    _fault("G-stale-private", _StalePrivate, "invariant I6, invariant I9", "reset_page leaves page->private as it was"),
    _fault(
        "G-stale-cursor",
        _StaleCursor,
        "progress livelock, divergence placement",
        "compaction begins the source's next page at the slot where the last page ended",
    ),
    _fault("G-wrong-list", _WrongList, "invariant I3", "an ALMOST_EMPTY zspage is put on the ALMOST_FULL list"),
    _fault("G-freeobj-not-restored", _FreeobjNotRestored, "invariant I4", "obj_free forgets to move the list's head"),
    _fault(
        "G-zone-state-not-moved",
        _ZoneStateNotMoved,
        "invariant I7",
        "a migration from one zone to the other leaves NR_ZSPAGES alone",
    ),
    _fault(
        "G-lost-object", _LostObject, "invariant I1, memory", "zs_page_migrate does not repoint object 1 of a zspage"
    ),
    _fault(
        "G-handle-leak", _HandleLeak, "invariant I12, memory leak", "a request that gets no zspage keeps its handle"
    ),
    _fault(
        "G-zone-state-not-undone",
        _ZoneStateNotUndone,
        "invariant I7",
        "NR_ZSPAGES keeps the pages of a zspage that got not all of them",
    ),
    _fault(
        "G-offset-not-copied",
        _OffsetNotCopied,
        "invariant I11, memory",
        "the new page of a migration has no first-object offset",
    ),
    _fault(
        "G-huge-handle-not-copied",
        _HugeHandleNotCopied,
        "invariant I1, progress self-deadlock",
        "the new page of a migrated huge zspage has no handle",
    ),
    _fault(
        "G-half-mapped",
        _HalfMapped,
        "divergence content, contract object content",
        "mapping copies the first page's part of an object only",
    ),
    _fault(
        "G-half-copied",
        _HalfCopied,
        "contract object content, divergence content",
        "compaction copies an object up to a page's end only",
    ),
    _fault(
        "G-pin-left",
        _PinLeft,
        "invariant I5, progress",
        "zs_page_migrate leaves the object in the page's last slot pinned",
    ),
    _fault(
        "G-pool-isolation-not-uncounted",
        _PoolIsolationNotUncounted,
        "divergence pool statistics, invariant I12",
        "pool->isolated_pages never falls, so that the pool cannot be destroyed",
    ),
    _fault(
        "G-isolates-empty",
        _IsolatesEmpty,
        "divergence isolation",
        "a page of an empty zspage, which waits for the worker, may be isolated",
    ),
    _fault(
        "G-freed-while-isolated",
        _FreedWhileIsolated,
        "bug VM_BUG_ON",
        "the last free of an isolated zspage frees it on the spot",
    ),
)

FAULTS: Final = COMMON_FAULTS + RARE_FAULTS
"""Every planted bug of this model. All show in sequential programs."""
