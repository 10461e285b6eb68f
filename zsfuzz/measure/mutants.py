"""Mutants: every small change of the two models that the operators below can make, as a change of source text.

In:    the sources of reference/ and candidate/.
Out:   Mutant, with a key that survives line shifts and a diff for people; sample().
Never: a change to a file: the changed text is compiled in memory (zsfuzz/measure/mutating.py).
Next:  who runs them: zsfuzz/measure/score.py.

    operator     a + b -> a - b, a & b -> a | b, a << b -> a >> b, -a -> a, ~a -> a
    comparison   a < b -> a <= b and a >= b, a == b -> a != b, in -> not in, is -> is not
    logic        and -> or, or -> and, not a -> a
    constant     n -> n + 1 and n - 1, True -> False
    condition    if c -> if not c, if True, if False; while c -> while not c, while False
    deletion     a call, an assignment, a break or a continue -> pass
    order        two simple statements change places, unless one of them only sets a local that the other does not use

Only bodies of functions are changed, no docstring, no annotation, no text. Not changed: files that only hold planted
bugs, and the offsets of a layout, which are data.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = ("reference", "candidate")
_ROOT: Final = Path(__file__).resolve().parents[2]
_LEFT_ALONE: Final = (
    "__init__.py",
    "faults.py",
    "rare_faults.py",
    "lane_faults.py",
    "hazards.py",
    "slips.py",
    "literal.py",
)

_OPERATORS: Final[dict[type[ast.operator], str]] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "//",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.LShift: ">>",
    ast.RShift: "<<",
}
_COMPARISONS: Final[dict[type[ast.cmpop], tuple[str, ...]]] = {
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
}
_SIMPLE: Final = (ast.Expr, ast.Assign, ast.AugAssign)
_DELETED: Final = (*_SIMPLE, ast.Break, ast.Continue)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. path: of the file, from the project's root. function: qualified name. operator: which sort of change.
    before, after: the source that is changed, on one line. occurrence: which of several equal places in the function,
    from 0. start, end: byte offsets in the file as it is now; new: what stands there instead.
    """

    path: str
    function: str
    operator: str
    before: str
    after: str
    occurrence: int
    start: int
    end: int
    new: str

    def describe(self) -> str:
        """Return the key: what survives when lines move."""
        again = f" (number {self.occurrence + 1})" if self.occurrence else ""
        return f"{self.path} {self.function}: {self.operator}: {self.before} -> {self.after}{again}"

    def mutated(self) -> str:
        """Return the text of the whole file with the change."""
        data = source_of(self.path).encode()
        return (data[: self.start] + self.new.encode() + data[self.end :]).decode()

    def diff(self) -> list[str]:
        """Return a unified diff without context."""
        lines = difflib.unified_diff(
            source_of(self.path).splitlines(), self.mutated().splitlines(), self.path, "mutant", lineterm="", n=1
        )
        return list(lines)

    @property
    def module(self) -> str:
        """Return the dotted name of the module."""
        return self.path.removesuffix(".py").replace("/", ".")


def source_of(path: str) -> str:
    """Return the text of a model's file."""
    return (_ROOT / path).read_text(encoding="utf-8")


def model_files() -> list[str]:
    """Return the files that mutants are made of, in a fixed order."""
    return [
        path.relative_to(_ROOT).as_posix()
        for package in PACKAGES
        for path in sorted((_ROOT / package).glob("*.py"))
        if path.name not in _LEFT_ALONE
    ]


def all_mutants() -> list[Mutant]:
    """Return every mutant of every file."""
    return [mutant for path in model_files() for mutant in mutants_of(path, source_of(path))]


def sample(mutants: Sequence[Mutant], wanted: int, seed: int) -> list[Mutant]:
    """Return `wanted` mutants, or all, drawn without a preference, in their order.

    A mutant's key and the seed say whether it is drawn, so that a change of the sources leaves most of a sample as it
    was.
    """

    def lot(number: int) -> bytes:
        return hashlib.sha256(f"{seed} {mutants[number].describe()}".encode()).digest()

    taken = sorted(sorted(range(len(mutants)), key=lot)[:wanted])
    return [mutants[number] for number in taken]


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Return every mutant of one file, in the order of the source."""
    text = _Text(source)
    found: list[Mutant] = []
    for qualified, function in _functions(ast.parse(source), ""):
        seen: dict[tuple[str, str, str], int] = {}
        for operator, node_range, new in _changes(function, text):
            start, end = node_range
            before, after = _one_line(text.data[start:end].decode()), _one_line(new)
            key = (operator, before, after)
            number = seen[key] = seen.get(key, -1) + 1
            found.append(Mutant(path, qualified, operator, before, after, number, start, end, new))
    return found


class _Text:
    """Source text, and where its nodes are in it. Columns of the parser count bytes."""

    def __init__(self, source: str) -> None:
        self.data = source.encode()
        self._starts = [0]
        for line in self.data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def range(self, node: Any) -> tuple[int, int]:
        """Return the byte offsets of a node."""
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def of(self, node: Any) -> str:
        """Return the text of a node."""
        start, end = self.range(node)
        return self.data[start:end].decode()


Change = tuple[str, tuple[int, int], str]


def _functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            yield f"{prefix}{child.name}", child


def _changes(function: ast.FunctionDef, text: _Text) -> Iterator[Change]:
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    yield from _block(body, text)


def _block(body: Sequence[ast.stmt], text: _Text) -> Iterator[Change]:
    for number, statement in enumerate(body):
        yield from _statement(statement, text)
        following = body[number + 1] if number + 1 < len(body) else None
        if isinstance(statement, _SIMPLE) and isinstance(following, _SIMPLE) and not _commute(statement, following):
            start, end = text.range(statement)[0], text.range(following)[1]
            between = text.data[text.range(statement)[1] : text.range(following)[0]].decode()
            yield "order", (start, end), text.of(following) + between + text.of(statement)


def _commute(one: ast.stmt, other: ast.stmt) -> bool:
    """Return whether two statements are independent for sure: one sets locals without a call, and shares no name."""
    if not (_only_sets_locals(one) or _only_sets_locals(other)):
        return False
    names = [{node.id for node in ast.walk(each) if isinstance(node, ast.Name)} for each in (one, other)]
    return not names[0] & names[1] - {"self"}


def _only_sets_locals(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Assign | ast.AugAssign):
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    plain = all(
        isinstance(node, ast.Name | ast.Tuple | ast.expr_context) for each in targets for node in ast.walk(each)
    )
    return plain and not any(isinstance(node, ast.Call) for node in ast.walk(statement))


def _statement(statement: ast.stmt, text: _Text) -> Iterator[Change]:
    if isinstance(statement, _DELETED):
        yield "deletion", text.range(statement), "pass"
    if isinstance(statement, ast.If):
        test = text.of(statement.test)
        for new in (f"not ({test})", "True", "False"):
            yield "condition", text.range(statement.test), new
    elif isinstance(statement, ast.While):
        for new in (f"not ({text.of(statement.test)})", "False"):
            yield "condition", text.range(statement.test), new
    for field, value in ast.iter_fields(statement):
        if field in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.stmt):
                continue
            if isinstance(child, ast.expr):
                yield from _expression(child, text)
    for field in ("body", "orelse", "finalbody"):
        nested = getattr(statement, field, None)
        if isinstance(nested, list):
            yield from _block([each for each in nested if isinstance(each, ast.stmt)], text)


def _expression(node: ast.expr, text: _Text) -> Iterator[Change]:
    if isinstance(node, ast.JoinedStr):
        return
    yield from _own_changes(node, text)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from _expression(child, text)
        elif isinstance(child, ast.keyword):
            yield from _expression(child.value, text)
        elif isinstance(child, ast.comprehension):
            for part in (child.iter, *child.ifs):
                yield from _expression(part, text)


def _own_changes(node: ast.expr, text: _Text) -> Iterator[Change]:
    where = text.range(node)
    match node:
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            yield "operator", where, f"(({text.of(left)}) {_OPERATORS[type(operator)]} ({text.of(right)}))"
        case ast.UnaryOp(ast.Not(), operand):
            yield "logic", where, f"bool({text.of(operand)})"
        case ast.UnaryOp(ast.USub() | ast.Invert(), operand):
            yield "operator", where, f"({text.of(operand)})"
        case ast.Compare(left, [operator], [right]):
            for new in _COMPARISONS[type(operator)]:
                yield "comparison", where, f"(({text.of(left)}) {new} ({text.of(right)}))"
        case ast.BoolOp(operator, values):
            word = " or " if isinstance(operator, ast.And) else " and "
            yield "logic", where, "(" + word.join(f"({text.of(value)})" for value in values) + ")"
        case ast.Constant(bool(value)):
            yield "constant", where, str(not value)
        case ast.Constant(int(value)):
            yield "constant", where, str(value + 1)
            yield "constant", where, f"({value - 1})" if value < 1 else str(value - 1)
        case ast.IfExp(test, _, _):
            yield "condition", text.range(test), f"not ({text.of(test)})"


def _one_line(text: str) -> str:
    return " ".join(text.split())
