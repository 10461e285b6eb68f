"""The mm core that both targets run on: 5.10.223's rules, with what came later as named variants.

In:    a Machine; requests of the harness.
Out:   Core (zsfuzz/machine/core/core.py) and functions named like the kernel's that take it first.
Never: an allocator under test; a look at a page but through the descriptor interface.
Next:  migration in zsfuzz/machine/core/migrate.py; the probes that scan by themselves in
       zsfuzz/machine/scanners/probe.py.
"""
