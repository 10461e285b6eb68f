"""I8: what the cursor lets pass, and each way of going astray."""

from __future__ import annotations

import pytest

from tests.machine.core.support import World
from zsfuzz.machine.core.cursor import Cursor, block_end, real_head
from zsfuzz.machine.layout import PG_COMPOUND_HEAD, PG_COMPOUND_ORDER, PG_PRIVATE, STRUCT_PAGE_SIZE
from zsfuzz.machine.report import Report


def cursor(world: World, start: int = 16, end: int = 32) -> Cursor:
    return Cursor(world.core, "some_scanner", start, end)


def test_a_loop_that_looks_at_every_pfn_is_left_alone(world: World) -> None:
    watch = cursor(world)
    for pfn in range(16, 32):
        watch.at(pfn)


@pytest.mark.parametrize("again", [16, 15, 0])
def test_a_loop_that_comes_back_is_reported(world: World, again: int) -> None:
    watch = cursor(world)
    watch.at(16)
    with pytest.raises(Report) as caught:
        watch.at(again)
    assert (caught.value.rule, caught.value.field) == ("I8 scanner does not advance", "some_scanner")


@pytest.mark.parametrize("pfn", [32, 1 << 32, (1 << 64) - 1])
def test_a_loop_that_leaves_its_range_is_reported(world: World, pfn: int) -> None:
    with pytest.raises(Report) as caught:
        cursor(world).at(pfn)
    assert caught.value.rule == "I8 scanner leaves its range"


def test_a_loop_that_leaves_pages_out_is_reported(world: World) -> None:
    with pytest.raises(Report) as caught:
        cursor(world).at(18)
    assert caught.value.rule == "I8 scanner skips pages"


def test_a_free_block_may_be_skipped_from_any_of_its_pages_to_its_end(world: World) -> None:
    for pfn in range(32, 64):
        assert block_end(world.core, pfn) == 64
        watch = cursor(world, pfn, 128)
        watch.at(pfn)
        watch.jump(pfn, 64)
        watch.at(64)


def test_a_real_compound_page_may_be_skipped_from_any_of_its_pages_to_its_end(world: World) -> None:
    """[head t t t]: legal from each of the four, and not one pfn further."""
    world.take_block(20, 2, compound=True)
    for pfn in range(20, 24):
        assert real_head(world.core, pfn) == 20
        cursor(world, pfn).jump(pfn, 24)
        with pytest.raises(Report):
            cursor(world, pfn).jump(pfn, 25)


@pytest.mark.parametrize(
    ("target", "rule"), [(20, "skips pages"), (33, "leaves its range"), (1 << 40, "leaves its range")]
)
def test_a_jump_over_pages_that_belong_to_nothing_is_reported(world: World, target: int, rule: str) -> None:
    world.kernel_page_at(17)
    with pytest.raises(Report) as caught:
        cursor(world).jump(17, target)
    assert caught.value.rule == f"I8 scanner {rule}"


def test_a_jump_backwards_is_reported(world: World) -> None:
    with pytest.raises(Report) as caught:
        cursor(world).jump(17, 17)
    assert caught.value.rule == "I8 scanner does not advance"


def test_an_order_that_reaches_further_than_the_free_frames_is_not_believed(world: World) -> None:
    world.take_block(24)
    world.m.store(world.page(16) + PG_PRIVATE, 5)
    assert block_end(world.core, 16) == 24


def test_an_order_that_reaches_further_than_the_tails_is_not_believed(world: World) -> None:
    head = world.take_block(16, 2, compound=True)
    assert world.m.load8(head + STRUCT_PAGE_SIZE + PG_COMPOUND_ORDER) == 2
    world.m.store(head + STRUCT_PAGE_SIZE + 16, 1 | 5 << 8)
    assert block_end(world.core, 17) == 20


def test_a_head_outside_the_memmap_is_no_head(world: World) -> None:
    world.memdesc_tail_at(20)
    assert real_head(world.core, 20) == -1
    assert block_end(world.core, 20) == 21


def test_a_head_above_its_tail_or_without_the_flag_is_no_head(world: World) -> None:
    page = world.kernel_page_at(20)
    world.m.store(page + PG_COMPOUND_HEAD, world.page(24) | 1)
    assert real_head(world.core, 20) == -1
    world.m.store(page + PG_COMPOUND_HEAD, world.page(19) | 1)
    assert real_head(world.core, 20) == -1
    world.m.store(page + PG_COMPOUND_HEAD, world.page(19) + 8 | 1)
    assert real_head(world.core, 20) == -1


def test_a_stretch_given_up_on_purpose_is_allowed_but_only_forwards(world: World) -> None:
    watch = cursor(world)
    watch.at(16)
    watch.give_up(20)
    watch.at(20)
    with pytest.raises(Report):
        watch.give_up(18)
