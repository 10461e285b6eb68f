"""Contract: zsmalloc's interface as a dictionary from slots to bytes.

In:    the operations that took effect.
Out:   which slots are live, what their bytes have to be, which slot the lane has mapped.
Never: a page, a class, a target.
Next:  the runner asks it what an operation means in the present state: zsfuzz/execute/runner.py.

Bytes nobody wrote are unknown; the two targets must still agree on them, since both keep their objects in the same
frames by the same rules.
"""

from __future__ import annotations

from functools import cache

from zsfuzz.policy.size_class import ZS_HANDLE_SIZE, SizeClassTable

PATTERN_BYTES = 4096


_PATTERN_0 = bytes((offset * 29 + (offset >> 8) * 11) & 0xFF for offset in range(PATTERN_BYTES))


@cache
def pattern(number: int) -> bytes:
    """Return PATTERN_BYTES bytes, each made of its own offset, so that a shifted copy shows. number: 0..255."""
    return _PATTERN_0.translate(bytes((number * 167 + byte) & 0xFF for byte in range(256)))


def _number(data: bytes | bytearray) -> int:
    return int.from_bytes(data, "little")


class ObjectContent:
    """What one live object has to hold. size in bytes."""

    __slots__ = ("_bytes", "_known", "pool", "size")

    def __init__(self, pool: int, size: int) -> None:
        self.pool = pool
        self.size = size
        self._bytes = bytearray()
        self._known = bytearray()

    def write(self, offset: int, data: bytes) -> None:
        """Note bytes that were stored."""
        if not self._known:
            self._bytes = bytearray(self.size)
            self._known = bytearray(self.size)
        self._bytes[offset : offset + len(data)] = data
        self._known[offset : offset + len(data)] = b"\xff" * len(data)

    def whole(self) -> tuple[bytes, bytes]:
        """Return (bytes, mask of known bytes); both empty while nobody wrote."""
        return bytes(self._bytes), bytes(self._known)

    def forget(self) -> None:
        """A write-only mapping leaves bytes that were not written undefined."""
        self._known = bytearray(len(self._known))

    def copy(self) -> ObjectContent:
        """Return a copy that later writes do not reach."""
        other = ObjectContent(self.pool, self.size)
        other._bytes, other._known = self._bytes[:], self._known[:]
        return other

    def difference(self, offset: int, data: bytes) -> int:
        """Return the offset of the first known byte that differs, -1 if none does."""
        if not self._known:
            return -1
        end = offset + len(data)
        if self._bytes[offset:end] == data:
            return -1
        want, known = _number(self._bytes[offset:end]), _number(self._known[offset:end])
        wrong = (_number(data) ^ want) & known  # as one number: byte by byte it is fifty times slower
        return offset + ((wrong & -wrong).bit_length() - 1) // 8 if wrong else -1


class Contract:
    """The dictionary, the lane's map, and the failures armed for coming operations."""

    def __init__(self, size_classes: SizeClassTable) -> None:
        self._size_classes = size_classes
        self._classes: dict[tuple[int, int], None] = {}
        self.objects: dict[int, ObjectContent] = {}
        self.mapped: int | None = None
        self.mapped_writable = False
        self.mapped_readable = False
        self.pools: dict[int, None] = {0: None}
        self.page_slots: dict[int, None] = {}
        self.references: dict[int, None] = {}
        self.bystanders: dict[int, None] = {}
        self.armed: dict[tuple[str, str], int] = {}

    def allocated(self, slot: int, pool: int, size: int) -> None:
        """Note a new object."""
        self.objects[slot] = ObjectContent(pool, size)
        self._classes[(pool, self._size_classes.class_for(size + ZS_HANDLE_SIZE).index)] = None

    def classes_used(self, pool: int) -> list[int]:
        """Return the raw indices of the size classes that objects of a pool were asked from in this run."""
        return [index for number, index in self._classes if number == pool]

    def objects_in(self, pool: int) -> int:
        """Return how many live objects a pool has."""
        return sum(1 for content in self.objects.values() if content.pool == pool)

    def copy(self) -> Contract:
        """Return a copy that later operations do not reach."""
        other = Contract(self._size_classes)
        other._classes = self._classes.copy()
        other.objects = {slot: content.copy() for slot, content in self.objects.items()}
        other.mapped = self.mapped
        other.mapped_writable, other.mapped_readable = self.mapped_writable, self.mapped_readable
        other.pools, other.page_slots = self.pools.copy(), self.page_slots.copy()
        other.references, other.bystanders = self.references.copy(), self.bystanders.copy()
        other.armed = self.armed.copy()
        return other
