"""Kernel targets: the real mm/zsmalloc.c, unmodified, built in userspace.

In:    a kernel tree, of which mm/zsmalloc.c and its two headers are read.
Out:   a compiled library, run a program at a time, judged like any other target.
Never: a copy of kernel source in this repository, an edit of it anywhere.
Next:  how it is built in zsfuzz/kernel/build.py; how programs run in zsfuzz/kernel/runner.py; the C side in
       zsfuzz/kernel/shim/driver.c; the reasons in docs/adr/0006-kernel-in-userspace.md.
"""
