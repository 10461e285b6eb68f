"""The simulated hardware and memory-management core that the Python targets run on.

In:    a geometry and named switches; the calls of a target and of the core algorithms.
Out:   Machine (zsfuzz/machine/machine.py) with one flat set of primitives.
Never: a clock, the global random, an allocator under test.
Next:  addresses and struct page in zsfuzz/machine/layout.py; memory and its checks in zsfuzz/machine/memory.py.
"""
