"""Pick: arguments that probably mean something in the sketched state: slots, sizes, pages, ranges.

In:    dice, a profile, a sketch.
Out:   Picker, the lower half of a Chooser.
Never: an operation; those are zsfuzz/engine/choose.py's.
Next:  the guessed state in zsfuzz/engine/sketch.py, a program's traits in zsfuzz/engine/profile.py.
"""

from __future__ import annotations

from zsfuzz.engine.profile import Profile, class_table
from zsfuzz.engine.rng import Dice
from zsfuzz.engine.sketch import Group, Sketch
from zsfuzz.engine.vocabulary import (
    CHAIN,
    COMPONENT,
    ISOLATED,
    PAGE_SLOTS,
    SLOTS,
    pfn_name,
)
from zsfuzz.policy.size_class import ZS_HANDLE_SIZE, SizeClass
from zsfuzz.program.ops import (
    Gfp,
    PageName,
)


class Picker:
    """Picks arguments. It owns no state but a focus: the slot that was allocated last."""

    def __init__(self, dice: Dice, profile: Profile, sketch: Sketch) -> None:
        self.dice = dice
        self.profile = profile
        self.sketch = sketch
        self.focus = 0
        self.most_pages = sketch.memory_pages * 3 // 4

    def dead_slot(self) -> int:
        """Return a slot without an object; any slot when all are taken."""
        slot = self.dice.below(SLOTS)
        for _ in range(8):
            if slot not in self.sketch.live:
                break
            slot = (slot + 11) % SLOTS
        return slot

    def empty_page_slot(self) -> int:
        """Return a page slot that holds no page; any when all are taken."""
        start = self.dice.below(PAGE_SLOTS)
        for step in range(PAGE_SLOTS):
            slot = (start + step) % PAGE_SLOTS
            if slot not in self.sketch.isolated:
                return slot
        return start

    def pool(self) -> int:
        """Return a pool that exists, mostly pool 0."""
        pools = self.sketch.pools.members
        if len(pools) < 2 or self.dice.percent(50):
            return pools[0] if pools else 0
        return self.dice.pick(pools)

    def size_of_class(self, size_class: SizeClass) -> int:
        """Return a request in bytes that this class serves."""
        largest = size_class.size_bytes - (0 if size_class.huge else ZS_HANDLE_SIZE)
        if self.dice.percent(60):
            return largest
        if size_class.huge:
            lowest = self.sketch.classes.huge_class_size
            return self.dice.between(lowest, largest)
        return max(1, largest - self.dice.below(8))

    def size(self) -> int:
        """Return a request in bytes: of the program's palette, of any class, or on an edge."""
        dice = self.dice
        chance = dice.below(100)
        if chance < 82:
            return self.size_of_class(dice.pick(self.profile.palette))
        if chance < 91:
            return self.size_of_class(dice.pick(class_table(self.profile.geometry.name)))
        if chance < 96:
            return max(0, dice.pick(self.profile.palette).size_bytes + dice.between(-16, 8))
        page_size = self.sketch.page_size
        huge = self.sketch.classes.huge_class_size
        return dice.pick((0, 1, huge - 1, huge, page_size - 8, page_size, page_size + 1))

    def gfp(self) -> Gfp:
        """Return the program's mix of the two masks."""
        return Gfp.KERNEL if self.dice.percent(self.profile.kernel_percent) else Gfp.MOVABLE

    def live_slot(self) -> int:
        """Return a slot with an object, the last allocated one more often; the sketch has at least one."""
        if self.dice.percent(25) and self.focus in self.sketch.live:
            return self.focus
        return self.dice.pick(self.sketch.live.members)

    def isolated_group(self) -> Group | None:
        """Return the zspage behind one isolated page, None if there is none or it was given by pfn."""
        if not self.sketch.isolated.members:
            return None
        origin = self.sketch.isolated_from[self.dice.pick(self.sketch.isolated.members)]
        return origin[0] if origin is not None else None

    def extent(self, size: int) -> tuple[int, int]:
        """Return (offset, length) in bytes: all of the object, its ends, or anything in it."""
        dice = self.dice
        form = dice.below(4)
        if form == 0 or size <= 1:
            return 0, size
        if form == 1:
            length = dice.few(min(16, size))
            return size - length, length
        offset = dice.below(size)
        return offset, dice.between(1, size - offset)

    def component(self) -> PageName:
        """A component page of a live object's zspage; of any slot when nothing lives."""
        sketch, dice = self.sketch, self.dice
        if not sketch.live.members:
            return COMPONENT[dice.below(SLOTS)][dice.below(CHAIN)]
        slot = self.live_slot()
        group = sketch.group_of[slot]
        return COMPONENT[slot][dice.below(group.pages if group is not None else CHAIN)]

    def sibling(self) -> PageName | None:
        """A component page of a zspage that already has an isolated page, if there is one."""
        group = self.isolated_group()
        if group is None or not group.members:
            return None
        return COMPONENT[self.dice.pick(group.members)][self.dice.below(group.pages)]

    def pfn(self) -> PageName:
        """A page by number, rather inside the program's ranges."""
        if self.dice.percent(70):
            start, end = self.dice.pick(self.profile.ranges)
            return pfn_name(self.dice.between(start, end - 1))
        return pfn_name(self.dice.below(self.sketch.memory_pages + 4))

    def page(self) -> PageName:
        """A page by any of its names."""
        chance = self.dice.below(100)
        if chance < 80 and self.sketch.live.members:
            return self.component()
        if chance < 88 and self.sketch.isolated.members:
            return ISOLATED[self.dice.pick(self.sketch.isolated.members)]
        return self.pfn()

    def range(self) -> tuple[int, int]:
        """Return [start, end): one of the program's ranges, a part of one, any, or nonsense."""
        dice = self.dice
        chance = dice.below(100)
        if chance < 55:
            return dice.pick(self.profile.ranges)
        limit = self.sketch.memory_pages
        if chance < 78:
            start, end = dice.pick(self.profile.ranges)
            start = dice.between(start, end - 1)
            return start, dice.between(start + 1, end)
        if chance < 98:
            start = dice.below(limit)
            return start, min(limit, start + 1 + dice.below(8 << dice.below(3)))
        start, end = dice.below(limit + 32), dice.below(limit + 64)
        return (start, end) if start <= end else (end, start)

    def section(self) -> tuple[int, int]:
        """Return the pfns of one memory section."""
        pages = self.profile.geometry.section_pages
        start = self.dice.below(self.sketch.memory_pages // pages) * pages
        return start, start + pages
