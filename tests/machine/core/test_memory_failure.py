"""Memory errors: what each sort of page does, and that a poisoned frame is never used again."""

from __future__ import annotations

import pytest

from tests.machine.core.support import MOVABLE_GFP, World, make_world
from zsfuzz.machine.core.bystander import add_bystander, drop_bystander, kind_of
from zsfuzz.machine.core.memory_failure import (
    error_state,
    get_any_page,
    get_hwpoison_page,
    invalidate_inode_page,
    memory_failure,
    page_handle_poison,
    soft_offline_page,
)
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.layout import (
    EAGAIN,
    EBUSY,
    EIO,
    ENOMEM,
    ENXIO,
    PG_MAPPING,
    PG_REFCOUNT,
    STRUCT_PAGE_SIZE,
    PG_head,
    PG_lru,
    PG_reserved,
    PG_slab,
    PG_writeback,
)
from zsfuzz.machine.report import Report
from zsfuzz.program.ops import BystanderKind

SWITCHES = pytest.mark.parametrize("switches", [(), ("batched_migration",)], ids=["one by one", "batched"])


def nobody_gets(world: World, pfn: int) -> bool:
    """Allocate everything: the frame is not among it, and is not free."""
    taken = {world.pfn(page) for page in iter(lambda: world.m.buddy.alloc_page(MOVABLE_GFP), 0)}
    return pfn not in taken and not world.m.buddy.is_free_buddy_page(pfn)


# -- hard


@pytest.mark.parametrize("pfn", [0, 37, 63, 100])
def test_a_free_frame_is_taken_out(pfn: int, world: World) -> None:
    assert memory_failure(world.core, pfn) == 0
    assert world.free_pages() == 127 == world.free_really()
    assert memory_failure(world.core, pfn) == 0
    assert nobody_gets(world, pfn)


def test_a_movable_page_keeps_its_owner_and_never_comes_back(world: World) -> None:
    [page] = world.movable()
    pfn = world.pfn(page)
    assert memory_failure(world.core, pfn) == -EBUSY
    assert world.core.d.page_ref_count(page) == 2
    assert not world.core.d.PageLocked(page)
    world.owner.release(page)
    assert nobody_gets(world, pfn)


def test_an_lru_page_is_unmapped_and_taken_off_the_lru(world: World) -> None:
    pfn = add_bystander(world.core, 4, BystanderKind.LRU, 0)
    page = world.page(pfn)
    assert memory_failure(world.core, pfn) == 0
    d = world.core.d
    assert not d.PageLRU(page) and not d.page_mapped(page)
    assert d.page_ref_count(page) == 1
    assert kind_of(world.core, page) == ""
    assert drop_bystander(world.core, 4) == 0
    assert nobody_gets(world, pfn)


@pytest.mark.parametrize(
    ("kind", "order", "offset"),
    [
        (BystanderKind.UNMOVABLE, 0, 0),
        (BystanderKind.UNMOVABLE, 2, 0),
        (BystanderKind.UNMOVABLE, 2, 3),
        (BystanderKind.COMPOUND, 2, 0),
        (BystanderKind.COMPOUND, 2, 1),
        (BystanderKind.RESERVED, 0, 0),
    ],
)
def test_a_page_that_cannot_be_had_stays_and_its_frame_is_lost_when_it_is_freed(
    kind: BystanderKind, order: int, offset: int, world: World
) -> None:
    pfn = add_bystander(world.core, 0, kind, order) + offset
    assert memory_failure(world.core, pfn) == -EBUSY
    assert drop_bystander(world.core, 0) == 1
    assert world.free_pages() == 127 == world.free_really()
    assert nobody_gets(world, pfn)


def test_an_lru_page_with_another_user_is_not_recovered(world: World) -> None:
    pfn = add_bystander(world.core, 0, BystanderKind.LRU, 0)
    world.core.d.get_page(world.page(pfn))
    assert memory_failure(world.core, pfn) == -EBUSY


def test_an_lru_page_without_a_mapping_was_truncated(world: World) -> None:
    page = world.kernel_page_at(70)
    world.m.set_bit(PG_lru, page)
    assert memory_failure(world.core, 70) == -EBUSY


def test_a_huge_anonymous_page_is_not_split(world: World) -> None:
    head = world.take_block(16, 2, compound=True)
    world.m.store(head + PG_MAPPING, world.core.anon_vma | 1)
    assert memory_failure(world.core, 18) == -EBUSY
    assert world.core.d.page_ref_count(head) == 1


def test_a_page_under_writeback_is_waited_for(world: World) -> None:
    page = world.kernel_page_at(70)
    world.m.set_bit(PG_writeback, page)
    with pytest.raises(Report, match="PG_writeback"):
        memory_failure(world.core, 70)


def test_outside_online_memory_there_is_nothing_to_poison(world: World) -> None:
    world.m.buddy.set_section_online(32, False)
    assert memory_failure(world.core, 40) == -ENXIO
    assert memory_failure(world.core, 4000) == -ENXIO
    assert soft_offline_page(world.core, 40) == -EIO


@pytest.mark.parametrize(
    ("bit", "state"),
    [(PG_reserved, "kernel"), (PG_slab, "kernel"), (PG_head, "head"), (PG_lru, "lru"), (3, "")],
)
def test_the_state_is_read_from_the_flags(bit: int, state: str) -> None:
    assert error_state(1 << bit) == state


class Watching(Descriptor):
    """Notes the two places where mm/memory-failure.c uses the head."""

    calls: list[tuple[str, int, int]]

    def keep_poisoned(self, page: int, head: int) -> None:
        self.calls.append(("keep", page, head))

    def soft_offline_unit(self, page: int) -> int:
        unit = super().soft_offline_unit(page)
        self.calls.append(("unit", page, unit))
        return unit


def test_the_two_places_that_use_the_head_are_named() -> None:
    world = make_world(rules=Watching)
    rules = world.core.d
    assert isinstance(rules, Watching)
    rules.calls = []
    kernel = world.kernel_page_at(5)
    assert memory_failure(world.core, 5) == -EBUSY
    [page] = world.movable()
    assert soft_offline_page(world.core, world.pfn(page)) == 0
    assert memory_failure(world.core, 30) == 0
    assert rules.calls == [("keep", kernel, kernel), ("unit", page, page)]


def test_a_head_that_changes_before_the_lock_is_noticed() -> None:
    """The page becomes another one's tail between the get and the lock: different compound page."""
    world = make_world()
    page = world.kernel_page_at(18)
    world.take_block(16)
    other = world.page(16)
    lock_page = world.core.d.lock_page

    def late(locked: int) -> int:
        lock = lock_page(locked)
        world.m.store(page + 8, other | 1)
        return lock

    world.core.d.lock_page = late  # type: ignore[method-assign, assignment]
    with pytest.raises(Report, match="not held here"):
        memory_failure(world.core, 18)  # and its unlock goes to the other head
    assert world.core.d.page_ref_count(page) == 2


# -- soft


@SWITCHES
def test_a_movable_page_moves_away_and_its_frame_is_withheld(switches: tuple[str, ...]) -> None:
    world = make_world(*switches)
    [page] = world.movable()
    pfn = world.pfn(page)
    assert soft_offline_page(world.core, pfn) == 0
    [moved] = world.owner.pages
    assert moved != page and world.owner.has_its_bytes(moved)
    assert world.core.d.page_ref_count(page) == 1
    assert soft_offline_page(world.core, pfn) == 0
    world.owner.release(moved)
    assert world.free_pages() == 127 == world.free_really()
    assert nobody_gets(world, pfn)
    assert world.m.is_quiescent


@SWITCHES
def test_an_lru_page_moves_away_with_its_record(switches: tuple[str, ...]) -> None:
    world = make_world(*switches)
    pfn = add_bystander(world.core, 0, BystanderKind.LRU, 0)
    assert soft_offline_page(world.core, pfn) == 0
    assert kind_of(world.core, world.page(pfn)) == ""
    assert world.isolated_count() == 0
    assert drop_bystander(world.core, 0) == 1
    assert world.free_pages() == 127
    assert nobody_gets(world, pfn)


def test_a_free_page_is_taken_out_by_soft_offline(world: World) -> None:
    assert soft_offline_page(world.core, 41) == 0
    assert world.free_pages() == 127 == world.free_really()
    assert world.core.d.page_ref_count(world.page(41)) == 1


def test_a_kernel_page_is_not_for_soft_offline(world: World) -> None:
    world.kernel_page_at(5)
    assert soft_offline_page(world.core, 5) == -EIO
    assert world.core.d.page_ref_count(world.page(5)) == 1
    assert not world.core.d.PageHWPoison(world.page(5))


def test_a_compound_page_stays_busy(world: World) -> None:
    world.take_block(16, 2, compound=True)
    for pfn in range(16, 20):
        assert soft_offline_page(world.core, pfn) == -EBUSY
    assert world.core.d.page_ref_count(world.page(16)) == 1


def test_a_huge_anonymous_page_stays_busy_too(world: World) -> None:
    head = world.take_block(16, 2, compound=True)
    world.m.set_bit(PG_lru, head)
    world.m.store(head + PG_MAPPING, world.core.anon_vma | 1)
    assert soft_offline_page(world.core, 17) == -EBUSY
    assert world.core.d.page_ref_count(head) == 1


@SWITCHES
@pytest.mark.parametrize("why", ["isolated", "again", "no memory"])
def test_a_page_that_cannot_be_moved_is_put_back(why: str, switches: tuple[str, ...]) -> None:
    world = make_world(*switches)
    [page] = world.movable()
    expected = -EBUSY
    if why == "isolated":
        world.list_of([page], world.core.isolated)
    elif why == "again":
        world.owner.answers = [-EAGAIN] * 20
    else:
        world.m.failure.arm("page", 0)
        expected = -ENOMEM
    assert soft_offline_page(world.core, world.pfn(page)) == expected
    assert not world.core.d.PageHWPoison(page)
    assert world.core.d.page_ref_count(page) == 1 + (why == "isolated")
    assert world.core.is_empty(world.core.pagelist)


def test_a_page_without_references_that_is_not_free_is_no_page_for_this(world: World) -> None:
    page = world.kernel_page_at(5)
    world.m.store32(page + PG_REFCOUNT, 0)
    assert get_any_page(world.core, page) == -EIO


def test_a_free_page_that_is_used_again_meanwhile_is_not_poisoned(world: World) -> None:
    page = world.kernel_page_at(5)
    assert not page_handle_poison(world.core, page, freepage=True, release=False)
    assert not world.core.d.PageHWPoison(page)


def test_a_head_that_changes_during_the_get_is_let_go_of(world: World) -> None:
    """The tail of one anonymous huge page becomes another's: the reference on the first head is dropped."""
    head, other = (world.take_block(pfn, 2, compound=True) for pfn in (16, 20))
    world.m.store(head + PG_MAPPING, world.core.anon_vma | 1)
    tail = head + STRUCT_PAGE_SIZE
    get = world.core.d.get_page_unless_zero

    def racing(page: int) -> bool:
        world.m.store(tail + 8, other | 1)
        return get(page)

    world.core.d.get_page_unless_zero = racing  # type: ignore[method-assign]
    assert not get_hwpoison_page(world.core, tail)
    assert world.core.d.page_ref_count(head) == 1


def test_a_page_that_looks_like_page_cache_is_reported(world: World) -> None:
    page = world.kernel_page_at(18)
    world.m.store(page + PG_MAPPING, world.owner.mapping)
    with pytest.raises(Report, match="page cache page"):
        invalidate_inode_page(world.core, page)
    [movable] = world.movable()
    assert not invalidate_inode_page(world.core, movable)


def test_a_poisoned_tail_reads_the_flags_of_its_head_for_writeback(world: World) -> None:
    """[tail of Z]: PG_writeback of Z stops the handling of any of its pages (H10)."""
    _, head = world.memdesc_tail_at(20)
    world.m.set_bit(PG_writeback, head)
    with pytest.raises(Report, match="PG_writeback"):
        memory_failure(world.core, 20)


def test_the_last_reference_of_a_head_in_the_slab_frees_slab_memory(world: World) -> None:
    """H14: put_page() of a tail whose head has one reference gives the slab object to the buddy allocator."""
    page, _ = world.memdesc_tail_at(20)
    with pytest.raises(Report) as caught:
        world.core.d.put_page(page)
    assert caught.value.rule == "no struct page"
    assert STRUCT_PAGE_SIZE == 64
