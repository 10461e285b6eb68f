"""Captures of a running kernel, made into programs.

In:    ftrace text with kprobe events on zsmalloc.
Out:   a program per capture and an account of every line (zsfuzz/trace/ftrace.py).
Never: a guess that is not counted.
"""
