"""What was done to a zspage is told apart from what was done beside it."""

from __future__ import annotations

from tests.execute.programs import program
from zsfuzz.execute.result import FEATURE_KIND_SHIFT
from zsfuzz.execute.runner import Runner
from zsfuzz.program.ops import OPERATIONS, Putback

_PUTBACK = OPERATIONS.index(Putback)


def of_putback(steps: str) -> set[int]:
    """The features of a run that are about a putback and a zspage's past."""
    features = Runner().run(program(steps)).features
    return {f for f in features if f >> FEATURE_KIND_SHIFT == _PUTBACK and f >> 40 & 3 == 2}


ISOLATED = "h0 = malloc 3256\np0 = isolate h0.0\n"


def test_the_same_steps_give_the_same_features_on_another_zspage() -> None:
    other = "h5 = malloc 3256\np3 = isolate h5.0\nputback p3"
    assert of_putback(ISOLATED + "putback p0") == of_putback(other)


def test_what_stood_beside_does_not_matter_but_what_came_in_between_does() -> None:
    plain = of_putback(ISOLATED + "putback p0")
    assert len(plain) == 1
    assert of_putback(ISOLATED + "h9 = malloc 100\nstats\nputback p0") == plain
    assert of_putback(ISOLATED + "compact\nputback p0") != plain


def test_an_empty_zspage_and_one_with_more_isolated_pages_are_other_states() -> None:
    states = [
        of_putback(ISOLATED + "putback p0"),
        of_putback(ISOLATED + "free h0\nputback p0"),
        of_putback(ISOLATED + "p1 = isolate h0.1\nputback p0"),
        of_putback("h0 = malloc 3256\nh1 = malloc 3256\np0 = isolate h0.0\nputback p0"),
    ]
    assert len(set(map(frozenset, states))) == len(states)


def test_every_feature_says_which_kind_it_is_about() -> None:
    features = Runner().run(program(ISOLATED + "free h0\nputback p0\nrun_work")).features
    kinds = {OPERATIONS[feature >> FEATURE_KIND_SHIFT].__name__ for feature in features}
    assert kinds == {"Malloc", "Isolate", "Free", "Putback", "RunWork"}
