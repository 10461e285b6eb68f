"""The programs of `zsfuzz conform`: each asks one part of the target protocol for what zsmalloc gives.

In:    nothing.
Out:   PROGRAMS, name -> steps in the text form of zsfuzz/program/text.py.
Never: a planted failure that the reference does not survive: these are clean on a right target.
Next:  zsfuzz/campaign/conform.py runs them beside the reference.
"""

from __future__ import annotations

PROGRAMS: dict[str, str] = {
    "sizes: the smallest, the largest, and those that are refused": """
        h0 = malloc 1
        h1 = malloc 32
        h2 = malloc 4096
        h3 = malloc 0
        h4 = malloc 4097
        h5 = malloc 18446744073709551615
        huge_class_size
        free h2
        free h0
        free h1
    """,
    "contents: written, read and kept, over page borders too": """
        h0 = malloc 3000
        h1 = malloc 3000
        h2 = malloc 100
        write h0 0+3000 0x11
        write h1 0+3000 0x22
        write h2 10+50 0x33
        map h1 ro
        read h1 0+3000
        unmap h1
        map h1 rw
        write h1 1000+1500 0x44
        unmap h1
        read h0 0+3000
        read h1 0+3000
        read h2 0+100
    """,
    "statistics: pages, pages_compacted and the classes file": """
        h0 = malloc 100
        h1 = malloc 720
        h2 = malloc 3264
        stats
        free h1
        stats
    """,
    "migration: isolate, put back, migrate in every mode": """
        h0 = malloc 3000
        h1 = malloc 3000
        write h0 0+3000 0x51
        write h1 0+3000 0x52
        p0 = isolate h0.0
        putback p0
        p1 = isolate h0.1
        migrate p1 sync
        migrate h0.0 h0.1 h0.2 sync
        migrate h1.0 async
        migrate h1.1 sync_light
        migrate h1.2 sync_no_copy
        read h0 0+3000
        read h1 0+3000
    """,
    "deferred free: the last object goes while a page is isolated": """
        h0 = malloc 3000
        p0 = isolate h0.0
        free h0
        putback p0
        run_work
        h0 = malloc 3000
        p0 = isolate h0.1
        free h0
        migrate p0 sync
        run_work
        stats
    """,
    "compaction: zs_compact() and the shrinker": """
        h0 = malloc 2000
        h1 = malloc 2000
        h2 = malloc 2000
        h3 = malloc 2000
        h4 = malloc 2000
        h5 = malloc 2000
        h6 = malloc 2000
        h7 = malloc 2000
        write h7 0+2000 0x77
        free h0
        free h2
        free h4
        shrink count
        compact
        read h7 0+2000
        free h1
        free h3
        shrink count
        shrink scan
        trim
        read h7 0+2000
        stats
    """,
    "the core: compaction of a zone, offline, contig, scanners": """
        h0 = malloc 3264
        h1 = malloc 100
        h2 = malloc 2048
        write h0 0+3264 0x61
        compact_zone 128..256 sync
        scan isolate_migratepages_block 128..256
        scan has_unmovable_pages 128..256
        scan kpageflags 0..256
        scan page_owner 0..256
        contig 128..160
        offline 224..256
        online 224..256
        read h0 0+3264
    """,
    "failure: no memory for a page, a zspage, a handle": """
        h0 = malloc 100
        fail malloc handle 0
        h1 = malloc 100
        fail malloc zspage 0
        h2 = malloc 3000
        fail malloc page 1
        h3 = malloc 3000
        h4 = malloc 3000
        fail migrate page 0
        migrate h4.0 sync
        stats
    """,
    "pools: several, each with its own objects": """
        create_pool z1
        h0 = malloc 500
        h1 = malloc 500 z1
        h2 = malloc 500 kernel z1
        stats z1
        compact z1
        free h1
        free h2
        destroy_pool z1
        create_pool z1
        h1 = malloc 500 z1
        fail create_pool page 0
        create_pool z2
    """,
}
