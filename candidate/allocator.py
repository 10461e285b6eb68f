"""Candidate: the zspage-memdesc allocator, assembled.

In:    a Kernel whose core has the patches of candidate/descriptor.py.
Out:   the target "candidate".
Never: code of its own: each layer below is one file.
Next:  layer by layer: candidate/zspage.py, fullness.py, objects.py, lifetime.py, mapping.py, migration.py,
       compaction.py, pool.py, views.py; the decisions in candidate/DESIGN.md.
"""

from __future__ import annotations

from typing import ClassVar

from candidate.descriptor import MemdescRules
from candidate.views import Views
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.layout import PG_COMPOUND_HEAD


class Candidate(Views):
    """zsmalloc off struct page: compound_head is the only word of struct page that it stores to."""

    name: ClassVar[str] = "candidate"
    rules: ClassVar[type[Descriptor]] = MemdescRules
    page_words: ClassVar[frozenset[int] | None] = frozenset({PG_COMPOUND_HEAD})
