"""Nonsense: operations without regard to any state.

In:    dice, the page size and the memory of a program.
Out:   one Operation, well-formed (zsfuzz/program/limits.py), often without an effect.
Never: a sketch. What an operation does where it makes no sense is a rule too, and both sides must keep it.
Next:  who throws it in now and then: zsfuzz/engine/choose.py, zsfuzz/engine/mutate.py.
"""

from __future__ import annotations

from collections.abc import Callable

from zsfuzz.engine.rng import Dice
from zsfuzz.engine.vocabulary import (
    BYSTANDER_SLOTS,
    CHAIN,
    COMPACT,
    COMPONENT,
    DROP_BYSTANDER,
    FREE,
    ISOLATED,
    MAP,
    MAP_MODES,
    MODES,
    PAGE_SLOTS,
    POOLS,
    PUTBACK,
    REF_SLOTS,
    SLOTS,
    SPECULATIVE_PUT,
    STATS,
    UNMAP,
    pfn_name,
)
from zsfuzz.program.ops import (
    Contig,
    CreatePool,
    DestroyPool,
    Gfp,
    Isolate,
    Malloc,
    Migrate,
    Online,
    Operation,
    PageName,
    Read,
    SpeculativeGet,
    Write,
)


def anything(dice: Dice, page_size: int, memory_pages: int) -> Operation:
    """Return an operation without regard to any state: any kind, any slot, odd sizes and ranges."""
    kind = dice.below(len(_NONSENSE))
    return _NONSENSE[kind](dice, page_size, memory_pages)


def _any_page(dice: Dice, memory_pages: int) -> PageName:
    form = dice.below(3)
    if form == 0:
        return COMPONENT[dice.below(SLOTS)][dice.below(CHAIN)]
    if form == 1:
        return ISOLATED[dice.below(PAGE_SLOTS)]
    return pfn_name(dice.below(memory_pages + 2))


Nonsense = Callable[[Dice, int, int], Operation]

_NONSENSE: tuple[Nonsense, ...] = (
    lambda dice, page_size, pages: Malloc(dice.below(8), dice.below(page_size + 2), Gfp.MOVABLE, dice.below(4)),
    lambda dice, page_size, pages: Malloc(dice.below(SLOTS), dice.pick((0, 1, 24, page_size, page_size + 1))),
    lambda dice, page_size, pages: FREE[dice.below(SLOTS)],
    lambda dice, page_size, pages: MAP[dice.below(SLOTS)][dice.below(len(MAP_MODES))],
    lambda dice, page_size, pages: UNMAP[dice.below(SLOTS)],
    lambda dice, page_size, pages: Write(dice.below(SLOTS), dice.below(page_size), dice.below(page_size), 90),
    lambda dice, page_size, pages: Read(dice.below(SLOTS), dice.below(page_size), dice.below(page_size)),
    lambda dice, page_size, pages: COMPACT[dice.below(POOLS)],
    lambda dice, page_size, pages: Isolate(dice.below(PAGE_SLOTS), _any_page(dice, pages)),
    lambda dice, page_size, pages: Migrate((_any_page(dice, pages), _any_page(dice, pages)), dice.pick(MODES)),
    lambda dice, page_size, pages: PUTBACK[dice.below(PAGE_SLOTS)],
    lambda dice, page_size, pages: Contig(dice.below(pages), pages + dice.below(32)),
    lambda dice, page_size, pages: Online(0, dice.below(pages + 40)),
    lambda dice, page_size, pages: SpeculativeGet(dice.below(REF_SLOTS), _any_page(dice, pages)),
    lambda dice, page_size, pages: SPECULATIVE_PUT[dice.below(REF_SLOTS)],
    lambda dice, page_size, pages: DROP_BYSTANDER[dice.below(BYSTANDER_SLOTS)],
    lambda dice, page_size, pages: STATS[dice.below(POOLS)],
    lambda dice, page_size, pages: CreatePool(dice.below(POOLS)),
    lambda dice, page_size, pages: DestroyPool(dice.below(POOLS)),
)
