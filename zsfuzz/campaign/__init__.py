"""Campaigns: the fuzz loop, its clock and its files; and verdicts on programs that are kept.

In:    an engine, a runner, limits, folders.
Out:   Campaign (zsfuzz/campaign/loop.py) and judge() (zsfuzz/campaign/verdict.py).
Never: what a target or an oracle does; text for people (zsfuzz/report/).
Next:  the commands that start them in zsfuzz/cli/.
"""
