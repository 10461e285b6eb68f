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
    "free": 12,
    "map": 2,
    "unmap": 4,
    "write": 5,
    "read": 4,
    "isolate": 8,
    "putback": 5,
    "migrate": 13,
    "scan": 10,
    "compact": 5,
    "compact_zone": 5,
    "offline": 2,
    "contig": 4,
    "online": 1,
    "run_work": 2,
    "shrink": 1,
    "poison": 1,
    "speculative_get": 2,
    "speculative_put": 2,
    "bystander": 4,
    "drop_bystander": 1,
    "fail": 2,
    "stats": 1,
    "huge_class_size": 1,
    "create_pool": 1,
    "destroy_pool": 1,
    "trim": 1,
}
