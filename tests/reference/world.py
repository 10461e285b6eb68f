"""A machine with the legacy allocator on it, driven by hand, and a checker that knows its invariants.

In:    a geometry, switches, a target class.
Out:   World: short names for what tests do, the core's part of isolation and migration, check(), drained().
Never: the product's own core or oracles: tests of the allocator stand on their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from reference.zsmalloc import Zsmalloc
from zsfuzz.machine.geometry import geometry
from zsfuzz.machine.layout import (
    GFP_HIGHMEM,
    GFP_KERNEL,
    GFP_MOVABLE,
    GFP_NOIO,
    NR_FREE_PAGES,
    NR_ZSPAGES,
    PG_MAPPING,
)
from zsfuzz.machine.machine import Kernel, Machine, MachineConfig
from zsfuzz.machine.report import Report
from zsfuzz.policy.size_class import SizeClass, get_fullness_group
from zsfuzz.target.protocol import MIGRATE_SYNC, ZS_MM_RO, ZS_MM_WO, ZspageView

MOVABLE = GFP_NOIO | GFP_HIGHMEM | GFP_MOVABLE
UNMOVABLE = GFP_KERNEL
EMPTY, ALMOST_EMPTY, ALMOST_FULL, FULL = range(4)


class World:
    """One machine, one allocator, one pool; `contents` is what every live object should hold."""

    def __init__(
        self,
        name: str = "linux-5.10",
        *,
        switches: tuple[str, ...] = (),
        target: type[Zsmalloc] = Zsmalloc,
        pages: tuple[int, int] = (128, 128),
    ) -> None:
        config = MachineConfig(geometry(name), *pages, heap_bytes=1 << 20, switches=switches)
        self.machine = Machine(config, target.rules)
        self.kernel = Kernel(self.machine, target.page_words)
        self.d = self.machine.d
        self.zs = target(self.kernel)
        self.page_size = self.machine.page_size
        self.table = self.machine.geometry.size_classes
        self.at_boot = self.drained()
        self.pool = self.zs.zs_create_pool()
        self.contents: dict[int, bytes] = {}
        self.isolated: list[int] = []

    # -- objects

    def malloc(self, size: int, gfp: int = MOVABLE, *, fill: bool = True) -> int:
        """Allocate, and fill the object with bytes that name it."""
        handle = self.zs.zs_malloc(self.pool, size, gfp)
        if handle:
            self.contents[handle] = b""
            if fill:
                stamp = handle.to_bytes(8, "little") + size.to_bytes(4, "little")
                self.write(handle, (stamp * (size // len(stamp) + 1))[:size])
        return handle

    def fill_zspage(self, row: SizeClass, spare: int = 0) -> list[int]:
        """Allocate the objects of one zspage of a class, less `spare`; it must be the only one in use."""
        return [self.malloc(self.payload(row)) for _ in range(row.objs_per_zspage - spare)]

    def free(self, handle: int) -> None:
        """Free an object."""
        del self.contents[handle]
        self.zs.zs_free(self.pool, handle)

    def write(self, handle: int, data: bytes) -> None:
        """Overwrite the first bytes of an object; what it held before is kept behind them."""
        address = self.zs.zs_map_object(self.pool, handle, ZS_MM_WO if not self.contents[handle] else 0)
        self.machine.memory.write_bytes(address, data)
        self.zs.zs_unmap_object(self.pool, handle)
        self.contents[handle] = data + self.contents[handle][len(data) :]

    def read(self, handle: int) -> bytes:
        """Return what an object holds, as far as the test wrote it."""
        address = self.zs.zs_map_object(self.pool, handle, ZS_MM_RO)
        data = self.machine.memory.read_bytes(address, len(self.contents[handle]))
        self.zs.zs_unmap_object(self.pool, handle)
        return data

    # -- views

    def payload(self, row: SizeClass) -> int:
        """Return the largest request that a class serves."""
        return row.size_bytes if row.huge else row.size_bytes - 8

    def row(self, size_bytes: int) -> SizeClass:
        """Return the class of exactly this size."""
        return next(row for row in self.table.classes if row.size_bytes == size_bytes)

    def view(self, handle: int) -> ZspageView:
        """Return the zspage of an object."""
        return self.zs.zspage_view(self.zs.zspage_of(handle))

    def pages(self, handle: int) -> tuple[int, ...]:
        """Return the component pages of an object's zspage."""
        return self.view(handle).pages

    def index(self, handle: int) -> int:
        """Return an object's index in its zspage."""
        return self.zs.placement(handle) & 0xFFFFFFFF

    def listed(self, row: SizeClass, group: int) -> tuple[int, ...]:
        """Return one fullness list of the pool."""
        return self.zs.fullness_list(self.pool, row.index, group)

    def size_class(self, row: SizeClass) -> int:
        """Return the address of a class."""
        return self.zs.class_of(self.pool, row.index)

    def stat(self, row: SizeClass, kind: int) -> int:
        """Return one counter of a class."""
        return self.zs.zs_stat_get(self.size_class(row), kind)

    def zone_state(self, item: int) -> tuple[int, int]:
        """Return a vmstat item of both zones."""
        return self.machine.buddy.zone_page_state(0, item), self.machine.buddy.zone_page_state(1, item)

    # -- the core's part

    def isolate(self, page: int) -> bool:
        """isolate_movable_page(), without its checks of what cannot be here."""
        assert self.d.get_page_unless_zero(page)
        lock = self.d.lock_page(page)
        taken = not self.d.PageIsolated(page) and self.zs.zs_page_isolate(page, 0)
        if taken:
            self.d.set_page_isolated(page)
            self.isolated.append(page)
        self.d.unlock_page(page, lock)
        if not taken:
            self.d.put_page(page)
        return taken

    def migrate(self, page: int, gfp: int = MOVABLE, mode: int = MIGRATE_SYNC) -> tuple[int, int]:
        """unmap_and_move() of an isolated page. Returns (result, new page); a failed one stays isolated."""
        newpage = self.kernel.alloc_page(gfp)
        locks = self.d.lock_page(page), self.d.lock_page(newpage)
        result = self.zs.zs_page_migrate(self.d.page_mapping(page), newpage, page, mode)
        if result == 0:
            self.d.clear_page_isolated(page)
            assert self.d.PageMappingFlags(page)  # the mark outlives reset_page(), the pointer does not
            assert not self.d.page_mapping(page)
        self.d.unlock_page(newpage, locks[1])
        self.d.put_page(newpage)
        self.d.unlock_page(page, locks[0])
        if result == 0:
            self.isolated.remove(page)
            self.d.put_page(page)
            return result, newpage
        return result, 0

    def move(self, page: int, gfp: int = MOVABLE) -> int:
        """Isolate and migrate; return the new page."""
        assert self.isolate(page)
        result, newpage = self.migrate(page, gfp)
        assert result == 0
        return newpage

    def putback(self, page: int) -> None:
        """putback_movable_pages() of one page."""
        lock = self.d.lock_page(page)
        self.zs.zs_page_putback(page)
        self.d.clear_page_isolated(page)
        self.isolated.remove(page)
        self.d.unlock_page(page, lock)
        self.d.put_page(page)

    @contextmanager
    def locked(self, page: int) -> Iterator[None]:
        """Hold a page lock, as the core does."""
        lock = self.d.lock_page(page)
        yield
        self.d.unlock_page(page, lock)

    @contextmanager
    def failing(self, kind: str, ordinal: int = 0) -> Iterator[None]:
        """Let one allocation fail, and insist that it came up."""
        self.machine.failure.arm(kind, ordinal)
        before = self.machine.failure.injected_count
        yield
        assert self.machine.failure.injected_count == before + 1
        self.machine.failure.disarm()

    # -- the checker

    def check(self, *rows: SizeClass) -> None:
        """Assert the invariants of the pool (I1 to I4, I6, I7, I11) and every object's contents.

        rows: the only classes in use; all of them where none is named.
        """
        seen: dict[int, int] = {}
        pages_count = 0
        for row in rows or self.table.classes:
            pages_count += self._check_class(row, seen)
        assert sorted(seen) == sorted(self.contents)
        assert self.zs.zs_get_total_pages(self.pool) == pages_count
        assert sum(self.zone_state(NR_ZSPAGES)) == pages_count
        assert self.zs.isolated_zspages(self.pool) == len({self.zs.page_owner(page) for page in self.isolated})
        assert not self.machine.locks.held
        for handle in self.contents:
            assert self.read(handle) == self.contents[handle]

    def _check_class(self, row: SizeClass, seen: dict[int, int]) -> int:
        zspages = {zspage: group for group in range(4) for zspage in self.listed(row, group)}
        for owner in dict.fromkeys(self.zs.page_owner(page) for page in self.isolated):
            if owner and self.zs.zspage_view(owner).class_index == row.index:
                assert owner not in zspages, "an isolated zspage is on a list"
                zspages[owner] = self.zs.zspage_view(owner).fullness
        used = 0
        zs = self.zs
        for zspage, group in zspages.items():
            used += self._check_zspage(row, zs.zspage_view(zspage), group, seen)
        stats = zs.class_row(self.pool, row.index)
        assert (stats.obj_used, stats.obj_allocated) == (used, len(zspages) * row.objs_per_zspage)
        assert stats.almost_full == len(self.listed(row, ALMOST_FULL))
        assert stats.almost_empty == len(self.listed(row, ALMOST_EMPTY))
        return len(zspages) * row.pages_per_zspage

    def _check_zspage(self, row: SizeClass, view: ZspageView, group: int, seen: dict[int, int]) -> int:
        assert (view.class_index, view.fullness) == (row.index, group)
        assert get_fullness_group(view.inuse, row.objs_per_zspage) == group
        assert view.isolated == sum(page in view.pages for page in self.isolated)
        assert len(view.pages) == row.pages_per_zspage
        assert view.offsets == tuple(-i * self.page_size % row.size_bytes for i in range(row.pages_per_zspage))
        assert len(view.free_indices) == row.objs_per_zspage - view.inuse
        assert len(set(view.free_indices)) == len(view.free_indices)
        for number, page in enumerate(view.pages):
            assert self.zs.page_owner(page) == view.zspage
            assert self.d.PagePrivate(page) == (number == 0)
            assert self.d.PageOwnerPriv1(page) == row.huge
            assert self.d.page_count(page) == 1 + (page in self.isolated)
            if self.kernel.compaction_enabled:
                assert self.machine.load(page + PG_MAPPING) == self.machine.load(self.pool + 40) | 2
        for index in range(row.objs_per_zspage):
            if index not in view.free_indices:
                self._check_object(view, row, index, seen)
        return view.inuse

    def _check_object(self, view: ZspageView, row: SizeClass, index: int, seen: dict[int, int]) -> None:
        header = self.zs.object_header(view.zspage, index)
        assert header & 1, "a slot that is not free has no tag"
        handle = header & ~1
        assert handle not in seen, "two slots name one handle"
        seen[handle] = index
        page = view.pages[index * row.size_bytes // self.page_size]
        assert self.zs.placement(handle) == self.machine.buddy.page_to_pfn(page) << 32 | index
        assert len(self.contents[handle]) + (0 if row.huge else 8) <= row.size_bytes

    def drained(self) -> tuple[object, ...]:
        """Return what has to be as before once everything is freed (I12)."""
        machine = self.machine
        return (
            self.zone_state(NR_FREE_PAGES),
            self.zone_state(NR_ZSPAGES),
            [(name, live) for name, live in machine.slab.live_by_cache() if live],
            tuple(machine.pending_work()),
            tuple(machine.registered_shrinkers()),
            tuple(machine.locks.held),
            all(machine.buddy.is_free_buddy_page(pfn) for pfn in range(machine.buddy.pages_count)),
        )

    def finish(self) -> None:
        """Free everything, destroy the pool, and compare with the state at boot."""
        for handle in list(self.contents):
            self.free(handle)
        for page in list(self.isolated):
            self.putback(page)
        self.machine.run_work()
        self.check()
        self.zs.zs_destroy_pool(self.pool)
        assert self.drained() == self.at_boot


@contextmanager
def reports(kind: str, rule: str, field: str | None = None) -> Iterator[None]:
    """Expect a Report of exactly this kind and rule."""
    with pytest.raises(Report) as caught:
        yield
    assert (caught.value.kind, caught.value.rule) == (kind, rule)
    if field is not None:
        assert caught.value.field == field
