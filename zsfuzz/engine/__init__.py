"""Engines: where programs come from.

In:    a seeded random.Random, settings, and the results of the programs run so far.
Out:   programs, one after the other (zsfuzz/engine/base.py).
Never: a target, a machine, a file: an engine sees RunResult and nothing else of a run.
Next:  zsfuzz/engine/random_engine.py, zsfuzz/engine/coverage_engine.py.
"""
