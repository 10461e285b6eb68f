"""Benchmarks: how fast the fuzz loop is, and whether the work behind each figure was done.

In:    the two built-in targets, the capture in corpus/traces/.
Out:   a table, and bench/results.json.
Never: a figure without a check of its work; a timed test.
Next:  start reading in bench/run.py; what the figures mean in docs/bench.md.
"""
