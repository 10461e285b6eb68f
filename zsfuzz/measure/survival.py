"""Survival curves: the share of cells in which a fault is not found yet, over time, as an SVG picture.

In:    CellResults.
Out:   the text of an SVG file: one curve an engine, time on a logarithmic axis.
Never: a library for pictures: a few lines and some text are all there is to draw.
Next:  zsfuzz/cli/faults_bench.py writes it beside the cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from zsfuzz.measure.cell import CellResult

_SVG: Final = "http://www.w3.org/2000/svg"
_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 170, 40, 50
_FIRST_SECONDS: Final = 0.01
_COLOURS: Final = ("#1f6fb4", "#d1541d", "#3a923a", "#8a5bb0", "#7a5548", "#c23b8a")


def curve(results: Sequence[CellResult]) -> list[tuple[float, float]]:
    """Return (seconds, share not found from then on), from (0, 1) to the budget. Errors: ValueError for no cells."""
    if not results:
        raise ValueError("a curve of no cells")
    points, left = [(0.0, 1.0)], len(results)
    for seconds in sorted(each.seconds for each in results if each.found):
        left -= 1
        points.append((seconds, left / len(results)))
    budget = max(each.budget for each in results)
    points.append((budget, left / len(results)))
    return points


def survival_svg(results: Sequence[CellResult], title: str) -> str:
    """Return the picture."""
    engines = list(dict.fromkeys(each.key.engine for each in results))
    budget = max((each.budget for each in results), default=1.0)
    parts = [
        f'<svg xmlns="{_SVG}" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(title)}</text>',
        *_axes(budget),
    ]
    for number, engine in enumerate(engines):
        colour = _COLOURS[number % len(_COLOURS)]
        cells = [each for each in results if each.key.engine == engine]
        parts.append(f'<path d="{_path(curve(cells), budget)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = _TOP + 14 + 18 * number
        x = _WIDTH - _RIGHT + 14
        parts.append(f'<line x1="{x}" y1="{y - 4}" x2="{x + 20}" y2="{y - 4}" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{x + 26}" y="{y}">{escape(engine)} ({len(cells)})</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _x(seconds: float, budget: float) -> float:
    """Return the place of a time; what is below the first tick is drawn on it."""
    decades = math.log10(max(budget, 10 * _FIRST_SECONDS) / _FIRST_SECONDS)
    share = math.log10(max(seconds, _FIRST_SECONDS) / _FIRST_SECONDS) / decades
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share


def _y(share: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)


def _path(points: Sequence[tuple[float, float]], budget: float) -> str:
    """Return steps: a share holds until the next find."""
    words, before = [], 1.0
    for number, (seconds, share) in enumerate(points):
        x = f"{_x(seconds, budget):.1f}"
        if number:
            words.append(f"L{x} {_y(before):.1f}")
        words.append(f"{'L' if number else 'M'}{x} {_y(share):.1f}")
        before = share
    return " ".join(words)


def _axes(budget: float) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [f'<path d="M{_LEFT} {_TOP} V{bottom} H{right}" fill="none" stroke="black"/>']
    for tenths in range(0, 11, 2):
        y = _y(tenths / 10)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tenths * 10} %</text>')
    ticks = [_FIRST_SECONDS]
    while ticks[-1] * 10 <= budget:
        ticks.append(ticks[-1] * 10)
    for seconds in (*ticks, *(() if ticks[-1] > budget * 0.6 else (budget,))):
        x = _x(seconds, budget)
        parts.append(f'<line x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 5}" stroke="black"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 19}" text-anchor="middle">{seconds:g}</text>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 10}" text-anchor="middle">processor seconds</text>')
    turned = f'transform="rotate(-90 16 {_HEIGHT // 2})"'
    parts.append(f'<text x="16" y="{_HEIGHT // 2}" text-anchor="middle" {turned}>runs without a finding</text>')
    return parts
