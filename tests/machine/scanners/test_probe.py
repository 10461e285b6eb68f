"""Every scanner as a probe: it answers the same twice, leaves no trace, and sees its planted defect."""

from __future__ import annotations

import pytest

from tests.machine.core.support import World, make_world
from zsfuzz.machine.core.bystander import add_bystander, drop_bystander, is_movable
from zsfuzz.machine.core.memory_failure import memory_failure, soft_offline_page
from zsfuzz.machine.layout import (
    EBUSY,
    ENOENT,
    PAGE_MAPPING_MOVABLE,
    PG_MAPPING,
    PG_PRIVATE,
    PG_REFCOUNT,
    STRUCT_PAGE_SIZE,
    PG_lru,
)
from zsfuzz.machine.report import Report
from zsfuzz.machine.scanners.probe import PROBES, scan
from zsfuzz.program.ops import BystanderKind, Scanner

ALL = pytest.mark.parametrize("scanner", Scanner)
UNMOVABLE = (Scanner.HAS_UNMOVABLE, Scanner.PAGE_IS_UNMOVABLE)
FURNITURE = [(kind, order) for kind in BystanderKind for order in (0, 1, 3)]


def furnish(world: World) -> None:
    """Put something of every sort into both zones."""
    world.movable_at(3, 4, 5, 20, 22, 36, 40, 41, 65, 67, 80, 81, 82)
    world.kernel_page_at(44)
    for slot, (kind, order) in enumerate(FURNITURE):
        add_bystander(world.core, slot, kind, order)
    world.list_of([world.page(22)], world.core.isolated)
    memory_failure(world.core, 40)
    soft_offline_page(world.core, 41)
    soft_offline_page(world.core, 60)
    world.m.buddy.set_section_online(96, False)


def truth(world: World, pfn: int) -> bool:
    return world.is_movable(pfn) or is_movable(world.core, world.page(pfn))


def state(world: World) -> tuple[object, ...]:
    """Everything that a probe must leave alone; free lists by content, since their order may change."""
    buddy, d = world.m.buddy, world.core.d
    pages = [world.page(pfn) for pfn in range(128)]
    return (
        buddy.vmstat(),
        [buddy.get_pageblock_migratetype(pfn) for pfn in range(0, 128, 16)],
        [sorted(buddy.free_blocks(z, o, t)) for z in (0, 1) for o in range(6) for t in range(4)],
        [d.page_ref_count(page) for page in pages],
        [world.m.load(page) for page in pages],
        [d.mapping_word(page) for page in pages],
        [head for _, head in world.core.lists_of_pages() if not world.core.is_empty(head)],
        world.m.locks.held,
    )


def test_every_scanner_has_a_probe() -> None:
    assert list(PROBES) == list(Scanner)


@ALL
@pytest.mark.parametrize("switches", [(), ("heap_above_memmap", "batched_migration")], ids=["plain", "switched"])
def test_a_probe_leaves_no_trace_and_answers_the_same_twice(scanner: Scanner, switches: tuple[str, ...]) -> None:
    world = make_world(*switches)
    furnish(world)
    for start, end in ((0, 128), (0, 1), (127, 128), (16, 32), (19, 23), (40, 70), (5, 100), (30, 98)):
        before = state(world)
        first = scan(world.core, scanner, start, end, lambda pfn: truth(world, pfn))
        assert state(world) == before
        assert scan(world.core, scanner, start, end, lambda pfn: truth(world, pfn)) == first
    assert world.m.is_quiescent
    for slot in range(len(FURNITURE)):
        drop_bystander(world.core, slot)


@ALL
@pytest.mark.parametrize("start", range(16, 26))
def test_every_scanner_may_start_anywhere_in_a_real_compound_page(scanner: Scanner, start: int) -> None:
    """[c c c c c c c c m k]"""
    world = make_world()
    world.take_block(16, 3, compound=True)
    world.movable_at(24)
    world.kernel_page_at(25)
    scan(world.core, scanner, start, 32, lambda pfn: truth(world, pfn))


def test_what_each_scanner_says_of_a_small_range(world: World) -> None:
    """[m k L . c c . .]"""
    world.movable_at(16)
    world.kernel_page_at(17)
    page = world.take_block(18)
    world.m.store(page + PG_MAPPING, world.core.anon_vma | 1)
    world.m.store32(page + 48, 0)
    world.m.set_bit(PG_lru, page)
    world.take_block(20, 1, compound=True)

    def said(scanner: Scanner) -> tuple[object, ...]:
        return scan(world.core, scanner, 16, 24, lambda pfn: pfn == 18 or truth(world, pfn))

    assert said(Scanner.HAS_UNMOVABLE) == (17, 17)
    assert said(Scanner.PAGE_IS_UNMOVABLE) == (17,)
    assert said(Scanner.ISOLATE_SINGLE_PAGEBLOCK) == (-EBUSY,)
    assert said(Scanner.SCAN_MOVABLE) == said(Scanner.SCAN_MOVABLE_OR_MASK) == (0, 16)
    assert said(Scanner.DO_MIGRATE_RANGE) == (-EBUSY, 16, 18)
    assert said(Scanner.ISOLATE_MIGRATEPAGES) == (24, 2, 18, 16, 24, 0, 24, 2, 18, 16)
    assert said(Scanner.ISOLATE_FREEPAGES) == (3, 24, 0, 16)
    assert said(Scanner.PAGE_IDLE) == (0, 0, 1, 0, 0, 0, 0, 0)
    assert said(Scanner.SPECULATIVE_GET) == (1, 1, 1, 0, 1, 1, 0, 0)
    assert said(Scanner.DUMP_PAGE) == (8, 5)
    assert said(Scanner.PAGE_OWNER) == (16, 17, 18, 20)
    assert said(Scanner.KPAGECOUNT) == (0, 0, 1, 0, 0, 0, 0, 0)
    flags = said(Scanner.KPAGEFLAGS)
    assert flags == (0, 0, 1 << 5 | 1 << 11 | 1 << 12, 1 << 10, 1 << 15, 1 << 16, 1 << 10, 1 << 10)


def test_offline_sections_are_left_out(world: World) -> None:
    world.m.buddy.set_section_online(32, False)

    def said(scanner: Scanner) -> tuple[object, ...]:
        return scan(world.core, scanner, 32, 64, lambda pfn: None)

    for scanner in (*UNMOVABLE, Scanner.ISOLATE_SINGLE_PAGEBLOCK, Scanner.ISOLATE_MIGRATEPAGES):
        assert said(scanner) == ()
    assert said(Scanner.KPAGEFLAGS) == (1 << 20,) * 32
    assert said(Scanner.KPAGECOUNT) == said(Scanner.SPECULATIVE_GET) == said(Scanner.PAGE_IDLE) == (0,) * 32
    assert said(Scanner.DUMP_PAGE) == (0, 0)


# -- wrong answers


@pytest.mark.parametrize("scanner", UNMOVABLE)
def test_a_page_whose_mark_is_missing_is_refused_wrongly(scanner: Scanner, world: World) -> None:
    [page] = world.movable_at(20)
    world.m.store(page + PG_MAPPING, 0)
    with pytest.raises(Report) as caught:
        scan(world.core, scanner, 16, 32, world.is_movable)
    assert caught.value.rule == "wrong answer: movable page refused"


def test_isolating_a_pageblock_whose_page_lost_its_mark_is_refused_wrongly(world: World) -> None:
    [page] = world.movable_at(20)
    world.m.store(page + PG_MAPPING, 0)
    with pytest.raises(Report) as caught:
        scan(world.core, Scanner.ISOLATE_SINGLE_PAGEBLOCK, 16, 32, world.is_movable)
    assert (caught.value.rule, caught.value.field) == (
        "wrong answer: movable page refused",
        "isolate_single_pageblock",
    )


@pytest.mark.parametrize("defect", ["a mark it should not have", "no references"])
@pytest.mark.parametrize("scanner", [*UNMOVABLE, Scanner.ISOLATE_SINGLE_PAGEBLOCK])
def test_an_unmovable_page_that_does_not_look_so_is_missed(scanner: Scanner, defect: str, world: World) -> None:
    page = world.kernel_page_at(20)
    if defect == "no references":
        world.m.store32(page + PG_REFCOUNT, 0)
    else:
        world.m.store(page + PG_MAPPING, world.owner.mapping | PAGE_MAPPING_MOVABLE)
    with pytest.raises(Report) as caught:
        scan(world.core, scanner, 16, 32, world.is_movable)
    assert caught.value.rule == "wrong answer: nothing unmovable"


@pytest.mark.parametrize("scanner", [Scanner.SCAN_MOVABLE, Scanner.SCAN_MOVABLE_OR_MASK])
def test_a_movable_page_passed_over_is_reported(scanner: Scanner, world: World) -> None:
    first, _ = world.movable_at(20, 22)
    world.m.store(first + PG_MAPPING, 0)
    with pytest.raises(Report) as caught:
        scan(world.core, scanner, 16, 32, world.is_movable)
    assert caught.value.rule == "wrong answer: movable page passed over"


@pytest.mark.parametrize("scanner", [*UNMOVABLE, Scanner.SCAN_MOVABLE])
def test_what_nobody_can_say_is_not_judged(scanner: Scanner, world: World) -> None:
    """A page its owner left while somebody has a reference, one with poison, the inside of a kernel block."""
    [left] = world.movable_at(20)
    world.core.d.get_page(left)
    world.owner.release(left)
    add_bystander(world.core, 0, BystanderKind.UNMOVABLE, 2)
    soft_offline_page(world.core, 30)
    for start in range(32):
        scan(world.core, scanner, start, start + 1, world.m.buddy.is_free_buddy_page)


def test_an_unmovable_page_in_the_movable_zone_is_not_looked_for_but_a_reserved_one_is(world: World) -> None:
    world.kernel_page_at(70)
    assert scan(world.core, Scanner.HAS_UNMOVABLE, 64, 80, world.is_movable) == (-1, -1)
    pfn = add_bystander(world.core, 0, BystanderKind.RESERVED, 1)
    assert scan(world.core, Scanner.HAS_UNMOVABLE, pfn, pfn + 1, world.is_movable) == (pfn, pfn)


# -- heads outside the memmap, on both sides of it


@pytest.mark.parametrize("switches", [(), ("heap_above_memmap",)], ids=["head below", "head above"])
@pytest.mark.parametrize(
    ("scanner", "rule"),
    [
        (Scanner.HAS_UNMOVABLE, "I8 scanner leaves its range"),
        (Scanner.PAGE_IS_UNMOVABLE, "wrong answer: movable page refused"),
        (Scanner.ISOLATE_SINGLE_PAGEBLOCK, "I8 scanner leaves its range"),
        (Scanner.DO_MIGRATE_RANGE, "VM_BUG_ON PageTail"),
        (Scanner.SCAN_MOVABLE, "wrong answer: movable page passed over"),
        (Scanner.SCAN_MOVABLE_OR_MASK, "wrong answer: movable page passed over"),
    ],
)
def test_a_memdesc_tail_is_a_finding_under_the_rules_of_5_10(
    scanner: Scanner, rule: str, switches: tuple[str, ...]
) -> None:
    """[. . . . tail of Z . k . .]: H11, H01, H02 by the scanner that meets them."""
    world = make_world(*switches)
    world.memdesc_tail_at(20)
    world.kernel_page_at(22)
    with pytest.raises(Report) as caught:
        scan(world.core, scanner, 16, 32, world.is_movable)
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    "scanner",
    [Scanner.KPAGEFLAGS, Scanner.KPAGECOUNT, Scanner.DUMP_PAGE, Scanner.SCAN_MOVABLE, Scanner.HAS_UNMOVABLE],
)
def test_a_descriptor_shorter_than_two_struct_pages_is_read_beyond_its_end(scanner: Scanner, world: World) -> None:
    """PageHuge() and the compound mapcount lie 80 and 84 bytes from the start of the head (H12, H13)."""
    world.memdesc_tail_at(20, size=56)
    with pytest.raises(Report) as caught:
        scan(world.core, scanner, 16, 32, lambda pfn: None)
    assert caught.value.rule == "out-of-bounds slab"


def test_a_neighbour_that_looks_like_a_hugetlb_destructor_is_reported(world: World) -> None:
    _, head = world.memdesc_tail_at(20)
    world.m.store(head + STRUCT_PAGE_SIZE + 16, 2)
    with pytest.raises(Report) as caught:
        scan(world.core, Scanner.SCAN_MOVABLE, 16, 32, world.is_movable)
    assert caught.value.rule == "false PageHuge"


def test_a_stale_head_is_read_after_it_was_freed(world: World) -> None:
    page = world.take_block(20)
    cache = world.m.slab.kmem_cache_create("zspage", 128)
    head = world.m.slab.kmem_cache_alloc(cache)
    world.m.memory.write_bytes(head, bytes(128))
    world.m.store(page + 8, head | 1)
    world.m.slab.kmem_cache_free(cache, head)
    for scanner in (Scanner.SPECULATIVE_GET, Scanner.KPAGEFLAGS, Scanner.PAGE_IDLE):
        with pytest.raises(Report) as caught:
            scan(world.core, scanner, 16, 32, world.is_movable)
        assert caught.value.rule == "use-after-free slab"


def test_idle_tracking_drops_from_the_head_what_it_took_from_the_page(world: World) -> None:
    """PG_lru in the flags of Z (H10, H25): raw get, redirected put."""
    _, head = world.memdesc_tail_at(20)
    world.m.set_bit(PG_lru, head)
    world.m.store32(head + PG_REFCOUNT, 0)
    with pytest.raises(Report) as caught:
        scan(world.core, Scanner.PAGE_IDLE, 16, 32, world.is_movable)
    assert caught.value.rule == "I6 refcount below zero"


@pytest.mark.parametrize(
    "scanner",
    [
        Scanner.ISOLATE_MIGRATEPAGES,
        Scanner.ISOLATE_FREEPAGES,
        Scanner.HAS_UNMOVABLE,
        Scanner.PAGE_IS_UNMOVABLE,
        Scanner.ISOLATE_SINGLE_PAGEBLOCK,
        Scanner.PAGE_OWNER,
    ],
)
def test_a_free_block_that_claims_pages_in_use_is_skipped_with_them(scanner: Scanner, world: World) -> None:
    """[. . . . k . . .]: the block of 4 says it has 16 pages."""
    world.kernel_page_at(20)
    world.m.store(world.page(16) + PG_PRIVATE, 4)
    with pytest.raises(Report) as caught:
        scan(world.core, scanner, 16, 32, lambda pfn: None)
    assert caught.value.rule == "I8 scanner skips pages"


@pytest.mark.parametrize("scanner", [Scanner.SCAN_MOVABLE, Scanner.SCAN_MOVABLE_OR_MASK])
def test_nothing_movable_is_an_answer_too(scanner: Scanner, world: World) -> None:
    assert scan(world.core, scanner, 0, 64, world.is_movable) == (-ENOENT, 64)
