"""Eras: the named rules by which zsmallocs of different kernel versions may differ at the level of the contract.

In:    the outcomes of one call of zsmalloc's interface on two sides, and what is known of both sides' sources.
Out:   True when a rule predicts both values; each use is counted.
Never: a version number, a placement or a statistic: where designs differ those are not compared.
Next:  the differences inside one design: zsfuzz/oracle/expected.py; who asks: zsfuzz/kernel/contract.py.

K1 errors: a malloc that fails on both sides says why in its era's words: 0 (5.10), -EINVAL for size 0 and above
   PAGE_SIZE (6.1), -ENOSPC above PAGE_SIZE (6.12 and later), -ENOMEM without memory.
K2 chain rule: a zspage of one era has more pages than the other's (at most 4 by per cent used, or 8 by least waste), so
   a malloc finds too little memory on one side only: the free pages there are fewer than one zspage of its class needs.
K3 injected failure: the allocation that was made to fail belongs to a zspage that only one side had to make.
K4 isolated pages: whether a page can be isolated, and so whether a pool may be destroyed, is the era's business: 5.10
   refuses pages of empty zspages and takes isolated zspages off their lists, later ones isolate whatever is movable.

After K2, K3 and K4 different objects are alive, so the rest of the program is not compared; each side is still held
against its own contract and its invariants, and drained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zsfuzz.program import ops

RULES: Final = {
    "K1": "why a malloc fails: each era has its own error words",
    "K2": "out of memory on one side: the zspages of the two eras have different lengths",
    "K3": "an injected failure met only the side that had to make a zspage",
    "K4": "a pool is busy on one side only: what can be isolated differs by era",
}
PARTING: Final = frozenset({"K2", "K3", "K4"})

_EINVAL, _ENOSPC, _ENOMEM = 22, 28, 12
_PAGE_SIZE: Final = 4096
_HANDLE_SIZE: Final = 8


@dataclass(frozen=True, slots=True)
class Era:
    """What the rules need to know of one side. chain: pages of the longest zspage.

    error_pointer: failures come as -errno and not as 0. large_is_enospc, least_waste: see K1 and K2.
    """

    chain: int = 4
    error_pointer: bool = False
    large_is_enospc: bool = False
    least_waste: bool = False

    def error_of(self, size: int) -> int:
        """Return the errno that a failing malloc of that size has to give."""
        if not self.error_pointer:
            return 0
        if size == 0:
            return _EINVAL
        if size > _PAGE_SIZE:
            return _ENOSPC if self.large_is_enospc else _EINVAL
        return _ENOMEM

    def pages_per_zspage(self, size: int) -> int:
        """Return the pages of a zspage for a request of `size` bytes, 1..PAGE_SIZE.

        Source: get_pages_per_zspage(), v5.10 and v6.1; calculate_zspage_chain_size(), v6.3.
        """
        slot = min(max(32, 32 + -(-(size + _HANDLE_SIZE - 32) // 16) * 16), _PAGE_SIZE)
        if self.least_waste:
            if slot & (slot - 1) == 0:
                return 1
            return min(range(1, self.chain + 1), key=lambda pages: pages * _PAGE_SIZE % slot)
        return max(range(1, self.chain + 1), key=lambda pages: _per_cent_used(pages, slot))


def _per_cent_used(pages: int, slot: int) -> int:
    total = pages * _PAGE_SIZE
    return (total - total % slot) * 100 // total


@dataclass(frozen=True, slots=True)
class Failure:
    """A malloc that failed: the errno, and the free pages of both zones afterwards."""

    errno: int
    free_normal: int
    free_movable: int


class EraDifferences:
    """The rules, with the uses of one run. parted: the rule after which the sides go on differently, or ""."""

    def __init__(self, left: Era, right: Era) -> None:
        self._eras = (left, right)
        self._uses = dict.fromkeys(RULES, 0)
        self.parted = ""

    def uses(self) -> dict[str, int]:
        """Return how often each rule was used."""
        return dict(self._uses)

    def _use(self, rule: str) -> bool:
        self._uses[rule] += 1
        if rule in PARTING:
            self.parted = self.parted or rule
        return True

    def explains_errors(self, step: ops.Malloc, left: Failure, right: Failure) -> bool:
        """Return whether both errors are what K1 says. Equal errors need no rule."""
        predicted = tuple(era.error_of(step.size) for era in self._eras)
        if (left.errno, right.errno) != predicted:
            return False
        return self._use("K1") if left.errno != right.errno else True

    def explains_one_failure(self, step: ops.Malloc, side: int, failure: Failure, *, injected: bool) -> bool:
        """Return whether K2 or K3 explains a malloc that failed on one side only. side: 0 left, 1 right."""
        era = self._eras[side]
        if not 0 < step.size <= _PAGE_SIZE or failure.errno != era.error_of(step.size):
            return False
        if injected:
            return self._use("K3")
        free = failure.free_normal + (failure.free_movable if step.gfp is ops.Gfp.MOVABLE else 0)
        return free < era.pages_per_zspage(step.size) and self._use("K2")

    def explains_busy_pool(self, *, isolates: bool) -> bool:
        """Return whether K4 explains a pool that is gone on one side only. isolates: the program isolated pages."""
        return isolates and self._use("K4")
