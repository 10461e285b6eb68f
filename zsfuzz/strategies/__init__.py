"""Hypothesis strategies and a state machine, for users' own tests and for the engine `hypothesis`.

In:    the extra `hypothesis`.
Out:   programs(), operations(), headers(), blocks(), schedules() (zsfuzz/strategies/programs.py);
       state_machine() (zsfuzz/strategies/machine.py).
Never: needed by anything else of zsfuzz: without Hypothesis only this package is missing.
Next:  docs/engines.md.
"""
