"""PFN scanners as probes: each may be run by itself over a range, and leaves the machine as it found it.

In:    a Core, a range of pfns, the truth about which pages could be moved.
Out:   what two designs have to agree on, as plain values; a Report for a wrong answer or a cursor that goes
       astray.
Never: moves a page for good, knows an allocator.
Next:  scan() in zsfuzz/machine/scanners/probe.py.
"""
