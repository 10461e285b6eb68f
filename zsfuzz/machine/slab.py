"""Slab: kmem_cache and kmalloc over the heap, with red zones, quarantine and type-stable caches.

In:    object sizes; addresses handed out before.
Out:   addresses of objects; a Report for a double free, a foreign free or a leak.
Never: takes a page from the buddy allocator, so that both designs see the same frames.
Next:  failure injection in zsfuzz/machine/failure.py; the shadow in zsfuzz/machine/memory.py.

    object slot   [ link | state | object bytes ....... | red zone ]
                    -16     -8     ^ what the caller gets

A freed object waits in its cache's quarantine (first in, first out) before it is handed out again, so that a
stale pointer meets poison and not the next owner. SLAB_TYPESAFE_BY_RCU caches keep the bytes of freed objects
readable, as RCU readers are promised; that nobody changed them shows when the object is handed out again.
Source: mm/slub.c, mm/kasan, v5.10; strays: slabs are never given back,
objects of one cache are carved eight at a time from the heap.
"""

from __future__ import annotations

import zlib
from typing import Final

from zsfuzz.machine.failure import FailureInjection
from zsfuzz.machine.layout import SLAB_POISON
from zsfuzz.machine.memory import KASAN_REDZONE, KASAN_SLAB_FREE, UNINIT, Memory
from zsfuzz.machine.report import Report

QUARANTINE_OBJECTS: Final = 16
OBJECTS_PER_SLAB: Final = 8
KMALLOC_STEP: Final = 64
KMALLOC_MAX: Final = 8192

_ALLOCATED: Final = 0xA11C_A7ED
_FREE: Final = 0x0F4E_E0F4

# struct kmem_cache, word offsets
_SIZE, _STRIDE, _ALIGN, _FREELIST, _LIVE, _TYPESAFE, _NAME, _RING_AT, _RING_USED, _NEXT, _RING = range(11)


class Slab:
    """All caches of one machine. Their state lies in the heap; names are constants kept beside it."""

    def __init__(self, memory: Memory, failure: FailureInjection, *, quarantine: bool) -> None:
        self._memory = memory
        self._failure = failure
        self._quarantine = QUARANTINE_OBJECTS if quarantine else 0
        self._names: list[str] = []
        self._heap_end = memory.heap_base + memory.heap_bytes
        self._top_index = self._index(memory.heap_base)
        memory.words[self._top_index] = memory.heap_base + 16
        self._caches_head = self._index(memory.heap_base) + 1
        self._kmalloc = {
            size: self.kmem_cache_create(f"kmalloc-{size}", size)
            for size in range(KMALLOC_STEP, KMALLOC_MAX + 1, KMALLOC_STEP)
            if size <= 512 or size % 1024 == 0
        }
        self._kmalloc_sizes = tuple(self._kmalloc)

    def _index(self, address: int) -> int:
        return self._memory.word_index(address)

    @property
    def heap_top(self) -> int:
        """Return the first heap address that was never handed out."""
        return self._memory.words[self._top_index]

    def core_alloc(self, words_count: int) -> int:
        """Return the address of zeroed words for the core's own structures; never freed."""
        address = self._carve(words_count * 8, 16)
        self._memory.write_bytes_unchecked(address, bytes(words_count * 8))
        return address

    def _carve(self, length: int, align: int) -> int:
        words = self._memory.words
        address = -(-words[self._top_index] // align) * align
        if address + length > self._heap_end:
            raise Report("bug", "heap exhausted", "", "the simulated slab heap is full; give the program fewer slots")
        words[self._top_index] = address + length
        return address

    # -- caches

    def kmem_cache_create(self, name: str, size_bytes: int, align: int = 8, *, typesafe_by_rcu: bool = False) -> int:
        """Return the address of a new cache. size_bytes is rounded up to 8; align is a power of two >= 8."""
        if name not in self._names:
            self._names.append(name)
        cache = self.core_alloc(_RING + self._quarantine)
        size = -(-size_bytes // 8) * 8
        stride = -(-(16 + size + 8) // max(align, 8)) * max(align, 8)
        words, at = self._memory.words, self._index(cache)
        words[at + _SIZE], words[at + _STRIDE], words[at + _ALIGN] = size, stride, max(align, 8)
        words[at + _NEXT], words[self._caches_head] = words[self._caches_head], cache
        words[at + _TYPESAFE], words[at + _NAME] = int(typesafe_by_rcu), self._names.index(name)
        return cache

    def kmem_cache_destroy(self, cache: int) -> None:
        """Errors: Report when objects are still live (kernel: "Objects remaining on shutdown")."""
        live = self.live_objects(cache)
        if live:
            name = self.cache_name(cache)
            raise Report("memory", "leak at cache shutdown", name, f"{live} objects remain in {name}")

    def cache_name(self, cache: int) -> str:
        """Return the name a cache was created with."""
        return self._names[self._memory.words[self._index(cache) + _NAME]]

    def live_objects(self, cache: int) -> int:
        """Return how many objects of a cache are handed out."""
        return self._memory.words[self._index(cache) + _LIVE]

    def kmem_cache_alloc(self, cache: int) -> int:
        """Return an object, its bytes uninitialised, or 0 under failure injection."""
        memory = self._memory
        words, at = memory.words, self._index(cache)
        if self._failure.armed and self._failure.hits(self._names[words[at + _NAME]]):
            return 0
        taken: int = words[at + _FREELIST]
        if not taken:
            self._grow(at)
            taken = words[at + _FREELIST]
        slot = self._index(taken)
        words[at + _FREELIST] = words[slot - 2]
        words[slot - 1] = _ALLOCATED
        words[at + _LIVE] += 1
        size = words[at + _SIZE] >> 3
        if not words[at + _TYPESAFE]:
            memory.shadow[slot : slot + size] = bytes([UNINIT]) * size
        elif words[slot + size] != self._checksum(slot, size):
            name = self._names[words[at + _NAME]]
            raise Report("memory", "written after free", name, f"a {name} object was written to after it was freed")
        return taken

    def _checksum(self, slot: int, size: int) -> int:
        """Return a checksum of an object's words. Of a type-stable cache it lies in the red zone while the object is
        free: readers may still come by, and whoever raises the count takes it back; nobody may leave a trace.
        """
        return zlib.crc32(self._memory.arena[slot << 3 : (slot + size) << 3])

    def _grow(self, at: int) -> None:
        memory = self._memory
        words, shadow = memory.words, memory.shadow
        stride, align, size = words[at + _STRIDE], words[at + _ALIGN], words[at + _SIZE]
        base = self._carve(16 + stride * OBJECTS_PER_SLAB, align)
        first = self._index(base)
        total = (16 + stride * OBJECTS_PER_SLAB) >> 3
        shadow[first : first + total] = bytes([KASAN_REDZONE]) * total
        start = -(-(base + 16) // align) * align
        if start + stride * OBJECTS_PER_SLAB - 16 > base + total * 8:
            start -= align
        for number in range(OBJECTS_PER_SLAB - 1, -1, -1):
            address = start + number * stride
            slot = self._index(address)
            words[slot - 2] = words[at + _FREELIST]
            words[slot - 1] = _FREE
            words[at + _FREELIST] = address
            if words[at + _TYPESAFE]:
                shadow[slot : slot + (size >> 3)] = bytes(size >> 3)
                memory.arena[slot << 3 : (slot << 3) + size] = bytes([SLAB_POISON]) * size  # a new slab holds anything
                words[slot + (size >> 3)] = self._checksum(slot, size >> 3)

    def kmem_cache_free(self, cache: int, address: int) -> None:
        """Give an object back. Errors: Report for a double free or an address that is no object."""
        memory = self._memory
        words, at = memory.words, self._index(cache)
        name = self._names[words[at + _NAME]]
        inside = memory.heap_base + 16 <= address < self._heap_end and not address & 7
        slot = self._index(address) if inside else 0
        state = words[slot - 1] if inside else 0
        if state == _FREE:
            raise Report("memory", "double free", name, f"double free of a {name} object, {memory.describe(address)}")
        if state != _ALLOCATED:
            raise Report("memory", "invalid free", name, f"free of {memory.describe(address)}, no {name} object")
        words[slot - 1] = _FREE
        words[at + _LIVE] -= 1
        size = words[at + _SIZE] >> 3
        if not words[at + _TYPESAFE]:
            offset = slot << 3
            memory.arena[offset : offset + (size << 3)] = bytes([SLAB_POISON]) * (size << 3)
            memory.shadow[slot : slot + size] = bytes([KASAN_SLAB_FREE]) * size
        else:
            words[slot + size] = self._checksum(slot, size)
        self._retire(at, address)

    def _retire(self, at: int, address: int) -> None:
        """Put a freed object into the quarantine, and the oldest one of it onto the free list."""
        words = self._memory.words
        if self._quarantine:
            ring = at + _RING + words[at + _RING_AT]
            words[at + _RING_AT] = (words[at + _RING_AT] + 1) % self._quarantine
            if words[at + _RING_USED] < self._quarantine:
                words[at + _RING_USED] += 1
                words[ring] = address
                return
            address, words[ring] = words[ring], address
        words[self._index(address) - 2] = words[at + _FREELIST]
        words[at + _FREELIST] = address

    def is_live(self, address: int) -> bool:
        """Return whether an address is that of an object handed out."""
        inside = self._memory.heap_base + 16 <= address < self._heap_end and not address & 7
        return inside and self._memory.words[self._index(address) - 1] == _ALLOCATED

    # -- kmalloc

    def kzalloc(self, size_bytes: int) -> int:
        """Return zeroed memory."""
        address = self.kmalloc(size_bytes)
        if address:
            self._memory.write_bytes(address, bytes(-(-size_bytes // 8) * 8))
        return address

    def kmalloc(self, size_bytes: int) -> int:
        """Return memory from the smallest general cache that fits. size_bytes: 1..8192."""
        return self.kmem_cache_alloc(self._kmalloc[self._kmalloc_size(size_bytes)])

    def kfree(self, address: int, size_bytes: int) -> None:
        """Free what kmalloc(size_bytes) returned. Strays: the size says which cache, as slabs keep no page."""
        self.kmem_cache_free(self._kmalloc[self._kmalloc_size(size_bytes)], address)

    def _kmalloc_size(self, size_bytes: int) -> int:
        return next(size for size in self._kmalloc_sizes if size >= size_bytes)

    def live_by_cache(self) -> list[tuple[str, int]]:
        """Return (name, live objects), summed over caches of one name: part of the leak check."""
        live = dict.fromkeys(self._names, 0)
        cache = self._memory.words[self._caches_head]
        while cache:
            live[self.cache_name(cache)] += self.live_objects(cache)
            cache = self._memory.words[self._index(cache) + _NEXT]
        return list(live.items())
