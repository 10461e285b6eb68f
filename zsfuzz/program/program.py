"""A program: one test case, as a header and its operations.

In:    operations of zsfuzz/program/ops.py, perhaps a block of zsfuzz/program/block.py.
Out:   Program and Header, frozen values; equality is by content.
Never: execution, files.
Next:  zsfuzz/program/text.py (.zst), zsfuzz/program/packed.py (.zsf), zsfuzz/execute/runner.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from zsfuzz.program.block import Block, Switch
from zsfuzz.program.ops import Operation

FORMAT_VERSION = 2
"""The version that readers know; writers write the first one that has all that a program needs: version_of()."""

SWITCHES: tuple[str, ...] = (
    "batched_migration",
    "heap_above_memmap",
    "no_quarantine",
    "no_compaction",
    "store_buffers",
)
"""Named core switches a header may turn on.

batched_migration: migrate_pages() locks a whole batch before it moves any page (6.3 and later).
heap_above_memmap: slab objects lie above the memmap instead of below it.
no_quarantine:     freed slab objects are reused at once.
no_compaction:     CONFIG_COMPACTION=n: zsmalloc pages are never movable.
store_buffers:     in a parallel block, plain stores may stay unseen by other lanes until the next barrier.
"""


@dataclass(frozen=True, slots=True)
class Header:
    """What a program needs to run, and what it is kept for.

    geometry: a name of zsfuzz/machine/geometry.py. normal_pages, movable_pages: frames of the two zones,
    0 for the geometry's own figure. targets, faults, verdict: optional; the verdict is "clean" or a
    finding's signature.
    """

    geometry: str = "linux-5.10"
    normal_pages: int = 0
    movable_pages: int = 0
    switches: tuple[str, ...] = ()
    reference: str | None = None
    candidate: str | None = None
    faults: tuple[str, ...] = ()
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """One test case: steps, one after the other, then perhaps a block of lanes. Every sub-sequence of its steps, with
    the block, without it or with fewer of its operations, is a program too.
    """

    header: Header
    steps: tuple[Operation, ...]
    block: Block | None = None

    @property
    def operations(self) -> Iterator[Operation]:
        """Yield every operation: the steps, then those of the block, one lane after the other."""
        yield from self.steps
        if self.block is not None:
            for lane in self.block.lanes:
                yield from lane

    @property
    def operations_count(self) -> int:
        """Return how many operations there are, those of the block included."""
        return len(self.steps) + (self.block.operations_count if self.block is not None else 0)


def with_schedule(program: Program, schedule: tuple[Switch, ...] | None) -> Program:
    """Return a program whose block has the schedule that was made when it ran; None: it had no block to run."""
    if program.block is None or schedule is None:
        return program
    return replace(program, block=replace(program.block, schedule=schedule, chance=None))


def version_of(program: Program) -> int:
    """Return the version of the format in which a program is written: the first one that has all it needs.

    So a program without a block is the same file, under the same name in a corpus, as it was before there were
    blocks, and an older zsfuzz reads it.
    """
    return 1 if program.block is None and "store_buffers" not in program.header.switches else 2
