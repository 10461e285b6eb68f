"""Targets: the protocol that an allocator under test follows, and how one is found by name.

In:    a target's name, as a user types it.
Out:   classes of targets with their faults applied (zsfuzz/target/registry.py).
Never: execution of programs.
Next:  the protocol in zsfuzz/target/protocol.py.
"""
