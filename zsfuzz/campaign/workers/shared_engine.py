"""Shared engine: an engine among others, each in its own process, that feed on one corpus folder.

In:    an engine; the folder's new files; programs to run again; names of programs that nobody runs.
Out:   SharedEngine, an Engine of zsfuzz/engine/base.py. Each program is told of before it is handed out.
Never: a run. A program that others found is run here too: what it reaches has to be known here.
Next:  zsfuzz/engine/coverage_engine.py inside it, zsfuzz/campaign/workers/worker.py around it.

    first          programs to run again
    then, of 4     3 of this worker's engine, 1 that another worker added, if there is one
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from zsfuzz.campaign.workers.runnable import name_of, seal
from zsfuzz.corpus.store import CorpusStore
from zsfuzz.engine.base import Engine
from zsfuzz.engine.parallel_engine import ParallelEngine
from zsfuzz.errors import UsageError
from zsfuzz.execute.result import RunResult
from zsfuzz.program.files import PACKED_SUFFIX, load_program
from zsfuzz.program.program import Program

LOOK_EVERY = 50
"""Programs between two looks at the folder: about a second."""
FOREIGN_EVERY = 4
"""Of so many programs one may be another worker's. In the beginning every second program reaches something new, and
workers mostly find the same things: if each ran all that the others add, they would do little else."""


@runtime_checkable
class TakesSeeds(Protocol):
    """An engine that can be given programs while it works."""

    def add_seed(self, program: Program) -> None:
        """Let a foreign program run soon."""


class SharedStore(CorpusStore):
    """A corpus folder that others write to as well: new() are their files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._known = set(self._names())

    def _names(self) -> list[str]:
        return [name for name in os.listdir(self.folder) if name.endswith(PACKED_SUFFIX) and name[0] != "."]

    def add(self, program: Program) -> bool:
        """Write the program unless it is there; it is nobody else's then. Errors: as CorpusStore.add()."""
        self._known.add(self.path_of(program).name)
        return super().add(program)

    def new(self) -> list[Path]:
        """Return the files that others added since it was asked last, in the order of their names."""
        added = sorted(set(self._names()) - self._known)
        self._known.update(added)
        return [self.folder / name for name in added]


class SharedEngine:
    """Hands out programs, and tells `before` of each one, and of its sealed form."""

    def __init__(
        self,
        engine: Engine,
        store: SharedStore,
        retries: Iterable[Program],
        skipped: Callable[[], frozenset[str]],
        before: Callable[[Program, bytes], None],
    ) -> None:
        """store: where others add programs, for an engine that takes them. retries: run first.

        skipped: beginnings of the names of programs that nobody runs.
        """
        self.name = engine.name
        self._engine = engine
        inner = engine.inner if isinstance(engine, ParallelEngine) else engine
        self._takes = inner if isinstance(inner, TakesSeeds) else None
        self._store = store
        self._retries = deque(retries)
        self._skipped_now = skipped
        self._skipped = skipped()
        self._before = before
        self._foreign: deque[Path] = deque()
        self._counts = {"handed_out": 0, "foreign": 0, "skipped": 0}

    def next_program(self) -> Program:
        """Return the next program that is not to be skipped."""
        while True:
            program = self._retries.popleft() if self._retries else self._other()
            sealed = seal(program)
            if not self._is_skipped(sealed):
                break
            self._counts["skipped"] += 1
        self._counts["handed_out"] += 1
        self._before(program, sealed)
        return program

    def _is_skipped(self, sealed: bytes) -> bool:
        return bool(self._skipped) and any(map(name_of(sealed).startswith, self._skipped))

    def _other(self) -> Program:
        handed = self._counts["handed_out"]
        if handed % LOOK_EVERY == LOOK_EVERY - 1:
            self._look()
        if self._foreign and handed % FOREIGN_EVERY == 0:
            self._take_foreign()
        return self._engine.next_program()

    def _look(self) -> None:
        """See what others have added, and what they died of."""
        self._skipped = self._skipped_now()
        if self._takes is not None:
            self._foreign.extend(self._store.new())

    def _take_foreign(self) -> None:
        assert self._takes is not None, "files are looked for only where there is an engine that takes them"
        path = self._foreign.popleft()
        try:
            program = load_program(path)
        except UsageError:
            return  # removed meanwhile, or no program: `zsfuzz corpus check` says which
        self._takes.add_seed(program)
        self._counts["foreign"] += 1

    def feedback(self, program: Program, result: RunResult) -> None:
        """Tell the engine how a program went."""
        self._engine.feedback(program, result)

    def statistics(self) -> Mapping[str, int]:
        """Return the engine's counts, and how many programs were other workers'."""
        return {**self._engine.statistics(), "foreign": self._counts["foreign"]}
