"""Explore: every interleaving of a parallel block, up to a bound.

Next:  the search in zsfuzz/explore/search.py.
"""
