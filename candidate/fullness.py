"""Fullness: the four lists of a size class, its statistics, and which zspage is taken from them.

In:    zspages and size classes by address.
Out:   the list functions of mm/zsmalloc.c, same names, same order of entries.
Never: frames, objects, struct pages.
Next:  who frees what becomes empty: candidate/lifetime.py.

Source: mm/zsmalloc.c, v5.10: get_fullness_group(), insert_zspage(), remove_zspage(), fix_fullness_group(),
find_get_zspage(), isolate_zspage(), putback_zspage(), zs_can_compact(). All under class->lock.
"""

from __future__ import annotations

from candidate.layout import CLASS_FULLNESS_LIST, CLASS_LOCK, CLASS_STATS, OBJ_ALLOCATED, OBJ_USED
from candidate.zspage import ZspageFields
from zsfuzz.machine.layout import MASK64
from zsfuzz.policy.size_class import FullnessGroup, get_fullness_group

CLASS_LOCK_NAME = "class->lock"

ZS_EMPTY = int(FullnessGroup.ZS_EMPTY)
ZS_ALMOST_EMPTY = int(FullnessGroup.ZS_ALMOST_EMPTY)
ZS_ALMOST_FULL = int(FullnessGroup.ZS_ALMOST_FULL)


class FullnessLists(ZspageFields):
    """Lists and statistics of a size class."""

    def lock_class(self, class_: int) -> None:
        """spin_lock(&class->lock)."""
        self.k.spin_lock(class_ + CLASS_LOCK, CLASS_LOCK_NAME)

    def unlock_class(self, class_: int) -> None:
        """spin_unlock(&class->lock)."""
        self.k.spin_unlock(class_ + CLASS_LOCK, CLASS_LOCK_NAME)

    # -- statistics: fullness groups, OBJ_ALLOCATED, OBJ_USED

    def zs_stat_inc(self, class_: int, statistic: int, count: int) -> None:
        """class->stats.objs[statistic] += count."""
        word = class_ + CLASS_STATS + 8 * statistic
        self.k.store(word, self.k.load(word) + count & MASK64)

    def zs_stat_dec(self, class_: int, statistic: int, count: int) -> None:
        """class->stats.objs[statistic] -= count."""
        self.zs_stat_inc(class_, statistic, -count)

    def zs_stat_get(self, class_: int, statistic: int) -> int:
        """Return one statistic."""
        return self.k.load(class_ + CLASS_STATS + 8 * statistic)

    def zs_can_compact(self, class_: int) -> int:
        """Return how many pages compaction could free."""
        allocated, used = self.zs_stat_get(class_, OBJ_ALLOCATED), self.zs_stat_get(class_, OBJ_USED)
        if allocated <= used:
            return 0
        return (allocated - used) // self.objs_per_zspage(class_) * self.pages_per_zspage(class_)

    # -- lists

    def list_of(self, class_: int, fullness: int) -> int:
        """Return the list_head of one group."""
        return class_ + CLASS_FULLNESS_LIST + 16 * fullness

    def first_zspage(self, class_: int, fullness: int) -> int:
        """list_first_entry_or_null()."""
        entry = self.k.list_first(self.list_of(class_, fullness))
        return entry - self.LIST if entry else 0

    def is_listed(self, zspage: int) -> bool:
        """!list_empty(&zspage->list)."""
        return not self.k.list_empty(zspage + self.LIST)

    def get_fullness_group(self, class_: int, zspage: int) -> int:
        """Return the group that a zspage belongs to by its count of objects."""
        return int(get_fullness_group(self.get_zspage_inuse(zspage), self.objs_per_zspage(class_)))

    def insert_zspage(self, class_: int, zspage: int, fullness: int) -> None:
        """Put a zspage in front of its list, or second when the first one has more objects."""
        self.zs_stat_inc(class_, fullness, 1)
        head = self.first_zspage(class_, fullness)
        if head and self.get_zspage_inuse(zspage) < self.get_zspage_inuse(head):
            self.k.list_add(zspage + self.LIST, head + self.LIST)
        else:
            self.k.list_add(zspage + self.LIST, self.list_of(class_, fullness))

    def remove_zspage(self, class_: int, zspage: int, fullness: int) -> None:
        """Take a zspage off its list. Errors: VM_BUG_ON an empty list or an isolated zspage."""
        if self.k.list_empty(self.list_of(class_, fullness)):
            self.k.BUG("VM_BUG_ON list_empty", "fullness_list", f"group {fullness} has no zspage to remove")
        self.must_not_be_isolated(zspage)
        self.k.list_del_init(zspage + self.LIST)
        self.zs_stat_dec(class_, fullness, 1)

    def must_not_be_isolated(self, zspage: int) -> None:
        """VM_BUG_ON(is_zspage_isolated(zspage))."""
        if self.is_zspage_isolated(zspage):
            self.k.BUG("VM_BUG_ON is_zspage_isolated", "isolated", "the core has pages of this zspage")

    def fix_fullness_group(self, class_: int, zspage: int) -> int:
        """Move a zspage to the list that its count of objects names; return that group."""
        currfg = self.zspage_fullness(zspage)
        newfg = self.get_fullness_group(class_, zspage)
        if newfg == currfg:
            return newfg
        if not self.is_zspage_isolated(zspage):
            self.remove_zspage(class_, zspage, currfg)
            self.insert_zspage(class_, zspage, newfg)
        self.set_zspage_mapping(zspage, self.zspage_class_index(zspage), newfg)
        return newfg

    def find_get_zspage(self, class_: int) -> int:
        """Return the zspage that the next object goes to, 0 if a new one is needed.

        An EMPTY one may be revived.
        """
        for fullness in (ZS_ALMOST_FULL, ZS_ALMOST_EMPTY, ZS_EMPTY):
            if zspage := self.first_zspage(class_, fullness):
                return zspage
        return 0

    def zspage_full(self, class_: int, zspage: int) -> bool:
        """Return whether no slot is free."""
        return self.get_zspage_inuse(zspage) == self.objs_per_zspage(class_)

    def isolate_zspage(self, class_: int, source: bool) -> int:
        """Take the next source (emptiest first) or destination (fullest first) of compaction off its list."""
        groups = (ZS_ALMOST_EMPTY, ZS_ALMOST_FULL) if source else (ZS_ALMOST_FULL, ZS_ALMOST_EMPTY)
        for fullness in groups:
            if zspage := self.first_zspage(class_, fullness):
                self.must_not_be_isolated(zspage)
                self.remove_zspage(class_, zspage, fullness)
                return zspage
        return 0

    def putback_zspage(self, class_: int, zspage: int) -> int:
        """Put a zspage that was taken off its list onto the one it belongs to now; return that group."""
        self.must_not_be_isolated(zspage)
        fullness = self.get_fullness_group(class_, zspage)
        self.insert_zspage(class_, zspage, fullness)
        self.set_zspage_mapping(zspage, self.class_index(class_), fullness)
        return fullness
