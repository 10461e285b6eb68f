"""x

In:    y
Out:   z
Never: w
"""

from __future__ import annotations

from zsfuzz.target.fault import Fault

FAULTS: tuple[Fault, ...] = ()
