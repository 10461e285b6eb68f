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
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, NoReturn

from zsfuzz.machine import points
from zsfuzz.machine.buddy import Buddy
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.failure import FailureInjection
from zsfuzz.machine.geometry import Geometry
from zsfuzz.machine.lanes import SLEEP, Lane, Lanes, Wait
from zsfuzz.machine.layout import PAGE_OFFSET, STRUCT_PAGE_SIZE, VMEMMAP_START
from zsfuzz.machine.lists import Lists, PairAccess
from zsfuzz.machine.locks import SHRINKER_RWSEM, Locks
from zsfuzz.machine.memory import Memory, Snapshot
from zsfuzz.machine.preemption import LaneBuddy, LaneLists, LaneLocks, LaneMemory, LaneSlab
from zsfuzz.machine.report import Report
from zsfuzz.machine.slab import Slab
from zsfuzz.program.ops import MAX_LANES

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

    def __init__(self, config: MachineConfig, rules: type[Descriptor] = Descriptor, lanes: Lanes | None = None) -> None:
        """lanes: for a machine on which lanes can run; its primitives are slower."""
        self.config = config
        self.lanes = lanes
        self.geometry = config.geometry
        self.page_size = config.geometry.page_size
        self.switches = frozenset(config.switches)
        self.failure = FailureInjection()
        self._make_parts()
        memory = self.memory
        self.load, self.store = memory.load, memory.store
        self.load32, self.store32, self.load8 = memory.load32, memory.store32, memory.load8
        self.atomic_add, self.atomic_add32 = memory.atomic_add, memory.atomic_add32
        self.atomic_add_unless32, self.atomic_cmpxchg32 = memory.atomic_add_unless32, memory.atomic_cmpxchg32
        self.test_bit, self.set_bit, self.clear_bit = memory.test_bit, memory.set_bit, memory.clear_bit
        self.test_and_set_bit = memory.test_and_set_bit
        self.d = rules(self)
        self._work = self.slab.core_alloc(1 + MAX_PENDING_WORK)
        self._shrinkers = self.slab.core_alloc(1 + MAX_SHRINKERS)
        self.shrinker_rwsem = self.slab.core_alloc(1)
        self._work_functions: list[Callable[[int], None]] = []
        self.running_work: list[int] = []
        self._aops: list[AddressSpaceOperations] = []

    def _make_parts(self) -> None:
        config, lanes, above = self.config, self.lanes, "heap_above_memmap" in self.switches
        shape = (config.geometry.page_shift, config.normal_pages + config.movable_pages, config.heap_bytes)
        zones = (config.normal_pages, config.movable_pages)
        quarantine = "no_quarantine" not in self.switches
        if lanes is None:
            self.memory = Memory(*shape, heap_above=above)
            self.locks = Locks(self.memory)
            self.slab = Slab(self.memory, self.failure, quarantine=quarantine)
            self.buddy = Buddy(self.memory, self.slab, self.failure, config.geometry, zones)
        else:
            self.memory = LaneMemory(lanes, *shape, heap_above=above)
            self.locks = LaneLocks(self.memory, lanes)
            self.slab = LaneSlab(lanes, self.memory, self.failure, quarantine=quarantine)
            self.buddy = LaneBuddy(lanes, self.locks, self.memory, self.slab, self.failure, config.geometry, zones)
            lanes.on_enter = self._lane_entered
        self.lists = self.lists_over(self.memory)

    def lists_over(self, access: PairAccess) -> Lists:
        """Return the list operations over somebody's view of the memory."""
        return Lists(access) if self.lanes is None else LaneLists(access, self.lanes)

    def _lane_entered(self, lane: Lane) -> None:
        """What belongs to a CPU is the lane's now: its locks, its failures."""
        self.locks.held = lane.held
        self.failure.exchange(lane.armed)

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
        with self._one_step(work):
            if self.load(work):
                return False
            count = self.load(self._work)
            if count >= MAX_PENDING_WORK:
                raise Report("bug", "work queue overflow", "", "more work items pending than pools can have")
            self.store(work, 1)
            self.store(self._work + 8 + count * 8, work)
            self.store(self._work, count + 1)
            return True

    def _one_step(self, address: int) -> AbstractContextManager[None]:
        """A point, then no other until the end of the with block."""
        if not self._lanes_run():
            return nullcontext()
        self.current_lanes.point(points.WORK, address)
        self.current_lanes.barrier()
        return self.current_lanes.quietly()

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
        with self._one_step(self._work):
            queued = self.pending_work()
        return sum(1 for work in queued if self._run_one(work))

    def _run_one(self, work: int) -> bool:
        """Run an item if it is queued, after whoever runs it now: no item runs twice at once."""
        if self.lanes is not None:
            self._wait_for_work(work)
        with self._one_step(work):
            queued = work in self.pending_work()
            if queued:
                self._dequeue(work)
        if not queued:
            return False
        self._note_work(work)
        self.running_work.append(work)
        self._work_functions[self.load(work + _WORK_FUNCTION)](work)
        self.running_work.remove(work)
        self._note_work(work)
        if self._lanes_run():
            self.current_lanes.wake(("work", work, 0))
        return True

    def _wait_for_work(self, work: int) -> None:
        while self._is_running(work):
            self.current_lanes.park(Wait(SLEEP, "work item", ("work", work, 0)))

    def _is_running(self, work: int) -> bool:
        self._note_work(work)
        return work in self.running_work

    def _note_work(self, work: int) -> None:
        if self._lanes_run():
            self.current_lanes.note("work", work)

    def flush_work(self, work: int) -> bool:
        """Run one item if it is queued; wait for whoever runs it now."""
        return self._run_one(work)

    # -- shrinkers

    def register_shrinker(self, shrinker: int) -> None:
        """Note a shrinker by an address of its owner."""
        self.locks.write_lock(self.shrinker_rwsem, SHRINKER_RWSEM)
        count = self.load(self._shrinkers)
        self.store(self._shrinkers + 8 + count * 8, shrinker)
        self.store(self._shrinkers, count + 1)
        self.locks.write_unlock(self.shrinker_rwsem, SHRINKER_RWSEM)

    def unregister_shrinker(self, shrinker: int) -> None:
        """Forget a shrinker, once no shrinker runs. Errors: Report for one that is not registered."""
        self.locks.write_lock(self.shrinker_rwsem, SHRINKER_RWSEM)
        registered = self.registered_shrinkers()
        if shrinker not in registered:
            raise Report("bug", "unregister of an unknown shrinker", "", "unregister_shrinker() of none")
        registered.remove(shrinker)
        for number, address in enumerate(registered):
            self.store(self._shrinkers + 8 + number * 8, address)
        self.store(self._shrinkers, len(registered))
        self.locks.write_unlock(self.shrinker_rwsem, SHRINKER_RWSEM)

    def run_shrinker(self, act: Callable[[], int]) -> int:
        """Return what a shrinker's callback returns: none is unregistered meanwhile. Source: shrink_slab()."""
        self.locks.read_lock(self.shrinker_rwsem, SHRINKER_RWSEM)
        result = act()
        self.locks.read_unlock(self.shrinker_rwsem, SHRINKER_RWSEM)
        return result

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

    def wait_event(self, queue: int, condition: Callable[[], bool], name: str) -> None:
        """Sleep until a condition holds; looked at again after each wake_up_all(queue). name: for reports.

        Errors: Report for a deadlock: in one lane nobody else can make it true.
        """
        if self._lanes_run():
            self.current_lanes.sleep_on(queue, condition, name)
        elif not condition():
            raise Report("progress", "deadlock: wait_event", name, f"waits for ever for {name}")

    def wake_up_all(self, queue: int) -> None:
        """Wake the sleepers of a wait queue head: in one lane nobody sleeps, the queue is only touched."""
        if self._lanes_run():
            self.current_lanes.wake_queue(queue)
        else:
            self.load(queue)

    def spin_until(self, condition: Callable[[], bool], name: str) -> None:
        """Try again with cpu_relax() in between until a condition holds. name: for reports.

        Errors: Report when nobody is left who could make it true.
        """
        while not condition():
            if not self.relax():
                raise Report("progress", "deadlock: spins for ever", name, f"waits for ever for {name}")

    def relax(self) -> bool:
        """cpu_relax(), cond_resched(). Returns False when there is no other lane that can run."""
        return self._lanes_run() and self.current_lanes.relax()

    def barrier(self) -> None:
        """smp_mb()."""
        if self._lanes_run():
            self.current_lanes.barrier()

    def _lanes_run(self) -> bool:
        return self.lanes is not None and self.lanes.on

    @property
    def current_lanes(self) -> Lanes:
        """Return the scheduler. Errors: RuntimeError on a machine without lanes."""
        if self.lanes is None:
            raise RuntimeError("this machine was made without lanes")
        return self.lanes

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
        self.running_work.clear()
        self.locks.held = []
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
        self.nr_cpus = 1 if machine.lanes is None else MAX_LANES
        self._page_words = page_words
        self._memmap_end = VMEMMAP_START + machine.memory.memmap_bytes
        memory, locks = machine.memory, machine.locks
        self.d = machine.d
        self.BUG = machine.BUG
        self.load, self.load32, self.load8 = memory.load, memory.load32, memory.load8
        self.read_once, self.load_acquire = memory.read_once, memory.load_acquire
        self.test_bit = memory.test_bit
        self.read_bytes, self.memcpy = memory.read_bytes, memory.memcpy
        self.write_bytes, self.memset = memory.write_bytes, memory.memset
        self.store = memory.store if page_words is None else memory.filtered_store(self._check_page_word)
        if machine.lanes is None:
            self.write_once = self.store_release = self.store
        else:
            self.write_once, self.store_release = (
                self._filtered(memory.write_once),
                self._filtered(memory.store_release),
            )
        self.store32 = self._filtered(memory.store32)
        self.atomic_add = self._filtered_value(memory.atomic_add)
        self.atomic_add_return = self._filtered_value(memory.atomic_add_return)
        self.atomic_add32 = self._filtered_value(memory.atomic_add32)
        self.set_bit = self._filtered_bit(memory.set_bit)
        self.clear_bit = self._filtered_bit(memory.clear_bit)
        self.words, self.pair_index = memory.words, memory.pair_index
        self.fresh_pair_index = self._filtered_index(memory.fresh_pair_index)
        lists = machine.lists_over(self)
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
        self.spin_until = machine.spin_until

    def smp_processor_id(self) -> int:
        """Return the CPU that asks: the number of its lane, 0 where no lanes run. Below nr_cpus."""
        lanes = self.machine.lanes
        return lanes.current.number if lanes is not None and lanes.on else 0

    def smp_mb(self) -> None:
        """Full barrier."""
        self.machine.barrier()

    def smp_wmb(self) -> None:
        """Write barrier."""
        self.machine.barrier()

    def cond_resched(self, rounds: int) -> None:
        """Let others run. rounds: how often the calling loop has come here, from 1.

        Errors: Report for a loop that comes here more often than there is anything left to do.
        """
        self.machine.relax()
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
