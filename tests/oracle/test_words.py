"""Words: each rule of a single word fires on a planted store, and on nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from zsfuzz.execute.side import Side
from zsfuzz.machine.geometry import geometry
from zsfuzz.machine.lanes import Lane, Lanes
from zsfuzz.machine.layout import PG_COMPOUND_HEAD, PG_FLAGS, PG_REFCOUNT, STRUCT_PAGE_SIZE, VMEMMAP_START
from zsfuzz.machine.machine import MachineConfig
from zsfuzz.machine.policies import Replay
from zsfuzz.oracle.judge import Violation
from zsfuzz.oracle.words import WordWatch
from zsfuzz.program.ops import Gfp
from zsfuzz.target.protocol import CounterWord, counter
from zsfuzz.target.registry import resolve


class Scene:
    """One object on a machine with lanes, its zspage and pages, and the watch over them."""

    def __init__(self, name: str) -> None:
        config = MachineConfig(geometry("linux-5.10"), 64, 64, 1 << 19)
        self.side = Side(name, resolve(name), config, Lanes())
        self.side.malloc(0, 0, 3000, Gfp.MOVABLE)
        self.target, self.m = self.side.target, self.side.machine
        self.zspage = self.target.zspage_of(self.side.handles[0])
        self.pages = self.target.zspage_view(self.zspage).pages
        self.watch = WordWatch(self.side, self.words())

    def words(self) -> Iterable[CounterWord]:
        view = self.target.zspage_view(self.zspage)
        yield from self.target.counter_words(self.side.pools[0], [view.class_index])
        yield from self.target.zspage_words(view, 4)

    def store(self, address: int, value: int, width: int = 64) -> Violation | None:
        """Store as a lane does. Returns what the watch said."""
        lanes = self.m.current_lanes
        lanes.watch = self.watch.stored

        def body(lane: Lane) -> None:
            lanes.begin(0)
            (self.m.store if width == 64 else self.m.store32)(address, value)

        try:
            lanes.run([body], [1], Replay({}))
        except Violation as violation:
            return violation
        finally:
            lanes.watch = None
        return None


@pytest.fixture(params=["reference", "candidate"])
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param)


def test_a_reference_count_may_be_zero_and_not_below(scene: Scene) -> None:
    page = scene.pages[0]
    for value in (0, 1, 2, 0x7FFF_FFFF):
        assert scene.store(page + PG_REFCOUNT, value, 32) is None
    violation = scene.store(page + PG_REFCOUNT, 0xFFFF_FFFF, 32)
    assert violation is not None
    assert (violation.kind, violation.rule, violation.field) == ("invariant", "I6 refcount below zero", "_refcount")
    assert "_refcount is -1" in violation.message and violation.target == scene.side.role
    assert scene.watch.checked == 5


def test_a_tail_names_a_struct_page_or_a_live_object(scene: Scene) -> None:
    page, live = scene.pages[0], scene.m.slab.kzalloc(64)
    last = VMEMMAP_START + scene.m.memory.memmap_bytes
    for word in (0, page, live, VMEMMAP_START | 1, (last - STRUCT_PAGE_SIZE) | 1, live | 1):
        assert scene.store(page + PG_COMPOUND_HEAD, word) is None
    scene.m.slab.kfree(live, 64)
    for word in (live | 1, last | 1, 1, 0x1234_5671):
        violation = scene.store(page + PG_COMPOUND_HEAD, word)
        assert violation is not None
        assert (violation.rule, violation.field) == ("I9 stale head", "compound_head")
        assert "which is nothing" in violation.message


def test_other_words_of_a_page_and_of_the_heap_are_nobodys_business(scene: Scene) -> None:
    page, elsewhere = scene.pages[0], scene.m.slab.kzalloc(64)
    for address in (page + PG_FLAGS, page + 40, elsewhere):
        assert scene.store(address, (1 << 64) - 1) is None
    assert scene.watch.checked == 0


def test_every_counter_of_a_target_stays_in_its_range(scene: Scene) -> None:
    """Both ends are allowed, one step beyond either is not."""
    words = list(scene.words())
    assert {word.rule.split()[0] for word in words} >= {"I2"} and len(words) >= 4
    for word in words:
        mask = (1 << word.bits) - 1
        before = scene.m.memory.words[scene.m.memory.word_index(word.address)]

        def with_value(value: int, mask: int = mask, word: CounterWord = word, before: int = before) -> int:
            return before & ~(mask << word.shift) & (1 << 64) - 1 | (value & mask) << word.shift

        for value in (word.low, word.high):
            assert scene.store(word.address, with_value(value)) is None
        beyond = [word.low - 1, *([word.high + 1] if word.high + 1 < 1 << (word.bits - 1) else [])]
        for value in beyond:
            violation = scene.store(word.address, with_value(value))
            assert violation is not None, (word, value)
            assert (violation.rule, violation.field) == (word.rule, word.name)
            assert f"is {value}, outside" in violation.message
        assert scene.store(word.address, before) is None


def test_a_counter_in_freed_memory_is_nobodys(scene: Scene) -> None:
    owner = scene.m.slab.kzalloc(64)
    scene.watch = WordWatch(scene.side, [counter("count", "I2 counter out of range", owner + 8, owner)])
    assert scene.store(owner + 8, (1 << 64) - 1) is not None
    scene.m.slab.kfree(owner, 64)
    scene.watch.stored(owner + 8)
    assert scene.watch.checked == 1


def test_two_counters_may_share_a_word(scene: Scene) -> None:
    """inuse:32 beside an isolated count of 3 bits, as packed fields lie."""
    owner = scene.m.slab.kzalloc(64)
    packed = CounterWord("isolated", "I10 counter out of range", owner, 0, 4, 0, 5, owner)
    whole = CounterWord("inuse", "I2 counter out of range", owner, 32, 32, 0, 9, owner)
    scene.watch = WordWatch(scene.side, [packed, whole])
    assert scene.store(owner, 9 << 32 | 5) is None
    assert scene.watch.checked == 2
    for value, name in ((9 << 32 | 6, "isolated"), (10 << 32 | 5, "inuse"), (0xFFFF_FFFF << 32, "inuse")):
        violation = scene.store(owner, value)
        assert violation is not None and violation.field == name
