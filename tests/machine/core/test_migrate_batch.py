"""Batches: one lock per zspage or one per page, the end is the same."""

from __future__ import annotations

import pytest

from tests.machine.core.support import Owner, World, make_world
from zsfuzz.machine.core.migrate import migrate_pages_to_new
from zsfuzz.machine.core.movable import putback_movable_pages
from zsfuzz.machine.core.words import MIGRATE_ASYNC, MIGRATE_SYNC
from zsfuzz.machine.descriptor import PAGE_LOCK, Descriptor
from zsfuzz.machine.layout import EAGAIN, PG_INDEX, PG_locked


class SharedLock(Descriptor):
    """Pages of one group share the lock of the group's first page: the group's number is in page->index."""

    def _word(self, page: int) -> int:
        return self._load(page + PG_INDEX) or page

    def PageLocked(self, page: int) -> bool:
        return bool(self._load(self._word(page)) >> PG_locked & 1)

    def trylock_page(self, page: int) -> int:
        word = self._word(page)
        return word if self.m.locks.bit_spin_trylock(PG_locked, word, PAGE_LOCK) else 0

    def lock_page(self, page: int) -> int:
        word = self._word(page)
        self.m.locks.bit_spin_lock(PG_locked, word, PAGE_LOCK)
        return word

    def unlock_page(self, page: int, lock: int) -> None:
        self.m.locks.bit_spin_unlock(PG_locked, lock, PAGE_LOCK)


class GroupOwner(Owner):
    """Hands the group on to the new page and takes it from the old one."""

    def migratepage(self, mapping: int, newpage: int, page: int, mode: int) -> int:
        result = super().migratepage(mapping, newpage, page, mode)
        if result == 0:
            self.m.store(newpage + PG_INDEX, self.m.load(page + PG_INDEX))
            self.m.store(page + PG_INDEX, 0)
        return result


def migrate_groups(rules: type[Descriptor], groups: str, mode: int) -> tuple[World, list[tuple[int, int]]]:
    """Migrate pages in the order of the letters; pages of one letter share a lock word outside the pages."""
    world = make_world("batched_migration", rules=rules)
    world.owner = GroupOwner(world.m)
    pages = world.movable(len(groups))
    words = {letter: world.m.slab.core_alloc(2) for letter in sorted(set(groups))}
    for page, letter in zip(pages, groups, strict=True):
        world.m.store(page + PG_INDEX, words[letter])
    world.list_of(pages, world.core.batch)
    assert migrate_pages_to_new(world.core, world.core.batch, mode) == 0
    assert world.core.is_empty(world.core.batch)
    assert world.m.is_quiescent
    end = [(world.pfn(page), byte) for page, byte in sorted(world.owner.pages.items())]
    return world, end


@pytest.mark.parametrize("mode", [MIGRATE_ASYNC, MIGRATE_SYNC])
@pytest.mark.parametrize("groups", ["aaaa", "abab", "aabbcc", "abcabcabc", "abbba", "a" * 20 + "b" * 20])
def test_shared_locks_end_where_single_locks_end(groups: str, mode: int) -> None:
    """[p0(Z) p1(Z) q0(Y) p2(Z)]: the second page of Z fails its trylock, and moves at its turn."""
    single, end_of_single = migrate_groups(Descriptor, groups, mode)
    shared, end_of_shared = migrate_groups(SharedLock, groups, mode)
    assert end_of_shared == end_of_single
    free = [
        world.m.buddy.free_blocks(zone, order, 1) for world in (single, shared) for zone in (0, 1) for order in range(6)
    ]
    assert free[: len(free) // 2] == free[len(free) // 2 :]
    assert shared.owner.modes == single.owner.modes


def test_a_lock_of_somebody_else_is_left_alone_in_the_batch_and_not_waited_for_by_async() -> None:
    world = make_world("batched_migration")
    pages = world.movable(3)
    world.list_of(pages, world.core.batch)
    lock = world.core.d.trylock_page(pages[1])
    assert migrate_pages_to_new(world.core, world.core.batch, MIGRATE_ASYNC) == 1
    assert world.core.pages_on(world.core.batch) == (pages[1],)
    world.core.d.unlock_page(pages[1], lock)
    putback_movable_pages(world.core, world.core.batch)


def test_every_page_has_its_target_before_the_first_one_moves() -> None:
    """[0 1 2] move to [3 4 5], not into the frames that were just left."""
    world = make_world("batched_migration")
    pages = world.movable(3)
    world.list_of(pages, world.core.batch)
    assert migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC) == 0
    assert not set(world.owner.pages) & set(pages)


def test_a_batch_is_a_pageblock_and_what_fails_in_it_is_tried_one_by_one() -> None:
    world = make_world("batched_migration")
    world.list_of(world.movable(20), world.core.batch)
    world.owner.answers = [-EAGAIN]
    assert migrate_pages_to_new(world.core, world.core.batch, MIGRATE_SYNC) == 0
    assert world.owner.modes == [MIGRATE_ASYNC] * 20 + [MIGRATE_SYNC]
