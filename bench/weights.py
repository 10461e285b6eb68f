"""Weights of the baseline's rules, so that its mix is that of the fuzz loop.

In:    nothing.
Out:   WEIGHTS, how many names a rule has.
Never: a promise: the mixes are counted, printed and compared on every run (bench/work.py).
Next:  the fuzz loop's own weights in zsfuzz/engine/profile.py.
"""

from __future__ import annotations

from typing import Final

WEIGHTS: Final = {
    "malloc": 14,
    "free": 14,
    "map": 2,
    "unmap": 4,
    "write": 5,
    "read": 3,
    "isolate": 11,
    "putback": 8,
    "migrate": 13,
    "scan": 10,
    "compact": 7,
    "compact_zone": 7,
    "offline": 2,
    "contig": 5,
    "online": 1,
    "run_work": 1,
    "shrink": 1,
    "poison": 1,
    "speculative_get": 2,
    "speculative_put": 8,
    "bystander": 8,
    "drop_bystander": 2,
    "fail": 2,
    "stats": 1,
    "huge_class_size": 1,
    "create_pool": 1,
    "destroy_pool": 1,
    "trim": 1,
}
