"""Weights of the baseline's rules, fitted so that its mix is that of the fuzz loop.

In:    the fuzz loop's mix; a way to run the baseline with some weights and count its mix.
Out:   fitted_weights(): how many names each rule has.
Never: a promise: the mixes are counted, printed and compared on every run (bench/work.py).
Next:  the fuzz loop's own weights in zsfuzz/engine/profile.py.

A rule is chosen as often as its weight says, but only among those whose precondition holds, and Hypothesis
begins each run with simple examples. So the weights start as the wanted shares and are then corrected a few
times by what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from bench.work import CORE_NAMES, Mix
from zsfuzz.strategies.rules import Weights

NAMES = 96
"""All rules together, about. Hypothesis looks through the names, so more of them would slow it down."""

ROUNDS = 4
_DAMPED = 0.7  # a round is a sample: half a step too far is worse than half a step too short


def fitted_weights(wanted: Mix, kinds: Iterable[str], measure: Callable[[Weights], Mix]) -> Weights:
    """Return a weight of at least 1 for each kind.

    measure: runs the baseline with weights and returns its mix; called ROUNDS times.
    """
    exact = {kind: wanted.share(kind) for kind in kinds}
    weights = _whole(exact)
    for _ in range(ROUNDS):
        found = measure(weights)
        core = wanted.core_share / found.core_share if found.core_share else 1.0
        for kind, weight in weights:
            if wanted.share(kind) and found.share(kind):
                exact[kind] = weight * (wanted.share(kind) / found.share(kind)) ** _DAMPED
            else:
                exact[kind] = weight * (2 if wanted.share(kind) else 1)
            if kind in CORE_NAMES:  # their sum counts most, and a rule without arguments takes from all shares
                exact[kind] *= core
        weights = _whole(exact)
    return weights


def _whole(exact: Mapping[str, float]) -> Weights:
    """Return whole weights, NAMES of them or a few more."""
    total = sum(exact.values())
    return tuple((kind, max(1, round(weight / total * NAMES))) for kind, weight in exact.items())
