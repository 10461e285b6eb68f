"""Signatures: what is kept of a finding, and what is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zsfuzz.oracle.finding import Finding
from zsfuzz.oracle.signature import counter_change, direction, outcome_change, without_zone
from zsfuzz.program.ops import OPERATIONS

FOUND = Finding("invariant", "I3 wrong list", (), "list", "candidate", 3, "at 0xffff8880", request="malloc")


def test_a_broken_invariant_names_its_side_and_the_family_of_the_step() -> None:
    assert FOUND.signature == "invariant/I3 wrong list/malloc/candidate list"


def test_step_message_and_details_do_not_matter() -> None:
    other = replace(FOUND, step=77, message="elsewhere", details=(("reference", "1"),))
    assert other.signature == FOUND.signature and other.id == FOUND.id


def test_another_side_rule_or_datum_does() -> None:
    others = [
        replace(FOUND, target="reference"),
        replace(FOUND, rule="I4 free list cycle"),
        replace(FOUND, field="pages"),
        replace(FOUND, functions=("fix_fullness_group",)),
        replace(FOUND, request="free"),
    ]
    assert len({each.signature for each in (FOUND, *others)}) == 6


@pytest.mark.parametrize("request_", ["isolate", "putback", "compact_zone", "offline", "contig", "poison", "scan"])
def test_all_ways_to_move_a_page_are_one_family(request_: str) -> None:
    assert replace(FOUND, request=request_).signature == replace(FOUND, request="migrate").signature


def test_the_end_of_a_run_is_its_drain() -> None:
    assert replace(FOUND, request="").signature == "invariant/I3 wrong list/drain/candidate list"


def test_a_function_that_is_to_blame_makes_the_step_unimportant() -> None:
    blamed = replace(FOUND, functions=("free_zspage",))
    assert blamed.signature == replace(blamed, request="migrate").signature


def test_a_difference_has_no_side() -> None:
    found = Finding("divergence", "zone counter", (), "nr_zspages, candidate lower", "both", 1, "", request="free")
    assert found.signature == "divergence/zone counter/free/nr_zspages, candidate lower"


@pytest.mark.parametrize(
    "rule", ["wild access", "wild pfn", "use-after-free page", "uninitialised read", "no struct page"]
)
def test_whatever_a_wrong_pointer_hits_is_one_thing(rule: str) -> None:
    found = Finding("memory", rule, ("trypin_tag",), "", "candidate", 1, "")
    assert found.signature == "memory/bad access/trypin_tag/candidate"


@pytest.mark.parametrize("rule", ["I6 bad page at free", "I8 scanner skips pages", "self-deadlock"])
def test_who_finds_what_another_left_behind_is_not_named(rule: str) -> None:
    found = Finding("invariant", rule, ("put_page",), "private", "reference", 1, "", request="free")
    assert found.signature == f"invariant/{rule}//reference private"


def test_outcomes_that_differ_are_filed_under_the_family_a_scanner_under_its_name() -> None:
    found = Finding("divergence", "outcome", ("migrate",), "candidate less", "both", 1, "", request="migrate")
    assert found.signature == "divergence/outcome/page movement/candidate less"
    scan = replace(found, functions=("page_idle",), field="result", request="scan")
    assert scan.signature == "divergence/outcome/page_idle/result"


def test_a_movable_page_that_is_not_seen_as_such_is_one_thing() -> None:
    by_truth = Finding("progress", "wrong answer: movable page refused", (), "page_is_unmovable", "candidate", 1, "")
    by_other = Finding(
        "divergence", "outcome", ("isolate_single_pageblock",), "candidate less", "both", 1, "", request="scan"
    )
    missed = replace(by_truth, rule="wrong answer: nothing unmovable")
    assert by_truth.signature == by_other.signature == "progress/wrong answer: movable page//candidate less"
    assert missed.signature == "progress/wrong answer: nothing unmovable//candidate page_is_unmovable"


def test_families_are_few() -> None:
    families = {replace(FOUND, request=name).signature.split("/")[2] for name in map(_snake, OPERATIONS)}
    assert "page movement" in families and "scan" not in families
    assert len(families) < len(OPERATIONS) // 2


def _snake(operation: type) -> str:
    letters = [f"_{letter.lower()}" if letter.isupper() else letter for letter in operation.__name__]
    return "".join(letters).lstrip("_")


def test_a_number_says_who_has_less() -> None:
    assert direction("inuse", 3, 2) == "inuse, candidate lower"
    assert direction("inuse", 2, 3) == "inuse, reference lower"
    assert direction("inuse", 3, 3) == "inuse"


def test_a_counter_of_two_zones_says_whether_the_sum_is_right() -> None:
    assert counter_change("nr_zspages", [4, 4], [3, 5]) == "nr_zspages, between zones"
    assert counter_change("nr_zspages", [4, 4], [4, 5]) == "nr_zspages, reference lower"


def test_the_zone_of_a_datum_is_left_out() -> None:
    assert without_zone("nr_free_pages Movable") == "nr_free_pages"
    assert without_zone("live zs_handle") == "live zs_handle"


@pytest.mark.parametrize(
    ("action", "reference", "candidate", "change"),
    [
        ("malloc", (1, 5 << 32), 0, "candidate less"),
        ("isolate", 0, -16, "candidate less"),
        ("isolate", -16, 0, "reference less"),
        ("contig", 0, -12, "candidate less"),
        ("offline", (0, 0), (0, -16), "candidate less"),
        ("migrate", (0, 0), (2, 0), "candidate less"),
        ("migrate", (1, 1), (1, 0), "reference less"),
        ("migrate", (1, 0), (0, 1), "result"),
        ("compact_zone", (5, 1, 0, 3, 9), (5, 0, 0), "candidate less"),
        ("compact_zone", (5, 1, 0, 3, 9), (5, 1, 0, 3, 8), "result"),
        ("run_work", 1, 0, "candidate less"),
        ("stats", (1, 2, ()), (2, 2, ()), "result"),
        ("has_unmovable_pages", (-1, -1), (-1, 17), "candidate less"),
        ("isolate_single_pageblock", (-16,), (0, 0), "reference less"),
    ],
)
def test_outcomes_say_who_did_less(action: str, reference: object, candidate: object, change: str) -> None:
    assert outcome_change(action, reference, candidate) == change
