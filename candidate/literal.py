"""Literal: the proposal of October 2021 word for word, on a core that nobody has patched.

In:    a Kernel with the rules of 5.10.
Out:   the target "candidate-literal".
Never: expected to be clean. It allocates, frees and compacts objects correctly; what the core does with its
       pages is the list of hazards in candidate/DESIGN.md.
Next:  one hazard at a time: candidate/faults.py.

The data structure is the candidate's. What redirects is what 5.10 redirects: the page lock, get_page() and
put_page(), page_mapping(), PageLRU() and their like. What 5.10 reads raw stays raw.
"""

from __future__ import annotations

from typing import ClassVar

from candidate.allocator import Candidate
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.layout import PG_COMPOUND_HEAD


class Literal(Candidate):
    """The candidate without any core patch."""

    name: ClassVar[str] = "candidate-literal"
    rules: ClassVar[type[Descriptor]] = Descriptor

    def register_memdesc(self) -> None:
        """An unpatched core has nowhere to note a destructor."""

    def clear_compound_head(self, page: int) -> None:
        """Make a page of a zspage that nobody can reach any more an ordinary page again."""
        self.k.store(page + PG_COMPOUND_HEAD, 0)

    def detach_exchanged_page(self, zspage: int, page: int) -> None:
        """Without memdesc_detach() all there is to do is to clear the one word."""
        self.clear_compound_head(page)

    def detach_freed_page(self, page: int) -> None:
        """As for an exchanged page; then the frame goes back."""
        self.clear_compound_head(page)
        self.d.free_page(page)
