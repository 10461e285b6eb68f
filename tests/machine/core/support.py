"""A core with a tiny owner of movable pages, and pages put where a test wants them.

In:    a machine of 64 + 64 pages.
Out:   World: the core, an Owner that follows 5.10's rules for movable pages, pages at chosen pfns.
Never: an allocator under test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.core.movable import isolate_movable_page
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.geometry import geometry
from zsfuzz.machine.layout import (
    GFP_HIGHMEM,
    GFP_KERNEL,
    GFP_MOVABLE,
    NR_FREE_PAGES,
    NR_ISOLATED,
    PAGE_MAPPING_MOVABLE,
    PG_COMPOUND_HEAD,
    PG_MAPPING,
    STRUCT_PAGE_SIZE,
)
from zsfuzz.machine.machine import AddressSpaceOperations, Machine, MachineConfig

NORMAL_PAGES = 64
PAGES = 128
MOVABLE_GFP = GFP_MOVABLE | GFP_HIGHMEM


class Owner:
    """Owner of single movable pages, with the contract that zsmalloc keeps towards the core of 5.10.

    answers: what the next migratepage() calls return instead of moving. refuses: isolate_page() says no.
    """

    def __init__(self, machine: Machine) -> None:
        self.m, self.d = machine, machine.d
        number = machine.register_address_space_operations(
            AddressSpaceOperations(self.isolate_page, self.migratepage, self.putback_page)
        )
        self.mapping = machine.alloc_address_space(0, number)
        self.pages: dict[int, int] = {}  # page -> the byte its frame is filled with
        self.answers: list[int] = []
        self.refuses = False
        self.putbacks: list[int] = []
        self.modes: list[int] = []

    def replace(
        self,
        isolate_page: Callable[[int, int], bool] | None = None,
        migratepage: Callable[[int, int, int, int], int] | None = None,
    ) -> None:
        """Answer the core by other functions from now on."""
        number = self.m.register_address_space_operations(
            AddressSpaceOperations(
                isolate_page or self.isolate_page, migratepage or self.migratepage, self.putback_page
            )
        )
        self.m.store(self.mapping + 8, number)

    def take(self, page: int, byte: int) -> int:
        """Make an allocated page ours and movable."""
        self.m.memory.memset(self.m.kmap(page), byte, self.m.page_size)
        self.m.store(page + PG_MAPPING, self.mapping | PAGE_MAPPING_MOVABLE)
        self.pages[page] = byte
        return page

    def release(self, page: int) -> None:
        """Let go of a page: __ClearPageMovable() under the page lock, then put."""
        lock = self.d.lock_page(page)
        self.m.store(page + PG_MAPPING, PAGE_MAPPING_MOVABLE)
        self.d.unlock_page(page, lock)
        del self.pages[page]
        self.d.put_page(page)

    def has_its_bytes(self, page: int) -> bool:
        """Whether a page of ours holds what was written."""
        wanted = bytes([self.pages[page]]) * self.m.page_size
        return self.m.memory.read_bytes(self.m.kmap(page), self.m.page_size) == wanted

    def isolate_page(self, page: int, mode: int) -> bool:
        assert self.d.PageLocked(page)
        return page in self.pages and not self.refuses

    def migratepage(self, mapping: int, newpage: int, page: int, mode: int) -> int:
        assert mapping == self.mapping
        self.modes.append(mode)
        if self.answers:
            return self.answers.pop(0)
        self.m.memory.memcpy(self.m.kmap(newpage), self.m.kmap(page), self.m.page_size)
        self.m.store(newpage + PG_MAPPING, self.mapping | PAGE_MAPPING_MOVABLE)
        self.pages[newpage] = self.pages.pop(page)
        self.d.get_page(newpage)
        self.m.store(page + PG_MAPPING, PAGE_MAPPING_MOVABLE)
        self.d.put_page(page)
        return 0

    def putback_page(self, page: int) -> None:
        self.putbacks.append(page)


@dataclass
class World:
    """A machine, its core, an owner of movable pages."""

    m: Machine
    core: Core = field(init=False)
    owner: Owner = field(init=False)

    def __post_init__(self) -> None:
        self.owner = Owner(self.m)
        self.core = Core(self.m)

    def page(self, pfn: int) -> int:
        return self.m.buddy.pfn_to_page(pfn)

    def pfn(self, page: int) -> int:
        return self.m.buddy.page_to_pfn(page)

    def take_block(self, pfn: int, order: int = 0, *, compound: bool = False) -> int:
        """Allocate the block at a pfn, whatever the free lists would give."""
        buddy = self.m.buddy
        first = buddy.free_block_of(pfn)
        assert first >= 0, f"pfn {pfn} is not free"
        current = buddy.take_free_block(first)
        while current > order:
            current -= 1
            half = first + (1 << current)
            buddy.free_one_page(half if pfn < half else first, current)
            first = first if pfn < half else half
        assert first == pfn
        assert buddy._prep_new_pages(pfn, order, compound)
        return self.page(pfn)

    def movable_at(self, *pfns: int) -> list[int]:
        """Put movable pages at pfns."""
        return [self.owner.take(self.take_block(pfn), 0x10 + pfn % 0xE0) for pfn in pfns]

    def movable(self, count: int = 1, gfp: int = MOVABLE_GFP) -> list[int]:
        """Allocate movable pages wherever the free lists have them."""
        pages = [self.m.buddy.alloc_page(gfp) for _ in range(count)]
        return [self.owner.take(page, 0x10 + number) for number, page in enumerate(pages)]

    def kernel_page_at(self, pfn: int) -> int:
        """Put an unmovable page at a pfn."""
        return self.take_block(pfn)

    def list_of(self, pages: list[int], head: int) -> None:
        """Isolate pages onto a list."""
        for page in pages:
            assert isolate_movable_page(self.core, page) == 0
            self.core.link_tail(page, head)

    def is_movable(self, pfn: int) -> bool:
        """The truth, for pages of the owner and free ones."""
        return self.m.buddy.is_free_buddy_page(pfn) or self.page(pfn) in self.owner.pages

    def free_pages(self) -> int:
        return sum(self.m.buddy.zone_page_state(zone, NR_FREE_PAGES) for zone in (0, 1))

    def isolated_count(self) -> int:
        return sum(self.m.buddy.zone_page_state(zone, NR_ISOLATED) for zone in (0, 1))

    def free_really(self) -> int:
        """Count the free pages by walking the memmap."""
        buddy = self.m.buddy
        return sum(buddy.is_free_buddy_page(pfn) for pfn in range(buddy.pages_count))

    def memdesc_tail_at(self, pfn: int, *, size: int = 256, movable: bool = True) -> tuple[int, int]:
        """Put a page at a pfn whose head is a slab object: the worry of the thread. Returns (page, head)."""
        page = self.take_block(pfn)
        cache = self.m.slab.kmem_cache_create(f"memdesc-{size}", size, 64)
        head = self.m.slab.kmem_cache_alloc(cache)
        self.m.memory.write_bytes(head, bytes(size))
        self.m.store32(head + 52, 1)
        if movable:
            self.m.store(head + PG_MAPPING, self.owner.mapping | PAGE_MAPPING_MOVABLE)
        self.m.store(page + PG_COMPOUND_HEAD, head | 1)
        self.owner.pages[page] = 0
        return page, head


def make_world(*switches: str, rules: type[Descriptor] = Descriptor) -> World:
    """Return a world with 64 pages in each zone, pageblocks of 16, largest free block 32."""
    config = MachineConfig(geometry("small"), NORMAL_PAGES, PAGES - NORMAL_PAGES, 1 << 18, switches)
    return World(Machine(config, rules))


def tail_of(page: int, number: int) -> int:
    """Return the struct page `number` after a page."""
    return page + number * STRUCT_PAGE_SIZE


__all__ = ["GFP_KERNEL", "MOVABLE_GFP", "NORMAL_PAGES", "PAGES", "Owner", "World", "make_world", "tail_of"]
