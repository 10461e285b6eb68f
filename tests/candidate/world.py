"""A machine, a candidate on it, the mm core, and the few phrases that the tests of the candidate share.

In:    a target class, switches of the machine.
Out:   World.
Never: a check of its own but `clean()`.
"""

from __future__ import annotations

from candidate.allocator import Candidate
from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.migrate import isolate_movable_page, migrate_pages_to_new, putback_movable_pages
from zsfuzz.machine.geometry import geometry
from zsfuzz.machine.layout import GFP_HIGHMEM, GFP_KERNEL, GFP_MOVABLE
from zsfuzz.machine.machine import Kernel, Machine, MachineConfig
from zsfuzz.target.protocol import MIGRATE_SYNC, ZS_MM_RO, ZS_MM_RW, ZspageView

MOVABLE = GFP_KERNEL | GFP_HIGHMEM | GFP_MOVABLE
CLASS_3264 = 3250  # a request of class 3264: 4 pages, 5 objects, most of them straddle
CLASS_2048 = 2040  # 1 page, 2 objects
HUGE = 4096  # 1 page, 1 object, no header


class World:
    """One machine with one pool. Sizes in bytes; pages are struct page addresses."""

    def __init__(
        self, target: type[Candidate] = Candidate, *switches: str, name: str = "linux-5.10", pages: int = 64
    ) -> None:
        self.machine = Machine(MachineConfig(geometry(name), pages, pages, 1 << 19, switches), target.rules)
        self.target = target(Kernel(self.machine, target.page_words))
        self.core = Core(self.machine)
        self.d = self.machine.d
        self.pool = self.target.zs_create_pool()
        self.boot = self.counters()

    def counters(self) -> tuple[object, ...]:
        """What has to come back: zone counters, live objects of every named cache, queued work."""
        caches = [entry for entry in self.machine.slab.live_by_cache() if not entry[0].startswith("kmalloc")]
        return (tuple(self.machine.buddy.vmstat()), tuple(caches), self.machine.has_pending_work)

    def clean(self) -> bool:
        """Whether everything came back and nothing is locked."""
        return self.counters() == self.boot and not self.machine.locks.held

    def malloc(self, size: int = CLASS_3264, gfp: int = MOVABLE) -> int:
        """zs_malloc(), which has to succeed."""
        handle = self.target.zs_malloc(self.pool, size, gfp)
        assert handle
        return handle

    def fill(self, count: int, size: int = CLASS_3264) -> list[int]:
        """`count` objects of a size, each with its own content."""
        handles = [self.malloc(size) for _ in range(count)]
        for number, handle in enumerate(handles):
            self.write(handle, content(number, size))
        return handles

    def free(self, *handles: int) -> None:
        """zs_free() of each."""
        for handle in handles:
            self.target.zs_free(self.pool, handle)

    def write(self, handle: int, data: bytes) -> None:
        """Map, store from the object's first byte on, unmap."""
        address = self.target.zs_map_object(self.pool, handle, ZS_MM_RW)
        self.machine.memory.write_bytes(address, data)
        self.target.zs_unmap_object(self.pool, handle)

    def read(self, handle: int, length: int) -> bytes:
        """Map, load, unmap."""
        address = self.target.zs_map_object(self.pool, handle, ZS_MM_RO)
        data = self.machine.memory.read_bytes(address, length)
        self.target.zs_unmap_object(self.pool, handle)
        return data

    def view(self, handle: int) -> ZspageView:
        """The zspage of an object."""
        return self.target.zspage_view(self.target.zspage_of(handle))

    def pages(self, handle: int) -> tuple[int, ...]:
        """The component pages of an object's zspage."""
        return self.view(handle).pages

    def count(self, page: int) -> int:
        """Raw _refcount of a struct page or a zspage."""
        return self.d.page_ref_count(page)

    def isolate(self, page: int) -> int:
        """isolate_movable_page(), and onto the core's list."""
        result = isolate_movable_page(self.core, page)
        if result == 0:
            self.core.link_tail(page, self.core.isolated)
        return result

    def migrate(self, mode: int = MIGRATE_SYNC) -> int:
        """migrate_pages() of what is isolated; returns how many did not move and are still on the list."""
        return migrate_pages_to_new(self.core, self.core.isolated, mode)

    def putback(self) -> None:
        """putback_movable_pages() of what is isolated."""
        putback_movable_pages(self.core, self.core.isolated)

    def move(self, page: int) -> int:
        """Isolate and migrate one page; returns what migrate_pages() returns."""
        assert self.isolate(page) == 0
        return self.migrate()


def content(number: int, size: int) -> bytes:
    """Bytes that tell an object from the others, position by position."""
    return bytes((number * 37 + position * 11 + position // 251) & 0xFF for position in range(size))
