"""The target protocol, version 1: what an allocator under test brings.

In:    a Kernel (zsfuzz/machine/machine.py), given to the constructor.
Out:   Target, the abstract class; Location, ZspageView, ClassRow, the values by which the harness looks at it.
Never: state outside the arena: the harness compares an instance's attributes with those it had when it was made.
Next:  the two built-in targets in reference/ and candidate/; how names are resolved in zsfuzz/target/registry.py.

The first group of methods is zsmalloc's own interface. The second, from locate() on, is how oracles look inside; it
must not write, and must take no lock: it is called at quiescent points, and on broken states.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.machine import Kernel

PROTOCOL_VERSION: Final = 1

ZS_MM_RW: Final = 0  # enum zs_mapmode, include/linux/zsmalloc.h
ZS_MM_RO: Final = 1
ZS_MM_WO: Final = 2

MIGRATE_ASYNC: Final = 0  # enum migrate_mode
MIGRATE_SYNC_LIGHT: Final = 1
MIGRATE_SYNC: Final = 2
MIGRATE_SYNC_NO_COPY: Final = 3

MIGRATEPAGE_SUCCESS: Final = 0


@dataclass(frozen=True, slots=True)
class ZspageView:
    """One zspage as the design sees it.

    zspage: an address that names it. class_index: raw index of its size class. fullness: group by its own word.
    pages: struct pages in chain order. offsets: offset of the first object that starts in each page, as the design
    has it, in bytes. free_indices: the free list as object indices, up to and without the first one that is no object
    (at most objs_per_zspage + 1 are followed). isolated: how many of its pages are isolated.
    """

    zspage: int
    class_index: int
    fullness: int
    inuse: int
    isolated: int
    pages: tuple[int, ...]
    offsets: tuple[int, ...]
    free_indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One line of the kernel's `classes` file (zs_stats_size_show(), v5.10)."""

    index: int
    size_bytes: int
    almost_full: int
    almost_empty: int
    obj_allocated: int
    obj_used: int
    pages_used: int
    pages_per_zspage: int
    freeable: int


@dataclass(frozen=True, slots=True)
class Shown:
    """What a design puts in front of whoever reads the struct pages of a live zspage raw.

    kpagecount: the value of /proc/kpagecount. kpageflags: the bits of /proc/kpageflags that come from the design.
    """

    kpagecount: int
    kpageflags: int


@dataclass(frozen=True, slots=True)
class CounterWord:
    """A number in the arena that may never leave a range, not even for a moment.

    name: for people. rule: the invariant that it is part of. address: of its 64-bit word. shift, bits: its place there,
    two's complement. owner: address of the slab object that it lies in; once that is freed the number is nobody's.
    """

    name: str
    rule: str
    address: int
    shift: int
    bits: int
    low: int
    high: int
    owner: int


def counter(name: str, rule: str, address: int, owner: int) -> CounterWord:
    """Return a whole word that is a number not below zero."""
    return CounterWord(name, rule, address, 0, 64, 0, (1 << 63) - 1, owner)


class Target(ABC):
    """An allocator under test. One instance belongs to one machine and serves every pool on it."""

    protocol_version: ClassVar[int] = PROTOCOL_VERSION
    name: ClassVar[str]
    rules: ClassVar[type[Descriptor]] = Descriptor  # what the core looks at pages with: the design's core patches
    page_words: ClassVar[frozenset[int] | None] = None  # struct page words the design may write; None: all

    def __init__(self, kernel: Kernel) -> None:
        self.k = kernel
        self.d = kernel.d

    # -- zsmalloc's interface (mm/zsmalloc.c); pools and handles are addresses, 0 means failure

    @abstractmethod
    def zs_create_pool(self) -> int:
        """Return a new pool, 0 without memory."""

    @abstractmethod
    def zs_destroy_pool(self, pool: int) -> None:
        """Destroy a pool whose objects are all freed."""

    @abstractmethod
    def zs_malloc(self, pool: int, size: int, gfp: int) -> int:
        """Return a handle, 0 for size 0, size > PAGE_SIZE or no memory. size in bytes."""

    @abstractmethod
    def zs_free(self, pool: int, handle: int) -> None:
        """Free an object; handle 0 is ignored."""

    @abstractmethod
    def zs_map_object(self, pool: int, handle: int, mode: int) -> int:
        """Return the address of an object's bytes, valid until zs_unmap_object(). mode: ZS_MM_*."""

    @abstractmethod
    def zs_unmap_object(self, pool: int, handle: int) -> None:
        """End a mapping."""

    @abstractmethod
    def zs_compact(self, pool: int) -> int:
        """Compact every class; return the pages freed or about to be freed."""

    @abstractmethod
    def zs_shrinker_count(self, pool: int) -> int:
        """Return the pages that compaction could free."""

    @abstractmethod
    def zs_shrinker_scan(self, pool: int) -> int:
        """Compact; return the pages freed, or -1 (SHRINK_STOP) for none."""

    @abstractmethod
    def zs_get_total_pages(self, pool: int) -> int:
        """Return the pool's pages."""

    @abstractmethod
    def zs_pool_stats(self, pool: int) -> int:
        """Return pages_compacted."""

    @abstractmethod
    def zs_huge_class_size(self, pool: int) -> int:
        """Return the smallest request, in bytes, that lands in the huge class."""

    @abstractmethod
    def zs_stats_size_show(self, pool: int) -> tuple[ClassRow, ...]:
        """Return the `classes` file, one row a distinct class, by index."""

    @abstractmethod
    def class_row(self, pool: int, class_index: int) -> ClassRow:
        """Return one row of the `classes` file. class_index: raw index of a distinct class."""

    # -- looking inside (no write, no lock)

    @abstractmethod
    def placement(self, handle: int) -> int:
        """Return where an object is: pfn << 32 | object index in its zspage."""

    @abstractmethod
    def zspage_of(self, handle: int) -> int:
        """Return the address that names the zspage of an object."""

    @abstractmethod
    def page_owner(self, page: int) -> int:
        """Return the zspage that a struct page belongs to by the design's own words, 0 if to none."""

    @abstractmethod
    def zspage_view(self, zspage: int) -> ZspageView:
        """Return one zspage, read from the arena."""

    @abstractmethod
    def fullness_list(self, pool: int, class_index: int, group: int) -> tuple[int, ...]:
        """Return the zspages of one fullness list, first to last. group: 0 (EMPTY) to 3 (FULL)."""

    @abstractmethod
    def object_header(self, zspage: int, index: int) -> int:
        """Return the header word of an object slot (a huge zspage: the word that holds its handle)."""

    @abstractmethod
    def isolated_zspages(self, pool: int) -> int:
        """Return the pool's count of isolated zspages (pool->isolated_pages in 5.10)."""

    @abstractmethod
    def lock_words(self, pool: int) -> tuple[tuple[str, int], ...]:
        """Return (lock class, address) of every lock the pool and its classes own, for the check that all are free."""

    def shown_to_scanners(self, view: ZspageView, index: int) -> Shown:
        """Return what page `index` of a zspage shows through /proc/kpagecount and /proc/kpageflags.

        Expected differences D1 and D2 are made of these declarations; anything else that a page shows is a finding.
        """
        return Shown(0, 0)

    def counter_words(self, pool: int, class_indices: Iterable[int]) -> Iterable[CounterWord]:
        """Return the counters of a pool and of some of its classes that are watched while lanes run."""
        return ()

    def zspage_words(self, view: ZspageView, objs_per_zspage: int) -> Iterable[CounterWord]:
        """Return the numbers of a zspage that are watched while lanes run. objs_per_zspage: the most of any class."""
        return ()
