"""Workers: several processes that fuzz together, and a supervisor that loses nothing when one of them dies.

In:    the settings of a campaign, a number of workers.
Out:   Supervisor (zsfuzz/campaign/workers/supervisor.py), with run() and result() as a Campaign has them.
Never: another fuzz loop: each worker runs the one of zsfuzz/campaign/loop.py.
Next:  what a worker does in zsfuzz/campaign/workers/worker.py; why it is built so in docs/adr/0007-workers.md.
"""
