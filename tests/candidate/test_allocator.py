"""zsmalloc's interface over the candidate: objects, lists, statistics, failures, compaction of objects."""

from __future__ import annotations

import pytest

from candidate.allocator import Candidate
from candidate.literal import Literal
from tests.candidate.world import CLASS_2048, CLASS_3264, HUGE, MOVABLE, World, content
from zsfuzz.machine.layout import GFP_KERNEL, ZONE_MOVABLE, ZONE_NORMAL
from zsfuzz.machine.report import Report
from zsfuzz.target.protocol import ZS_MM_RO, ZS_MM_RW, ZS_MM_WO

BOTH = pytest.mark.parametrize("target", [Candidate, Literal])


@BOTH
def test_objects_of_every_class_keep_their_content_and_everything_comes_back(target: type[Candidate]) -> None:
    world = World(target, name="small", pages=128)
    sizes = [size_class.size_bytes - 8 for size_class in world.machine.geometry.size_classes.classes] + [1024]
    handles = [world.malloc(size) for size in sizes]
    for number, (handle, size) in enumerate(zip(handles, sizes, strict=True)):
        world.write(handle, content(number, size))
    for number, (handle, size) in enumerate(zip(handles, sizes, strict=True)):
        assert world.read(handle, size) == content(number, size)
    world.free(*handles)
    assert world.clean()


@pytest.mark.parametrize("size", [0, 4097, 1 << 40])
def test_a_size_that_no_class_serves_fails_without_a_trace(size: int) -> None:
    world = World()
    assert world.target.zs_malloc(world.pool, size, MOVABLE) == 0
    assert world.clean()


def test_freeing_handle_0_does_nothing() -> None:
    world = World()
    world.free(0)
    assert world.clean()


def test_gfp_decides_about_the_zone() -> None:
    world = World()
    movable, kernel = world.pages(world.malloc(gfp=MOVABLE)), world.pages(world.malloc(100, GFP_KERNEL))
    assert {world.d.page_zone(page) for page in movable} == {ZONE_MOVABLE}
    assert {world.d.page_zone(page) for page in kernel} == {ZONE_NORMAL}


def test_the_free_list_ends_in_a_phantom_slot_that_is_no_object() -> None:
    """Class 3264: five objects, six links; the sixth index is 5 and then what 32 bits keep of -1."""
    world = World()
    handles = world.fill(5)
    zspage = world.target.zspage_of(handles[0])
    assert world.target.get_freeobj(zspage) == 5
    world.free(handles[4])
    assert world.view(handles[0]).free_indices == (4,)
    link = world.target.slot_address(zspage, world.target.view_class(zspage), 4)
    assert world.machine.load(link) == 5 << 1


def test_the_end_link_of_a_class_without_phantom_comes_back_cut_to_32_bits() -> None:
    """Class 2048: -1 is stored in 32 bits, shifted in 32 bits, and is another value when it is read."""
    world = World()
    first, second = world.malloc(CLASS_2048), world.malloc(CLASS_2048)
    zspage = world.target.zspage_of(first)
    assert world.target.get_freeobj(zspage) == 0xFFFFFFFF
    world.free(second)
    link = world.target.slot_address(zspage, world.target.view_class(zspage), 1)
    assert world.machine.load(link) == 0xFFFFFFFE
    assert world.view(first).free_indices == (1,)
    world.malloc(CLASS_2048)
    assert world.target.get_freeobj(zspage) == 0x7FFFFFFF


def test_slots_are_reused_last_in_first_out() -> None:
    world = World()
    handles = world.fill(5)
    world.free(handles[1], handles[3])
    assert world.view(handles[0]).free_indices == (3, 1)
    assert world.target.placement(world.malloc()) & 0xFFFF == 3
    assert world.target.placement(world.malloc()) & 0xFFFF == 1


def test_a_zspage_moves_through_the_fullness_groups() -> None:
    """[x....] almost empty, [xxx..] too, [xxxx.] almost full, [xxxxx] full, and back."""
    world = World()
    index = world.machine.geometry.size_classes.class_for(CLASS_3264 + 8).index
    seen, handles = [], []
    for _ in range(5):
        handles.append(world.malloc())
        seen.append(groups(world, index))
    assert seen == [[1], [1], [1], [2], [3]]
    seen = []
    for handle in handles[:4]:
        world.free(handle)
        seen.append(groups(world, index))
    assert seen == [[2], [1], [1], [1]]


def groups(world: World, index: int) -> list[int]:
    """The group of each zspage of a class."""
    return [group for group in range(4) for _ in world.target.fullness_list(world.pool, index, group)]


def test_a_zspage_with_fewer_objects_than_the_first_one_is_listed_second() -> None:
    """ALMOST_EMPTY [3 objects] [1 object]; the emptier one is taken off and comes back behind the fuller."""
    world = World()
    index = world.machine.geometry.size_classes.class_for(CLASS_3264 + 8).index
    handles = world.fill(6)
    world.free(*handles[0:2])
    fuller, emptier = world.target.zspage_of(handles[4]), world.target.zspage_of(handles[5])
    for handle in (handles[4], handles[5]):
        assert world.target.fullness_list(world.pool, index, 1) == (fuller, emptier)
        assert world.isolate(world.pages(handle)[0]) == 0
        world.putback()
    assert world.target.fullness_list(world.pool, index, 1) == (fuller, emptier)


@pytest.mark.parametrize("ordinal", range(4))
def test_a_page_that_cannot_be_had_leaves_nothing_behind(ordinal: int) -> None:
    """alloc_zspage() fails at page i: no tail, no count, no zspage (H18); the free lists are as they were."""
    world = World()
    blocks = free_lists(world)
    world.machine.failure.arm("page", ordinal)
    assert world.target.zs_malloc(world.pool, CLASS_3264, MOVABLE) == 0
    world.machine.failure.disarm()
    assert world.clean()
    assert free_lists(world) == blocks


def free_lists(world: World) -> list[list[int]]:
    """Every free list of the buddy allocator, in its order."""
    buddy = world.machine.buddy
    return [
        buddy.free_blocks(zone, order, kind) for zone in (0, 1) for order in range(buddy.max_order) for kind in range(4)
    ]


@pytest.mark.parametrize("what", ["zspage", "handle"])
def test_an_object_that_the_slab_refuses_leaves_nothing_behind(what: str) -> None:
    world = World()
    world.machine.failure.arm(what, 0)
    assert world.target.zs_malloc(world.pool, CLASS_3264, MOVABLE) == 0
    world.machine.failure.disarm()
    assert world.clean()


def test_a_write_only_mapping_of_a_straddling_object_does_not_read_it() -> None:
    """[page 0 ....x][x page 1]: WO hands out the copy buffer as it is, RO writes nothing back."""
    world = World()
    handles = world.fill(5)
    straddling = handles[1]
    address = world.target.zs_map_object(world.pool, straddling, ZS_MM_WO)
    world.machine.memory.write_bytes(address, b"n" * CLASS_3264)
    world.target.zs_unmap_object(world.pool, straddling)
    assert world.read(straddling, CLASS_3264) == b"n" * CLASS_3264
    address = world.target.zs_map_object(world.pool, straddling, ZS_MM_RO)
    world.machine.memory.write_bytes(address, b"lost")
    world.target.zs_unmap_object(world.pool, straddling)
    assert world.read(straddling, CLASS_3264) == b"n" * CLASS_3264
    assert world.read(handles[2], CLASS_3264) == content(2, CLASS_3264)


def test_a_mapped_object_is_pinned_and_its_zspage_read_locked() -> None:
    world = World()
    handle = world.malloc()
    world.target.zs_map_object(world.pool, handle, ZS_MM_RW)
    assert [name for name, _ in world.machine.locks.held] == ["pin bit", "zspage rwlock"]
    with pytest.raises(Report, match="pin bit"):
        world.target.zs_map_object(world.pool, handle, ZS_MM_RW)


def test_the_handle_of_a_huge_object_is_kept_in_the_zspage() -> None:
    world = World()
    handle = world.malloc(HUGE)
    world.write(handle, b"\xff" * HUGE)
    zspage = world.target.zspage_of(handle)
    assert world.target.object_header(zspage, 0) == handle | 1
    assert world.machine.load(world.pages(handle)[0] + 32) == 0
    world.free(handle)
    assert world.clean()


def test_compaction_empties_the_emptier_zspage_and_keeps_every_content() -> None:
    """[x.x..] [x....] -> [xxx..]; four pages come back."""
    world = World()
    handles = world.fill(10)
    kept = [0, 2, 9]
    world.free(*[handle for number, handle in enumerate(handles) if number not in kept])
    assert world.target.zs_shrinker_count(world.pool) == 4
    assert world.target.zs_compact(world.pool) == 4
    assert world.target.zs_get_total_pages(world.pool) == 4
    assert world.target.zs_pool_stats(world.pool) == 4
    assert len({world.target.zspage_of(handles[number]) for number in kept}) == 1
    for number in kept:
        assert world.read(handles[number], CLASS_3264) == content(number, CLASS_3264)
    assert world.target.zs_shrinker_scan(world.pool) == -1
    world.free(*[handles[number] for number in kept])
    assert world.clean()


def test_a_zspage_whose_page_lock_is_taken_is_left_to_the_worker_and_may_be_revived() -> None:
    """One lock for the zspage (H06): whoever has one page locked delays the whole."""
    world = World()
    handle = world.malloc()
    zspage = world.target.zspage_of(handle)
    lock = world.d.lock_page(world.pages(handle)[2])
    assert lock == zspage
    world.free(handle)
    assert world.machine.has_pending_work
    world.d.unlock_page(zspage, lock)
    again = world.malloc()
    assert world.target.zspage_of(again) == zspage
    lock = world.d.lock_page(zspage)
    world.free(again)
    world.d.unlock_page(zspage, lock)
    world.machine.run_work()
    assert world.clean()


def test_the_statistics_are_the_kernels_classes_file() -> None:
    world = World()
    world.fill(6)
    row = next(row for row in world.target.zs_stats_size_show(world.pool) if row.obj_used)
    assert (row.size_bytes, row.obj_allocated, row.obj_used, row.pages_used, row.freeable) == (
        3264,
        10,
        6,
        8,
        0,
    )
    assert (row.almost_empty, row.almost_full, row.pages_per_zspage) == (1, 0, 4)
    assert len(world.target.zs_stats_size_show(world.pool)) == 69
    assert world.target.zs_huge_class_size(world.pool) == 3257


def test_two_pools_share_nothing_but_the_cache_of_zspages() -> None:
    world = World()
    other = world.target.zs_create_pool()
    mine, theirs = world.malloc(), world.target.zs_malloc(other, CLASS_3264, MOVABLE)
    assert world.target.zspage_of(mine) != world.target.zspage_of(theirs)
    assert world.target.zs_get_total_pages(other) == 4
    world.target.zs_free(other, theirs)
    world.target.zs_destroy_pool(other)
    assert world.machine.registered_shrinkers() == [world.pool]
    world.free(mine)
    assert world.clean()


def test_a_pool_with_a_live_handle_is_not_destroyed_silently() -> None:
    world = World()
    world.malloc()
    with pytest.raises(Report, match="zs_handle"):
        world.target.zs_destroy_pool(world.pool)


def test_without_compaction_no_page_is_movable() -> None:
    world = World(Candidate, "no_compaction")
    handle = world.malloc()
    assert not any(world.d.page_has_movable_mapping(page) for page in world.pages(handle))
    world.free(handle)
    assert world.clean()


def test_no_state_lives_outside_the_arena() -> None:
    world = World()
    before = dict(vars(world.target))
    saved = world.machine.snapshot()
    handles = world.fill(12)
    world.target.zs_compact(world.pool)
    assert vars(world.target) == before
    world.machine.restore(saved)
    assert world.clean()
    assert world.fill(12)[0] == handles[0]


def test_every_fullness_word_agrees_with_the_list_after_many_operations() -> None:
    """A small deterministic churn over several classes."""
    world = World(name="small", pages=128)
    live: list[int] = []
    state = 1
    for _ in range(1500):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        if live and state >> 8 & 3 == 0:
            world.free(live.pop((state >> 12) % len(live)))
        elif len(live) < 120:
            live.append(world.malloc(40 + (state >> 10) % 700))
        if state >> 20 & 63 == 0:
            world.target.zs_compact(world.pool)
    for index in {world.view(handle).class_index for handle in live}:
        for group in range(4):
            for zspage in world.target.fullness_list(world.pool, index, group):
                assert world.target.zspage_view(zspage).fullness == group
    world.free(*live)
    world.machine.run_work()
    assert world.clean()
