"""/proc/kpageflags and /proc/kpagecount.

In:    a pfn, or a range.
Out:   the 64-bit values that user space reads, with the KPF_* numbers.
Never: writes.
Next:  the rules it looks through: zsfuzz/machine/descriptor.py.

Source: fs/proc/page.c, include/uapi/linux/kernel-page-flags.h, include/linux/kernel-page-flags.h, v5.10.
Strays: no KSM merging, no zero page, no idle tracking. v5.10 asks page_mapped() of every page: for a tail
that reads 84 bytes from the start of its head.
"""

from __future__ import annotations

from typing import Final

from zsfuzz.machine.core.core import Core
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.layout import (
    PAGE_MAPPING_FLAGS,
    PAGE_TYPE_BASE,
    PG_MAPPING,
    PG_active,
    PG_arch_1,
    PG_dirty,
    PG_error,
    PG_hwpoison,
    PG_locked,
    PG_lru,
    PG_mappedtodisk,
    PG_mlocked,
    PG_owner_priv_1,
    PG_private,
    PG_private_2,
    PG_reclaim,
    PG_referenced,
    PG_reserved,
    PG_slab,
    PG_swapbacked,
    PG_unevictable,
    PG_uptodate,
    PG_writeback,
    PT_table,
)
from zsfuzz.machine.machine import Machine
from zsfuzz.machine.scanners.truth import Truth

KPF_LOCKED: Final = 0
KPF_ERROR: Final = 1
KPF_REFERENCED: Final = 2
KPF_UPTODATE: Final = 3
KPF_DIRTY: Final = 4
KPF_LRU: Final = 5
KPF_ACTIVE: Final = 6
KPF_SLAB: Final = 7
KPF_WRITEBACK: Final = 8
KPF_RECLAIM: Final = 9
KPF_BUDDY: Final = 10
KPF_MMAP: Final = 11
KPF_ANON: Final = 12
KPF_SWAPCACHE: Final = 13
KPF_SWAPBACKED: Final = 14
KPF_COMPOUND_HEAD: Final = 15
KPF_COMPOUND_TAIL: Final = 16
KPF_HUGE: Final = 17
KPF_UNEVICTABLE: Final = 18
KPF_HWPOISON: Final = 19
KPF_NOPAGE: Final = 20
KPF_KSM: Final = 21
KPF_THP: Final = 22
KPF_OFFLINE: Final = 23
KPF_PGTABLE: Final = 26
KPF_RESERVED: Final = 32
KPF_MLOCKED: Final = 33
KPF_MAPPEDTODISK: Final = 34
KPF_PRIVATE: Final = 35
KPF_PRIVATE_2: Final = 36
KPF_OWNER_PRIVATE: Final = 37
KPF_ARCH: Final = 38

_FROM_0: Final = (
    "LOCKED ERROR REFERENCED UPTODATE DIRTY LRU ACTIVE SLAB WRITEBACK RECLAIM BUDDY MMAP ANON SWAPCACHE SWAPBACKED "
    "COMPOUND_HEAD COMPOUND_TAIL HUGE UNEVICTABLE HWPOISON NOPAGE KSM THP OFFLINE ZERO_PAGE IDLE PGTABLE"
)
_FROM_32: Final = "RESERVED MLOCKED MAPPEDTODISK PRIVATE PRIVATE_2 OWNER_PRIVATE ARCH"
BIT_NAMES: Final = dict(enumerate(_FROM_0.split())) | dict(enumerate(_FROM_32.split(), KPF_RESERVED))
"""Bit number -> its name without the prefix."""

_COPIED: Final = (
    (KPF_LOCKED, PG_locked),
    (KPF_SLAB, PG_slab),
    (KPF_ERROR, PG_error),
    (KPF_DIRTY, PG_dirty),
    (KPF_UPTODATE, PG_uptodate),
    (KPF_WRITEBACK, PG_writeback),
    (KPF_LRU, PG_lru),
    (KPF_REFERENCED, PG_referenced),
    (KPF_ACTIVE, PG_active),
    (KPF_RECLAIM, PG_reclaim),
    (KPF_SWAPBACKED, PG_swapbacked),
    (KPF_UNEVICTABLE, PG_unevictable),
    (KPF_MLOCKED, PG_mlocked),
    (KPF_HWPOISON, PG_hwpoison),
    (KPF_RESERVED, PG_reserved),
    (KPF_MAPPEDTODISK, PG_mappedtodisk),
    (KPF_PRIVATE, PG_private),
    (KPF_PRIVATE_2, PG_private_2),
    (KPF_OWNER_PRIVATE, PG_owner_priv_1),
    (KPF_ARCH, PG_arch_1),
)
_COPIED_MASK: Final = sum(1 << bit for _, bit in _COPIED)


def kpageflag_names(bits: int) -> str:
    """Return the names of a set of KPF_* bits, lowest first, with "+" between them."""
    return "+".join(BIT_NAMES.get(bit, str(bit)) for bit in range(bits.bit_length()) if bits >> bit & 1)


def kpf_copy_bits(flags: int) -> int:
    """Return the bits that are shown as they are in page->flags."""
    shown = 0
    if flags & _COPIED_MASK:
        for shown_bit, bit in _COPIED:
            shown |= (flags >> bit & 1) << shown_bit
    return shown


def stable_page_flags(machine: Machine, page: int) -> int:
    """Return what kpageflags shows of a page; 0 stands for no page. Source: stable_page_flags(), v5.10."""
    if not page:
        return 1 << KPF_NOPAGE
    d, load = machine.d, machine.load
    shown = kpf_copy_bits(load(page))
    if not d.PageSlab(page) and d.page_mapped(page):
        shown |= 1 << KPF_MMAP
    if d.PageAnon(page):
        shown |= 1 << KPF_ANON
    head = d.compound_head(page)
    if load(head + PG_MAPPING) & PAGE_MAPPING_FLAGS == PAGE_MAPPING_FLAGS:
        shown |= 1 << KPF_KSM
    shown |= _compound_bits(d, page, head)
    if d.PageBuddy(page) or (not d.page_count(page) and machine.buddy.is_free_buddy_page(pfn_of(machine, page))):
        shown |= 1 << KPF_BUDDY
    if d.PageOffline(page):
        shown |= 1 << KPF_OFFLINE
    if d.page_type(page) & (PAGE_TYPE_BASE | PT_table) == PAGE_TYPE_BASE:
        shown |= 1 << KPF_PGTABLE
    if load(head) >> PG_swapbacked & 1 and load(head) >> PG_owner_priv_1 & 1:
        shown |= 1 << KPF_SWAPCACHE
    return shown


def _compound_bits(d: Descriptor, page: int, head: int) -> int:
    """HEAD, TAIL, HUGE and THP, and the slab bit of a tail's head."""
    shown = 0
    if d.PageHead(page):
        shown |= 1 << KPF_COMPOUND_HEAD
    if d.PageTail(page):
        shown |= 1 << KPF_COMPOUND_TAIL
        if d.PageSlab(head):
            shown |= 1 << KPF_SLAB
    if d.PageHuge(page):
        shown |= 1 << KPF_HUGE
    elif d.PageTransCompound(page) and (d.PageLRU(head) or d.PageAnon(head)):
        shown |= 1 << KPF_THP
    return shown


def pfn_of(machine: Machine, page: int) -> int:
    """Return a page's frame number."""
    return machine.buddy.checked_pfn(page, "stable_page_flags")


def kpageflags(machine: Machine, pfn: int) -> int:
    """Return the value of one pfn in /proc/kpageflags. Source: kpageflags_read(), v5.10."""
    return stable_page_flags(machine, machine.pfn_to_online_page(pfn))


def kpagecount(machine: Machine, pfn: int) -> int:
    """Return the value of one pfn in /proc/kpagecount. Source: kpagecount_read(), v5.10. Strays: no."""
    page, d = machine.pfn_to_online_page(pfn), machine.d
    if not page or d.PageSlab(page) or d.page_has_type(page):
        return 0
    return d.page_mapcount(page)


def probe_kpageflags(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Return kpageflags of every pfn."""
    return tuple(kpageflags(core.m, pfn) for pfn in range(start, end))


def probe_kpagecount(core: Core, start: int, end: int, movable: Truth) -> tuple[int, ...]:
    """Return kpagecount of every pfn."""
    return tuple(kpagecount(core.m, pfn) for pfn in range(start, end))
