"""The candidate: zsmalloc with struct zspage as a memory descriptor, the proposal of 2021 made to work.

In:    a Kernel, as any target gets (zsfuzz/target/protocol.py).
Out:   TARGETS and FAULTS, by which zsfuzz/target/registry.py finds them.
Never: imports the other allocator or anything above the target protocol.
Next:  the decisions, hazard by hazard, in candidate/DESIGN.md; the allocator in candidate/allocator.py.
"""

from __future__ import annotations

from candidate.allocator import Candidate
from candidate.faults import FAULTS as SEQUENTIAL_FAULTS
from candidate.lane_faults import LANE_FAULTS
from candidate.literal import Literal
from zsfuzz.target.protocol import Target

TARGETS: dict[str, type[Target]] = {Candidate.name: Candidate, Literal.name: Literal}

FAULTS = (*SEQUENTIAL_FAULTS, *LANE_FAULTS)

__all__ = ["FAULTS", "TARGETS", "Candidate", "Literal"]
