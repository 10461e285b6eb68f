"""Machine: one simulated computer, assembled from its parts.

In:    a MachineConfig; the class of descriptor rules that the target brings.
Out:   Machine, for the core and the harness; Kernel, the flat set of primitives that a target may call.
Never: an allocator under test, a clock, a global.
Next:  memory.py, locks.py, lists.py, slab.py, buddy.py and descriptor.py beside this file; what the core does with
       pages in zsfuzz/machine/core/migrate.py; the protocol a target follows in zsfuzz/target/protocol.py.

Everything that changes lies in the arena, so that snapshot() and restore() are one copy. Functions that the arena
refers to (work functions, address space operations) are registered once, when the target is made, and named by number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from zsfuzz.machine.buddy import Buddy
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.failure import FailureInjection
from zsfuzz.machine.geometry import Geometry
from zsfuzz.machine.layout import PAGE_OFFSET, STRUCT_PAGE_SIZE, VMEMMAP_START
from zsfuzz.machine.lists import Lists
from zsfuzz.machine.locks import Locks
from zsfuzz.machine.memory import Memory, Snapshot
from zsfuzz.machine.report import Report
from zsfuzz.machine.slab import Slab

MAX_PENDING_WORK: Final = 16
MAX_SHRINKERS: Final = 16
LIVELOCK_ROUNDS_PER_PAGE: Final = 4  # a loop over a pool's zspages that goes round more often makes no progress
WORK_STRUCT_BYTES: Final = 16  # [pending, function number]
_WORK_FUNCTION: Final = 8
_AOPS: Final = 8
_ADDRESS_SPACE_BYTES: Final = 16  # [private_data, a_ops number]


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """What a machine is made from. Counts are in pages, heap_bytes in bytes."""

    geometry: Geometry
    normal_pages: int
    movable_pages: int
    heap_bytes: int
    switches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddressSpaceOperations:
    """struct address_space_operations, the three callbacks of a movable page."""

    isolate_page: Callable[[int, int], bool]
    migratepage: Callable[[int, int, int, int], int]
    putback_page: Callable[[int], None]


class Machine:
    """One computer. rules: the Descriptor class that the core looks at pages with."""

    def __init__(self, config: MachineConfig, rules: type[Descriptor] = Descriptor) -> None:
        self.config = config
        self.geometry = config.geometry
        self.page_size = config.geometry.page_size
        self.switches = frozenset(config.switches)
        self.memory = Memory(
            config.geometry.page_shift,
            config.normal_pages + config.movable_pages,
            config.heap_bytes,
            heap_above="heap_above_memmap" in self.switches,
        )
        memory = self.memory
        self.load, self.store = memory.load, memory.store
        self.load32, self.store32, self.load8 = memory.load32, memory.store32, memory.load8
        self.atomic_add, self.atomic_add32 = memory.atomic_add, memory.atomic_add32
        self.atomic_cmpxchg32 = memory.atomic_cmpxchg32
        self.test_bit, self.set_bit, self.clear_bit = memory.test_bit, memory.set_bit, memory.clear_bit
        self.test_and_set_bit = memory.test_and_set_bit
        self.failure = FailureInjection()
        self.locks = Locks(memory)
        self.lists = Lists(memory)
        self.slab = Slab(memory, self.failure, quarantine="no_quarantine" not in self.switches)
        self.buddy = Buddy(
            memory, self.slab, self.failure, config.geometry, (config.normal_pages, config.movable_pages)
        )
        self.d = rules(self)
        self._work = self.slab.core_alloc(1 + MAX_PENDING_WORK)
        self._shrinkers = self.slab.core_alloc(1 + MAX_SHRINKERS)
        self._work_functions: list[Callable[[int], None]] = []
        self._aops: list[AddressSpaceOperations] = []

    def BUG(self, rule: str, field: str, message: str) -> NoReturn:
        """BUG(), VM_BUG_ON(), WARN_ON(): raise a Report. rule: the condition as the kernel writes it."""
        raise Report("bug", rule, field, message)

    # -- pages and frames

    def kmap(self, page: int) -> int:
        """Return the direct-map address of a page's frame. Errors: Report outside the memmap."""
        return PAGE_OFFSET + (self.buddy.checked_pfn(page, "kmap") << self.geometry.page_shift)

    def pfn_to_online_page(self, pfn: int) -> int:
        """Return the struct page of a frame in an online section, 0 otherwise."""
        if not 0 <= pfn < self.buddy.pages_count or not self.buddy.section_online(pfn):
            return 0
        return VMEMMAP_START + pfn * STRUCT_PAGE_SIZE

    # -- work

    def register_work_function(self, function: Callable[[int], None]) -> int:
        """Return the number of a work function; it is called with the address of its work_struct."""
        self._work_functions.append(function)
        return len(self._work_functions) - 1

    def INIT_WORK(self, work: int, function_number: int) -> None:
        """Initialise a work_struct (WORK_STRUCT_BYTES long)."""
        self.store(work, 0)
        self.store(work + _WORK_FUNCTION, function_number)

    def schedule_work(self, work: int) -> bool:
        """Queue a work item unless it is queued already. Source: kernel/workqueue.c, v5.10."""
        if self.load(work):
            return False
        count = self.load(self._work)
        if count >= MAX_PENDING_WORK:
            raise Report("bug", "work queue overflow", "", "more work items pending than pools can have")
        self.store(work, 1)
        self.store(self._work + 8 + count * 8, work)
        self.store(self._work, count + 1)
        return True

    def pending_work(self) -> list[int]:
        """Return the addresses of the queued work items, oldest first."""
        return [self.load(self._work + 8 + number * 8) for number in range(self.load(self._work))]

    @property
    def has_pending_work(self) -> bool:
        """Return whether anything is queued."""
        return self.load(self._work) != 0

    def _dequeue(self, work: int) -> None:
        left = [pending for pending in self.pending_work() if pending != work]
        for number, pending in enumerate(left):
            self.store(self._work + 8 + number * 8, pending)
        self.store(self._work, len(left))
        self.store(work, 0)

    def run_work(self) -> int:
        """Run every item that is queued now, once. Returns how many ran."""
        queued = self.pending_work()
        for work in queued:
            self._dequeue(work)
            self._work_functions[self.load(work + _WORK_FUNCTION)](work)
        return len(queued)

    def flush_work(self, work: int) -> bool:
        """Run one item if it is queued."""
        if not self.load(work):
            return False
        self._dequeue(work)
        self._work_functions[self.load(work + _WORK_FUNCTION)](work)
        return True

    # -- shrinkers

    def register_shrinker(self, shrinker: int) -> None:
        """Note a shrinker by an address of its owner."""
        count = self.load(self._shrinkers)
        self.store(self._shrinkers + 8 + count * 8, shrinker)
        self.store(self._shrinkers, count + 1)

    def unregister_shrinker(self, shrinker: int) -> None:
        """Forget a shrinker. Errors: Report for one that is not registered."""
        registered = self.registered_shrinkers()
        if shrinker not in registered:
            raise Report("bug", "unregister of an unknown shrinker", "", "unregister_shrinker() of none")
        registered.remove(shrinker)
        for number, address in enumerate(registered):
            self.store(self._shrinkers + 8 + number * 8, address)
        self.store(self._shrinkers, len(registered))

    def registered_shrinkers(self) -> list[int]:
        """Return the addresses of the registered shrinkers."""
        return [self.load(self._shrinkers + 8 + number * 8) for number in range(self.load(self._shrinkers))]

    # -- address spaces and waiting

    def register_address_space_operations(self, operations: AddressSpaceOperations) -> int:
        """Return the number of a set of callbacks."""
        self._aops.append(operations)
        return len(self._aops) - 1

    def alloc_address_space(self, private_data: int, operations_number: int) -> int:
        """Return the mapping of a new pseudo inode, 0 under memory pressure. Source: alloc_anon_inode()."""
        mapping = self.slab.kzalloc(_ADDRESS_SPACE_BYTES)
        if mapping:
            self.store(mapping, private_data)
            self.store(mapping + _AOPS, operations_number)
        return mapping

    def iput(self, mapping: int) -> None:
        """Drop the pseudo inode with its mapping."""
        self.slab.kfree(mapping, _ADDRESS_SPACE_BYTES)

    def mapping_private_data(self, mapping: int) -> int:
        """Return mapping->private_data."""
        return self.load(mapping)

    def mapping_operations(self, mapping: int) -> AddressSpaceOperations:
        """Return mapping->a_ops. Errors: Report for a word that names none."""
        number = self.load(mapping + _AOPS)
        if number >= len(self._aops):
            raise Report("memory", "wild call", "a_ops", f"a_ops of {self.memory.describe(mapping)} is no table")
        return self._aops[number]

    def wait_event(self, condition: Callable[[], bool], name: str) -> None:
        """Sleep until a condition holds. In one lane nobody else can make it true: a deadlock."""
        if not condition():
            raise Report("progress", "deadlock: wait_event", name, f"waits for ever for {name}")

    def wake_up_all(self, queue: int) -> None:
        """Wake the sleepers of a wait queue head: nobody sleeps in one lane, the queue is only touched."""
        self.load(queue)

    # -- snapshots

    @property
    def is_quiescent(self) -> bool:
        """Return whether no lock is held: only then may a snapshot be taken."""
        return not self.locks.held and not self.failure.armed

    def snapshot(self) -> Snapshot:
        """Return a copy of all state. Errors: Report when a lock is held."""
        if not self.is_quiescent:
            raise Report("bug", "snapshot while busy", "", "a snapshot was asked for while locks are held")
        return self.memory.snapshot()

    def restore(self, saved: Snapshot) -> None:
        """Put a snapshot back."""
        self.memory.restore(saved)
        self.locks.held.clear()
        self.locks.acquired_count = 0
        self.failure.disarm()


class Kernel:
    """What a target may call: the machine's primitives, flat, its own stores to struct pages filtered.

    page_words: byte offsets of the struct page words that the design may write by itself; None for all of them.
    A store to any other word of the memmap is a Report: that is how "stores nothing but compound_head" is checked.
    """

    def __init__(self, machine: Machine, page_words: frozenset[int] | None) -> None:
        self.machine = machine
        self.page_size = machine.page_size
        self.page_shift = machine.geometry.page_shift
        self.size_classes = machine.geometry.size_classes
        self.compaction_enabled = "no_compaction" not in machine.switches
        self._page_words = page_words
        self._memmap_end = VMEMMAP_START + machine.memory.memmap_bytes
        memory, locks = machine.memory, machine.locks
        self.d = machine.d
        self.BUG = machine.BUG
        self.load, self.load32, self.load8 = memory.load, memory.load32, memory.load8
        self.read_once = self.load_acquire = memory.load
        self.test_bit = memory.test_bit
        self.read_bytes, self.memcpy = memory.read_bytes, memory.memcpy
        self.write_bytes, self.memset = memory.write_bytes, memory.memset
        self.store = memory.store if page_words is None else memory.filtered_store(self._check_page_word)
        self.write_once = self.store_release = self.store
        self.store32 = self._filtered(memory.store32)
        self.atomic_add = self._filtered_value(memory.atomic_add)
        self.atomic_add32 = self._filtered_value(memory.atomic_add32)
        self.set_bit = self._filtered_bit(memory.set_bit)
        self.clear_bit = self._filtered_bit(memory.clear_bit)
        self.words, self.pair_index = memory.words, memory.pair_index
        self.fresh_pair_index = self._filtered_index(memory.fresh_pair_index)
        lists = Lists(self)
        self.INIT_LIST_HEAD, self.list_add, self.list_add_tail = (
            lists.INIT_LIST_HEAD,
            lists.list_add,
            lists.list_add_tail,
        )
        self.list_del, self.list_del_init, self.list_empty = (
            lists.list_del,
            lists.list_del_init,
            lists.list_empty,
        )
        self.list_first, self.list_splice_init = lists.list_first, lists.list_splice_init
        self.list_entries = lists.list_entries
        self._bind_locks(locks)
        self._bind_core(machine)

    def _bind_locks(self, locks: Locks) -> None:
        self.spin_lock, self.spin_trylock, self.spin_unlock = (
            locks.spin_lock,
            locks.spin_trylock,
            locks.spin_unlock,
        )
        self.read_lock, self.read_unlock = locks.read_lock, locks.read_unlock
        self.write_lock, self.write_trylock, self.write_unlock = (
            locks.write_lock,
            locks.write_trylock,
            locks.write_unlock,
        )
        self.bit_spin_lock, self.bit_spin_trylock = locks.bit_spin_lock, locks.bit_spin_trylock
        self.bit_spin_unlock, self.bit_spin_is_locked = locks.bit_spin_unlock, locks.bit_spin_is_locked

    def _bind_core(self, machine: Machine) -> None:
        slab, buddy = machine.slab, machine.buddy
        self.kmem_cache_create, self.kmem_cache_destroy = slab.kmem_cache_create, slab.kmem_cache_destroy
        self.kmem_cache_alloc, self.kmem_cache_free = slab.kmem_cache_alloc, slab.kmem_cache_free
        self.kmalloc, self.kzalloc, self.kfree = slab.kmalloc, slab.kzalloc, slab.kfree
        self.alloc_page = buddy.alloc_page
        self.mod_zone_page_state = buddy.mod_zone_page_state
        self.pfn_to_page, self.page_to_pfn = buddy.pfn_to_page, buddy.page_to_pfn
        self.kmap = machine.kmap
        self.INIT_WORK, self.schedule_work, self.flush_work = (
            machine.INIT_WORK,
            machine.schedule_work,
            machine.flush_work,
        )
        self.register_work_function = machine.register_work_function
        self.register_shrinker, self.unregister_shrinker = (
            machine.register_shrinker,
            machine.unregister_shrinker,
        )
        self.register_address_space_operations = machine.register_address_space_operations
        self.alloc_address_space, self.iput = machine.alloc_address_space, machine.iput
        self.mapping_private_data = machine.mapping_private_data
        self.wait_event, self.wake_up_all = machine.wait_event, machine.wake_up_all

    def smp_mb(self) -> None:
        """Full barrier."""

    def smp_wmb(self) -> None:
        """Write barrier."""

    def cond_resched(self, rounds: int) -> None:
        """Let others run. rounds: how often the calling loop has come here, from 1.

        Errors: Report for a loop that comes here more often than there is anything left to do.
        """
        if rounds > LIVELOCK_ROUNDS_PER_PAGE * self.machine.buddy.pages_count:
            raise Report("progress", "livelock", "cond_resched", f"a loop without progress: {rounds} rounds")

    def _check_page_word(self, address: int) -> None:
        if VMEMMAP_START <= address < self._memmap_end and self._page_words is not None:
            offset = address % STRUCT_PAGE_SIZE
            if offset not in self._page_words:
                raise Report(
                    "contract",
                    "store to a foreign struct page word",
                    f"+{offset}",
                    f"the design may not store to {self.machine.memory.describe(address)}",
                )

    def _filtered(self, plain: Callable[[int, int], None]) -> Callable[[int, int], None]:
        if self._page_words is None:
            return plain
        check = self._check_page_word

        def store(address: int, value: int) -> None:
            if address >= VMEMMAP_START:
                check(address)
            plain(address, value)

        return store

    def _filtered_index(self, plain: Callable[[int], int]) -> Callable[[int], int]:
        def index(address: int) -> int:
            self._check_page_word(address)
            return plain(address)

        return plain if self._page_words is None else index

    def _filtered_value(self, plain: Callable[[int, int], int]) -> Callable[[int, int], int]:
        def modify(address: int, value: int) -> int:
            self._check_page_word(address)
            return plain(address, value)

        return plain if self._page_words is None else modify

    def _filtered_bit(self, plain: Callable[[int, int], None]) -> Callable[[int, int], None]:
        def modify(bit: int, address: int) -> None:
            self._check_page_word(address)
            plain(bit, address)

        return plain if self._page_words is None else modify
