"""Programs: what a test case is made of, and how it is written down.

In:    operations (zsfuzz/program/ops.py) under a header (zsfuzz/program/program.py).
Out:   readers and writers: text .zst (text.py), packed .zsf (packed.py), either by content (files.py),
       and a decoder of any bytes at all (rawbytes.py). What is well-formed is said once: limits.py.
Never: execution. A step that makes no sense in its state is still well-formed: the executor counts it.
Next:  the formats for people in docs/program-format.md.
"""
