"""Slips: ordinary bugs of a conversion, planted to measure the fuzzer. No hazard names them.

In:    the target of this package.
Out:   SLIPS, one Fault each.
Never: two bugs in one fault.
Next:  the hazards of the design: candidate/hazards.py; the catalogue: candidate/faults.py.
"""

from __future__ import annotations

from typing import Final

from candidate.allocator import Candidate
from candidate.layout import POOL_ISOLATED_PAGES
from candidate.migration import PINNED
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE
from zsfuzz.target.fault import Fault


class CopiedBackShort(Candidate):
    """The copy back of a straddling object leaves out as many bytes as the header has, at the end."""

    def unmap_straddling(self, area: int, pages: tuple[int, int], off: int, size: int) -> None:
        super().unmap_straddling(area, pages, off, size - ZS_HANDLE_SIZE)


class DescriptorLeaks(Candidate):
    """The slab never gets a zspage back."""

    def cache_free_zspage(self, zspage: int) -> None:
        pass


class AlwaysFirstPage(Candidate):
    """A migrated page takes the place of the first one."""

    def replace_sub_page(self, zspage: int, newpage: int, page: int) -> None:
        self.set_nth_page(zspage, 0, newpage)


class NoFreeze(Candidate):
    """Heads change while others may hold references."""

    def freeze_zspage(self, zspage: int, references: int) -> bool:
        return True

    def unfreeze_zspage(self, zspage: int, references: int) -> None:
        pass


class FreeAtOnce(Candidate):
    """The owner frees a zspage whatever its count is."""

    def put_zspage(self, zspage: int) -> None:
        self.d.put_page_testzero(zspage)
        self.zspage_destructor(zspage)


class StaleFullness(Candidate):
    """The fullness group is not written into the packed word."""

    def set_zspage_mapping(self, zspage: int, class_index: int, fullness: int) -> None:
        super().set_zspage_mapping(zspage, class_index, self.zspage_fullness(zspage))


class NeverFull(Candidate):
    """Compaction takes a zspage for full one object late."""

    def zspage_full(self, class_: int, zspage: int) -> bool:
        return self.get_zspage_inuse(zspage) > self.objs_per_zspage(class_)


class AlwaysInFront(Candidate):
    """A zspage goes to the front of its list, whatever the first one holds."""

    def insert_zspage(self, class_: int, zspage: int, fullness: int) -> None:
        self.zs_stat_inc(class_, fullness, 1)
        self.k.list_add(zspage + self.LIST, self.list_of(class_, fullness))


class IsolatedStaysListed(Candidate):
    """The first isolation counts, and leaves the zspage on its list."""

    def isolate_from_list(self, pool: int, class_: int, zspage: int) -> None:
        if self.is_listed(zspage) and not self.is_zspage_isolated(zspage):
            self.k.atomic_add(pool + POOL_ISOLATED_PAGES, 1)


class NobodyCleansUp(Candidate):
    """An empty zspage that comes back from the core is listed, and no work is scheduled."""

    def putback_zspage_deferred(self, pool: int, class_: int, zspage: int) -> None:
        self.putback_zspage(class_, zspage)


class ForgetZone(Candidate):
    """A migration to another zone is not counted."""

    def finish_migration(self, pool: int, class_: int, zspage: int, newpage: int, page: int) -> None:
        self.end_isolation(pool, class_, zspage)


class IndexInPage(Candidate):
    """A moved object's index is counted from its page on, not from its zspage."""

    def move_handles(self, class_: int, zspage: int, newpage: int, page: int, offset: int) -> None:
        slots = range(self.k.kmap(page) + offset, self.k.kmap(page) + self.k.page_size, self.class_size(class_))
        for obj_idx, slot in enumerate(slots):
            if handle := self.live_handle(class_, zspage, slot):
                self.record_obj(handle, self.location_to_obj(newpage, obj_idx) | PINNED)


class HugeHeader(Candidate):
    """The header of a huge object is looked for in its frame, where its data are."""

    def obj_to_head(self, class_: int, zspage: int, slot: int) -> int:
        return self.k.load(slot)


class ForgetStatOnFailure(Candidate):
    """The error path of alloc_zspage() leaves NR_ZSPAGES counted."""

    def free_zspage_pages(self, zspage: int) -> None:
        for page in self.zspage_pages(zspage):
            self.mod_nr_zspages(page, 1)
        super().free_zspage_pages(zspage)


def _slip(id: str, mechanism: str, oracle: str, override: type[Candidate], *, concurrent: bool = False) -> Fault:
    return Fault(id, "candidate", "generic", mechanism, concurrent, oracle, override)


SLIPS: Final = (
    _slip(
        "C-straddle",
        "the copy back of a straddling object is too short",
        "contract object content, divergence content",
        CopiedBackShort,
    ),
    _slip("C-destructor", "the descriptor is never given back", "invariant I12", DescriptorLeaks),
    _slip(
        "C-pages-index", "a migrated page takes the first place", "memory, bug VM_BUG_ON, invariant I1", AlwaysFirstPage
    ),
    _slip("C-freeze", "heads change under references", "invariant I6", NoFreeze, concurrent=True),
    _slip("C-put-owner", "a referenced zspage is freed", "bug VM_BUG_ON", FreeAtOnce),
    _slip("C-fullness", "the packed word keeps the old fullness group", "invariant I3", StaleFullness),
    _slip("C-full", "off by one in zspage_full()", "memory", NeverFull),
    _slip(
        "C-list-order", "insert_zspage() ignores how full the first one is", "divergence fullness list", AlwaysInFront
    ),
    _slip(
        "C-isolated-list",
        "an isolated zspage stays on its list",
        "memory list corruption, invariant I3",
        IsolatedStaysListed,
    ),
    _slip("C-deferred", "nobody frees what came back empty", "divergence deferred work, invariant I12", NobodyCleansUp),
    _slip("C-zone", "NR_ZSPAGES stays in the old zone", "invariant I7", ForgetZone),
    _slip("C-handle", "a moved handle has the wrong object index", "invariant I1", IndexInPage),
    _slip(
        "C-huge-header", "a huge object's data are read as its header", "invariant I1, memory, bug BUG_ON", HugeHeader
    ),
    _slip("C-fail-stat", "a failed malloc leaves NR_ZSPAGES counted", "invariant I7", ForgetStatOnFailure),
)
