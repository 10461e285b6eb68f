"""A program as a pytest file that stands alone: the program's text, and a test of its verdict.

In:    a Program, its targets, the verdict to assert.
Out:   Python source that needs zsfuzz installed and nothing else.
Never: a run.
Next:  printed by zsfuzz/cli/show.py; a whole folder of programs needs no such files: zsfuzz/pytest_plugin.py.
"""

from __future__ import annotations

import re

from zsfuzz.campaign.verdict import careful_cadence
from zsfuzz.program.program import Program
from zsfuzz.program.text import format_program

_TEMPLATE = '''\
"""{title}"""

from __future__ import annotations

from zsfuzz.execute.runner import Runner
from zsfuzz.program.text import parse_program

REFERENCE = {reference}
CANDIDATE = {candidate}
VERDICT = {verdict}  # "clean" or a finding's signature

PROGRAM = """\\
{text}"""


def test_{name}() -> None:
    program = parse_program(PROGRAM, {where})
    result = Runner(REFERENCE, CANDIDATE).run(program, cadence={cadence})
    findings = [(finding.signature, finding.message) for finding in result.findings]
    if VERDICT == "clean":
        assert findings == []
    else:
        assert [signature for signature, _ in findings] == [VERDICT], findings
'''


def pytest_file(program: Program, targets: tuple[str, str], verdict: str, where: str) -> str:
    """Return the source of a test file. where: the program's own file name, which names the test too."""
    return _TEMPLATE.format(
        title=_in_string(f"{where}: {_verdict_words(verdict)}"),
        reference=_quoted(targets[0]),
        candidate=_quoted(targets[1]),
        verdict=_quoted(verdict),
        text=_in_string(format_program(program)),
        name=_identifier(where),
        where=_quoted(where),
        cadence=careful_cadence(program),
    )


def _verdict_words(verdict: str) -> str:
    return "this program gives no finding." if verdict == "clean" else f"this program gives {verdict}."


def _quoted(text: str) -> str:
    """Return a Python string literal in double quotes."""
    return '"' + _in_string(text).replace("\n", "\\n") + '"'


def _in_string(text: str) -> str:
    """Return text that is safe between double quotes; newlines stay as they are."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(_escape(character) for character in escaped)


def _escape(character: str) -> str:
    if character == "\n" or (character.isprintable() and character.isascii()):
        return character
    return ascii(character)[1:-1]


def _identifier(where: str) -> str:
    """Return a Python identifier made of a file name."""
    stem = re.sub(r"\.(zst|zsf)$", "", where.replace("\\", "/").rsplit("/", 1)[-1])
    return re.sub(r"[^0-9A-Za-z_]+", "_", stem).strip("_").lower() or "program"
