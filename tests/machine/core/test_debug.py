"""dump_page(): survives a head outside the memmap, and reads wildly where the kernel would."""

from __future__ import annotations

import pytest

from tests.machine.core.support import World
from zsfuzz.machine.core.bystander import add_bystander
from zsfuzz.machine.core.debug import dump_page, page_to_pgoff
from zsfuzz.machine.layout import MASK64, PG_INDEX, PG_MAPPING, PG_REFCOUNT, STRUCT_PAGE_SIZE
from zsfuzz.machine.report import Report
from zsfuzz.program.ops import BystanderKind


def test_an_ordinary_page_is_shown(world: World) -> None:
    [page] = world.movable()
    assert dump_page(world.core, page) == (1, 0, world.owner.mapping, 0)
    lru = world.page(add_bystander(world.core, 6, BystanderKind.LRU, 0))
    assert dump_page(world.core, lru) == (1, 1, 0, 6)


def test_a_real_tail_is_shown_by_its_head(world: World) -> None:
    head = world.take_block(16, 2, compound=True)
    world.m.store(head + PG_INDEX, 40)
    assert dump_page(world.core, head + 3 * STRUCT_PAGE_SIZE)[0] == 1
    assert page_to_pgoff(world.core, head + 3 * STRUCT_PAGE_SIZE) == 43


def test_a_head_outside_the_memmap_is_not_followed(world: World) -> None:
    """The guard: the reference count is the page's own, not that of the slab object (H26)."""
    page, head = world.memdesc_tail_at(20)
    world.m.store32(head + PG_REFCOUNT, 77)
    world.m.store(page + PG_MAPPING, 0)
    dump = dump_page(world.core, page)
    assert dump.refcount == 1
    assert dump.mapping == 0


def test_but_its_mapcount_is_asked_of_the_head(world: World) -> None:
    """page_mapcount() reads 84 bytes from the head, past the end of a small object."""
    page, _ = world.memdesc_tail_at(20, size=72)
    with pytest.raises(Report) as caught:
        dump_page(world.core, page)
    assert caught.value.rule == "out-of-bounds slab"


def test_a_struct_page_that_was_never_initialised_is_only_dumped(world: World) -> None:
    world.m.store(world.page(20), MASK64)
    assert dump_page(world.core, world.page(20)) == (0, 0, 0, 0)
