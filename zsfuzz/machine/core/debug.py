"""dump_page(): what the kernel prints of a page, without the printing.

In:    a struct page.
Out:   the references and mappings that a reader of the kernel's log would see.
Never: prints; follows a head that lies below the page's own struct page or more than a block above.
Next:  the probe that dumps a whole range: zsfuzz/machine/scanners/debug.py.

Source: __dump_page(), mm/debug.c, v5.10. Strays: host, dentry and owner of a mapping are not read.
"""

from __future__ import annotations

from typing import NamedTuple

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.layout import (
    MASK64,
    PAGE_MAPPING_ANON,
    PAGE_MAPPING_FLAGS,
    PG_COMPOUND_MAPCOUNT,
    PG_INDEX,
    STRUCT_PAGE_SIZE,
)


class PageDump(NamedTuple):
    """What is printed of a page; all 0 for a struct page that was never initialised."""

    refcount: int
    mapcount: int
    mapping: int
    pgoff: int


def dump_page(core: Core, page: int) -> PageDump:
    """Return what dump_page() reads. Errors: Report for what it reads wrongly.

    A page whose head is no head of it ("corrupt page") is shown by its own words: this guard is what keeps
    the dump of a descriptor outside the memmap from being wild.
    """
    d, m = core.d, core.m
    head = d.compound_head(page)
    is_compound = d.PageCompound(page)
    if m.load(page) == MASK64:
        print_hex_dump(core, page)
        return PageDump(0, 0, 0, 0)
    if page < head or page >= head + STRUCT_PAGE_SIZE * max_order_nr_pages(core):
        word = d.mapping_word(page)
        mapping = 0 if word & PAGE_MAPPING_ANON else word & ~PAGE_MAPPING_FLAGS
        head, is_compound = page, False
    else:
        mapping = d.page_mapping(page)
    mapcount = 0 if d.PageSlab(head) else d.page_mapcount(page)
    dump = PageDump(d.page_ref_count(head), mapcount, mapping, page_to_pgoff(core, page))
    if is_compound:
        d.compound_order(head)
        m.load32(head + STRUCT_PAGE_SIZE + PG_COMPOUND_MAPCOUNT)
    d.PageAnon(page)
    print_hex_dump(core, page)
    if head != page:
        print_hex_dump(core, head)
    return dump


def print_hex_dump(core: Core, page: int) -> None:
    """Read a whole struct page."""
    for offset in range(0, STRUCT_PAGE_SIZE, 8):
        core.m.load(page + offset)


def page_to_pgoff(core: Core, page: int) -> int:
    """Return the index of a page in its mapping; a tail's is counted from its head's.

    Source: page_to_pgoff(), page_to_index(), include/linux/pagemap.h, v5.10. Strays: no.
    """
    d, m = core.d, core.m
    core.PageHuge(page)
    if not d.PageTail(page):
        return m.load(page + PG_INDEX)
    head = d.compound_head(page)
    return (m.load(head + PG_INDEX) + (page - head) // STRUCT_PAGE_SIZE) & MASK64


def max_order_nr_pages(core: Core) -> int:
    """Return MAX_ORDER_NR_PAGES."""
    return 1 << (core.buddy.max_order - 1)
