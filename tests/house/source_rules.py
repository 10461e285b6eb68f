"""House rules on the text of one Python file.

In:    source text.
Out:   one line per violation, with its line number; empty for a clean file.
Never: the file system: each rule is a function, so that its own test can plant a violation.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

_TOPS = r"(?:zsfuzz|reference|candidate|corpus|tests|docs|bench|\.ci)/[\w./*-]*"
_FILES = r"(?:README|ARCHITECTURE|CHANGELOG)\.md|pyproject\.toml"
_REPOSITORY_PATH = re.compile(rf"(?<![\w./-])(?:{_TOPS}|{_FILES})")


def repository_paths(text: str) -> list[str]:
    """Every path of this repository that a text names; kernel paths (mm/...) are not ours to check."""
    return [found.rstrip(".,-") for found in _REPOSITORY_PATH.findall(text)]


def missing_paths(text: str, exists: Callable[[str], bool]) -> list[str]:
    """The repository paths of a text that do not exist."""
    return [f"names {path}, which does not exist" for path in repository_paths(text) if not exists(path)]


def docstring_problems(source: str, exists: Callable[[str], bool], is_map: bool) -> list[str]:
    """A module says what it is; a map says In, Out and Never; what it names exists."""
    tree = ast.parse(source)
    docstring = ast.get_docstring(tree)
    if docstring is None:
        return ["no module docstring"] if tree.body else []
    problems = missing_paths(docstring, exists)
    if is_map:
        problems += [
            f"the module docstring has no line {word!r}"
            for word in ("In:", "Out:", "Never:")
            if not re.search(rf"^{word}", docstring, re.MULTILINE)
        ]
    return problems


_CLOCK_MODULES = {"time", "datetime"}
_RANDOM_MODULES = {"secrets", "uuid"}
_FILE_METHODS = {"open", "read_text", "write_text", "unlink", "mkdir", "iterdir", "glob", "rglob"}
_FILE_METHODS_BY_ARGUMENTS = {("read_bytes", 0), ("write_bytes", 1)}  # with an address more it is a machine's
_FILE_MODULES = {"tempfile", "shutil", "glob"}


def effects(source: str) -> list[tuple[str, int, str]]:
    """(kind, line, what) of everything that is not pure; kind is clock, random, print, file or identity."""
    found: list[tuple[str, int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found += _imported(alias.name.split(".")[0], None, node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                found += _imported(node.module.split(".")[0], alias.name, node.lineno)
        elif isinstance(node, ast.Call):
            found += _called(node)
        elif isinstance(node, ast.Attribute):
            found += _attribute(node)
    return sorted(found, key=lambda effect: effect[1])


def _imported(module: str, name: str | None, line: int) -> list[tuple[str, int, str]]:
    if module in _CLOCK_MODULES:
        return [("clock", line, f"import of {module}")]
    if module in _RANDOM_MODULES:
        return [("random", line, f"import of {module}")]
    if module == "random" and name not in (None, "Random"):
        return [("random", line, f"random.{name}")]
    if module in _FILE_MODULES:
        return [("file", line, f"import of {module}")]
    return []


def _called(node: ast.Call) -> list[tuple[str, int, str]]:
    called, line = node.func, node.lineno
    if isinstance(called, ast.Name):
        kinds = {"print": "print", "input": "print", "open": "file", "id": "identity", "hash": "identity"}
        if called.id in kinds:
            return [(kinds[called.id], line, f"{called.id}()")]
        if called.id == "Random" and not node.args:
            return [("random", line, "Random() without a seed")]
    elif isinstance(called, ast.Attribute):
        if called.attr in _FILE_METHODS or (called.attr, len(node.args)) in _FILE_METHODS_BY_ARGUMENTS:
            return [("file", line, f".{called.attr}()")]
        if called.attr == "Random" and not node.args:
            return [("random", line, "Random() without a seed")]
    return []


def _attribute(node: ast.Attribute) -> list[tuple[str, int, str]]:
    if not isinstance(node.value, ast.Name):
        return []
    owner, name = node.value.id, node.attr
    if owner == "random" and name != "Random":
        return [("random", node.lineno, f"random.{name}")]
    if owner == "os" and name in ("urandom", "getrandom"):
        return [("random", node.lineno, f"os.{name}")]
    if owner == "sys" and name in ("stdout", "stderr"):
        return [("print", node.lineno, f"sys.{name}")]
    return []


_ORDER_FREE = {"sorted", "sum", "any", "all", "min", "max", "len", "set", "frozenset", "Counter"}
_ORDER_TAKING = {"list", "tuple", "enumerate", "iter", "zip", "map", "filter", "deque", "next"}
_COMPREHENSIONS = (ast.ListComp, ast.DictComp, ast.GeneratorExp)


def set_order(source: str) -> list[str]:
    """Places that take an order from a set: a loop, a list, a comprehension over one.

    A heuristic: it knows set displays, set(), frozenset(), set operators on them, and local names that are
    only ever bound to such. sorted(...), sum(...), any(...) and their like are not orders.
    """
    tree = ast.parse(source)
    found: list[str] = []
    scopes: list[ast.AST] = [tree, *(node for node in ast.walk(tree) if isinstance(node, FunctionNode))]
    for scope in scopes:
        names = _names_of_sets(scope)
        forgiven = _order_free_arguments(scope)
        for node in _own_nodes(scope):
            found += [
                f"line {iterated.lineno}: takes an order from a set: {ast.unparse(iterated)}"
                for iterated in _iterated(node, forgiven)
                if _is_set(iterated, names)
            ]
    return found


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, FunctionNode):
            continue
        yield child
        yield from _own_nodes(child)


def _names_of_sets(scope: ast.AST) -> frozenset[str]:
    bound: dict[str, bool] = {}
    for node in _own_nodes(scope):
        targets: list[ast.expr] = []
        value: ast.expr | None = None
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            targets, value = [node.target], node.value
        if value is None:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                bound[target.id] = bound.get(target.id, True) and _is_set(value, frozenset())
    return frozenset(name for name, always in bound.items() if always)


def _is_set(node: ast.expr, names: frozenset[str]) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return _is_set(node.left, names) or _is_set(node.right, names)
    return isinstance(node, ast.Name) and node.id in names


def _order_free_arguments(scope: ast.AST) -> set[ast.expr]:
    return {
        node.args[0]
        for node in _own_nodes(scope)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _ORDER_FREE
        and len(node.args) == 1
    }


def _iterated(node: ast.AST, forgiven: set[ast.expr]) -> list[ast.expr]:
    if isinstance(node, ast.For | ast.AsyncFor):
        return [node.iter]
    if isinstance(node, _COMPREHENSIONS) and node not in forgiven:
        return [generator.iter for generator in node.generators]
    if isinstance(node, ast.Call):
        joins = isinstance(node.func, ast.Attribute) and node.func.attr == "join"
        if joins or (isinstance(node.func, ast.Name) and node.func.id in _ORDER_TAKING):
            return list(node.args) if node not in forgiven else []
    return []


def fault_switches(source: str) -> list[str]:
    """Conditions that ask for a fault: a model knows no faults, a fault replaces a decision of the model."""
    found = []
    for node in ast.walk(ast.parse(source)):
        test: ast.expr | None = None
        if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
            test = node.test
        elif isinstance(node, ast.Match):
            test = node.subject
        if test is not None and (word := _fault_word(test)):
            found.append(f"line {test.lineno}: asks for a fault: {word}")
    return found


def _fault_word(test: ast.expr) -> str | None:
    for node in ast.walk(test):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if {"fault", "faults"} & set(name.lower().split("_")):
            return name
    return None


def function_lengths(source: str) -> list[tuple[str, int]]:
    """(qualified name, lines without the docstring) of every function, nested ones included in both."""
    found: list[tuple[str, int]] = []

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, FunctionNode | ast.ClassDef):
                name = f"{prefix}{child.name}"
                if isinstance(child, FunctionNode):
                    found.append((name, _lines(child)))
                visit(child, f"{name}.")
            else:
                visit(child, prefix)

    visit(ast.parse(source), "")
    return found


def _lines(node: FunctionNode) -> int:
    whole = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        whole -= (first.end_lineno or first.lineno) - first.lineno + 1
    return whole


# Written in pieces, so that this file does not break its own rule.
_MACHINE_PATH = re.compile(r"(?<![\w.$}-])/(?:" + "|".join(("work", "root", "tmp", "home")) + r")/[A-Za-z0-9.]")
_REGISTRY_HOST = re.compile(
    r"\b(?:py" + r"pi\.org|files\.python" + r"hosted\.org|registry\.[a-z]+js\.org|(?:deb|security|snapshot)\."
    r"debian" + r"\.org|(?:archive|security)\.ubuntu" + r"\.com|static\.crates" + r"\.io|crates" + r"\.io)",
    re.IGNORECASE,
)


def places_of_one_machine(text: str) -> list[str]:
    """Paths that exist on one machine only, and hosts of package registries."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in ((_MACHINE_PATH, "a path of one machine"), (_REGISTRY_HOST, "a registry host")):
            if match := pattern.search(line):
                found.append(f"line {number}: {what}: {match.group()}")
    return found
