"""Preemption: the primitives of a machine on which lanes run, each with its points in front.

In:    the plain primitives of zsfuzz/machine/memory.py, locks.py, lists.py, slab.py and buddy.py; a Lanes.
Out:   the same primitives under the same names; outside a block they do what the plain ones do.
Never: decides who runs next, or what an access means.
Next:  zsfuzz/machine/lanes.py; the kinds in zsfuzz/machine/points.py.

One primitive, one point, but for what is not one step in the kernel either: a page is copied in halves, and a lock that
is taken is asked for again after each release. List operations, slab and buddy allocator are one step each: in the
kernel a lock of their own makes them so (the buddy's is zone->lock, which other lanes may hold).
"""

from __future__ import annotations

from collections.abc import Callable

from zsfuzz.machine import points
from zsfuzz.machine.buddy import Buddy
from zsfuzz.machine.failure import FailureInjection
from zsfuzz.machine.geometry import Geometry
from zsfuzz.machine.lanes import SLEEP, SPIN, Lanes, Wait
from zsfuzz.machine.layout import MASK32, MASK64, VMEMMAP_START
from zsfuzz.machine.lists import Lists, PairAccess
from zsfuzz.machine.locks import SHRINKER_RWSEM, Locks
from zsfuzz.machine.memory import Memory
from zsfuzz.machine.report import Report
from zsfuzz.machine.slab import Slab

SLEEPING_LOCKS = ("page lock", "mem_hotplug_lock", SHRINKER_RWSEM)
"""Lock classes whose waiters sleep: they may not be waited for under a spinlock."""

WHOLE_COPY_BYTES = 256
"""A longer copy has a point in its middle."""


class LaneMemory(Memory):
    """Memory whose accesses are points."""

    def __init__(self, lanes: Lanes, page_shift: int, frames_count: int, heap_bytes: int, *, heap_above: bool) -> None:
        self._lanes = lanes
        super().__init__(page_shift, frames_count, heap_bytes, heap_above=heap_above)
        lanes.words = self.words

    def _bind(self) -> None:
        if self._lanes.recorder is not None:
            self._lanes.recorder.attach(self)
        super()._bind()
        plain_store, plain_add = self.store, self.atomic_add
        self.read_once = self._reading(self.load, points.READ_ONCE)
        self.load_acquire = self._reading(self.load, points.LOAD_ACQUIRE)
        self.load = self._reading(self.load, points.LOAD)
        self.load32 = self._reading(self.load32, points.LOAD32)
        self.load8 = self._reading(self.load8, points.LOAD8)
        self.store = self._buffered(plain_store, points.STORE, MASK64)
        self.write_once = self._buffered(plain_store, points.WRITE_ONCE, MASK64)
        self.store_release = self._buffered(plain_store, points.STORE_RELEASE, MASK64)
        self.store32 = self._buffered(self.store32, points.STORE32, MASK32)
        self.atomic_add = self._relaxed(plain_add)
        self.atomic_add_return = self._ordered(plain_add, points.ATOMIC)
        self.atomic_add32 = self._ordered(self.atomic_add32, points.ATOMIC32)
        self._bind_three(self.atomic_add_unless32, self.atomic_cmpxchg32)
        self._bind_bits(self.test_bit, self.set_bit, self.clear_bit, self.test_and_set_bit)

    def _reading(self, plain: Callable[[int], int], kind: int) -> Callable[[int], int]:
        lanes = self._lanes

        def read(address: int) -> int:
            if lanes.on:
                lanes.point(kind, address)
            return plain(address)

        return read

    def _buffered(self, plain: Callable[[int, int], None], kind: int, width: int) -> Callable[[int, int], None]:
        lanes, whole, releases = self._lanes, width == MASK64, kind == points.STORE_RELEASE

        def store(address: int, value: int) -> None:
            if lanes.on:
                lanes.point(kind, address)
                if lanes.buffering:
                    if releases:
                        lanes.barrier()
                    shift = 0 if whole else (address & 4) << 3
                    lanes.stored(self.inside(address), width << shift, value << shift)
            plain(address, value)
            if lanes.on and lanes.watch is not None:
                lanes.watch(address)

        return store

    def inside(self, address: int) -> int:
        """Return the word index of an address, 0 for one that lies nowhere: its store is about to be refused."""
        index = self.word_index(address)
        return index if 0 <= index < len(self.words) else 0

    def _relaxed(self, plain: Callable[[int, int], int]) -> Callable[[int, int], int]:
        lanes = self._lanes

        def add(address: int, delta: int) -> int:
            if lanes.on:
                lanes.point(points.RELAXED, address)
                if lanes.buffering:
                    lanes.stored(self.inside(address), MASK64, delta, add=True)
            value = plain(address, delta)
            if lanes.on and lanes.watch is not None:
                lanes.watch(address)
            return value

        return add

    def _ordered(self, plain: Callable[[int, int], int], kind: int) -> Callable[[int, int], int]:
        lanes = self._lanes

        def modify(address: int, delta: int) -> int:
            if lanes.on:
                lanes.point(kind, address)
                lanes.barrier()
            value = plain(address, delta)
            if lanes.on and lanes.watch is not None:
                lanes.watch(address)
            return value

        return modify

    def _bind_three(
        self, add_unless: Callable[[int, int, int], bool], cmpxchg: Callable[[int, int, int], bool]
    ) -> None:
        def three(plain: Callable[[int, int, int], bool]) -> Callable[[int, int, int], bool]:
            lanes = self._lanes

            def modify(address: int, first: int, second: int) -> bool:
                if lanes.on:
                    lanes.point(points.ATOMIC32, address)
                    lanes.barrier()
                done = plain(address, first, second)
                if lanes.on and lanes.watch is not None:
                    lanes.watch(address)
                return done

            return modify

        self.atomic_add_unless32, self.atomic_cmpxchg32 = three(add_unless), three(cmpxchg)

    def _bind_bits(
        self,
        test_bit: Callable[[int, int], bool],
        set_bit: Callable[[int, int], None],
        clear_bit: Callable[[int, int], None],
        test_and_set_bit: Callable[[int, int], bool],
    ) -> None:
        lanes = self._lanes

        def lane_test_bit(bit: int, address: int) -> bool:
            if lanes.on:
                lanes.point(points.TEST_BIT, address)
            return test_bit(bit, address)

        def lane_set_bit(bit: int, address: int) -> None:
            if lanes.on:
                lanes.point(points.ATOMIC_BIT, address)
                lanes.settle(self.inside(address))
            set_bit(bit, address)

        def lane_clear_bit(bit: int, address: int) -> None:
            if lanes.on:
                lanes.point(points.ATOMIC_BIT, address)
                lanes.settle(self.inside(address))
            clear_bit(bit, address)

        def lane_test_and_set_bit(bit: int, address: int) -> bool:
            if lanes.on:
                lanes.point(points.ATOMIC_BIT, address)
                lanes.barrier()
            return test_and_set_bit(bit, address)

        self.test_bit, self.set_bit, self.clear_bit = lane_test_bit, lane_set_bit, lane_clear_bit
        self.test_and_set_bit = lane_test_and_set_bit

    def filtered_store(self, check: Callable[[int], None]) -> Callable[[int, int], None]:
        """Return a store() that has every address above the direct map checked first."""
        plain = self.store

        def store(address: int, value: int) -> None:
            if address >= VMEMMAP_START:
                check(address)
            plain(address, value)

        return store

    def read_bytes(self, address: int, length: int) -> bytes:
        """Return bytes; one point, or one for each half."""
        if not self._lanes.on:
            return super().read_bytes(address, length)
        self._lanes.point(points.COPY_FROM, address)
        if length <= WHOLE_COPY_BYTES:
            return super().read_bytes(address, length)
        half = length // 16 * 8
        first = super().read_bytes(address, half)
        self._lanes.point(points.COPY_FROM, address + half)
        return first + super().read_bytes(address + half, length - half)

    def write_bytes(self, address: int, data: bytes) -> None:
        """Store bytes; one point, or one for each half."""
        if self._lanes.on:
            self._lanes.point(points.COPY_TO, address)
            self._lanes.barrier()
            if len(data) > WHOLE_COPY_BYTES:
                half = len(data) // 16 * 8
                super().write_bytes(address, data[:half])
                address, data = address + half, data[half:]
                self._lanes.point(points.COPY_TO, address)
        super().write_bytes(address, data)

    def memcpy(self, target: int, source: int, length: int) -> None:
        """Copy bytes; one point, or one for each half."""
        if self._lanes.on:
            self._lanes.point(points.COPY_TO, target)
            self._lanes.barrier()
            if length > WHOLE_COPY_BYTES:
                half = length // 16 * 8
                super().memcpy(target, source, half)
                target, source, length = target + half, source + half, length - half
                self._lanes.point(points.COPY_FROM, source)
        super().memcpy(target, source, length)


class LaneLocks(Locks):
    """Locks that are waited for: the lane is parked until the lock is released."""

    def __init__(self, memory: Memory, lanes: Lanes) -> None:
        super().__init__(memory)
        self._lanes = lanes

    def hold(self, name: str, address: int, *, may_wait: bool) -> None:
        """Note that a lock was taken."""
        super().hold(name, address, may_wait=may_wait)
        observer = self._lanes.observer
        if observer is not None and self._lanes.on:
            observer.acquired(self._lanes.current, name, address)

    def release(self, name: str, address: int) -> None:
        """Note that a lock is released; nobody can come in between this and the store that does it."""
        super().release(name, address)
        observer = self._lanes.observer
        if observer is not None and self._lanes.on:
            observer.released(self._lanes.current, name, address)

    def _new_edge(self, earlier: str, later: str) -> None:
        self._lanes.note("lock order", 0)
        super()._new_edge(earlier, later)

    def _may_sleep(self, name: str) -> None:
        spinning = next((held for held, _ in self.held if held not in SLEEPING_LOCKS), "")
        if spinning:
            text = f"may sleep for {name} while holding the spinlock {spinning}"
            raise Report("invariant", "sleeping in atomic context", name, text)

    def _acquire(self, name: str, address: int, taken: int, bit: int) -> int:
        """Wait until no bit of `taken` is set in a word. Returns its index; the caller takes it in the same step."""
        lanes = self._lanes
        if name in SLEEPING_LOCKS:
            self._may_sleep(name)
        lanes.point(points.LOCK, address)
        lanes.barrier()
        while True:
            at = self._at(address)
            if not self._words[at] & taken:
                return at
            if any(word == address and held == name for held, word in self.held):
                self.blocked(name, address)
            lanes.park(Wait(SLEEP if name in SLEEPING_LOCKS else SPIN, name, ("lock", address, bit)))

    def _attempt(self, address: int) -> None:
        if self._lanes.on:
            self._lanes.point(points.TRYLOCK, address)
            self._lanes.barrier()

    def _let_go(self, address: int) -> None:
        if self._lanes.on:
            self._lanes.point(points.UNLOCK, address)
            self._lanes.barrier()

    def _wake(self, address: int, bit: int) -> None:
        if self._lanes.on:
            self._lanes.wake(("lock", address, bit))

    # -- spinlock_t

    def spin_lock(self, address: int, name: str) -> None:
        """Take a spinlock."""
        if self._lanes.on:
            self._acquire(name, address, MASK64, 0)
        super().spin_lock(address, name)

    def spin_trylock(self, address: int, name: str) -> bool:
        """Take a spinlock if it is free."""
        self._attempt(address)
        return super().spin_trylock(address, name)

    def spin_unlock(self, address: int, name: str) -> None:
        """Release a spinlock."""
        self._let_go(address)
        super().spin_unlock(address, name)
        self._wake(address, 0)

    # -- rwlock_t

    def read_lock(self, address: int, name: str) -> None:
        """Take a reader-writer lock for reading."""
        if self._lanes.on:
            self._acquire(name, address, 1 << 32, 0)
        super().read_lock(address, name)

    def read_unlock(self, address: int, name: str) -> None:
        """Release a reader."""
        self._let_go(address)
        super().read_unlock(address, name)
        self._wake(address, 0)

    def write_lock(self, address: int, name: str) -> None:
        """Take a reader-writer lock for writing."""
        if self._lanes.on:
            self._acquire(name, address, MASK64, 0)
        super().write_lock(address, name)

    def write_trylock(self, address: int, name: str) -> bool:
        """Take a reader-writer lock for writing if nobody has it."""
        self._attempt(address)
        return super().write_trylock(address, name)

    def write_unlock(self, address: int, name: str) -> None:
        """Release the writer."""
        self._let_go(address)
        super().write_unlock(address, name)
        self._wake(address, 0)

    # -- bit locks

    def bit_spin_lock(self, bit: int, address: int, name: str) -> None:
        """Take a bit of a word as a lock."""
        if self._lanes.on:
            self._acquire(name, address, 1 << bit, bit)
        super().bit_spin_lock(bit, address, name)

    def bit_spin_trylock(self, bit: int, address: int, name: str) -> bool:
        """Take a bit of a word if it is clear."""
        self._attempt(address)
        return super().bit_spin_trylock(bit, address, name)

    def bit_spin_unlock(self, bit: int, address: int, name: str) -> None:
        """Release a bit lock."""
        self._let_go(address)
        super().bit_spin_unlock(bit, address, name)
        self._wake(address, bit)

    def bit_spin_is_locked(self, bit: int, address: int) -> bool:
        """Return whether anybody has the bit."""
        if self._lanes.on:
            self._lanes.point(points.TEST_BIT, address)
        return super().bit_spin_is_locked(bit, address)

    def wait_on_bit(self, bit: int, address: int, name: str) -> None:
        """Wait until a bit lock is free, without taking it."""
        if self._lanes.on:
            self._acquire(name, address, 1 << bit, bit)
        else:
            super().wait_on_bit(bit, address, name)


class LaneLists(Lists):
    """Lists whose operations are one point each."""

    def __init__(self, memory: PairAccess, lanes: Lanes) -> None:
        super().__init__(memory)
        self._lanes = lanes

    def _point(self, kind: int, address: int) -> None:
        if self._lanes.on:
            self._lanes.point(kind, address)
            self._lanes.barrier()

    def INIT_LIST_HEAD(self, head: int) -> None:
        """Make an empty list."""
        self._point(points.LIST_WRITE, head)
        super().INIT_LIST_HEAD(head)

    def list_add(self, new: int, head: int) -> None:
        """Insert right after `head`."""
        self._point(points.LIST_WRITE, head)
        super().list_add(new, head)

    def list_add_tail(self, new: int, head: int) -> None:
        """Insert right before `head`."""
        self._point(points.LIST_WRITE, head)
        super().list_add_tail(new, head)

    def list_del(self, entry: int) -> None:
        """Unlink and poison."""
        self._point(points.LIST_WRITE, entry)
        super().list_del(entry)

    def list_del_init(self, entry: int) -> None:
        """Unlink and leave an empty list."""
        self._point(points.LIST_WRITE, entry)
        super().list_del_init(entry)

    def list_splice_init(self, source: int, target: int) -> None:
        """Move all entries of `source` to the front of `target`."""
        self._point(points.LIST_WRITE, source)
        super().list_splice_init(source, target)


class LaneSlab(Slab):
    """A slab allocator each of whose calls is one step."""

    def __init__(self, lanes: Lanes, memory: Memory, failure: FailureInjection, *, quarantine: bool) -> None:
        self._lanes = lanes
        super().__init__(memory, failure, quarantine=quarantine)

    def kmem_cache_create(self, name: str, size_bytes: int, align: int = 8, *, typesafe_by_rcu: bool = False) -> int:
        """Return a new cache; slab_mutex makes it one step."""
        if self._lanes.on:
            self._lanes.point(points.ALLOC, 0)
            self._lanes.barrier()
        return super().kmem_cache_create(name, size_bytes, align, typesafe_by_rcu=typesafe_by_rcu)

    def kmem_cache_destroy(self, cache: int) -> None:
        """Give a cache up; slab_mutex makes it one step."""
        if self._lanes.on:
            self._lanes.point(points.FREE, cache)
            self._lanes.barrier()
        super().kmem_cache_destroy(cache)

    def kmem_cache_alloc(self, cache: int) -> int:
        """Return an object, or 0."""
        if self._lanes.on:
            self._lanes.point(points.ALLOC, cache)
            self._lanes.barrier()
        address = super().kmem_cache_alloc(cache)
        self._lanes.current.refused += not address
        return address

    def kmem_cache_free(self, cache: int, address: int) -> None:
        """Give an object back."""
        if self._lanes.on:
            self._lanes.point(points.FREE, cache)
            self._lanes.barrier()
        super().kmem_cache_free(cache, address)


class LaneBuddy(Buddy):
    """A page allocator each of whose calls is one step, taken while nobody else holds zone->lock."""

    def __init__(
        self,
        lanes: Lanes,
        locks: Locks,
        memory: Memory,
        slab: Slab,
        failure: FailureInjection,
        geometry: Geometry,
        zone_pages: tuple[int, int],
    ) -> None:
        self._lanes, self._locks = lanes, locks
        self.zone_locks: tuple[tuple[str, int], ...] = ()
        super().__init__(memory, slab, failure, geometry, zone_pages)

    def _enter_zones(self, kind: int) -> None:
        """Wait until no other lane holds a zone->lock: then the free lists are this lane's until its next point."""
        locks, lanes = self._locks, self._lanes
        lanes.point(kind, self._heads)
        lanes.barrier()
        waiting = True
        while waiting:
            waiting = False
            for name, address in self.zone_locks:
                if self._words[self._memory.word_index(address)] and (name, address) not in locks.held:
                    lanes.park(Wait(SPIN, name, ("lock", address, 0)))
                    waiting = True
        for name, address in self.zone_locks[:1]:
            locks.hold(name, address, may_wait=True)  # for the lock order
            locks.release(name, address)

    def alloc_pages(self, gfp: int, order: int, *, compound: bool = False) -> int:
        """Return the first page of 2**order frames, or 0."""
        if self._lanes.on:
            self._enter_zones(points.ALLOC)
        with self._lanes.quietly():
            page = super().alloc_pages(gfp, order, compound=compound)
        self._lanes.current.refused += not page
        return page

    def free_unref_page(self, page: int, order: int = 0) -> None:
        """Free a block whose _refcount is zero."""
        if not self._lanes.on:
            super().free_unref_page(page, order)
            return
        self._enter_zones(points.FREE)
        with self._lanes.quietly():
            super().free_unref_page(page, order)

    def mod_zone_page_state(self, zone: int, item: int, delta: int) -> None:
        """Add to a per-zone counter."""
        if self._lanes.on:
            self._lanes.point(points.ZONE, self._vmstat + zone + item)
        super().mod_zone_page_state(zone, item, delta)
