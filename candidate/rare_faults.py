"""Rare faults: bugs of the candidate that need a particular state, each one small method replaced.

In:    the target and the rules of this package.
Out:   RARE_FAULTS: what ordinary use does not meet: a zspage in two zones, a third isolated page, a poisoned frame in
       the middle of a chain, a reference held across a migration, an object that starts in the last bytes of a page.
Never: two bugs in one fault; a fault made up to be hard: each is a slip that a reviewer could let pass.
Next:  common slips: candidate/slips.py; the catalogue: candidate/faults.py; how hard each one is:
       zsfuzz/measure/hard.json.
"""

from __future__ import annotations

from typing import Final

from candidate.allocator import Candidate
from candidate.compaction import zs_compact_control
from candidate.descriptor import MemdescRules
from candidate.fullness import ZS_ALMOST_EMPTY, ZS_ALMOST_FULL, ZS_EMPTY
from candidate.layout import ISOLATED_BITS, POOL_FREE_WORK, POOL_MAPPING, POOL_PAGES_COMPACTED
from candidate.lifetime import OWNER_REFERENCES
from candidate.migration import PINNED
from zsfuzz.machine.layout import NR_ZSPAGES, PG_MAPPING, VMEMMAP_START, ZONES_PGSHIFT
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE
from zsfuzz.target.fault import Fault


class ZoneOfHead(Candidate):
    """A page is counted in the zone that its head's flags name, which is that of the first page at birth."""

    def mod_nr_zspages(self, page: int, delta: int) -> None:
        zone = self.k.load(self.d.compound_head(page)) >> ZONES_PGSHIFT
        self.k.mod_zone_page_state(zone, NR_ZSPAGES, delta)


class EmptyHugeHasHandle(Candidate):
    """Migration looks for objects in an empty zspage too; a huge one still names its last handle."""

    def first_slot(self, class_: int, zspage: int, page: int) -> int:
        return self.get_first_obj_offset(class_, zspage, page)


class StartsNearEnd(Candidate):
    """Migration overlooks an object of which only the header and a word lie in the page."""

    def move_handles(self, class_: int, zspage: int, newpage: int, page: int, offset: int) -> None:
        vaddr = self.k.kmap(page)
        for slot in range(vaddr + offset, vaddr + self.k.page_size - 16, self.class_size(class_)):
            if handle := self.live_handle(class_, zspage, slot):
                _, obj_idx = self.obj_to_location(self.handle_to_obj(handle))
                self.record_obj(handle, self.location_to_obj(newpage, obj_idx) | PINNED)


class StopsAtPoison(Candidate):
    """The destructor gives no frame back behind a poisoned one."""

    def zspage_destructor(self, zspage: int) -> None:
        pages = self.zspage_pages(zspage)
        poisoned = [index for index, page in enumerate(pages) if self.d.PageHWPoison(page)]
        for index in range(poisoned[0] + 1, len(pages)) if poisoned else ():
            self.set_nth_page(zspage, index, 0)
        super().zspage_destructor(zspage)


class TwoIsolators(Candidate):
    """The exchange expects the references of two isolated pages at most."""

    def freeze_zspage(self, zspage: int, references: int) -> bool:
        return super().freeze_zspage(zspage, min(references, OWNER_REFERENCES + 2))


class LastPageMissed(Candidate):
    """Compaction does not come to the fourth page of a source."""

    def next_source_page(self, cc: zs_compact_control) -> None:
        super().next_source_page(cc)
        if cc.s_page == self.nth_page(cc.s_zspage, 3):
            cc.s_page = 0


class MovesBeforeFreeze(Candidate):
    """The handles are pointed at the new page before it is known whether the count can be frozen."""

    def exchange_page(self, class_: int, zspage: int, newpage: int, page: int, offset: int) -> bool:
        self.move_handles(class_, zspage, newpage, page, offset)
        return super().exchange_page(class_, zspage, newpage, page, offset)


class PoisonedUnmovable(MemdescRules):
    """A poisoned page that leaves its memdesc does not read as a released movable page."""

    def memdesc_detach(self, page: int) -> None:
        super().memdesc_detach(page)
        if self.PageHWPoison(page):
            self._store(page + PG_MAPPING, 0)


class Unflushed(Candidate):
    """A pool is destroyed with its worker queued."""

    def zs_flush_migration(self, pool: int) -> None:
        pass


class WorkerTakesTwo(Candidate):
    """The worker leaves what is behind the second zspage of its list to its next run."""

    def async_free_zspage(self, work: int) -> None:
        pool = work - POOL_FREE_WORK
        taken = 0
        for class_ in self.classes_of(pool):
            while taken < 2 and (zspage := self.first_zspage(class_, ZS_EMPTY)):
                taken += 1
                self.k.list_del_init(zspage + self.LIST)
                self.free_spliced_zspage(pool, zspage)


class AlmostFullStays(Candidate):
    """Compaction finds no source when there is no ALMOST_EMPTY one."""

    def isolate_zspage(self, class_: int, source: bool) -> int:
        if source and not self.first_zspage(class_, ZS_ALMOST_EMPTY):
            return 0
        return super().isolate_zspage(class_, source)


class ThirdPieceLost(Candidate):
    """An object that straddles at both ends of its move is copied in two pieces."""

    def zs_object_copy(self, class_: int, dst: int, src: int) -> None:
        left, page_size = self.class_size(class_), self.k.page_size
        (s_page, s_idx), (d_page, d_idx) = self.obj_to_location(src), self.obj_to_location(dst)
        s_off, d_off = self.slot_offset(class_, s_idx), self.slot_offset(class_, d_idx)
        for _ in range(2):
            length = min(left, page_size - s_off, page_size - d_off)
            self.k.memcpy(self.k.kmap(d_page) + d_off, self.k.kmap(s_page) + s_off, length)
            left -= length
            if not left:
                return
            s_page, s_off = self._advance(s_page, s_off + length)
            d_page, d_off = self._advance(d_page, d_off + length)


class RevivedOnEmptyList(Candidate):
    """An object that revives an EMPTY zspage leaves it where the worker looks."""

    def fix_fullness_group(self, class_: int, zspage: int) -> int:
        if self.zspage_fullness(zspage) != ZS_EMPTY:
            return super().fix_fullness_group(class_, zspage)
        newfg = self.get_fullness_group(class_, zspage)
        self.set_zspage_mapping(zspage, self.zspage_class_index(zspage), newfg)
        return newfg


class FiveIndexBits(Candidate):
    """Migration keeps five bits of an object's index."""

    def move_handles(self, class_: int, zspage: int, newpage: int, page: int, offset: int) -> None:
        vaddr = self.k.kmap(page)
        for slot in range(vaddr + offset, vaddr + self.k.page_size, self.class_size(class_)):
            if handle := self.live_handle(class_, zspage, slot):
                _, obj_idx = self.obj_to_location(self.handle_to_obj(handle))
                self.record_obj(handle, self.location_to_obj(newpage, obj_idx & 31) | PINNED)


class TwoIsolatedBits(Candidate):
    """The field that counts isolated pages is two bits wide."""

    def set_packed(self, zspage: int, bits: tuple[int, int], value: int) -> None:
        super().set_packed(zspage, bits, value & 3 if bits == ISOLATED_BITS else value)


class OneWorkForAll(Candidate):
    """The worker is not queued for a pool while it is queued for another one."""

    def putback_zspage_deferred(self, pool: int, class_: int, zspage: int) -> None:
        empty = self.putback_zspage(class_, zspage) == ZS_EMPTY
        if empty and not self.k.machine.has_pending_work:
            self.k.schedule_work(pool + POOL_FREE_WORK)


class CompactedWraps(Candidate):
    """The count of compacted pages has five bits."""

    def zs_compact(self, pool: int) -> int:
        pages_freed = super().zs_compact(pool)
        self.k.store(pool + POOL_PAGES_COMPACTED, self.k.load(pool + POOL_PAGES_COMPACTED) & 31)
        return pages_freed


class LastSharedClass(Candidate):
    """A request that outgrows the last shared class by its handle is served from it all the same."""

    def size_class_of(self, pool: int, size: int) -> int:
        last = self.k.size_classes.classes[-2]
        grown = last.size_bytes < size <= last.size_bytes + ZS_HANDLE_SIZE
        return super().size_class_of(pool, last.size_bytes if grown else size)


class HandleLeaks(Candidate):
    """A request that gets no zspage keeps its handle."""

    def drop_unused_handle(self, pool: int, handle: int) -> None:
        pass


class ObjectOneLost(Candidate):
    """Migration does not repoint object 1 of a zspage."""

    def move_handles(self, class_: int, zspage: int, newpage: int, page: int, offset: int) -> None:
        vaddr = self.k.kmap(page)
        for slot in range(vaddr + offset, vaddr + self.k.page_size, self.class_size(class_)):
            if handle := self.live_handle(class_, zspage, slot):
                _, obj_idx = self.obj_to_location(self.handle_to_obj(handle))
                if obj_idx != 1:
                    self.record_obj(handle, self.location_to_obj(newpage, obj_idx) | PINNED)


class QuarterIsAlmostFull(Candidate):
    """ALMOST_FULL begins behind a quarter, and not behind three."""

    def get_fullness_group(self, class_: int, zspage: int) -> int:
        group = super().get_fullness_group(class_, zspage)
        many = self.get_zspage_inuse(zspage) > self.objs_per_zspage(class_) // 4
        return ZS_ALMOST_FULL if group == ZS_ALMOST_EMPTY and many else group


class MovableWithoutCompaction(Candidate):
    """Without compaction pages are still asked for as movable."""

    def page_gfp(self, gfp: int) -> int:
        return gfp


class UnregisterWithoutCompaction(Candidate):
    """Without compaction a pool has no mapping, and drops it all the same."""

    def zs_unregister_migration(self, pool: int) -> None:
        if self.k.compaction_enabled:
            super().zs_unregister_migration(pool)
        else:
            self.k.iput(self.k.load(pool + POOL_MAPPING))


class HeadsAreBelow(MemdescRules):
    """A descriptor is taken to lie below the memmap."""

    def page_memdesc(self, page: int) -> int:
        memdesc = super().page_memdesc(page)
        return memdesc if memdesc < VMEMMAP_START else 0


class InuseWraps(Candidate):
    """The count of a zspage's objects has five bits."""

    def mod_zspage_inuse(self, zspage: int, val: int) -> None:
        self.k.store32(zspage + self.INUSE, (self.get_zspage_inuse(zspage) + val) & 31)


class OrderLostInBatch(Candidate):
    """A zspage whose every page is isolated is not regrouped."""

    def fix_fullness_group(self, class_: int, zspage: int) -> int:
        if 1 < self.pages_per_zspage(class_) == self.get_isolation(zspage):
            return self.get_fullness_group(class_, zspage)
        return super().fix_fullness_group(class_, zspage)


class FlushedWhenFirst(Candidate):
    """A pool flushes its worker only when no other work is queued before it."""

    def zs_flush_migration(self, pool: int) -> None:
        if self.k.machine.pending_work()[:1] == [pool + POOL_FREE_WORK]:
            super().zs_flush_migration(pool)


class RefusedKeepsFrozen(Candidate):
    """An exchange that is refused for a reference gives the owner's count back as if it had been frozen."""

    def freeze_zspage(self, zspage: int, references: int) -> bool:
        frozen = super().freeze_zspage(zspage, references)
        if not frozen and self.pages_of_class(zspage) > 3:
            self.k.store32(zspage + self.REFCOUNT, references)
        return frozen

    def pages_of_class(self, zspage: int) -> int:
        """Return the pages of a zspage."""
        return len(self.zspage_pages(zspage))


class HeaderAlone(Candidate):
    """An object of which the first page holds little more than the header is not copied back."""

    def unmap_straddling(self, area: int, pages: tuple[int, int], off: int, size: int) -> None:
        if self.k.page_size - off > 2 * ZS_HANDLE_SIZE:
            super().unmap_straddling(area, pages, off, size)


class FailedInSecondZone(Candidate):
    """The error path of alloc_zspage() uncounts every page in the zone of the last one."""

    def free_zspage_pages(self, zspage: int) -> None:
        pages = self.zspage_pages(zspage)
        for index in reversed(range(len(pages))):
            self.set_nth_page(zspage, index, 0)
            self.mod_nr_zspages(pages[-1], -1)
            self.d.free_page(pages[index])


class ZoneOfEmpty(Candidate):
    """A migration to another zone is not counted when the zspage has been emptied meanwhile."""

    def finish_migration(self, pool: int, class_: int, zspage: int, newpage: int, page: int) -> None:
        if self.get_zspage_inuse(zspage):
            super().finish_migration(pool, class_, zspage, newpage, page)
        else:
            self.end_isolation(pool, class_, zspage)


class ZoneOfPoisoned(Candidate):
    """A migration to another zone is not counted when the page that is left is poisoned."""

    def finish_migration(self, pool: int, class_: int, zspage: int, newpage: int, page: int) -> None:
        if self.d.PageHWPoison(page):
            self.end_isolation(pool, class_, zspage)
        else:
            super().finish_migration(pool, class_, zspage, newpage, page)


class OnePieceWithoutCompaction(Candidate):
    """Without compaction of pages, compaction of objects copies them up to a page's end only."""

    def zs_object_copy(self, class_: int, dst: int, src: int) -> None:
        if self.k.compaction_enabled:
            super().zs_object_copy(class_, dst, src)
            return
        (s_page, s_idx), (d_page, d_idx) = self.obj_to_location(src), self.obj_to_location(dst)
        s_off, d_off = self.slot_offset(class_, s_idx), self.slot_offset(class_, d_idx)
        length = min(self.class_size(class_), self.k.page_size - s_off, self.k.page_size - d_off)
        self.k.memcpy(self.k.kmap(d_page) + d_off, self.k.kmap(s_page) + s_off, length)


def _rare(
    id: str,
    mechanism: str,
    oracle: str,
    override: type[Candidate] | None = None,
    rules_override: type[MemdescRules] | None = None,
) -> Fault:
    return Fault(id, "candidate", "generic", mechanism, False, oracle, override, rules_override)


RARE_FAULTS: Final = (
    _rare("C-zone-of-head", "a page is counted in the zone of its head", "invariant I7, divergence", ZoneOfHead),
    _rare(
        "C-empty-huge",
        "migration of an empty huge page pins the handle that was freed",
        "memory, bug, progress",
        EmptyHugeHasHandle,
    ),
    _rare(
        "C-near-end",
        "migration overlooks an object that starts in the last 16 bytes of a page",
        "invariant I1, memory, bug",
        StartsNearEnd,
    ),
    _rare(
        "C-stops-at-poison",
        "frames behind a poisoned one are not given back",
        "divergence zone counter, invariant I12, invariant",
        StopsAtPoison,
    ),
    _rare(
        "C-two-isolators",
        "a zspage with three isolated pages is never exchanged",
        "divergence outcome, bug VM_BUG_ON, invariant I6, divergence",
        TwoIsolators,
    ),
    _rare(
        "C-last-page",
        "compaction does not come to the fourth page of a source",
        "progress livelock, divergence",
        LastPageMissed,
    ),
    _rare(
        "C-moves-before-freeze",
        "a refused exchange has moved the handles already",
        "bug, memory, invariant I1",
        MovesBeforeFreeze,
    ),
    _rare(
        "C-poisoned-unmovable",
        "a poisoned page that was left does not read as released",
        "divergence outcome, divergence isolation, divergence",
        None,
        PoisonedUnmovable,
    ),
    _rare("C-unflushed", "a pool is destroyed with its worker queued", "memory, invariant, bug", Unflushed),
    _rare("C-worker-takes-two", "the worker frees two zspages a run", "divergence, invariant I12", WorkerTakesTwo),
    _rare("C-almost-full-stays", "ALMOST_FULL zspages are no source of compaction", "divergence", AlmostFullStays),
    _rare(
        "C-third-piece",
        "the third piece of a copy is lost",
        "contract object content, divergence content",
        ThirdPieceLost,
    ),
    _rare("C-revived", "a revived zspage stays on the EMPTY list", "invariant I3, bug", RevivedOnEmptyList),
    _rare("C-index-bits", "migration keeps five bits of an index", "invariant I1, memory, bug", FiveIndexBits),
    _rare("C-isolated-bits", "four isolated pages count as none", "invariant I10, bug, invariant I3", TwoIsolatedBits),
    _rare(
        "C-one-work",
        "the worker is queued for one pool at a time",
        "divergence deferred work, divergence outcome, invariant I12",
        OneWorkForAll,
    ),
    _rare(
        "C-compacted-wraps",
        "the count of compacted pages has five bits",
        "contract compaction's count, divergence pool statistics, divergence outcome",
        CompactedWraps,
    ),
    _rare("C-class", "the last shared class serves what outgrows it", "invariant I11, divergence", LastSharedClass),
    _rare("C-handle-leak", "a request without a zspage keeps a handle", "invariant I12, memory leak", HandleLeaks),
    _rare("C-lost-object", "migration does not repoint object 1", "invariant I1, memory, bug", ObjectOneLost),
    _rare("C-quarter", "ALMOST_FULL begins behind a quarter", "invariant I3", QuarterIsAlmostFull),
    _rare(
        "C-movable-config",
        "without compaction pages are asked for as movable",
        "divergence placement, divergence zone counter, divergence",
        MovableWithoutCompaction,
    ),
    _rare(
        "C-unregister-config",
        "without compaction a pool drops a mapping that it never had",
        "memory",
        UnregisterWithoutCompaction,
    ),
    _rare(
        "C-heads-below",
        "a descriptor above the memmap is not known for one",
        "bug, memory, divergence, invariant, progress",
        None,
        HeadsAreBelow,
    ),
    _rare(
        "C-inuse-bits",
        "a zspage counts 31 objects at most",
        "invariant I4, invariant I2, invariant I3, bug, memory",
        InuseWraps,
    ),
    _rare("C-all-isolated", "a zspage with all pages isolated is not regrouped", "invariant I3", OrderLostInBatch),
    _rare(
        "C-flushed-when-first",
        "a pool's worker is flushed only when it is first in the queue",
        "memory, invariant, bug",
        FlushedWhenFirst,
    ),
    _rare(
        "C-refused-count",
        "a refused exchange drops the reference that it was refused for, of a chain of four",
        "bug, memory, invariant I6",
        RefusedKeepsFrozen,
    ),
    _rare(
        "C-header-alone",
        "an object that begins with its header in one page is not copied back",
        "contract object content, divergence content",
        HeaderAlone,
    ),
    _rare(
        "C-undo-zone",
        "the error path of alloc_zspage() uncounts every page in the zone of the last",
        "invariant I7, divergence zone counter",
        FailedInSecondZone,
    ),
    _rare("C-zone-of-empty", "a zone change of an emptied zspage is not counted", "invariant I7", ZoneOfEmpty),
    _rare("C-zone-of-poisoned", "a zone change of a poisoned page is not counted", "invariant I7", ZoneOfPoisoned),
    _rare(
        "C-config-copy",
        "without compaction of pages objects are copied in one piece",
        "contract object content, divergence content",
        OnePieceWithoutCompaction,
    ),
)
