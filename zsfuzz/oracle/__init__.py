"""Oracles: what must hold, on each target by itself and between the two.

In:    two sides at a quiescent point; outcomes of one operation.
Out:   violations, as findings.
Never: execution of operations.
Next:  zsfuzz/oracle/observe.py (divergence), invariants.py (I1 to I12) and expected.py (named differences) beside it.
"""
