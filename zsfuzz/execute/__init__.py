"""Execution: one program on two targets, step by step.

In:    a program; the names of two targets.
Out:   RunResult (zsfuzz/execute/result.py).
Never: files, clocks, the choice of programs.
Next:  the pair in zsfuzz/execute/runner.py, one target on its machine in zsfuzz/execute/side.py.
"""
