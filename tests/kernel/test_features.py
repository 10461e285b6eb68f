"""What a source has is read from its text, comments left out.

In:    texts made here.
Out:   -
Never: kernel source.
Next:  sources as they are: tests/kernel/test_kernel_runs.py.
"""

from __future__ import annotations

import pytest

from zsfuzz.errors import UsageError
from zsfuzz.kernel.features import detect, included_headers

FOUR = "enum fullness_group { ZS_EMPTY, ZS_ALMOST_EMPTY, ZS_ALMOST_FULL, ZS_FULL };\n#define ZS_MAX_ZSPAGE_ORDER 2\n"
TWELVE = "enum fullness_group { ZS_INUSE_RATIO_0, ZS_INUSE_RATIO_99 = 10 };\n_AC(CONFIG_ZSMALLOC_CHAIN_SIZE, UL)\n"


def test_groups_and_chains_are_found() -> None:
    old, new = detect(FOUR, "x"), detect(TWELVE, "x")
    assert (old.groups, old.chain, new.groups, new.chain) == (4, 4, 12, 8)
    assert detect(TWELVE, "x", chain=4).chain == 4
    assert new.macros()["CONFIG_ZSMALLOC_CHAIN_SIZE"] == "8"
    assert "CONFIG_ZSMALLOC_CHAIN_SIZE" not in old.macros()


def test_a_comment_is_no_feature() -> None:
    assert not detect(FOUR + "/* set_movable_ops( */ // bit_spin_lock(HANDLE_PIN_BIT\n", "x").names - {"CHAIN_OPTION"}


def test_a_lock_is_found_in_its_own_structure() -> None:
    pool = "struct zs_pool {\n\tint size;\n};\nstruct size_class {\n\tspinlock_t lock;\n};\n"
    features = detect(FOUR + pool, "x")
    assert features.has("CLASS_LOCK")
    assert not features.has("POOL_LOCK")


def test_without_compaction_what_only_compaction_has_is_gone() -> None:
    text = (
        FOUR
        + "\tatomic_long_t isolated_pages;\nstruct zspage {\n#ifdef CONFIG_COMPACTION\n\trwlock_t lock;\n#endif\n};\n"
    )
    with_it, without = detect(text, "x").macros(), detect(text, "x", compaction=False).macros()
    for name in ("ZK_POOL_ISOLATED", "ZK_ZSPAGE_LOCK", "ZK_COMPACTION"):
        assert (with_it[name], without[name]) == ("1", "0")
    assert "CONFIG_COMPACTION" not in without


def test_an_unknown_form_and_a_chain_that_is_no_option_are_refused() -> None:
    with pytest.raises(UsageError, match=r"mm/zsmalloc\.c: no fullness groups of a known form"):
        detect("int x;", "mm/zsmalloc.c")
    with pytest.raises(UsageError, match="at most 4 pages"):
        detect(FOUR, "x", chain=8)


def test_stubs_are_wanted_for_included_headers_only() -> None:
    text = '#include <linux/slab.h>\n# include <asm/tlbflush.h>\n#include "zpdesc.h"\n#include <stdio.h>\n'
    assert included_headers(text) == ("asm/tlbflush.h", "linux/slab.h")
