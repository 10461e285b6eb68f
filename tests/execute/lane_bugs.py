"""Candidates with bugs of lanes that are no entry of the catalogue: each is seen by one check of a block alone.

In:    the candidate.
Out:   targets, by `tests.execute.lane_bugs:NAME`.
Never: a bug that one lane shows.
Next:  tests/execute/test_block_judge.py.
"""

from __future__ import annotations

from candidate.allocator import Candidate
from candidate.layout import POOL_PAGES_ALLOCATED


class LeavesALock(Candidate):
    """Compaction on the second CPU ends with the lock of a class."""

    def zs_compact(self, pool: int) -> int:
        """Compact, and lock the first class."""
        freed = super().zs_compact(pool)
        if self.k.smp_processor_id() == 1:
            self.lock_class(self.classes_of(pool)[0])
        return freed


class BrokenForAWhile(Candidate):
    """On the second CPU the shrinker's count adds a page to pool->pages_allocated, its scan takes it back."""

    def zs_shrinker_count(self, pool: int) -> int:
        """Break it."""
        self._count(pool, 1)
        return super().zs_shrinker_count(pool)

    def zs_shrinker_scan(self, pool: int) -> int:
        """Repair it."""
        self._count(pool, -1)
        return super().zs_shrinker_scan(pool)

    def _count(self, pool: int, delta: int) -> None:
        if self.k.smp_processor_id() == 1:
            self.k.atomic_add_return(pool + POOL_PAGES_ALLOCATED, delta)


class NegativeForAMoment(Candidate):
    """zs_huge_class_size() on the second CPU lets pool->pages_allocated be below zero for one access."""

    def zs_huge_class_size(self, pool: int) -> int:
        """Break and repair it."""
        if self.k.smp_processor_id() == 1:
            self.k.atomic_add_return(pool + POOL_PAGES_ALLOCATED, -1000)
            self.k.atomic_add_return(pool + POOL_PAGES_ALLOCATED, 1000)
        return super().zs_huge_class_size(pool)


class FailsElsewhere(Candidate):
    """zs_malloc() fails on the second CPU, though nothing was refused to it."""

    def zs_malloc(self, pool: int, size: int, gfp: int) -> int:
        """Fail, or allocate."""
        return 0 if self.k.smp_processor_id() == 1 else super().zs_malloc(pool, size, gfp)


class Raises(Candidate):
    """zs_compact() raises on the second CPU."""

    def zs_compact(self, pool: int) -> int:
        """Raise, or compact."""
        if self.k.smp_processor_id() == 1:
            raise KeyError("my own bug")
        return super().zs_compact(pool)
