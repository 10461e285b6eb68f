"""Features: what a mm/zsmalloc.c has and does, read from its text, never from a version number.

In:    the source of mm/zsmalloc.c, with mm/zpdesc.h and include/linux/zsmalloc.h beside it.
Out:   Features, as C macros (ZK_...) for the shim and as words for people and for the era rules.
Never: compiles.
Next:  where the macros are used: zsfuzz/kernel/shim/era.h and zsfuzz/kernel/shim/core.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from zsfuzz.errors import UsageError

_PATTERNS: Final[dict[str, tuple[str, str]]] = {
    "ZPDESC": (r"struct zpdesc \*first_zpdesc;", "zpdesc"),
    "OBJ_READ": (r"^void \*zs_obj_read_begin\(", "read-begin"),
    "MALLOC_NID": (r"^unsigned long zs_malloc\([^)]*\bnid\b[^)]*\)", "malloc-nid"),
    "SET_MOVABLE_OPS": (r"\bset_movable_ops\(", "movable-ops-by-type"),
    "MOVABLE_BY_MAPPING": (r"struct address_space_operations\s+zsmalloc_aops", "movable-by-mapping"),
    "OBJ_SHIFT": (r"obj >>= OBJ_TAG_BITS;", "tag-bit-in-object"),
    "PIN_BIT": (r"\bbit_spin_lock\(HANDLE_PIN_BIT", "handle-pin"),
    "ZSPAGE_ISOLATED": (r"unsigned int isolated:", "zspage-isolated"),
    "POOL_ISOLATED": (r"atomic_long_t isolated_pages;", "pool-isolated"),
    "PAGE_TYPE": (r"page->page_type = offset", "offset-in-page-type"),
    "PAGE_TYPE_SHARED": (r"FIRST_OBJ_PAGE_TYPE_MASK", "page-type-zsmalloc"),
    "HUGE_IN_PAGE": (r"\bPageHugeObject\(", "huge-in-page"),
    "SHRINKER_ALLOC": (r"\bshrinker_alloc\(", "shrinker-alloc"),
    "CHAIN_OPTION": (r"\bCONFIG_ZSMALLOC_CHAIN_SIZE\b", "chain-size"),
    "LEAST_WASTE": (r"\bmin_waste\b", "least-waste"),
    "ERROR_POINTER": (r"return \(unsigned long\)ERR_PTR\(", "error-pointer"),
    "LARGE_IS_ENOSPC": (r"ERR_PTR\(-ENOSPC\)", "too-large-is-enospc"),
    "EMPTY_COUNTED": (
        r"class_stat_(?:sub|dec)\(class, (?:ZS_INUSE_RATIO_0|CLASS_EMPTY|ZS_EMPTY), 1\)",
        "empty-counted",
    ),
    "POOL_LOCK": (r"^struct zs_pool \{[^}]*?\b(?:spinlock_t|rwlock_t) lock;", "pool-lock"),
    "POOL_MIGRATE_LOCK": (r"^struct zs_pool \{[^}]*?\brwlock_t migrate_lock;", "migrate-lock"),
    "CLASS_LOCK": (r"^struct size_class \{[^}]*?\bspinlock_t lock;", "class-lock"),
    "ZSPAGE_LOCK": (r"^struct zspage \{\n(?:.*\n)*?\trwlock_t lock;\n(?:.*\n)*?\};", "zspage-rwlock"),
    "LOCK_IF_COMPACTION": (r"#ifdef CONFIG_COMPACTION\n\trwlock_t lock;\n#endif", "zspage-rwlock-if-compaction"),
    "ZSPAGE_ZSL": (r"struct zspage_lock zsl;", "zspage-counted-lock"),
    "STRIPS_MOVABLE": (r"gfp &= ~__GFP_MOVABLE;", "unmovable-without-compaction"),
    "BUSY_WHEN_READ": (r"return -EBUSY;", "migrate-busy"),
}
"""Macro without its ZK_ -> (what its presence in the source looks like, the word for people)."""

_GROUPS: Final = {
    "ZS_INUSE_RATIO_99": 12,
    "ZS_ALMOST_FULL": 4,
}


@dataclass(frozen=True, slots=True)
class Features:
    """What one source has. names: of _PATTERNS. groups: fullness groups. chain: pages of the longest zspage."""

    names: frozenset[str]
    groups: int
    chain: int
    compaction: bool

    def has(self, name: str) -> bool:
        """Return whether the source has a feature of _PATTERNS."""
        return name in self.names

    @property
    def words(self) -> tuple[str, ...]:
        """Return the features for people, in a fixed order."""
        words = [word for name, (_, word) in _PATTERNS.items() if name in self.names]
        extra = [f"groups-{self.groups}", f"chain-{self.chain}"]
        return (*words, *extra, *(() if self.compaction else ("no-compaction",)))

    def macros(self) -> dict[str, str]:
        """Return what the shim is compiled with."""
        gone = (
            () if self.compaction else ("POOL_ISOLATED", *(("ZSPAGE_LOCK",) if self.has("LOCK_IF_COMPACTION") else ()))
        )
        macros = {f"ZK_{name}": str(int(name in self.names and name not in gone)) for name in _PATTERNS}
        macros["ZK_GROUPS"] = str(self.groups)
        macros["ZK_STICKY_PAGE_TYPE"] = str(int("ZPDESC" in self.names))
        macros["ZK_COMPACTION"] = str(int(self.compaction))
        macros["ZK_FEATURE_WORDS"] = '"' + " ".join(self.words) + '"'
        macros["CONFIG_ZSMALLOC_STAT"] = "1"
        if "CHAIN_OPTION" in self.names:
            macros["CONFIG_ZSMALLOC_CHAIN_SIZE"] = str(self.chain)
        if self.compaction:
            macros["CONFIG_COMPACTION"] = "1"
        return macros


def detect(source: str, where: str, *, chain: int | None = None, compaction: bool = True) -> Features:
    """Return the features of a mm/zsmalloc.c.

    where: its path, for messages. chain: pages of the longest zspage, for sources where that is an option (8 when
    None). Errors: UsageError for a source whose fullness groups are of no known form, or a chain that it cannot have.
    """
    text = _without_comments(source)
    names = frozenset(name for name, (pattern, _) in _PATTERNS.items() if re.search(pattern, text, re.MULTILINE))
    groups = next((count for word, count in _GROUPS.items() if word in text), 0)
    if not groups:
        known = " or ".join(_GROUPS)
        raise UsageError(
            f"{where}: no fullness groups of a known form ({known}); teach zsfuzz/kernel/features.py the new one"
        )
    if "CHAIN_OPTION" in names:
        longest = 8 if chain is None else chain
    else:
        found = re.search(r"#define ZS_MAX_ZSPAGE_ORDER (\d+)", text)
        longest = 1 << int(found[1]) if found else 4
        if chain is not None and chain != longest:
            raise UsageError(
                f"{where}: its zspages have at most {longest} pages, no option changes that; leave --chain out"
            )
    return Features(names, groups, longest, compaction)


def included_headers(source: str) -> tuple[str, ...]:
    """Return the linux/ and asm/ headers that a source includes, for stubs, in the order of their names."""
    return tuple(
        sorted(
            set(
                re.findall(
                    r'^\s*#\s*include\s*[<"]((?:linux|asm|asm-generic|uapi|trace)/[\w./-]+)[>"]', source, re.MULTILINE
                )
            )
        )
    )


def _without_comments(source: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", source, flags=re.DOTALL)
