"""One step as one line of text, both ways.

In:    an Operation, or a line without its comment.
Out:   format_step(), parse_step(), and SYNTAX: how each operation is written.
Never: limits of numbers (zsfuzz/program/limits.py); the document around the steps (zsfuzz/program/text.py).
Next:  the same table for people in docs/program-format.md.

Slots say what they hold: h3 a handle, p2 an isolated page, r0 a reference, b1 a bystander, z0 a pool. Pages
are h3.1 (component 1 of the zspage that holds h3), p2 (the page that was isolated into p2) and @37 (a pfn).
A range is START..END without its end, a span is OFFSET+LENGTH.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, assert_never

from zsfuzz.program import ops
from zsfuzz.program.limits import (
    BYSTANDER,
    FAIL_OPERATION,
    FAIL_WHAT,
    GFP,
    MAP_MODE,
    MIGRATE_MODE,
    POISON,
    SCANNER,
    SHRINK,
    Choice,
    Malformed,
    Member,
    shown,
)

_HEXADECIMAL = re.compile(r"0x[0-9a-f]{1,16}")
_DIGITS = 20  # of the largest size_t
_OF_BLOCKS = frozenset({"lane", "schedule", "chance", "{", "}"})


def format_step(step: ops.Operation) -> str:
    """Return the canonical line of a well-formed step, without a newline."""
    match step:
        case ops.Malloc(slot, size, gfp, pool):
            return f"h{slot} = malloc {size}{'' if gfp is ops.Gfp.MOVABLE else f' {gfp.value}'}{_pool(pool)}"
        case ops.Free(slot):
            return f"free h{slot}"
        case ops.Map(slot, map_mode):
            return f"map h{slot} {map_mode.value}"
        case ops.Unmap(slot):
            return f"unmap h{slot}"
        case ops.Write(slot, offset, length, pattern):
            return f"write h{slot} {offset}+{length} {pattern:#x}"
        case ops.Read(slot, offset, length):
            return f"read h{slot} {offset}+{length}"
        case ops.Isolate(page_slot, page):
            return f"p{page_slot} = isolate {format_page(page)}"
        case ops.Migrate(pages, mode):
            return " ".join(("migrate", *map(format_page, pages), mode.value))
        case ops.Putback(page_slot):
            return f"putback p{page_slot}"
        case ops.Poison(page, kind):
            return f"poison {format_page(page)} {kind.value}"
        case ops.SpeculativeGet(ref_slot, page):
            return f"r{ref_slot} = speculative_get {format_page(page)}"
        case ops.SpeculativePut(ref_slot):
            return f"speculative_put r{ref_slot}"
        case ops.Bystander(bystander_slot, owner, order):
            return f"b{bystander_slot} = bystander {owner.value} {order}"
        case ops.DropBystander(bystander_slot):
            return f"drop b{bystander_slot}"
        case ops.Fail(operation, what, ordinal):
            return f"fail {operation.value} {what.value} {ordinal}"
        case ops.CompactZone() | ops.Offline() | ops.Online() | ops.Contig() | ops.Scan():
            return _format_ranged(step)
        case _:
            return _format_pool_wide(step)


def _format_ranged(step: ops.CompactZone | ops.Offline | ops.Online | ops.Contig | ops.Scan) -> str:
    match step:
        case ops.CompactZone(start, end, mode):
            return f"compact_zone {start}..{end} {mode.value}"
        case ops.Offline(start, end):
            return f"offline {start}..{end}"
        case ops.Online(start, end):
            return f"online {start}..{end}"
        case ops.Contig(start, end):
            return f"contig {start}..{end}"
        case ops.Scan(scanner, start, end):
            return f"scan {scanner.value} {start}..{end}"
        case _:
            assert_never(step)


def _format_pool_wide(
    step: ops.Compact
    | ops.Shrink
    | ops.RunWork
    | ops.Stats
    | ops.HugeClassSize
    | ops.CreatePool
    | ops.DestroyPool
    | ops.Trim,
) -> str:
    match step:
        case ops.Compact(pool):
            return f"compact{_pool(pool)}"
        case ops.Shrink(kind, pool):
            return f"shrink {kind.value}{_pool(pool)}"
        case ops.RunWork():
            return "run_work"
        case ops.Stats(pool):
            return f"stats{_pool(pool)}"
        case ops.HugeClassSize(pool):
            return f"huge_class_size{_pool(pool)}"
        case ops.CreatePool(pool):
            return f"create_pool z{pool}"
        case ops.DestroyPool(pool):
            return f"destroy_pool z{pool}"
        case ops.Trim():
            return "trim"
        case _:
            assert_never(step)


def _pool(pool: int) -> str:
    return f" z{pool}" if pool else ""


def format_page(page: ops.PageName) -> str:
    """Return h3.1, p2 or @37."""
    match page:
        case ops.Component(slot, index):
            return f"h{slot}.{index}"
        case ops.IsolatedPage(page_slot):
            return f"p{page_slot}"
        case ops.Pfn(pfn):
            return f"@{pfn}"
        case _:
            assert_never(page)


def parse_number(word: str, noun: str) -> int:
    """Return the number that `word` says in decimal, or in lower-case hexadecimal after 0x.

    Errors: Malformed. At most 20 digits, so that no number costs more than a size_t to read.
    """
    if word.isdecimal() and word.isascii() and len(word) <= _DIGITS:
        return int(word)
    if _HEXADECIMAL.fullmatch(word):
        return int(word, 16)
    raise Malformed(f"{noun} must be a whole number, not {shown(word)}")


class _Words:
    """The words of one step, taken from left to right."""

    __slots__ = ("_at", "_result", "_words")

    def __init__(self, result: str | None, words: list[str]) -> None:
        self._result = result
        self._words = words
        self._at = 0

    def result(self, prefix: str, noun: str) -> int:
        """Take the word before `=`."""
        word, self._result = self._result, None
        if word is None:
            raise Malformed(f"the result is missing: {noun} before '='")
        return self._prefixed(word, prefix, noun)

    def handle(self) -> int:
        return self._prefixed(self._take("a handle"), "h", "a handle")

    def page_slot(self) -> int:
        return self._prefixed(self._take("an isolated page"), "p", "an isolated page")

    def reference(self) -> int:
        return self._prefixed(self._take("a reference"), "r", "a reference")

    def bystander(self) -> int:
        return self._prefixed(self._take("a bystander"), "b", "a bystander")

    def pool(self) -> int:
        return self._prefixed(self._take("a pool"), "z", "a pool")

    def pool_or_first(self) -> int:
        return self.pool() if self._at < len(self._words) else 0

    def gfp_or_movable(self) -> ops.Gfp:
        if self._at < len(self._words) and not self._words[self._at].startswith("z"):
            return self.choice(GFP)
        return ops.Gfp.MOVABLE

    def number(self, noun: str) -> int:
        return parse_number(self._take(noun), noun)

    def span(self) -> tuple[int, int]:
        return self._pair("+", "an OFFSET+LENGTH")

    def range(self) -> tuple[int, int]:
        return self._pair("..", "a START..END")

    def choice(self, choice: Choice[Member]) -> Member:
        word = self._take(choice.noun)
        try:
            return choice.enum(word)
        except ValueError:
            raise Malformed(choice.not_one(word)) from None

    def page(self) -> ops.PageName:
        word = self._take("a page")
        if word.startswith("h"):
            slot, _, index = word[1:].partition(".")
            return ops.Component(parse_number(slot, "a handle"), parse_number(index, "a component index"))
        if word.startswith("p"):
            return ops.IsolatedPage(parse_number(word[1:], "an isolated page"))
        if word.startswith("@"):
            return ops.Pfn(parse_number(word[1:], "a pfn"))
        raise Malformed(f"a page is h3.1, p2 or @37, not {shown(word)}")

    def pages_but_last(self) -> tuple[ops.PageName, ...]:
        """Take all words but the last one."""
        return tuple(self.page() for _ in range(len(self._words) - self._at - 1))

    def end(self) -> None:
        """Refuse what is left."""
        if self._result is not None:
            raise Malformed(f"{shown(self._result)} before '=' has no place here")
        if self._at < len(self._words):
            raise Malformed(f"{shown(self._words[self._at])} is too much")

    def _take(self, noun: str) -> str:
        at = self._at
        if at >= len(self._words):
            raise Malformed(f"{noun} is missing")
        self._at = at + 1
        return self._words[at]

    def _pair(self, mark: str, noun: str) -> tuple[int, int]:
        first, found, second = self._take(noun).partition(mark)
        if not found:
            raise Malformed(f"{noun} is missing, not {shown(first)}")
        return parse_number(first, noun), parse_number(second, noun)

    @staticmethod
    def _prefixed(word: str, prefix: str, noun: str) -> int:
        if not word.startswith(prefix):
            raise Malformed(f"{noun} is a number after '{prefix}', not {shown(word)}")
        return parse_number(word[1:], noun)


class Syntax(NamedTuple):
    """How one operation is written, and how its words are read."""

    usage: str
    read: Callable[[_Words], ops.Operation]


_GFP = "|".join(gfp.value for gfp in ops.Gfp)
_MIGRATE = "|".join(mode.value for mode in ops.MigrateMode)

SYNTAX: dict[str, Syntax] = {
    "malloc": Syntax(
        f"h1 = malloc SIZE [{_GFP}] [z0]",
        lambda w: ops.Malloc(w.result("h", "a handle"), w.number("a size"), w.gfp_or_movable(), w.pool_or_first()),
    ),
    "free": Syntax("free h1", lambda w: ops.Free(w.handle())),
    "map": Syntax("map h1 ro|wo|rw", lambda w: ops.Map(w.handle(), w.choice(MAP_MODE))),
    "unmap": Syntax("unmap h1", lambda w: ops.Unmap(w.handle())),
    "write": Syntax(
        "write h1 OFFSET+LENGTH PATTERN", lambda w: ops.Write(w.handle(), *w.span(), w.number("a pattern"))
    ),
    "read": Syntax("read h1 OFFSET+LENGTH", lambda w: ops.Read(w.handle(), *w.span())),
    "compact": Syntax("compact [z0]", lambda w: ops.Compact(w.pool_or_first())),
    "shrink": Syntax("shrink count|scan [z0]", lambda w: ops.Shrink(w.choice(SHRINK), w.pool_or_first())),
    "isolate": Syntax("p0 = isolate PAGE", lambda w: ops.Isolate(w.result("p", "an isolated page"), w.page())),
    "migrate": Syntax(
        f"migrate [PAGE]... {_MIGRATE}",
        lambda w: ops.Migrate(w.pages_but_last(), w.choice(MIGRATE_MODE)),
    ),
    "putback": Syntax("putback p0", lambda w: ops.Putback(w.page_slot())),
    "run_work": Syntax("run_work", lambda w: ops.RunWork()),
    "compact_zone": Syntax(
        f"compact_zone START..END {_MIGRATE}",
        lambda w: ops.CompactZone(*w.range(), w.choice(MIGRATE_MODE)),
    ),
    "offline": Syntax("offline START..END", lambda w: ops.Offline(*w.range())),
    "online": Syntax("online START..END", lambda w: ops.Online(*w.range())),
    "contig": Syntax("contig START..END", lambda w: ops.Contig(*w.range())),
    "poison": Syntax("poison PAGE soft|hard", lambda w: ops.Poison(w.page(), w.choice(POISON))),
    "scan": Syntax("scan SCANNER START..END", lambda w: ops.Scan(w.choice(SCANNER), *w.range())),
    "speculative_get": Syntax(
        "r0 = speculative_get PAGE", lambda w: ops.SpeculativeGet(w.result("r", "a reference"), w.page())
    ),
    "speculative_put": Syntax("speculative_put r0", lambda w: ops.SpeculativePut(w.reference())),
    "bystander": Syntax(
        f"b0 = bystander {'|'.join(kind.value for kind in ops.BystanderKind)} ORDER",
        lambda w: ops.Bystander(w.result("b", "a bystander"), w.choice(BYSTANDER), w.number("an order")),
    ),
    "drop": Syntax("drop b0", lambda w: ops.DropBystander(w.bystander())),
    "fail": Syntax(
        f"fail OPERATION {'|'.join(what.value for what in ops.FailWhat)} ORDINAL",
        lambda w: ops.Fail(
            w.choice(FAIL_OPERATION),
            w.choice(FAIL_WHAT),
            w.number("an ordinal"),
        ),
    ),
    "stats": Syntax("stats [z0]", lambda w: ops.Stats(w.pool_or_first())),
    "huge_class_size": Syntax("huge_class_size [z0]", lambda w: ops.HugeClassSize(w.pool_or_first())),
    "create_pool": Syntax("create_pool z1", lambda w: ops.CreatePool(w.pool())),
    "destroy_pool": Syntax("destroy_pool z1", lambda w: ops.DestroyPool(w.pool())),
    "trim": Syntax("trim", lambda w: ops.Trim()),
}


def parse_step(line: str) -> ops.Operation:
    """Return the step that one line says.

    Errors: Malformed, with the way the operation is written.
    """
    words = line.split()
    if not words:
        raise Malformed("the step is empty")
    result = None
    if len(words) > 2 and words[1] == "=":
        result = words[0]
        del words[:2]
    syntax = SYNTAX.get(words[0])
    if syntax is None:
        raise Malformed(_unknown(words[0]))
    cursor = _Words(result, words[1:])
    try:
        step = syntax.read(cursor)
        cursor.end()
    except Malformed as reason:
        raise Malformed(f"{reason}; write: {syntax.usage}") from None
    return step


def _unknown(word: str) -> str:
    if word in _OF_BLOCKS:
        return f"{shown(word)} stands in a parallel block only, which begins with a line 'parallel {{'"
    return f"{shown(word)} is no operation; the operations are {', '.join(SYNTAX)}"
