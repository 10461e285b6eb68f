"""Lines of ftrace text for tests, as tracefs writes them.

In:    what happened.
Out:   one line.
Never: the parser of the code under test.
"""

from __future__ import annotations

POOL = 0xFFFF888013E97000
MEMMAP = 0xFFFFEA0000000000


def event(name: str, fields: str, task: str = "kswapd0-38", cpu: int = 0) -> str:
    """One event line."""
    return f"{task:>20}      [{cpu:03d}] ...1.     6.410548: {name}: (somewhere+0x0/0x10 [zsmalloc]) {fields}\n"


def malloc(size: int, task: str = "kswapd0-38", pool: int = POOL, gfp: int = 0x280A, cpu: int = 0) -> str:
    """zs_malloc() is entered."""
    return event("malloc", f"pool={pool:#x} size={size} gfp={gfp:#x}", task, cpu)


def malloc_ret(handle: int, task: str = "kswapd0-38", cpu: int = 0) -> str:
    """zs_malloc() returns."""
    return event("malloc_ret", f"handle={handle:#x}", task, cpu)


def free(handle: int, task: str = "kswapd0-38", pool: int = POOL) -> str:
    """zs_free() is entered."""
    return event("free", f"pool={pool:#x} handle={handle:#x}", task)


def migrate(page: int, mode: int = 1, task: str = "kcompactd0-28") -> str:
    """zs_page_migrate() is entered for page number `page` of the memmap."""
    return event("migrate", f"new={MEMMAP + 64:#x} old={MEMMAP + 64 * page:#x} mode={mode}", task)


def migrate_ret(ret: int = 0, task: str = "kcompactd0-28") -> str:
    """zs_page_migrate() returns."""
    return event("migrate_ret", f"ret={ret}", task)


def compact(pool: int = POOL, task: str = "kswapd0-38") -> str:
    """zs_compact() is entered."""
    return event("compact", f"pool={pool:#x}", task)


def compact_ret(freed: int = 0, task: str = "kswapd0-38") -> str:
    """zs_compact() returns."""
    return event("compact_ret", f"freed={freed}", task)


def allocated(handle: int, size: int = 100, pool: int = POOL, gfp: int = 0x280A) -> list[str]:
    """A malloc with its return."""
    return [malloc(size, pool=pool, gfp=gfp), malloc_ret(handle)]
