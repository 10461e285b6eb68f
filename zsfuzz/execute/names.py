"""Names: operations as words, and the word by which failures are armed for them.

In:    classes of zsfuzz/program/ops.py.
Out:   snake(), FAIL_OPERATION, OPERATION_NAMES.
Never: behaviour.
Next:  who uses them: zsfuzz/execute/execution.py, zsfuzz/execute/lane.py.
"""

from __future__ import annotations

from typing import Final

from zsfuzz.program import ops

FAIL_OPERATION: Final[dict[type, str]] = {
    ops.Malloc: "malloc",
    ops.Migrate: "migrate",
    ops.CompactZone: "compact_zone",
    ops.Offline: "offline",
    ops.Contig: "contig",
    ops.Poison: "poison",
    ops.CreatePool: "create_pool",
}
"""Operations that allocate -> the word of a `fail` step."""


def snake(name: str) -> str:
    """Return a class name as a word: CompactZone -> compact_zone."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


OPERATION_NAMES: Final[tuple[tuple[type, str], ...]] = tuple((each, snake(each.__name__)) for each in ops.OPERATIONS)
"""Every class of operation with its word."""
