"""Programs on disk: a content-addressed folder, and the checks a kept folder must pass.

In:    programs; folders.
Out:   zsfuzz/corpus/store.py (one folder), zsfuzz/corpus/check.py (what `zsfuzz corpus` does).
Never: execution: a check is handed a function that runs.
Next:  the bytes of a file in zsfuzz/program/packed.py.
"""
