"""History: what a program did to each zspage, as far as its operations name it.

In:    effective operations and the class of their outcomes; where a new object went.
Out:   numbers, one for each zspage that an operation names.
Never: a look into a target but for a new object's zspage. Objects that compaction moves are still taken to be where
       they were: a number has to be the same every time, not right.
Next:  who asks: zsfuzz/execute/features.py.

    number = last event | this event | what came in between | members | isolated pages | chain

    event:    malloc free isolate putback migrate poison get, each gone well or not
    between:  the last of compact, shrink, run_work, compact_zone, offline, contig, trim since the last event
    members:  objects of the zspage, 0, 1, some, as many as it holds
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from zsfuzz.execute.side import Side
from zsfuzz.program import ops

_EVENT: Final[dict[type, int]] = {
    kind: number
    for number, kind in enumerate(
        (ops.Malloc, ops.Free, ops.Isolate, ops.Putback, ops.Migrate, ops.Poison, ops.SpeculativeGet), 1
    )
}
_BETWEEN: Final[dict[type, int]] = {
    kind: number
    for number, kind in enumerate(
        (ops.Compact, ops.Shrink, ops.RunWork, ops.CompactZone, ops.Offline, ops.Contig, ops.Trim), 1
    )
}
_EVENT_BITS: Final = 4
_FAILED: Final = 1 << 3


@dataclass(slots=True)
class _Zspage:
    """One zspage, or what is taken for one."""

    pages: int
    objects: int
    members: int = 0
    isolated: int = 0
    past: int = 0
    between: int = 0  # Histories._turn at its last event


class Histories:
    """The zspages that a program has named so far."""

    def __init__(self) -> None:
        self._zspages: dict[int, _Zspage] = {}
        self._at: dict[int, int] = {}  # slot -> zspage
        self._from: dict[int, int] = {}  # page slot -> zspage
        self._turn = 0
        self._last = 0

    def note(self, step: ops.Operation, word: int, side: Side) -> list[int]:
        """Take in one effective operation; return the numbers it made. word: the class of its outcome."""
        kind = type(step)
        between = _BETWEEN.get(kind)
        if between is not None:
            self._turn += 1
            self._last = between
            return []
        event = _EVENT.get(kind)
        if event is None:
            return []
        return [self._event(zspage, event | (_FAILED if bad else 0)) for zspage, bad in self._named(step, word, side)]

    def _event(self, zspage: _Zspage, event: int) -> int:
        between = self._last if zspage.between != self._turn else 0
        zspage.between = self._turn
        past, zspage.past = zspage.past, event
        members = max(zspage.members, 0) if zspage.members < 2 else 3 if zspage.members >= zspage.objects else 2
        number = past << _EVENT_BITS | event
        number = number << 3 | between
        number = number << 4 | members << 2 | min(max(zspage.isolated, 0), 2)
        return number << 2 | min(zspage.pages, 4) - 1

    def _named(self, step: ops.Operation, word: int, side: Side) -> list[tuple[_Zspage, bool]]:
        """Follow a step; return the zspages it names, and whether it went wrong."""
        match step:
            case ops.Malloc(slot):
                zspage = self._allocated(slot, side) if word else None
                return [(zspage, False)] if zspage is not None else []
            case ops.Free(slot):
                zspage = self._zspages.get(self._at.pop(slot, 0))
                if zspage is None:
                    return []
                zspage.members -= 1
                return [(zspage, False)]
            case ops.Isolate(page_slot, page):
                return self._isolated(page_slot, page, bad=word != 0)
            case ops.Putback(page_slot):
                return self._released(page_slot, bad=False)
            case ops.Migrate(pages):
                bad = word != 16
                found = [each for page in pages for each in self._of_page(page, bad=bad)]
                for page in pages:
                    if isinstance(page, ops.IsolatedPage):
                        self._released(page.page_slot, bad=bad)
                return found
            case ops.Poison(page) | ops.SpeculativeGet(_, page):
                return self._of_page(page, bad=word >= 8)
        return []

    def _allocated(self, slot: int, side: Side) -> _Zspage | None:
        address = side.target.zspage_of(side.handles[slot])
        zspage = self._zspages.get(address)
        if zspage is None or (not zspage.members and not zspage.isolated):
            view = side.target.zspage_view(address)
            zspage = self._zspages[address] = _Zspage(len(view.pages), len(view.free_indices) + view.inuse)
        self._at[slot] = address
        zspage.members += 1
        return zspage

    def _isolated(self, page_slot: int, page: ops.PageName, *, bad: bool) -> list[tuple[_Zspage, bool]]:
        if not bad and isinstance(page, ops.Component) and page.slot in self._at:
            self._from[page_slot] = self._at[page.slot]
        found = self._of_page(page, bad=bad)
        if not bad:
            for zspage, _ in found:
                zspage.isolated += 1
        return found

    def _released(self, page_slot: int, *, bad: bool) -> list[tuple[_Zspage, bool]]:
        zspage = self._zspages.get(self._from.pop(page_slot, 0))
        if zspage is None:
            return []
        zspage.isolated -= 1
        return [(zspage, bad)]

    def _of_page(self, page: ops.PageName, *, bad: bool) -> list[tuple[_Zspage, bool]]:
        """Return the zspage that a page name stands for, if it is known."""
        match page:
            case ops.Component(slot):
                address = self._at.get(slot, 0)
            case ops.IsolatedPage(page_slot):
                address = self._from.get(page_slot, 0)
            case _:
                address = 0
        zspage = self._zspages.get(address)
        return [] if zspage is None else [(zspage, bad)]

    def copy(self) -> Histories:
        """Return a copy that later operations do not reach."""
        other = Histories()
        other._zspages = {address: replace(zspage) for address, zspage in self._zspages.items()}
        other._at, other._from = self._at.copy(), self._from.copy()
        other._turn, other._last = self._turn, self._last
        return other
