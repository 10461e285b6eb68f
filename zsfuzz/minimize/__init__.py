"""Minimization: the smallest program that still shows the same thing.

In:    a program and a predicate.
Out:   minimize() of zsfuzz/minimize/minimizer.py.
Never: an oracle, a target: what is interesting is the predicate's business.
Next:  its passes: zsfuzz/minimize/steps.py, zsfuzz/minimize/arguments.py, zsfuzz/minimize/slots.py,
       zsfuzz/minimize/headers.py; what counts as smaller: zsfuzz/minimize/order.py.
"""
