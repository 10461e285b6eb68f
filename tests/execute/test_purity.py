"""A run is a pure function of its program: not of the runs before it, and not of how often it is looked at."""

from __future__ import annotations

from typing import ClassVar

from candidate.allocator import Candidate
from tests.execute.programs import program
from zsfuzz.execute.runner import Runner
from zsfuzz.machine.machine import Kernel

HERE = f"{__name__}:"

SETS = "h0 = malloc 100\nfree h0\ncompact"


class TwoOrders(Candidate):
    """malloc takes A, then B; compact takes B, then A. Either alone is sound."""

    locks: ClassVar[dict[str, int]] = {}

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.first = kernel.machine.slab.core_alloc(2)

    def both(self, outer: int, inner: int) -> None:
        locks, names = self.k.machine.locks, "AB"
        for number in (outer, inner):
            locks.spin_lock(self.first + number * 8, names[number])
        for number in (inner, outer):
            locks.spin_unlock(self.first + number * 8, names[number])

    def zs_malloc(self, pool: int, size: int, gfp: int) -> int:
        self.both(0, 1)
        return super().zs_malloc(pool, size, gfp)

    def zs_compact(self, pool: int) -> int:
        self.both(1, 0)
        return super().zs_compact(pool)


def test_a_cycle_in_the_lock_order_is_found_in_the_program_that_has_both_halves() -> None:
    """And found again when that program runs again, which is how a campaign confirms it."""
    runner = Runner(candidate=HERE + "TwoOrders")
    halves = [program("h0 = malloc 100"), program("compact")]
    whole = program("h0 = malloc 100\ncompact")
    for _ in range(2):
        assert [runner.run(half).findings for half in halves] == [(), ()]
        assert runner.run(whole).findings[0].rule == "lock order"


def test_which_half_of_a_cycle_comes_last_does_not_matter_to_its_signature() -> None:
    runner = Runner(candidate=HERE + "TwoOrders")
    found = [runner.run(program(steps)).findings[0] for steps in ("h0 = malloc 9\ncompact", "compact\nh0 = malloc 9")]
    assert found[0].field == found[1].field == "A > B > A"


def test_looking_does_not_hide_what_a_write_only_mapping_left() -> None:
    """Looking maps every object, which fills the copy buffer that the next write-only mapping begins with.

    The fault copies a straddling object back short, so that its last word keeps what the frame held.
    """
    runner = Runner(faults=("C-straddle",))
    unwritten = program("h0 = malloc 2713\nh1 = malloc 3057\nmap h1 wo")
    assert all(runner.run(unwritten, cadence=cadence).findings for cadence in (1, 2, 1000))
