"""Faults: the catalogue of bugs that can be planted in the candidate.

In:    hazards of the conversion, ordinary slips, and rare ones.
Out:   FAULTS, in catalogue order; ids are unique.
Never: a fault of its own.
Next:  candidate/hazards.py, candidate/slips.py, candidate/rare_faults.py; how they are planted: zsfuzz/target/fault.py.
"""

from __future__ import annotations

from candidate.hazards import HAZARDS
from candidate.rare_faults import RARE_FAULTS
from candidate.slips import SLIPS
from zsfuzz.target.fault import Fault

FAULTS: tuple[Fault, ...] = HAZARDS + SLIPS + RARE_FAULTS
