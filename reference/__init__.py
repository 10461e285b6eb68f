"""The legacy struct-page allocator: zsmalloc of Linux 5.10, byte for byte in a simulated memory map.

In:    a Kernel of zsfuzz/machine/machine.py.
Out:   TARGETS and FAULTS, as zsfuzz/target/registry.py asks for them.
Never: imports the other allocator.
Next:  reference/zsmalloc.py.
"""

from __future__ import annotations

from reference.faults import FAULTS as SEQUENTIAL_FAULTS
from reference.lane_faults import LANE_FAULTS
from reference.zsmalloc import Zsmalloc
from zsfuzz.target.protocol import Target

TARGETS: dict[str, type[Target]] = {Zsmalloc.name: Zsmalloc}

FAULTS = (*SEQUENTIAL_FAULTS, *LANE_FAULTS)

__all__ = ["FAULTS", "TARGETS", "Zsmalloc"]
