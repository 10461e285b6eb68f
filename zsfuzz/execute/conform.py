"""Conform: does a new target keep the target protocol?

In:    a target class.
Out:   a list of Check, one a rule of the protocol, each with a reason when it failed.
Never: judges the design: that is what a run against a reference does.
Next:  the protocol in zsfuzz/target/protocol.py; the guide in docs/targets.md.

A target that passes can be run, put back, run again and looked into; whatever a run then finds is about the allocator
and not about its coupling to the fuzzer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zsfuzz.errors import HarnessError
from zsfuzz.execute.blame import finding_of_exception
from zsfuzz.execute.execution import Execution
from zsfuzz.execute.runner import machine_config
from zsfuzz.execute.side import Side
from zsfuzz.machine.descriptor import PRIMITIVES, Descriptor
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.program import FORMAT_VERSION, Program
from zsfuzz.program.text import parse_program
from zsfuzz.target.protocol import PROTOCOL_VERSION, Target


@dataclass(frozen=True, slots=True)
class Check:
    """One rule. problem: "" when it is kept, else one line."""

    rule: str
    problem: str


_PROGRAMS: Final = {
    "objects keep their bytes": """
        h0 = malloc 3256
        h1 = malloc 100
        h2 = malloc 4096
        write h0 0+3256 1
        write h1 0+100 2
        write h2 0+4096 3
        read h0 0+3256
        read h1 0+100
        read h2 0+4096
        map h0 rw
        write h0 10+2000 4
        read h0 0+3256
        unmap h0
        stats
    """,
    "requests that cannot be served return 0": """
        h0 = malloc 0
        h1 = malloc 4097
        fail malloc page 0
        h2 = malloc 3256
        fail malloc zspage 0
        h3 = malloc 3256
        fail malloc handle 0
        h4 = malloc 3256
        h5 = malloc 3256
    """,
    "compaction moves objects and frees pages": """
        h0 = malloc 2000
        h1 = malloc 2000
        h2 = malloc 2000
        h3 = malloc 2000
        write h3 0+2000 9
        free h0
        free h2
        shrink count
        compact
        read h3 0+2000
        shrink scan
        run_work
        trim
    """,
    "pages are isolated, migrated and put back": """
        h0 = malloc 3256
        write h0 0+3256 5
        p0 = isolate h0.0
        p1 = isolate h0.2
        putback p0
        migrate p1 sync
        migrate h0.1 h0.3 async
        read h0 0+3256
        compact_zone 0..256 sync
        read h0 0+3256
    """,
    "pools are made and unmade": """
        create_pool z1
        h0 = malloc 500 z1
        free h0
        run_work
        destroy_pool z1
    """,
}


def conform(target: type[Target]) -> list[Check]:
    """Return every check of the protocol on one target class, in a fixed order."""
    checks = [
        Check("speaks this version of the protocol", _version_problem(target)),
        Check("replaces only primitives of the closed list", _primitive_problem(target)),
    ]
    if any(check.problem for check in checks):
        return checks
    checks.extend(Check(rule, _program_problem(target, text)) for rule, text in _PROGRAMS.items())
    checks.append(Check("a restored machine runs as a new one", _guarded(target, _residue_problem)))
    checks.append(Check("keeps nothing outside the arena", _guarded(target, _attribute_problem)))
    checks.append(Check("looking inside changes nothing", _guarded(target, _view_problem)))
    return checks


def _version_problem(target: type[Target]) -> str:
    spoken = target.protocol_version
    return "" if spoken == PROTOCOL_VERSION else f"speaks version {spoken}, zsfuzz speaks {PROTOCOL_VERSION}"


def _primitive_problem(target: type[Target]) -> str:
    """Name a method that the design's rules add under a name that looks like a primitive, or a wrong base."""
    rules: object = target.rules
    if not (isinstance(rules, type) and issubclass(rules, Descriptor)):
        return "`rules` is no subclass of zsfuzz.machine.descriptor.Descriptor"
    replaced = [name for name in PRIMITIVES if getattr(target.rules, name) is not getattr(Descriptor, name)]
    not_callable = [name for name in replaced if not callable(getattr(target.rules, name))]
    return f"{not_callable[0]} of `rules` is not callable" if not_callable else ""


def _program(text: str) -> Program:
    lines = [line.strip() for line in text.strip().splitlines()]
    return parse_program("\n".join([f"zsfuzz {FORMAT_VERSION}", "geometry linux-5.10", "---", *lines]) + "\n")


def _run(target: type[Target], text: str) -> Finding | None:
    """Run a program on the target against itself, everything checked after every step."""
    program = _program(text)
    config = machine_config(program)
    sides = (Side("reference", target, config), Side("candidate", target, config))
    findings = Execution(program, sides, 1, None).run().findings
    return findings[0] if findings else None


def _program_problem(target: type[Target], text: str) -> str:
    try:
        found = _run(target, text)
    except HarnessError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever a target raises is a finding; blame.py raises the rest again
        found = finding_of_exception(error, target.name, 0)
    if found is None:
        return ""
    steps = _program(text).steps
    where = "at the end" if found.step >= len(steps) else f"at step {found.step} ({type(steps[found.step]).__name__})"
    return f"{found.rule} {where}: {found.message}"


def _guarded(target: type[Target], look: Callable[[type[Target]], str]) -> str:
    try:
        return look(target)
    except Exception as error:  # noqa: BLE001 - whatever a target raises is a finding; blame.py raises the rest again
        return finding_of_exception(error, target.name, 0).message


def _residue_problem(target: type[Target]) -> str:
    first = _program(_PROGRAMS["compaction moves objects and frees pages"])
    second = _program(_PROGRAMS["pages are isolated, migrated and put back"])
    used = Side("used", target, machine_config(second))
    Execution(first, (used, Side("other", target, machine_config(first))), 64, None).run()
    used.reset()
    found = Execution(second, (used, Side("new", target, machine_config(second))), 1, None).run().findings
    return found[0].message if found else ""


def _attribute_problem(target: type[Target]) -> str:
    side = Side("used", target, machine_config(_program("")))
    for slot in range(8):
        side.handles[slot] = side.target.zs_malloc(side.pools[0], 2000, 0)
    name = side.foreign_attribute()
    return f"attribute {name!r} changed while objects were allocated" if name else ""


def _view_problem(target: type[Target]) -> str:
    side = Side("used", target, machine_config(_program("")))
    handle = side.target.zs_malloc(side.pools[0], 2000, 0)
    before = side.machine.snapshot()
    zspage = side.target.zspage_of(handle)
    view = side.target.zspage_view(zspage)
    side.target.placement(handle)
    side.target.object_header(zspage, 0)
    side.target.isolated_zspages(side.pools[0])
    side.target.lock_words(side.pools[0])
    side.target.zs_stats_size_show(side.pools[0])
    for group in range(4):
        side.target.fullness_list(side.pools[0], view.class_index, group)
    owners = {side.target.page_owner(page) for page in view.pages}
    if owners != {zspage}:
        return "page_owner() of a zspage's own pages does not return that zspage"
    return "" if side.machine.snapshot() == before else "a method for looking inside wrote to the arena"
