"""Block plan: what belongs to one lane is a no-op in another, and what belongs to nobody is everybody's."""

from __future__ import annotations

import pytest

from tests.execute.blocks import block, block_of_program
from zsfuzz.execute.block_plan import BlockPlan, plan_block
from zsfuzz.program import ops


def plan(*lanes: str, isolated: dict[int, int] | None = None) -> BlockPlan:
    """Plan lanes. Component k of slot s is page 100 * s + k; slot 63 holds nothing."""

    def find(name: ops.PageName) -> int:
        if isinstance(name, ops.Component):
            return 100 * name.slot + name.index if name.slot != 63 else 0
        return 0 if isinstance(name, ops.IsolatedPage) else 9000 + name.pfn

    return plan_block(block_of_program(block("", *lanes)), isolated or {}, find)


def allowed(*lanes: str, isolated: dict[int, int] | None = None) -> list[list[bool]]:
    """Return which operations of each lane may take effect."""
    return [[each.allowed for each in lane] for lane in plan(*lanes, isolated=isolated).lanes]


USES_OF_SLOT = ("map h1 rw", "unmap h1", "write h1 0+8 1", "read h1 0+8")


@pytest.mark.parametrize("claim", ["h1 = malloc 64", "free h1"])
@pytest.mark.parametrize("use", [*USES_OF_SLOT, "h1 = malloc 64", "free h1"])
def test_a_slot_that_a_lane_allocates_or_frees_is_that_lanes(claim: str, use: str) -> None:
    assert allowed(claim, use) == [[True], [False]]
    assert allowed(f"{use}\n{claim}", "free h2") == [[True, True], [True]]
    assert allowed(claim, use.replace("h1", "h2")) == [[True], [True]]


def test_a_slot_that_no_lane_allocates_or_frees_is_everybodys() -> None:
    uses = "\n".join(USES_OF_SLOT)
    assert allowed(uses, uses, uses) == [[True] * 4] * 3


def test_the_first_lane_that_claims_has_it_also_before_its_claim() -> None:
    """Lane 1 uses it before lane 0 comes to its free: a no-op all the same, whatever the schedule."""
    assert allowed("stats\nfree h1", "read h1 0+8\nfree h1") == [[True, True], [False, False]]


@pytest.mark.parametrize("claim", ["create_pool z1", "destroy_pool z1"])
@pytest.mark.parametrize(
    "use", ["h1 = malloc 64 z1", "compact z1", "stats z1", "huge_class_size z1", "create_pool z1", "destroy_pool z1"]
)
def test_a_pool_that_a_lane_makes_or_destroys_is_that_lanes(claim: str, use: str) -> None:
    assert allowed(claim, use) == [[True], [False]]
    assert allowed(f"{claim}\n{use}", "stats") == [[True, True], [True]]
    assert allowed(claim, use.replace("z1", "z2"))[1] == [True]


def test_a_shrinker_may_come_to_a_pool_that_another_lane_destroys() -> None:
    """It is the core that calls it; shrinker_rwsem keeps the two apart."""
    assert allowed("destroy_pool z1", "shrink scan z1\nshrink count z1") == [[True], [True, True]]


def test_trim_looks_at_every_pool_so_none_may_come_or_go() -> None:
    assert allowed("trim", "compact\nfree h1") == [[True], [True, True]]
    for claim in ("create_pool z1", "destroy_pool z1"):
        assert allowed("trim", claim) == [[False], [True]]
        assert allowed(f"{claim}\ntrim", "stats") == [[True, False], [True]]


@pytest.mark.parametrize("claim", ["p1 = isolate h1.0", "putback p1", "migrate p1 sync"])
@pytest.mark.parametrize("use", ["p1 = isolate h2.0", "putback p1"])
def test_an_isolated_page_is_one_lanes(claim: str, use: str) -> None:
    assert allowed(claim, use) == [[True], [False]]
    assert allowed(claim, use.replace("p1", "p2")) == [[True], [True]]
    assert allowed(f"{claim}\n{use}", "stats") == [[True, True], [True]]
    assert plan(claim, use).page_slots == {1: 0}


@pytest.mark.parametrize("claim", ["b1 = bystander compound 1", "drop b1"])
@pytest.mark.parametrize("use", ["b1 = bystander reserved 0", "drop b1"])
def test_a_bystander_is_one_lanes(claim: str, use: str) -> None:
    assert allowed(claim, use) == [[True], [False]]
    assert allowed(claim, use.replace("b1", "b2")) == [[True], [True]]
    assert allowed(f"{claim}\n{use}", "stats") == [[True, True], [True]]


def test_what_belongs_to_nobody_may_be_done_by_all() -> None:
    lane = (
        "compact\nshrink scan\nrun_work\ncompact_zone 0..64 sync\noffline 0..8\nonline 0..8\ncontig 0..8\nstats\n"
        "poison h1.0 soft\nscan kpageflags 0..64\nr0 = speculative_get h1.0\nspeculative_put r0\n"
        "migrate h1.0 sync\nfail malloc page 0"
    )
    count = len(lane.splitlines())
    assert allowed(lane, lane) == [[True] * count] * 2


def test_the_scanner_whose_caller_has_isolated_the_range_comes_with_offline_only() -> None:
    assert allowed("scan do_migrate_range 0..64", "scan page_idle 0..64") == [[False], [True]]


# -- pages


def pages_of(*lanes: str, isolated: dict[int, int] | None = None) -> list[list[tuple[int, ...]]]:
    made = plan(*lanes, isolated=isolated)
    return [[tuple(page for _, page in each.pages) for each in lane] for lane in made.lanes]


def test_pages_are_looked_up_when_the_block_begins() -> None:
    assert pages_of(
        "migrate h1.0 h2.3 sync\np1 = isolate h3.1", "poison @7 hard\nr0 = speculative_get h4.2\nfree h1"
    ) == [
        [(100, 203), (301,)],
        [(9007,), (402,), ()],
    ]


def test_a_name_of_nothing_is_left_out() -> None:
    assert pages_of("migrate h63.0 h1.0 sync\nr0 = speculative_get h63.0", "stats") == [[(100,), ()], [()]]


def test_an_isolated_page_is_looked_up_when_its_own_lane_comes_to_it() -> None:
    """0 stands for that; another lane's isolated page is left out."""
    lanes = "p1 = isolate h1.0\nmigrate p1 h2.0 sync", "migrate p1 h3.0 sync\nr0 = speculative_get p1"
    assert pages_of(*lanes) == [[(100,), (0, 200)], [(300,), ()]]


# -- zs_destroy_pool() waits for isolated pages


@pytest.mark.parametrize(
    ("other", "safe"),
    [
        ("putback p1", True),
        ("migrate p1 sync", True),
        ("stats\nputback p1", True),
        ("stats", False),  # nobody gives it back
        ("putback p2", False),
        ("map h5 rw\nputback p1", False),  # a held map makes a no-op of it
        ("r0 = speculative_get h5.0\nputback p1", False),
        ("destroy_pool z2\nputback p1", False),  # it waits itself
        ("putback p1\ndestroy_pool z2", True),
        ("putback p1\np1 = isolate h5.0", False),  # taken again
        ("p1 = isolate h5.0\nputback p1", True),
    ],
)
def test_a_pool_is_destroyed_only_if_another_lane_certainly_gives_back_what_is_isolated(other: str, safe: bool) -> None:
    assert allowed("destroy_pool z1", other, isolated={1: 100})[0] == [safe]


def test_a_lane_does_not_wait_for_what_it_has_to_give_back_itself() -> None:
    assert allowed("destroy_pool z1\nputback p1", "stats", isolated={1: 100})[0] == [False, True]
    assert allowed("putback p1\ndestroy_pool z1", "stats", isolated={1: 100})[0] == [True, False]
    assert allowed("destroy_pool z1", "stats")[0] == [True], "nothing is isolated"


def test_every_isolated_page_counts_whether_from_before_or_from_the_block() -> None:
    assert allowed("destroy_pool z1", "putback p1", isolated={1: 100, 2: 200})[0] == [False]
    assert allowed("destroy_pool z1", "putback p1", "putback p2", isolated={1: 100, 2: 200})[0] == [True]
    assert allowed("destroy_pool z1", "p3 = isolate h1.0")[0] == [False]
    assert allowed("destroy_pool z1", "p3 = isolate h1.0\nputback p3")[0] == [True]
