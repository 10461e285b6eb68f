"""Every BUG_ON and VM_BUG_ON of the model, each with a planted state that makes it fire.

In:    reference/, a machine.
Out:   nothing.
Never: a state that the model comes to by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.reference.world import ALMOST_EMPTY, EMPTY, World, reports
from zsfuzz.machine.layout import PG_INDEX, PG_MAPPING, PG_owner_priv_1, PG_private

Plant = Callable[[World, int], None]


def wrong_magic_by_page(world: World, handle: int) -> None:
    """Free of an object whose zspage lost its magic."""
    world.machine.store32(world.zs.zspage_of(handle), 202 << 2)
    world.free(handle)


def wrong_magic_by_zspage(world: World, handle: int) -> None:
    """The same, seen by get_zspage_mapping()."""
    world.machine.store32(world.zs.zspage_of(handle), 0x57 << 14)
    world.zs.get_zspage_mapping(world.zs.zspage_of(handle))


def first_page_unmarked(world: World, handle: int) -> None:
    """PG_private of the first page is gone."""
    world.machine.clear_bit(PG_private, world.pages(handle)[0])
    world.free(handle)


def remove_from_an_empty_list(world: World, handle: int) -> None:
    """The packed word names a list that nothing is on."""
    zspage = world.zs.zspage_of(handle)
    world.zs.remove_zspage(world.size_class(world.row(3264)), zspage, EMPTY)


def remove_an_isolated_zspage(world: World, handle: int) -> None:
    """It is on the list although a page of it counts as isolated."""
    zspage = world.zs.zspage_of(handle)
    world.zs.inc_zspage_isolation(zspage)
    world.zs.remove_zspage(world.size_class(world.row(3264)), zspage, ALMOST_EMPTY)


def huge_page_unmarked(world: World, handle: int) -> None:
    """PG_owner_priv_1 on a page that is not the first."""
    page = world.pages(handle)[1]
    world.machine.set_bit(PG_owner_priv_1, page)
    world.zs.obj_to_head(page, 0)


def free_a_zspage_in_use(world: World, handle: int) -> None:
    """free_zspage() with a live object."""
    world.zs.free_zspage(world.pool, world.size_class(world.row(3264)), world.zs.zspage_of(handle))


def free_a_locked_zspage_in_use(world: World, handle: int) -> None:
    """__free_zspage() with a live object."""
    world.zs.free_zspage_locked(world.pool, 0, world.zs.zspage_of(handle), ())


def free_an_unlisted_zspage(world: World, handle: int) -> None:
    """free_zspage() of a zspage that is on no list."""
    zspage, size_class = world.zs.zspage_of(handle), world.size_class(world.row(3264))
    world.zs.remove_zspage(size_class, zspage, ALMOST_EMPTY)
    world.machine.store32(zspage + 4, 0)
    world.zs.free_zspage(world.pool, size_class, zspage)


def free_a_zspage_of_a_wrong_group(world: World, handle: int) -> None:
    """__free_zspage() of a zspage whose word does not say EMPTY."""
    zspage = world.zs.zspage_of(handle)
    world.machine.store32(zspage + 4, 0)
    world.zs.free_zspage_locked(world.pool, 0, zspage, ())


def free_an_unlocked_page(world: World, handle: int) -> None:
    """__free_zspage() without the page locks."""
    world.zs.free_component(world.pages(handle)[0], 0)


def isolate_an_isolated_zspage_for_compaction(world: World, handle: int) -> None:
    """A listed zspage has a page isolated."""
    world.zs.inc_zspage_isolation(world.zs.zspage_of(handle))
    world.zs.isolate_zspage(world.size_class(world.row(3264)), source=True)


def put_back_an_isolated_zspage(world: World, handle: int) -> None:
    """The compactor's putback while a page is isolated."""
    world.isolate(world.pages(handle)[0])
    world.zs.putback_zspage(world.size_class(world.row(3264)), world.zs.zspage_of(handle))


def mark_a_locked_page_movable(world: World, handle: int) -> None:
    """SetZsPageMovable() on a page that somebody has locked already."""
    world.d.lock_page(world.pages(handle)[2])
    world.zs.SetZsPageMovable(world.pool, world.zs.zspage_of(handle))


def mark_an_unlocked_page_movable(world: World, handle: int) -> None:
    """__SetPageMovable() without the page lock."""
    world.zs.set_page_movable(world.pages(handle)[0], world.machine.load(world.pool + 40))


def mark_a_page_with_a_marked_mapping(world: World, handle: int) -> None:
    """__SetPageMovable() with a mapping that has the bit."""
    page = world.pages(handle)[0]
    world.d.lock_page(page)
    world.zs.set_page_movable(page, world.machine.load(page + PG_MAPPING))


def unmark_a_page_that_is_not_movable(world: World, handle: int) -> None:
    """__ClearPageMovable() after the mapping is gone."""
    page = world.pages(handle)[0]
    world.d.lock_page(page)
    world.machine.store(page + PG_MAPPING, 0)
    world.zs.clear_page_movable(page)


def uncount_isolation_of_an_idle_pool(world: World, handle: int) -> None:
    """pool->isolated_pages is 0 already."""
    world.zs.zs_pool_dec_isolated(world.pool)


def isolate_a_page_that_is_not_movable(world: World, handle: int) -> None:
    """The core calls for a page without a mapping."""
    page = world.pages(handle)[0]
    world.d.lock_page(page)
    world.machine.store(page + PG_MAPPING, 0)
    world.zs.zs_page_isolate(page, 0)


def isolate_a_page_twice(world: World, handle: int) -> None:
    """The core forgets that it has the page."""
    page = world.pages(handle)[0]
    world.isolate(page)
    world.d.lock_page(page)
    world.zs.zs_page_isolate(page, 0)


def migrate_a_page_that_is_not_isolated(world: World, handle: int) -> None:
    """The core never isolated it."""
    page = world.pages(handle)[0]
    world.d.lock_page(page)
    world.zs.zs_page_migrate(world.d.page_mapping(page), world.kernel.alloc_page(0), page, 0)


def put_back_a_page_that_is_not_isolated(world: World, handle: int) -> None:
    """The core puts back what it does not have."""
    page = world.pages(handle)[0]
    world.d.lock_page(page)
    world.zs.zs_page_putback(page)


def unpin_what_was_not_pinned(world: World, handle: int) -> None:
    """A live object of the page lost its pin on the way."""
    page = world.pages(handle)[0]
    world.zs.unpin_objects(page, world.kernel.kmap(page), range(0, 3264, 3264))


def a_spliced_zspage_of_a_wrong_group(world: World, handle: int) -> None:
    """The worker meets a zspage whose word does not say EMPTY."""
    world.zs.free_spliced_zspage(world.pool, world.zs.zspage_of(handle))


def map_without_a_second_page(world: World, handle: int) -> None:
    """The chain ends where an object goes on."""
    straddling = world.malloc(3256)
    world.machine.store(world.pages(handle)[0] + PG_INDEX, 0)
    world.zs.zs_map_object(world.pool, straddling, 0)


def look_at_a_slot_behind_the_zspage(world: World, handle: int) -> None:
    """A view is asked for a slot that no page has."""
    world.zs.object_header(world.zs.zspage_of(handle), 6)


@pytest.mark.parametrize(
    ("plant", "rule", "field"),
    [
        (wrong_magic_by_page, "BUG_ON zspage->magic", "magic"),
        (wrong_magic_by_zspage, "BUG_ON zspage->magic", "magic"),
        (first_page_unmarked, "VM_BUG_ON !is_first_page", "get_first_page"),
        (remove_from_an_empty_list, "VM_BUG_ON list_empty", "remove_zspage"),
        (remove_an_isolated_zspage, "VM_BUG_ON is_zspage_isolated", "remove_zspage"),
        (huge_page_unmarked, "VM_BUG_ON !is_first_page", "obj_to_head"),
        (free_a_zspage_in_use, "VM_BUG_ON inuse", "free_zspage"),
        (free_a_locked_zspage_in_use, "VM_BUG_ON inuse", "__free_zspage"),
        (free_an_unlisted_zspage, "VM_BUG_ON list_empty", "free_zspage"),
        (free_a_zspage_of_a_wrong_group, "VM_BUG_ON fg != ZS_EMPTY", "__free_zspage"),
        (free_an_unlocked_page, "VM_BUG_ON !PageLocked", "__free_zspage"),
        (isolate_an_isolated_zspage_for_compaction, "VM_BUG_ON is_zspage_isolated", "isolate_zspage"),
        (put_back_an_isolated_zspage, "VM_BUG_ON is_zspage_isolated", "putback_zspage"),
        (mark_a_locked_page_movable, "WARN_ON !trylock_page", "SetZsPageMovable"),
        (mark_an_unlocked_page_movable, "VM_BUG_ON !PageLocked", "__SetPageMovable"),
        (
            mark_a_page_with_a_marked_mapping,
            "VM_BUG_ON mapping & PAGE_MAPPING_MOVABLE",
            "__SetPageMovable",
        ),
        (unmark_a_page_that_is_not_movable, "VM_BUG_ON !PageMovable", "__ClearPageMovable"),
        (uncount_isolation_of_an_idle_pool, "VM_BUG_ON isolated_pages <= 0", "zs_pool_dec_isolated"),
        (isolate_a_page_that_is_not_movable, "VM_BUG_ON !PageMovable", "zs_page_isolate"),
        (isolate_a_page_twice, "VM_BUG_ON PageIsolated", "zs_page_isolate"),
        (migrate_a_page_that_is_not_isolated, "VM_BUG_ON !PageIsolated", "zs_page_migrate"),
        (put_back_a_page_that_is_not_isolated, "VM_BUG_ON !PageIsolated", "zs_page_putback"),
        (unpin_what_was_not_pinned, "BUG !testpin_tag", "zs_page_migrate"),
        (a_spliced_zspage_of_a_wrong_group, "VM_BUG_ON fullness != ZS_EMPTY", "async_free_zspage"),
        (map_without_a_second_page, "BUG_ON !pages[1]", "zs_map_object"),
        (look_at_a_slot_behind_the_zspage, "object_header", "index"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_planted_state_fires_its_check(plant: Plant, rule: str, field: str) -> None:
    world = World()
    handle = world.malloc(3256)
    with reports("bug", rule, field):
        plant(world, handle)
