"""Locks: spinlocks, reader-writer locks and bit locks over arena words, with the lock-order graph.

In:    the address of the lock word and the name of its lock class.
Out:   acquire, try and release; a Report for a deadlock, a bad release or a cycle in the order.
Never: waits. In one lane a lock that is taken cannot be waited for: that is a deadlock.
Next:  page locks, which use hold() and release() too, in zsfuzz/machine/descriptor.py.

Lock classes are names ("class->lock"), as lockdep's keys are. A trylock adds no edge into its class, since
it cannot wait; what is acquired under it does. The order graph is knowledge about code, not machine state, and is no
part of a snapshot. zsfuzz/execute/side.py takes it back to boot all the same: a run must not find what only the runs
before it can explain.
"""

from __future__ import annotations

from zsfuzz.machine.memory import Memory
from zsfuzz.machine.report import Report

SHRINKER_RWSEM = "shrinker_rwsem"

_WRITER = 1 << 32  # rwlock word: readers below, writer bit above


class Locks:
    """Every lock of one machine. held: (class, address) of this lane, oldest first."""

    def __init__(self, memory: Memory) -> None:
        self._words = memory.words
        self._at = memory.lock_index
        self.held: list[tuple[str, int]] = []
        self.order: dict[str, dict[str, None]] = {}
        self.acquired_count = 0

    # -- what every lock shares

    def hold(self, name: str, address: int, *, may_wait: bool) -> None:
        """Note that a lock was taken, and check its place in the order."""
        held = self.held
        if held and may_wait:
            for earlier, _ in held:
                after = self.order.get(earlier)
                if (after is None or name not in after) and earlier != name:
                    self._new_edge(earlier, name)
        held.append((name, address))
        self.acquired_count += 1

    def release(self, name: str, address: int) -> None:
        """Note that a lock was released. Errors: Report when this lane did not take it through that word."""
        held = self.held
        if held and held[-1] == (name, address):
            held.pop()
            return
        for position in range(len(held) - 2, -1, -1):
            if held[position][1] == address and held[position][0] == name:
                del held[position]
                return
        raise Report("invariant", "I5 unlock of a lock not held", name, f"{name}: released, but not held here")

    def blocked(self, name: str, address: int) -> None:
        """Raise: this lane would wait for ever."""
        own = any(word == address for _, word in self.held)
        rule = "self-deadlock" if own else "deadlock: lock never released"
        held = ", ".join(lock for lock, _ in self.held) or "nothing"
        raise Report("progress", rule, name, f"{rule}: waits for {name} while holding {held}")

    def _new_edge(self, earlier: str, later: str) -> None:
        path = self._path(later, earlier)
        self.order.setdefault(earlier, {})[later] = None
        if path:
            first = path.index(min(path))  # which edge came last is chance
            cycle = " > ".join([*path[first:], *path[: first + 1]])
            raise Report("invariant", "lock order", cycle, f"lock order: {earlier} > {later} closes {cycle}")

    def _path(self, start: str, goal: str) -> list[str]:
        """Return a path in the order graph, or an empty list."""
        paths, seen = [[start]], {start}
        while paths:
            path = paths.pop(0)
            for following in self.order.get(path[-1], ()):
                if following == goal:
                    return [*path, goal]
                if following not in seen:
                    seen.add(following)
                    paths.append([*path, following])
        return []

    # -- spinlock_t

    def spin_lock(self, address: int, name: str) -> None:
        """Take a spinlock. Errors: Report when it is taken."""
        words, at = self._words, self._at(address)
        if words[at]:
            self.blocked(name, address)
        words[at] = 1
        self.hold(name, address, may_wait=True)

    def spin_trylock(self, address: int, name: str) -> bool:
        """Take a spinlock if it is free."""
        words, at = self._words, self._at(address)
        if words[at]:
            return False
        words[at] = 1
        self.hold(name, address, may_wait=False)
        return True

    def spin_unlock(self, address: int, name: str) -> None:
        """Release a spinlock."""
        self.release(name, address)
        self._words[self._at(address)] = 0

    # -- rwlock_t

    def read_lock(self, address: int, name: str) -> None:
        """Take a reader-writer lock for reading."""
        words, at = self._words, self._at(address)
        if words[at] & _WRITER:
            self.blocked(name, address)
        words[at] += 1
        self.hold(name, address, may_wait=True)

    def read_unlock(self, address: int, name: str) -> None:
        """Release a reader."""
        self.release(name, address)
        words, at = self._words, self._at(address)
        value = words[at]
        if value & _WRITER or not value:
            raise Report("invariant", "I5 unlock of a lock not held", name, f"{name}: read_unlock of {value:#x}")
        words[at] = value - 1

    def write_lock(self, address: int, name: str) -> None:
        """Take a reader-writer lock for writing."""
        words, at = self._words, self._at(address)
        if words[at]:
            self.blocked(name, address)
        words[at] = _WRITER
        self.hold(name, address, may_wait=True)

    def write_trylock(self, address: int, name: str) -> bool:
        """Take a reader-writer lock for writing if nobody has it."""
        words, at = self._words, self._at(address)
        if words[at]:
            return False
        words[at] = _WRITER
        self.hold(name, address, may_wait=False)
        return True

    def write_unlock(self, address: int, name: str) -> None:
        """Release the writer."""
        self.release(name, address)
        words, at = self._words, self._at(address)
        if words[at] != _WRITER:
            raise Report("invariant", "I5 unlock of a lock not held", name, f"{name}: write_unlock without writer")
        words[at] = 0

    # -- bit spinlocks (linux/bit_spinlock.h)

    def bit_spin_lock(self, bit: int, address: int, name: str) -> None:
        """Take a bit of a word as a spinlock."""
        words, at = self._words, self._at(address)
        if words[at] >> bit & 1:
            self.blocked(name, address)
        words[at] |= 1 << bit
        self.hold(name, address, may_wait=True)

    def bit_spin_trylock(self, bit: int, address: int, name: str) -> bool:
        """Take a bit of a word if it is clear."""
        words, at = self._words, self._at(address)
        if words[at] >> bit & 1:
            return False
        words[at] |= 1 << bit
        self.hold(name, address, may_wait=False)
        return True

    def bit_spin_unlock(self, bit: int, address: int, name: str) -> None:
        """Release a bit lock (release semantics)."""
        self.release(name, address)
        words, at = self._words, self._at(address)
        if not words[at] >> bit & 1:
            raise Report("invariant", "I5 unlock of a lock not held", name, f"{name}: bit was clear at unlock")
        words[at] &= ~(1 << bit)

    def wait_on_bit(self, bit: int, address: int, name: str) -> None:
        """Wait until a bit lock is free, without taking it. In one lane that is a deadlock."""
        if self.bit_spin_is_locked(bit, address):
            self.blocked(name, address)

    def bit_spin_is_locked(self, bit: int, address: int) -> bool:
        """Return whether anybody has the bit."""
        return bool(self._words[self._at(address)] >> bit & 1)
