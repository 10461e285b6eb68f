"""Policy without struct page: numbers both allocators may share.

In:    a page size and a chain length.
Out:   size classes, fullness groups, object values (zsfuzz/policy/size_class.py).
Never: a page descriptor, a list, a lock: those are written twice, in reference/ and in candidate/.
"""
