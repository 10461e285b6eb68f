"""What of mm/zsmalloc.c a userspace build cannot reach, and why.

In:    nothing.
Out:   RULES, in the order in which they are tried; of one line, the first that fits counts.
Never: a reason for what merely was not reached yet: such a line belongs into the list of the missed.
Next:  applied by zsfuzz/kernel/coverage.py, which reports a rule whose line was reached.

The names are those of 5.10, 6.1, 6.12 and 7.2 side by side; a rule that fits nothing in a tree does nothing.
"""

from __future__ import annotations

from zsfuzz.kernel.coverage import Rule

_ASSERTION = "an assertion of the kernel's: it fires when there is a bug, and is then a finding"
_UNLOAD = "the module is never unloaded and no cpu goes offline: a world is thrown away whole"
_BOOT = "what is set up once at boot does not fail here: programs make pages, zspages and handles fail"
_POOL = "memory for a pool itself does not fail here: programs make pages, zspages and handles fail"
_EMPTY = "the kernel's complaint of a pool destroyed with objects in it: programs give everything back first"
_HELD = "programs free only what they hold"
_WHOLE = "a pool that was created has a class at every index"
_LAST = "with pages of 4096 bytes the last class is exactly ZS_MAX_ALLOC_SIZE"
_DRY = "the source zspage is empty, which ends the loop, before its pages run out"

RULES: tuple[Rule, ...] = (
    Rule("*", r"\b(?:VM_)?(?:BUG|WARN)_ON(?:_ONCE|_PAGE)?\(", _ASSERTION, branches_only=True),
    Rule("*", r"\bassert_spin_locked\(|\blockdep_assert", _ASSERTION, branches_only=True),
    Rule("*", r"\bBUG\(\)", _ASSERTION),
    *(Rule(name, "", _UNLOAD) for name in ("zs_exit", "zs_stat_exit", "zs_cpu_dead", "__zs_cpu_down")),
    *(Rule(name, "", _UNLOAD) for name in ("zsmalloc_unmount", "zs_destroy_caches")),
    # Boot.
    Rule("zs_init", r"if \(r(?:et|c)\)", _BOOT, following=1),
    Rule("zs_init", r"zs_destroy_caches\(\)", _BOOT),
    Rule("zs_init", r"^\t\treturn rc;", _BOOT),
    Rule("zs_init", r"^(?:out|hp_setup_fail):", _BOOT),
    Rule("zs_init", r"^\tzsmalloc_unmount\(\)|^\treturn ret;", _BOOT),
    Rule("zs_init_caches", r"if \(!handle_cachep", _BOOT, following=2),
    Rule("zs_init_fs_context", r"init_pseudo", _BOOT, branches_only=True),
    Rule("zsmalloc_mount", r"if \(IS_ERR\(", _BOOT, following=1),
    Rule("__zs_cpu_up", r"if \(area->vm_buf\)", "a cpu is set up once", following=1),
    Rule("__zs_cpu_up", r"if \(!area->vm_buf\)", _BOOT, following=1),
    Rule("zs_pool_stat_create", r"if \(!zs_stat_root\)", "there is always a debugfs here", following=2),
    # A pool.
    Rule("create_cache", r"if \(!(?:name|pool->handle_cachep)\)", _POOL, following=1),
    Rule("create_cache", r"if \(!pool->zspage_cachep\)", _POOL, following=3),
    Rule("zs_register_migration", r"if \(IS_ERR\(", _POOL, following=2),
    Rule("zs_register_shrinker", r"if \(!pool->shrinker\)", _POOL, following=1),
    Rule("zs_create_pool", r"if \(!(?:pool|pool->name|class)\)", _POOL, following=1),
    Rule("zs_create_pool", r"if \((?:create_cache|zs_register_migration)\(", _POOL, following=1),
    Rule("zs_create_pool", r"^err:", _POOL),
    Rule("zs_create_pool", r"^err:", _POOL, following=2),
    Rule("zs_create_pool", r"if \(size > ZS_MAX_ALLOC_SIZE\)", _LAST, following=1),
    Rule("zs_destroy_pool", r"if \(!class\)", _WHOLE, following=1),
    Rule("zs_destroy_pool", r"if \(list_empty\(", _EMPTY, branches_only=True),
    Rule("zs_destroy_pool", r"if \(!list_empty\(", _EMPTY, branches_only=True),
    Rule("zs_destroy_pool", r"pr_(?:err|info)\(", _EMPTY),
    Rule("zs_compact", r"if \(!class\)", _WHOLE, following=1),
    Rule("zs_shrinker_count", r"if \(!class\)", _WHOLE, following=1),
    # Operations.
    Rule("zs_free", r"if \((?:IS_ERR_OR_NULL\(|unlikely\(!handle)", _HELD, following=1),
    Rule("migrate_zspage", r"if \(!s_(?:page|zpdesc)\)", _DRY, following=1, only_if=r"if \(zspage_empty\(src_zspage"),
)
