"""Invariants I1 to I11: what must hold on each target by itself, at every quiescent point.

In:    one side; the contract's dictionary.
Out:   how many facts were checked, or a Violation that names the invariant and the datum.
Never: compares two designs, changes a machine.
Next:  frames that are nobody's in zsfuzz/oracle/frames.py; I12, the drained state, in zsfuzz/execute/drain.py; the
       incremental halves of I5, I6, I7 and I10 are in the primitives: zsfuzz/machine/locks.py, descriptor.py and
       buddy.py raise them at the very word.

One fact a check, the values attached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from zsfuzz.machine.layout import NR_ZSPAGES, PAGE_OFFSET, PG_FLAGS, STRUCT_PAGE_SIZE, VMEMMAP_START, PG_isolated
from zsfuzz.oracle.classes import SlotShape, group_of, slot_shape
from zsfuzz.oracle.frames import check_frames
from zsfuzz.oracle.judge import Violation
from zsfuzz.policy.size_class import NR_ZS_FULLNESS, OBJ_ALLOCATED_TAG, ZS_HANDLE_SIZE
from zsfuzz.target.protocol import ClassRow, ZspageView

if TYPE_CHECKING:
    from zsfuzz.oracle.view import ContentView, ContractView, SideView
    from zsfuzz.policy.size_class import SizeClass


def check_invariants(side: SideView, contract: ContractView) -> int:
    """Check everything. Returns how many facts held."""
    return Inspection(side, contract).check()


class Inspection:
    """One look at one side: all zspages, found through lists, handles and struct pages."""

    def __init__(self, side: SideView, contract: ContractView) -> None:
        self._side, self._contract = side, contract
        self._target, self._machine = side.target, side.machine
        self._classes: dict[int, SizeClass] = {
            size_class.index: size_class for size_class in side.machine.geometry.size_classes.classes
        }
        self._facts = 0
        self._rows: dict[int, dict[int, ClassRow]] = {
            number: {index: self._target.class_row(pool, index) for index in contract.classes_used(number)}
            for number, pool in side.pools.items()
        }
        self._listed: dict[int, list[tuple[int, int, int]]] = {}
        self._views: dict[int, ZspageView] = {}
        self._pool_of: dict[int, int] = {}
        self._places: list[tuple[int, ZspageView, ContentView]] = []
        self._collect()

    def check(self) -> int:
        """Check I1 to I11."""
        self._check_zspages()
        self._check_objects()
        self._check_statistics()
        self._check_named_words()
        self._check_pages()
        self._check_references()
        self._facts += check_frames(self._side)
        if name := self._side.foreign_attribute():
            self._fail("state outside the arena", name, f"attribute {name} of the target changed since boot")
        return self._facts

    def _fail(self, rule: str, field: str, message: str) -> NoReturn:
        raise Violation("invariant", rule, (), field, self._side, f"{rule}: {message}")

    def _must(self, holds: bool, rule: str, field: str, *values: object) -> None:
        self._facts += 1
        if not holds:
            self._fail(rule, field, f"{field}: {', '.join(str(value) for value in values)}")

    def _must_be(self, rule: str, field: str, value: int, wanted: int) -> None:
        """Check a number; which way it is off belongs to the field."""
        way = "too high" if value > wanted else "too low"
        self._must(value == wanted, rule, f"{field} {way}", value, wanted)

    # -- collection

    def _collect(self) -> None:
        target = self._target
        objects = [(handle, self._contract.objects[slot]) for slot, handle in self._side.handles.items()]
        places = [target.placement(handle) for handle, _ in objects]
        self._check_places_differ(places, objects)
        for placement, (handle, content) in zip(places, objects, strict=True):
            self._follow(handle, placement, content)
        for number, pool in self._side.pools.items():
            for index in self._rows[number]:
                for group in range(NR_ZS_FULLNESS):
                    for zspage in target.fullness_list(pool, index, group):
                        self._listed.setdefault(zspage, []).append((number, index, group))
                        self._add(zspage, number)
        for page in self._side.pages.values():
            if zspage := target.page_owner(page):
                self._views.setdefault(zspage, target.zspage_view(zspage))

    def _check_places_differ(self, places: list[int], objects: list[tuple[int, ContentView]]) -> None:
        self._facts += 1
        if len(set(places)) == len(places):
            return
        twice = next(place for number, place in enumerate(places) if place in places[:number])
        wanted = [self._wanted(content) for place, (_, content) in zip(places, objects, strict=True) if place == twice]
        whose = _placement_of(next((each for each in wanted if each.huge), wanted[0]))
        self._fail("I1 handle leads astray", whose, "two handles lead to one object")

    def _wanted(self, content: ContentView) -> SizeClass:
        """Return the size class that an object has to be in."""
        return self._machine.geometry.size_classes.class_for(content.size + ZS_HANDLE_SIZE)

    def _follow(self, handle: int, placement: int, content: ContentView) -> None:
        """Follow handle -> place -> zspage -> header (I1, I11), before anything behind it is believed."""
        wanted, buddy = self._wanted(content), self._machine.buddy
        whose = _placement_of(wanted)
        pfn, index = placement >> 32, placement & 0xFFFFFFFF
        owned = pfn < buddy.pages_count and self._target.page_owner(buddy.pfn_to_page(pfn)) != 0
        self._must(owned, "I1 handle leads astray", whose, f"no zspage has pfn {pfn}")
        zspage = self._target.zspage_of(handle)
        self._add(zspage, content.pool)
        view = self._views[zspage]
        size_class = self._class_of(view)
        self._must(index < size_class.objs_per_zspage, "I1 handle leads astray", whose, f"object {index}")
        page = view.pages[min(index * size_class.size_bytes // self._machine.page_size, len(view.pages) - 1)]
        self._must(buddy.page_to_pfn(page) == pfn, "I1 handle leads astray", whose, buddy.page_to_pfn(page), pfn)
        header = self._target.object_header(zspage, index)
        if header != handle | OBJ_ALLOCATED_TAG and size_class.index != wanted.index:
            self._fail("I1 handle leads astray", whose, f"pfn {pfn} belongs to another class by now")
        self._must(header == handle | OBJ_ALLOCATED_TAG, "I1 header is not the handle", "header", hex(header))
        self._must(view.class_index == wanted.index, "I11 wrong size class", "class", view.class_index, wanted.index)
        shape = SlotShape(size_class.size_bytes, size_class.pages_per_zspage, size_class.objs_per_zspage)
        by_formula = slot_shape(self._machine.page_size, content.size)
        self._must(shape == by_formula, "I11 wrong size class", "class by the kernel's formula", shape, by_formula)
        self._places.append((placement, view, content))

    def _class_of(self, view: ZspageView) -> SizeClass:
        size_class = self._classes.get(view.class_index)
        if size_class is None:
            self._fail("I1 class", "class", f"no size class has index {view.class_index}")
        return size_class

    def _add(self, zspage: int, pool: int) -> None:
        if zspage not in self._views:
            self._views[zspage] = self._target.zspage_view(zspage)
        if self._pool_of.setdefault(zspage, pool) != pool:
            self._fail("I9 zspage in two pools", "pool", "a zspage is reached from two pools")

    # -- I3, I4, I8's data, I9

    def _check_zspages(self) -> None:
        seen: dict[int, int] = {}
        page_mapping, movable = self._side.d.page_mapping, "no_compaction" not in self._machine.switches
        for zspage, view in self._views.items():
            size_class = self._class_of(view)
            self._check_shape(view, size_class)
            self._check_lists(zspage, view, size_class)
            self._check_free_list(view, size_class)
            for page in view.pages:
                self._must(page not in seen, "I9 page in two zspages", "pages", hex(page))
                seen[page] = zspage
                self._must(self._target.page_owner(page) == zspage, "I9 stale head", "owner", hex(page))
                self._must(not movable or page_mapping(page) != 0, "I10 page lost its mapping", "mapping", hex(page))
        owner = self._target.page_owner
        for pfn in self._machine.memory.used_pfns():
            page = VMEMMAP_START + pfn * STRUCT_PAGE_SIZE
            if page in seen or self._is_withheld(page):
                continue
            self._facts += 1
            if owner(page):
                self._fail("I9 stale head", "owner", f"pfn {pfn} names a zspage that does not have it")

    def _is_withheld(self, page: int) -> bool:
        """A page of a zspage that only a speculative reference keeps."""
        if not self._side.references:
            return False
        owner = self._target.page_owner(page)
        return any(owner and owner == self._target.page_owner(held) for held, _, _ in self._side.references.values())

    def _check_shape(self, view: ZspageView, size_class: SizeClass) -> None:
        self._must(
            len(view.pages) == size_class.pages_per_zspage,
            "I9 chain length",
            "pages",
            len(view.pages),
            size_class.pages_per_zspage,
        )
        for index, offset in enumerate(view.offsets):
            start = index * self._machine.page_size
            first = -(-start // size_class.size_bytes) * size_class.size_bytes - start
            self._must(offset == first, "I11 first object offset", "offset" if offset else "no offset", offset, first)

    def _check_lists(self, zspage: int, view: ZspageView, size_class: SizeClass) -> None:
        self._must(0 <= view.inuse <= size_class.objs_per_zspage, "I2 inuse", "inuse", view.inuse)
        group = group_of(view.inuse, size_class.objs_per_zspage)
        self._must(view.fullness == group, "I3 fullness word", "fullness", view.fullness, group)
        places = self._listed.get(zspage, [])
        if view.isolated:
            self._must(not places, "I3 isolated zspage on a list", "list", places)
        else:
            expected = [(view.class_index, group)]
            self._must([place[1:] for place in places] == expected, "I3 wrong list", "list", places, expected)
        isolated = sum(1 for page in view.pages if page in self._isolated_pages())
        self._must(view.isolated == isolated, "I10 isolated count", "isolated", view.isolated, isolated)

    def _isolated_pages(self) -> frozenset[int]:
        return frozenset(self._side.pages.values())

    def _check_free_list(self, view: ZspageView, size_class: SizeClass) -> None:
        objects = size_class.objs_per_zspage
        free = view.free_indices
        self._must(
            len(free) == objects - view.inuse, "I4 free list length", "free list", len(free), objects - view.inuse
        )
        self._must(len(set(free)) == len(free), "I4 free list cycle", "free list", free)
        tagged = [
            index
            for index in range(objects)
            if self._target.object_header(view.zspage, index) & OBJ_ALLOCATED_TAG and index not in free
        ]
        self._must(len(tagged) == view.inuse, "I1 tagged slots", "header", len(tagged), view.inuse)

    # -- I1, I2, I11

    def _check_objects(self) -> None:
        used: dict[tuple[int, int], int] = {}
        for placement, view, content in self._places:
            index = placement & 0xFFFFFFFF
            self._must(index not in view.free_indices, "I4 live object on the free list", "free list", index)
            key = (content.pool, view.class_index)
            used[key] = used.get(key, 0) + 1
        self._check_used(used)

    def _check_used(self, used: dict[tuple[int, int], int]) -> None:
        for number, rows in self._rows.items():
            for index, row in rows.items():
                live = used.get((number, index), 0)
                self._must(row.obj_used == live, "I2 OBJ_USED", "obj_used", row.obj_used, live)

    def _check_statistics(self) -> None:
        inuse: dict[tuple[int, int], int] = {}
        zspages: dict[tuple[int, int], int] = {}
        pages: dict[int, int] = {}
        for zspage, view in self._views.items():
            number = self._pool_of.get(zspage, -1)
            key = (number, view.class_index)
            inuse[key] = inuse.get(key, 0) + view.inuse
            zspages[key] = zspages.get(key, 0) + 1
            pages[number] = pages.get(number, 0) + len(view.pages)
        if -1 in pages:  # isolated and empty: no handle and no list names its pool
            return
        for number, rows in self._rows.items():
            for index, row in rows.items():
                key = (number, index)
                objects = zspages.get(key, 0) * self._classes[index].objs_per_zspage
                self._must(row.obj_used == inuse.get(key, 0), "I2 sum of inuse", "inuse", row.obj_used, inuse.get(key))
                self._must(
                    row.obj_allocated == objects, "I2 OBJ_ALLOCATED", "obj_allocated", row.obj_allocated, objects
                )
            total = self._target.zs_get_total_pages(self._side.pools[number])
            self._must(total == pages.get(number, 0), "I2 pages_allocated", "pages", total, pages.get(number, 0))

    def _check_named_words(self) -> None:
        """I2: the words that a target names for the checks inside blocks are those that its statistics come from."""
        for number, rows in self._rows.items():
            words = tuple(self._target.counter_words(self._side.pools[number], rows))
            for field in ("obj_used", "obj_allocated"):
                named = sorted(self._machine.load(word.address) for word in words if word.name == field)
                counted = sorted(getattr(row, field) for row in rows.values())
                self._must(not named or named == counted, "I2 counter word", field, named, counted)

    # -- I5, I6, I7, I10

    def _check_pages(self) -> None:
        buddy = self._machine.buddy
        by_zone = [0, 0]
        for view in self._views.values():
            for page in view.pages:
                by_zone[buddy.zone_of_pfn(buddy.page_to_pfn(page))] += 1
        counted = [buddy.zone_page_state(zone, NR_ZSPAGES) for zone in range(len(by_zone))]
        if sum(counted) == sum(by_zone):
            self._must(counted == by_zone, "I7 NR_ZSPAGES", "nr_zspages, between zones", counted, by_zone)
        self._must_be("I7 NR_ZSPAGES", "nr_zspages", sum(counted), sum(by_zone))
        isolated, is_isolated = self._isolated_pages(), self._side.d.PageIsolated
        for pfn, flags in enumerate(self._machine.memory.page_words(PG_FLAGS)):
            if flags & 1:
                self._fail("I5 page locked at quiescence", "PG_locked", f"pfn {pfn} is locked and nobody runs")
            if flags >> PG_isolated & 1 and VMEMMAP_START + pfn * STRUCT_PAGE_SIZE not in isolated:
                self._fail("I10 isolated flag", "PG_isolated", f"pfn {pfn} is on no list of the core")
        self._facts += 2 * buddy.pages_count
        for view in self._views.values():
            for page in view.pages:
                self._must(is_isolated(page) == (page in isolated), "I10 isolated flag", "PG_isolated", hex(page))

    def _check_references(self) -> None:
        """I6: one for the owner, one an isolation, one a live scanner reference; a memory error keeps a frame.

        In a design that counts in a descriptor each frame has one reference beside it, the owner's.
        """
        isolated = self._isolated_pages()
        held = [head for _, head, _ in self._side.references.values()]
        d, ignored = self._side.d, self._side.core.ignored_errors
        for view in self._views.values():
            heads = dict.fromkeys(d.compound_head(page) for page in view.pages)
            for head in heads:
                pages = [page for page in view.pages if d.compound_head(page) == head]
                count = d.page_ref_count(head)
                wanted = 1 + sum(1 for page in pages if page in isolated) + held.count(head)
                poisoned = sum(1 for page in pages if d.PageHWPoison(page) and page not in ignored)
                own = head in pages  # the page is its own head: all is counted in one word
                self._must_be("I6 reference count", "_refcount", count, wanted + own * poisoned)
                if not own:
                    frames = sum(d.page_ref_count(page) - 1 for page in pages)
                    self._must_be("I6 reference count", "_refcount of frames", frames, poisoned)
                if head < PAGE_OFFSET:
                    self._fail("I9 stale head", "compound_head", f"head {head:#x} is no kernel address")


def _placement_of(size_class: SizeClass) -> str:
    """Return the name of an object's place; huge objects are found in a way of their own."""
    return "placement of a huge object" if size_class.huge else "placement"
