"""Memory: one arena of frames, slab heap and memmap, with a shadow that knows what may be touched.

In:    64-bit addresses in the direct map, the heap or the memmap.
Out:   primitives load, store, atomic_*, memcpy, ...; a Report for every access that KASAN or KMSAN would report.
Never: knows what lies in a word.
Next:  locks in zsfuzz/machine/locks.py, lists in zsfuzz/machine/lists.py, slab in zsfuzz/machine/slab.py.

    arena words   [ frames ........ | heap ........ | memmap ..... ]
    shadow bytes  [ one a word .................... ]   the memmap needs none: every struct page exists

A shadow byte: 0 may be read; UNINIT was allocated and not yet written; anything above is poison.
Plain store, release, acquire and barrier are told apart by name: in a sequential machine they do the same. A machine
for lanes has preemption points in front of all of them: zsfuzz/machine/preemption.py.
They are closures, not methods: a field access costs about 0.1 us, of which half is the call.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from zsfuzz.machine.layout import (
    HEAP_ABOVE,
    MASK32,
    MASK64,
    PAGE_OFFSET,
    PAGE_POISON,
    STRUCT_PAGE_SIZE,
    VMEMMAP_START,
    signed32,
)
from zsfuzz.machine.report import Report

UNINIT: Final = 1
KASAN_FREE_PAGE: Final = 0xFF
KASAN_SLAB_FREE: Final = 0xFB
KASAN_REDZONE: Final = 0xFC
KASAN_NO_OBJECT: Final = 0xFE

_MAY_BE_TOUCHED: Final = bytes([0, UNINIT])

_POISON_RULES: Final = {
    KASAN_FREE_PAGE: "use-after-free page",
    KASAN_SLAB_FREE: "use-after-free slab",
    KASAN_REDZONE: "out-of-bounds slab",
    KASAN_NO_OBJECT: "wild heap access",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of an arena and its shadow. frames: b"" when every frame was still as after boot."""

    frames: bytes
    rest: bytes
    frames_shadow: bytes
    rest_shadow: bytes
    touched: bytes


class Memory:
    """The arena and its checked accessors.

    frames_count, heap_bytes: sizes. heap_above: put the heap above the memmap instead of after the frames.
    """

    load: Callable[[int], int]
    store: Callable[[int, int], None]
    load32: Callable[[int], int]
    store32: Callable[[int, int], None]
    load8: Callable[[int], int]
    read_once: Callable[[int], int]
    load_acquire: Callable[[int], int]
    write_once: Callable[[int, int], None]
    store_release: Callable[[int, int], None]
    atomic_add: Callable[[int, int], int]
    atomic_add_return: Callable[[int, int], int]
    atomic_add32: Callable[[int, int], int]
    atomic_add_unless32: Callable[[int, int, int], bool]
    atomic_cmpxchg32: Callable[[int, int, int], bool]

    def __init__(self, page_shift: int, frames_count: int, heap_bytes: int, *, heap_above: bool) -> None:
        self.page_shift = page_shift
        self.page_size = 1 << page_shift
        self.frames_count = frames_count
        self.frame_bytes = frames_count << page_shift
        self.heap_bytes = heap_bytes
        self.heap_base = HEAP_ABOVE if heap_above else PAGE_OFFSET + self.frame_bytes
        self.heap_above = heap_above
        self.memmap_bytes = frames_count * STRUCT_PAGE_SIZE
        self.shadowed_words = (self.frame_bytes + heap_bytes) >> 3
        self.memmap_word = self.shadowed_words
        self.arena = bytearray(self.frame_bytes + heap_bytes + self.memmap_bytes)
        self.shadow = bytearray(self.shadowed_words)
        self.words = memoryview(self.arena).cast("Q")
        self.halves = memoryview(self.arena).cast("I")
        self._frame_poison = bytes([PAGE_POISON]) * self.page_size
        self._frame_shadow_free = bytes([KASAN_FREE_PAGE]) * (self.page_size >> 3)
        self._frame_shadow_new = bytes([UNINIT]) * (self.page_size >> 3)
        self._touched = bytearray(frames_count)  # frames that were allocated since boot
        self.poison_all_frames()
        heap_word = self.frame_bytes >> 3
        self.shadow[heap_word:] = bytes([KASAN_NO_OBJECT]) * (heap_bytes >> 3)
        self._bind()

    # -- addresses

    def word_index(self, address: int) -> int:
        """Return the index in `words` of an address that is known to be inside (trusted code only)."""
        if address < VMEMMAP_START:
            return (address - PAGE_OFFSET) >> 3
        offset = address - VMEMMAP_START
        if offset < self.memmap_bytes:
            return self.memmap_word + (offset >> 3)
        return (self.frame_bytes + address - self.heap_base) >> 3

    def describe(self, address: int) -> str:
        """Return where an address lies, for people."""
        if PAGE_OFFSET <= address < PAGE_OFFSET + self.frame_bytes:
            pfn, offset = divmod(address - PAGE_OFFSET, self.page_size)
            return f"frame of pfn {pfn} +{offset:#x}"
        if VMEMMAP_START <= address < VMEMMAP_START + self.memmap_bytes:
            pfn, offset = divmod(address - VMEMMAP_START, STRUCT_PAGE_SIZE)
            return f"struct page of pfn {pfn} +{offset:#x}"
        if self.heap_base <= address < self.heap_base + self.heap_bytes:
            return f"heap +{address - self.heap_base:#x}"
        return f"unmapped {address:#x}"

    def bad_access(self, address: int, verb: str) -> NoReturn:
        """Raise the Report for an access that no primitive may make."""
        index = self._shadow_index(address)
        rule = "wild access"
        if index is not None:
            code = self.shadow[index]
            rule = "uninitialised read" if code == UNINIT else _POISON_RULES.get(code, rule)
            if not code:  # the word may be touched, but not from here
                rule = "misaligned access"
        elif 0 <= address - VMEMMAP_START < self.memmap_bytes:
            rule = "misaligned access"
        raise Report("memory", rule, "", f"{rule}: {verb} of {self.describe(address)} ({address:#x})")

    def _shadow_index(self, address: int) -> int | None:
        for base, start, size in (
            (PAGE_OFFSET, 0, self.frame_bytes),
            (self.heap_base, self.frame_bytes, self.heap_bytes),
        ):
            if base <= address < base + size:
                return (start + address - base) >> 3
        return None

    def page_words(self, offset: int) -> list[int]:
        """Return the 64-bit word at `offset` of every struct page, by pfn (trusted code only)."""
        start = self.memmap_word + (offset >> 3)
        return self.words[start :: STRUCT_PAGE_SIZE >> 3].tolist()

    def memmap(self) -> bytes:
        """Return the bytes of all struct pages."""
        start = self.memmap_word << 3
        return bytes(self.arena[start : start + self.memmap_bytes])

    # -- frames

    def poison_all_frames(self) -> None:
        """Fill every frame with the free-page poison."""
        self.arena[: self.frame_bytes] = bytes([PAGE_POISON]) * self.frame_bytes
        self.shadow[: self.frame_bytes >> 3] = bytes([KASAN_FREE_PAGE]) * (self.frame_bytes >> 3)

    def frame_freed(self, pfn: int) -> None:
        """Poison one frame: it went back to the buddy allocator."""
        start = pfn << self.page_shift
        self.arena[start : start + self.page_size] = self._frame_poison
        self.shadow[start >> 3 : (start + self.page_size) >> 3] = self._frame_shadow_free

    def frame_is_free(self, pfn: int) -> bool:
        """Return whether a frame is poisoned as free."""
        return self.shadow[pfn << self.page_shift >> 3] == KASAN_FREE_PAGE

    def used_pfns(self) -> list[int]:
        """Return the pfns of all frames that are not poisoned as free, in order."""
        codes = self.shadow[: self.frame_bytes >> 3 : self.page_size >> 3]
        return [pfn for pfn, code in enumerate(codes) if code != KASAN_FREE_PAGE]

    def frame_allocated(self, pfn: int) -> None:
        """Make one frame accessible; its bytes count as not yet written."""
        start = pfn << self.page_shift
        self._touched[pfn] = 1
        self.shadow[start >> 3 : (start + self.page_size) >> 3] = self._frame_shadow_new

    # -- bulk access

    def _span(self, address: int, length: int, verb: str) -> int:
        """Return the byte offset in the arena of a readable span of frames or heap."""
        if self.heap_above and address >= self.heap_base:
            offset = self.frame_bytes + address - self.heap_base
        else:
            offset = address - PAGE_OFFSET
        end = offset + length
        if offset < 0 or end > self.shadowed_words << 3:
            self.bad_access(address, verb)
        first, last = offset >> 3, (end + 7) >> 3
        if self.shadow[first:last].strip(_MAY_BE_TOUCHED):
            for index in range(first, last):
                if self.shadow[index] > UNINIT:
                    self.bad_access(max(address, address - offset + (index << 3)), verb)
        return offset

    def read_bytes(self, address: int, length: int) -> bytes:
        """Return `length` bytes. Words never written are allowed: the caller judges what it reads."""
        offset = self._span(address, length, "read")
        return bytes(self.arena[offset : offset + length])

    def write_bytes(self, address: int, data: bytes) -> None:
        """Store bytes; every word they touch counts as written."""
        offset = self._span(address, len(data), "write")
        end = offset + len(data)
        self.arena[offset:end] = data
        first, last = offset >> 3, (end + 7) >> 3
        self.shadow[first:last] = bytes(last - first)

    def write_bytes_unchecked(self, address: int, data: bytes) -> None:
        """Store bytes of a heap span whose shadow is not yet open, and open it (trusted code only)."""
        start = self.word_index(address)
        self.arena[start << 3 : (start << 3) + len(data)] = data
        self.shadow[start : start + (len(data) >> 3)] = bytes(len(data) >> 3)

    def memcpy(self, target: int, source: int, length: int) -> None:
        """Copy bytes and, word for word, what is known of their having been written."""
        from_ = self._span(source, length, "read")
        to = self._span(target, length, "write")
        self.arena[to : to + length] = self.arena[from_ : from_ + length]
        if (from_ | to | length) & 7:
            first, last = to >> 3, (to + length + 7) >> 3
            self.shadow[first:last] = bytes(last - first)
        else:
            self.shadow[to >> 3 : (to + length) >> 3] = self.shadow[from_ >> 3 : (from_ + length) >> 3]

    def memset(self, address: int, byte: int, length: int) -> None:
        """Fill bytes."""
        self.write_bytes(address, bytes([byte]) * length)

    # -- word access

    def _bind(self) -> None:
        self.load, self.store = self._word_accessors()
        self.lock_index, self.pair_index, self.fresh_pair_index = self._index_finders()
        self.load32, self.store32, self.load8 = self._half_accessors()
        load, store = self.load, self.store
        load32, store32 = self.load32, self.store32

        def atomic_add(address: int, delta: int) -> int:
            value = (load(address) + delta) & MASK64
            store(address, value)
            return value

        def atomic_add32(address: int, delta: int) -> int:
            value = (load32(address) + delta) & MASK32
            store32(address, value)
            return signed32(value)

        def atomic_add_unless32(address: int, delta: int, unless: int) -> bool:
            value = load32(address)
            if value == unless:
                return False
            store32(address, (value + delta) & MASK32)
            return True

        def atomic_cmpxchg32(address: int, expected: int, value: int) -> bool:
            if load32(address) != expected:
                return False
            store32(address, value)
            return True

        def test_bit(bit: int, address: int) -> bool:
            return bool(load(address) >> bit & 1)

        def set_bit(bit: int, address: int) -> None:
            store(address, load(address) | 1 << bit)

        def clear_bit(bit: int, address: int) -> None:
            store(address, load(address) & ~(1 << bit))

        def test_and_set_bit(bit: int, address: int) -> bool:
            value = load(address)
            store(address, value | 1 << bit)
            return bool(value >> bit & 1)

        self.read_once = self.load_acquire = load
        self.write_once = self.store_release = store
        self.atomic_add = self.atomic_add_return = atomic_add
        self.atomic_add32, self.atomic_add_unless32 = atomic_add32, atomic_add_unless32
        self.atomic_cmpxchg32 = atomic_cmpxchg32
        self.test_bit, self.set_bit, self.clear_bit = test_bit, set_bit, clear_bit
        self.test_and_set_bit = test_and_set_bit

    def _word_accessors(self) -> tuple[Callable[[int], int], Callable[[int, int], None]]:
        words, shadow, bad, far = self.words, self.shadow, self.bad_access, self._far_word
        memmap_word, memmap_bytes = self.memmap_word, self.memmap_bytes
        limit = self.frame_bytes >> 3 if self.heap_above else self.shadowed_words

        def load(address: int) -> int:
            if address >= VMEMMAP_START:
                index = address - VMEMMAP_START
                if index < memmap_bytes:
                    if index & 7:
                        bad(address, "read")
                    return words[memmap_word + (index >> 3)]
                index = far(address, "read")
            else:
                offset = address - PAGE_OFFSET
                index = offset >> 3
                if not 0 <= index < limit or offset & 7:
                    bad(address, "read")
            if shadow[index]:
                bad(address, "read")
            return words[index]

        def store(address: int, value: int) -> None:
            if address >= VMEMMAP_START:
                index = address - VMEMMAP_START
                if index < memmap_bytes:
                    if index & 7:
                        bad(address, "write")
                    words[memmap_word + (index >> 3)] = value
                    return
                index = far(address, "write")
            else:
                offset = address - PAGE_OFFSET
                index = offset >> 3
                if not 0 <= index < limit or offset & 7:
                    bad(address, "write")
            if shadow[index] > 1:
                bad(address, "write")
            shadow[index] = 0
            words[index] = value

        return load, store

    def filtered_store(self, check: Callable[[int], None]) -> Callable[[int, int], None]:
        """Return a store() that has every address above the direct map checked first."""
        words, shadow, bad, plain = self.words, self.shadow, self.bad_access, self.store
        limit = self.frame_bytes >> 3 if self.heap_above else self.shadowed_words

        def store(address: int, value: int) -> None:
            if address >= VMEMMAP_START:
                check(address)
                plain(address, value)
                return
            offset = address - PAGE_OFFSET
            index = offset >> 3
            if not 0 <= index < limit or shadow[index] > 1 or offset & 7:
                bad(address, "write")
            shadow[index] = 0
            words[index] = value

        return store

    def _half_accessors(
        self,
    ) -> tuple[Callable[[int], int], Callable[[int, int], None], Callable[[int], int]]:
        halves, shadow, bad, far = self.halves, self.shadow, self.bad_access, self._far_word
        memmap_half, memmap_bytes = self.memmap_word * 2, self.memmap_bytes
        limit = (self.frame_bytes >> 3 if self.heap_above else self.shadowed_words) * 2

        def load32(address: int) -> int:
            if address >= VMEMMAP_START:
                index = address - VMEMMAP_START
                if index < memmap_bytes:
                    if index & 3:
                        bad(address, "read")
                    return halves[memmap_half + (index >> 2)]
                index = far(address & ~7, "read") * 2 + (address >> 2 & 1)
            else:
                offset = address - PAGE_OFFSET
                index = offset >> 2
                if not 0 <= index < limit or offset & 3:
                    bad(address, "read")
            if shadow[index >> 1]:
                bad(address, "read")
            return halves[index]

        def store32(address: int, value: int) -> None:
            if address >= VMEMMAP_START:
                index = address - VMEMMAP_START
                if index < memmap_bytes:
                    if index & 3:
                        bad(address, "write")
                    halves[memmap_half + (index >> 2)] = value
                    return
                index = far(address & ~7, "write") * 2 + (address >> 2 & 1)
            else:
                offset = address - PAGE_OFFSET
                index = offset >> 2
                if not 0 <= index < limit or offset & 3:
                    bad(address, "write")
            if shadow[index >> 1] > 1:
                bad(address, "write")
            shadow[index >> 1] = 0
            halves[index] = value

        def load8(address: int) -> int:
            return load32(address & ~3) >> ((address & 3) * 8) & 0xFF

        return load32, store32, load8

    def _index_finders(self) -> tuple[Callable[[int], int], Callable[[int], int], Callable[[int], int]]:
        """Return lock_index, pair_index and fresh_pair_index.

        They find a word, or two neighbouring ones as in a list_head, check them once, and return the index in
        `words`, for primitives that then work on `words` where they lie.
        """
        shadow, bad, far = self.shadow, self.bad_access, self._far_word
        memmap_word, memmap_bytes = self.memmap_word, self.memmap_bytes
        limit = self.frame_bytes >> 3 if self.heap_above else self.shadowed_words

        def lock_index(address: int) -> int:
            if address < VMEMMAP_START:
                index = (address - PAGE_OFFSET) >> 3
                if not 0 <= index < limit:
                    bad(address, "read")
            elif address - VMEMMAP_START < memmap_bytes:
                return memmap_word + ((address - VMEMMAP_START) >> 3)
            else:
                index = far(address, "read")
            if shadow[index]:
                bad(address, "read")
            return index

        def pair_index(address: int) -> int:
            index = lock_index(address)
            if index < memmap_word and shadow[index + 1]:
                bad(address + 8, "read")
            return index

        def fresh_pair_index(address: int) -> int:
            if address < VMEMMAP_START:
                index = (address - PAGE_OFFSET) >> 3
                if not 0 <= index < limit - 1:
                    bad(address, "write")
            elif address - VMEMMAP_START < memmap_bytes:
                return memmap_word + ((address - VMEMMAP_START) >> 3)
            else:
                index = far(address, "write")
            if shadow[index] > 1 or shadow[index + 1] > 1:
                bad(address if shadow[index] > 1 else address + 8, "write")
            shadow[index] = shadow[index + 1] = 0
            return index

        return lock_index, pair_index, fresh_pair_index

    def _far_word(self, address: int, verb: str) -> int:
        """Return the word index of an address above the memmap: the heap under heap_above, else wild."""
        offset = address - self.heap_base
        if not self.heap_above or not 0 <= offset < self.heap_bytes:
            self.bad_access(address, verb)
        return (self.frame_bytes + offset) >> 3

    # -- whole arena

    def snapshot(self) -> Snapshot:
        """Return a copy of everything. While no frame was ever allocated all of them are poison, and left out."""
        frames, shadow = self.frame_bytes, self.shadow
        return Snapshot(
            bytes(self.arena[:frames]) if any(self._touched) else b"",
            bytes(self.arena[frames:]),
            bytes(shadow[: frames >> 3]) if any(self._touched) else b"",
            bytes(shadow[frames >> 3 :]),
            bytes(self._touched),
        )

    def restore(self, saved: Snapshot) -> None:
        """Put a copy back."""
        frames = self.frame_bytes
        if saved.frames:
            self.arena[:frames] = saved.frames
            self.shadow[: frames >> 3] = saved.frames_shadow
        else:
            touched, pfn = self._touched, self._touched.find(1)
            while pfn >= 0:
                self.frame_freed(pfn)
                pfn = touched.find(1, pfn + 1)
        self.arena[frames:] = saved.rest
        self.shadow[frames >> 3 :] = saved.rest_shadow
        self._touched[:] = saved.touched

    def save_heap(self, top: int) -> tuple[bytes, bytes]:
        """Return a copy of the heap below an address, and of what may be touched there."""
        start, end = self.frame_bytes, self.frame_bytes + top - self.heap_base
        return bytes(self.arena[start:end]), bytes(self.shadow[start >> 3 : -(-end // 8)])

    def put_back_heap(self, saved: tuple[bytes, bytes]) -> None:
        """Put a copy of the heap back."""
        heap, shadow = saved
        start = self.frame_bytes
        self.arena[start : start + len(heap)] = heap
        self.shadow[start >> 3 : (start >> 3) + len(shadow)] = shadow


def doublewords(data: bytes) -> tuple[int, ...]:
    """Return bytes as 64-bit words, for people who look at memory."""
    return struct.unpack(f"<{len(data) // 8}Q", data[: len(data) & ~7])
