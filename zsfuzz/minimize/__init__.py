"""Minimization: the smallest program that still shows the same thing.

In:    a program and a predicate.
Out:   zsfuzz/minimize/minimizer.py, its passes in zsfuzz/minimize/steps.py, zsfuzz/minimize/arguments.py,
       zsfuzz/minimize/slots.py and zsfuzz/minimize/headers.py.
Never: an oracle, a target: what is interesting is the predicate's business.
Next:  who calls it: zsfuzz/campaign/ for findings.
"""
