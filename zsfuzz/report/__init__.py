"""Reports: what people and scripts read.

In:    results of zsfuzz/campaign/, rows that zsfuzz/execute/result.py describes, programs.
Out:   text (zsfuzz/report/summary.py, zsfuzz/report/trace.py), plain data for JSON, live progress.
Never: a decision, an exit status, a file.
Next:  who prints it: zsfuzz/cli/ and zsfuzz/pytest_plugin.py.
"""
