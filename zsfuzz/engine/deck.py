"""Deck: the few headers that an engine's programs run under.

In:    dice, settings.
Out:   Deck: deal() for a new program, fit() for one whose header has left the deck.
Never: more than SIZE different headers at a time. A runner keeps a machine for each, and to make one takes
       longer than to run ten programs on it.
Next:  who runs them: zsfuzz/execute/runner.py.

    plain:  each geometry as it is                                  three of four programs
    odd:    a switch, other sizes of the zones; one is drawn anew every REDEAL programs
"""

from __future__ import annotations

from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.rng import Dice
from zsfuzz.machine.geometry import GEOMETRIES, geometry
from zsfuzz.program.block import BLOCK_SWITCHES
from zsfuzz.program.program import SWITCHES, Header

SIZE = 6
REDEAL = 256
_PLAIN_PERCENT = 75
_SMALL_PERCENT = 75  # small pages run faster and reach the same states
SEQUENTIAL = tuple(switch for switch in SWITCHES if switch not in BLOCK_SWITCHES)
_RARE = "no_compaction"  # nothing is ever movable then: right to try, a waste to try often


class Deck:
    """Headers to choose from; changes slowly."""

    def __init__(self, dice: Dice, settings: GenerateSettings) -> None:
        self._dice = dice
        self._geometry = settings.geometry
        names = list(GEOMETRIES) if settings.geometry is None else [settings.geometry]
        self._plain = [Header(name) for name in names]
        self._odd = [self._draw_odd(turn) for turn in range(SIZE - len(names))]
        self._turn = len(self._odd)
        self._dealt = 0

    @property
    def headers(self) -> tuple[Header, ...]:
        """Return the headers that are dealt at present, plain ones first."""
        return (*self._plain, *self._odd)

    def deal(self) -> Header:
        """Return a header for a new program."""
        self._dealt += 1
        if self._dealt % REDEAL == 0:
            self._odd[self._turn % len(self._odd)] = self._draw_odd(self._turn)
            self._turn += 1
        if self._dice.percent(_PLAIN_PERCENT):
            return Header(self._draw_geometry())
        return self._dice.pick(self._odd)

    def fit(self, header: Header) -> Header:
        """Return the header if it is dealt at present, or else the one that is most like it.

        The geometry stays, as sizes depend on it; then switches count more than memory.
        """
        headers = self.headers
        if header in headers:
            return header
        same = [each for each in headers if each.geometry == header.geometry]
        return next((each for each in same if each.switches == header.switches), same[0])

    def _draw_geometry(self) -> str:
        if self._geometry is not None:
            return self._geometry
        return "small" if self._dice.percent(_SMALL_PERCENT) else self._dice.pick(tuple(GEOMETRIES))

    def _draw_odd(self, turn: int) -> Header:
        """Return a header in which each switch leads in its turn, perhaps with others and odd memory."""
        dice = self._dice
        lead = SEQUENTIAL[turn % len(SEQUENTIAL)]
        if lead == _RARE and dice.percent(65):
            lead = ""
        chances = {each: 2 if each == _RARE else 12 for each in SEQUENTIAL}
        switches = tuple([each for each in SEQUENTIAL if each == lead or dice.percent(chances[each])])
        name = self._draw_geometry()
        if switches and dice.percent(50):
            return Header(name, 0, 0, switches)
        section = geometry(name).section_pages
        return Header(name, section * dice.between(1, 4), section * dice.between(1, 4), switches)
