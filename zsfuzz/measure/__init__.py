"""Measure: how good the fuzzer is, on planted faults and on mutants of the two models.

In:    faults, engines, seeds, a budget of processor time.
Out:   cells (one fault, one engine, one seed), tables, survival curves; mutants killed and survived.
Never: a campaign's findings folder; a change to a source file.
Next:  zsfuzz/measure/cell.py, zsfuzz/measure/bench.py, zsfuzz/measure/mutants.py; the command in zsfuzz/cli/faults.py.
"""
