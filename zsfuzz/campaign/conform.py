"""Conformance: whether a user's target follows the target protocol, point by point.

In:    the name of a target.
Out:   one Check after the other; all of them are made, whatever the earlier ones said.
Never: a judgement on a design: a target that conforms may still have every bug that fuzzing is for.
Next:  the protocol in zsfuzz/target/protocol.py, the programs in zsfuzz/campaign/conform_programs.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from zsfuzz.campaign.conform_programs import PROGRAMS
from zsfuzz.campaign.fault import reason_of
from zsfuzz.campaign.running import DEFAULT_REFERENCE, open_runner
from zsfuzz.errors import HarnessError
from zsfuzz.execute.runner import machine_config
from zsfuzz.execute.side import Side
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.machine.layout import STRUCT_PAGE_SIZE
from zsfuzz.program.ops import Gfp
from zsfuzz.program.program import Header, Program
from zsfuzz.program.text import parse_program
from zsfuzz.target.protocol import Target
from zsfuzz.target.registry import resolve

_SIZES = (100, 720, 2000, 3000, 4096)
_HEADER = "zsfuzz 1\ngeometry linux-5.10\n---\n"


@dataclass(frozen=True, slots=True)
class Check:
    """One point of the protocol. detail: what went wrong, "" if nothing did."""

    name: str
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Return whether the target does as the protocol says."""
        return not self.detail


def conform(name: str) -> Iterator[Check]:
    """Yield every check of one target, the next being made when it is asked for.

    Errors: UsageError when there is no such target, or it is no subclass of Target with every method.
    """
    target = resolve(name)
    yield _check("the class says its name, its rules and the words it writes", lambda: _attributes(target))
    for point, look in _LOOKS.items():
        yield _check(point, lambda look=look: look(target))
    for point, steps in PROGRAMS.items():
        program = parse_program(_HEADER + steps, point)
        yield _check(point, lambda program=program: _like_the_reference(name, program))
    yield _check("the same program gives the same result twice", lambda: _repeats(name))


def _check(name: str, make: Callable[[], str]) -> Check:
    try:
        return Check(name, make())
    except HarnessError:
        raise
    except Exception as error:  # noqa: BLE001  whatever the user's class raises is the answer to this check
        return Check(name, reason_of(error))


def _attributes(target: type[Target]) -> str:
    if not isinstance(getattr(target, "name", None), str) or not target.name:
        return "`name` is no text; set it to what reports shall call the target"
    if not (isinstance(target.rules, type) and issubclass(target.rules, Descriptor)):
        return "`rules` is no subclass of zsfuzz.machine.descriptor.Descriptor"
    words = target.page_words
    if words is None:
        return ""
    if not isinstance(words, frozenset):
        return "`page_words` is neither None nor a frozenset of byte offsets into struct page"
    wrong = [word for word in sorted(words) if word % 8 or not 0 <= word < STRUCT_PAGE_SIZE]
    return f"`page_words` has {wrong[0]}, which is no offset of a word of struct page" if wrong else ""


class _Inspected:
    """A target with a few objects, and a way to ask it something that must leave everything as it is."""

    def __init__(self, target: type[Target]) -> None:
        self.side = Side("candidate", target, machine_config(Program(Header(), ())))
        for slot, size in enumerate(_SIZES):
            if not self.side.malloc(slot, 0, size, Gfp.MOVABLE):
                raise ValueError(f"zs_malloc() of {size} bytes gave 0 on an empty machine")
        self.target = self.side.target
        self.pool = self.side.pools[0]
        self.handles = tuple(self.side.handles.values())
        self.touched: list[str] = []

    def ask(self, method: str, *arguments: int) -> object:
        """Return what a method says; note it in `touched` if it wrote, took a lock or kept something."""
        machine = self.side.machine
        before, locks = machine.snapshot(), machine.locks.acquired_count
        answer: object = getattr(self.target, method)(*arguments)
        if machine.locks.acquired_count != locks:
            self.touched.append(f"{method}() takes a lock")
        elif machine.snapshot() != before:
            self.touched.append(f"{method}() writes to memory")
        elif self.side.foreign_attribute():
            self.touched.append(f"{method}() changes self.{self.side.foreign_attribute()}")
        return answer


def _looking_inside_is_free(target: type[Target]) -> str:
    it = _Inspected(target)
    for handle in it.handles:
        it.ask("placement", handle)
        zspage = it.target.zspage_of(handle)
        it.ask("zspage_of", handle)
        it.ask("zspage_view", zspage)
        it.ask("object_header", zspage, 0)
        for page in it.target.zspage_view(zspage).pages:
            it.ask("page_owner", page)
        for group in range(4):
            it.ask("fullness_list", it.pool, it.target.zspage_view(zspage).class_index, group)
    for method in ("isolated_zspages", "lock_words", "zs_get_total_pages", "zs_pool_stats"):
        it.ask(method, it.pool)
    return it.touched[0] if it.touched else ""


def _looking_inside_agrees(target: type[Target]) -> str:
    it = _Inspected(target)
    for handle, size in zip(it.handles, _SIZES, strict=True):
        zspage = it.target.zspage_of(handle)
        view = it.target.zspage_view(zspage)
        where = f"for an object of {size} bytes"
        if view.zspage != zspage:
            return f"{where} zspage_view() names {view.zspage:#x}, zspage_of() {zspage:#x}"
        strangers = [page for page in view.pages if it.target.page_owner(page) != zspage]
        if strangers or not view.pages:
            return f"{where} page_owner() does not give the zspage back for each of its pages"
        pfns = [it.side.pfn(page) for page in view.pages]
        if it.target.placement(handle) >> 32 not in pfns:
            return f"{where} placement() names a pfn that is none of its zspage's: {pfns}"
        listed = it.target.fullness_list(it.pool, view.class_index, view.fullness)
        if zspage not in listed:
            return f"{where} fullness_list({view.fullness}) does not have its zspage"
    return ""


def _keeps_nothing_outside_the_arena(target: type[Target]) -> str:
    it = _Inspected(target)
    changed = it.side.foreign_attribute()
    return (
        f"self.{changed} changed with zs_malloc(); keep all state in the machine's memory" if changed else ""
    )


_LOOKS: dict[str, Callable[[type[Target]], str]] = {
    "nothing is kept outside the machine's memory": _keeps_nothing_outside_the_arena,
    "looking inside writes nothing and takes no lock": _looking_inside_is_free,
    "looking inside is of one mind": _looking_inside_agrees,
}


def _like_the_reference(name: str, program: Program) -> str:
    result = open_runner(DEFAULT_REFERENCE, name).run(program, cadence=1)
    if result.findings:
        finding = result.findings[0]
        return f"step {finding.step}: {finding.target}: {finding.message} ({finding.signature})"
    return "" if result.operations else "no operation had an effect"


def _repeats(name: str) -> str:
    steps = "".join(PROGRAMS.values())
    program = parse_program(_HEADER + steps, "all programs")
    first, second = (open_runner(DEFAULT_REFERENCE, name).run(program, cadence=1) for _ in range(2))
    return "" if first == second else "two runs gave two results; use no clock, no random and no hash order"
