"""Headers: passes that make what a program asks of the machine plainer.

In:    a Search.
Out:   the default geometry, no switch, the geometry's own memory, where the predicate allows it.
Never: targets, faults, verdict: they say what is minimized.
Next:  zsfuzz/machine/geometry.py.
"""

from __future__ import annotations

from dataclasses import replace

from zsfuzz.machine.geometry import geometry
from zsfuzz.minimize.order import SIMPLEST_HEADER
from zsfuzz.minimize.search import Search
from zsfuzz.program.rewrite import rescaled_program


def simplify_header(search: Search) -> None:
    """Try the default geometry, with sizes as they are and scaled; then drop switches and odd memory."""
    search.phase = "header"
    _default_geometry(search)
    for switch in search.best.header.switches:
        header = search.best.header
        kept = tuple(each for each in header.switches if each != switch)
        search.attempt(replace(search.best, header=replace(header, switches=kept)))
    _default_memory(search)


def _default_geometry(search: Search) -> None:
    header, wanted = search.best.header, SIMPLEST_HEADER.geometry
    if header.geometry == wanted:
        return
    after = replace(header, geometry=wanted)
    before_size, after_size = geometry(header.geometry).page_size, geometry(wanted).page_size
    scaled = rescaled_program(search.best, before_size, after_size)
    if not search.attempt(replace(scaled, header=after)):
        search.attempt(replace(search.best, header=after))


def _default_memory(search: Search) -> None:
    """Give each zone the geometry's own size, or else the fewest whole sections."""
    section = geometry(search.best.header.geometry).section_pages
    for pages in (0, *range(section, search.best.header.normal_pages, section)):
        if search.best.header.normal_pages > pages:
            header = replace(search.best.header, normal_pages=pages)
            if search.attempt(replace(search.best, header=header)):
                break
    for pages in (0, *range(section, search.best.header.movable_pages, section)):
        if search.best.header.movable_pages > pages:
            header = replace(search.best.header, movable_pages=pages)
            if search.attempt(replace(search.best, header=header)):
                break
