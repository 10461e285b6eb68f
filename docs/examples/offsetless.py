"""A worked third target: the legacy allocator without page->units, one step of a conversion.

In:    reference.zsmalloc.Zsmalloc, the seed-era allocator.
Out:   Offsetless, the same allocator with the first-object offset computed instead of stored.
Never: writes page->units.
Next:  the guide that walks through this file: docs/targets.md.

`page->units` overlays `_mapcount`, so /proc/kpagecount shows it. A conversion that wants the word back can compute the
offset from the page's place in the chain: that is all this design changes, and what it shows to scanners changes too.
"""

from __future__ import annotations

from reference.zsmalloc import Zsmalloc
from zsfuzz.machine.layout import KPF_MMAP
from zsfuzz.target.protocol import Shown, ZspageView


class Offsetless(Zsmalloc):
    """zsmalloc of 5.10 that leaves page->_mapcount alone."""

    name = "offsetless"

    def set_first_obj_offset(self, page: int, offset: int) -> None:
        """Store nothing: _mapcount stays -1."""

    def get_first_obj_offset(self, page: int) -> int:
        """Return the offset of the first object that starts in a page, in bytes, from its place in the chain.

        A page that was just exchanged is in no chain any more; its offset would only be stored, so 0 will do.
        """
        zspage = self.get_zspage(page)
        cursor, number = self.get_first_page(zspage), 0
        while cursor and cursor != page:
            cursor, number = self.get_next_page(cursor), number + 1
        if not cursor:
            return 0
        class_index, _ = self.get_zspage_mapping(zspage)
        size = self.k.size_classes.class_at(class_index).size_bytes
        start = number * self.page_size
        return -(-start // size) * size - start

    def shown_to_scanners(self, view: ZspageView, index: int) -> Shown:
        """As the legacy design, but not mapped: /proc/kpagecount is 0 and KPF_MMAP is clear."""
        legacy = super().shown_to_scanners(view, index)
        return Shown(0, legacy.kpageflags & ~(1 << KPF_MMAP))
