"""Library: a build, loaded into this process, and programs run on it.

In:    a Build; batches of words.
Out:   Ran: the stream of records, the counts, the report if there was one.
Never: judges.
Next:  the same in a process of its own: zsfuzz/kernel/worker.py; what the records mean: zsfuzz/kernel/records.py.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, Protocol

from zsfuzz.errors import UsageError
from zsfuzz.kernel.build import Build
from zsfuzz.program.limits import MAX_SWITCHES

CONTRACT, STATE, FULL, BYTES = range(4)
"""Levels of what is put out: outcomes at the interface; placements, counters and lists, hashed; the same in full; with
the bytes of objects too, those that nobody wrote among them.
"""

NO_POLICY, RANDOM, PRIORITY, ROUND_ROBIN = range(4)

_FIRST_ROOM: Final = 1 << 18
_SECONDS: Final = 20
_EDGES: Final = 65536
_EDGE: Final = 1 << 20  # above the driver's own features

Switch = tuple[int, int, int, int]
"""(lane, index of the operation in the lane, point number in the operation, lane to run next)."""


@dataclass(frozen=True, slots=True)
class Request:
    """How to run a batch. audit: check the invariants at the cadence (0: at the end only) and at the end."""

    normal_pages: int
    movable_pages: int
    level: int = STATE
    cadence: int = 0
    audit: bool = True
    pages: bool = False
    policy: int = NO_POLICY
    seed: int = 0
    chance: int = 4096
    switches: tuple[Switch, ...] = ()
    text: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What stopped a run, in the kernel's file or in the shim."""

    kind: str
    rule: str
    field: str
    message: str
    file: str
    line: int
    function: str
    lane: int
    crashed: bool


@dataclass(frozen=True, slots=True)
class Ran:
    """What a batch did. records: 64-bit words. step: where it stopped. lengths: points of each lane."""

    records: bytes
    effective: int
    no_ops: int
    step: int
    checks: int
    points: int
    switches: int
    locks: int
    report: Report | None
    feature_words: bytes
    record: bytes
    lengths: tuple[int, ...] = ()

    @property
    def features(self) -> list[int]:
        """Return small numbers for what the run met, in order."""
        return sorted(memoryview(self.feature_words).cast("I").tolist())

    @property
    def recorded(self) -> tuple[Switch, ...]:
        """Return the switches that a policy made, sorted. Taken apart when somebody asks: a case may have thousands."""
        numbers = memoryview(self.record).cast("i").tolist()
        return tuple(sorted(zip(*(iter(numbers),) * 4, strict=True)))


class Executor(Protocol):
    """Runs batches on one build."""

    def run(self, words: array[int], request: Request) -> Ran:
        """Run one batch. The same batch gives the same Ran."""


class Library:
    """A build in this process."""

    def __init__(self, build: Build) -> None:
        self.build = build
        module = _load(build)
        self._lib: Any = module.lib
        self._ffi: Any = module.ffi
        self._options = self._ffi.new("struct zk_options *")
        self._result = self._ffi.new("struct zk_result *")
        self._room = 0
        self._record_room = MAX_SWITCHES
        self._record = self._ffi.new("int[]", 4 * self._record_room)
        self._grow(_FIRST_ROOM)
        self._request: Request | None = None
        self._kept: Any = None
        self.crashed = False
        self._edges: Any = None

    def _grow(self, words: int) -> None:
        self._room = words
        self._output = self._ffi.new("unsigned long long[]", words)
        self._view = memoryview(self._ffi.buffer(self._output))

    def run(self, words: array[int], request: Request) -> Ran:
        """Run one batch. After a crash the process is not to be trusted: `crashed` says so."""
        if request is not self._request:
            self._set_options(request)
        result, lib = self._result, self._lib
        batch = self._ffi.from_buffer("unsigned long long[]", words)
        lib.zk_run(batch, len(words), self._output, self._room, self._options, result)
        while result.words > self._room and not result.reported:
            self._grow(result.words * 2)
            lib.zk_run(batch, len(words), self._output, self._room, self._options, result)
        return self._ran(result)

    def _ran(self, result: Any) -> Ran:
        written = min(result.words, self._room)
        count = result.features_count
        switches_bytes = self._options.record_count * 16
        return Ran(
            self._view[: written * 8].tobytes(),
            result.effective,
            result.no_ops,
            result.step,
            result.checks,
            result.points,
            result.switches,
            result.locks,
            self._report(result) if result.reported else None,
            (bytes(self._ffi.buffer(self._lib.zk_features(), count * 4)) if count else b"") + self._edge_words(),
            bytes(self._ffi.buffer(self._record, switches_bytes)) if switches_bytes else b"",
            tuple(result.lane_points) if result.points else (),
        )

    def _set_options(self, request: Request) -> None:
        options = self._options
        self._request = request
        options.normal_pages, options.movable_pages = request.normal_pages, request.movable_pages
        options.level, options.cadence, options.audit = request.level, request.cadence, int(request.audit)
        options.pages = int(request.pages)
        options.seconds, options.text = _SECONDS, int(request.text)
        options.policy, options.chance, options.seed = request.policy, request.chance, request.seed
        flat = [number for switch in sorted(request.switches) for number in switch]
        self._kept = self._ffi.new("int[]", flat or [0])
        options.switches, options.switches_count = self._kept, len(request.switches)
        options.record, options.record_room, options.record_count = self._record, self._record_room, 0

    def _report(self, result: Any) -> Report:
        def text(field: Any) -> str:
            return str(self._ffi.string(field).decode(errors="replace"))

        self.crashed = self.crashed or bool(result.crashed)
        return Report(
            text(result.kind),
            text(result.rule),
            text(result.field),
            text(result.message),
            text(result.file),
            result.line,
            text(result.function),
            result.lane,
            bool(result.crashed),
        )

    # -- coverage

    def _edge_words(self) -> bytes:
        """Return the edges of a run as features, for builds that count them."""
        if self.build.options.coverage != "edges":
            return b""
        return array("I", [edge | _EDGE for edge in self.take_edges()]).tobytes()

    def take_edges(self) -> tuple[int, ...]:
        """Return the edges met since the last call; none when the build has no coverage of edges."""
        if self._edges is None:
            self._edges = self._ffi.new("unsigned int[]", _EDGES)
        return tuple(self._ffi.unpack(self._edges, self._lib.zk_coverage_take(self._edges, _EDGES)))

    def edge_view(self) -> memoryview:
        """Return the map of edges itself, a byte each, nonzero for those met since they were last taken."""
        length = self._ffi.new("long *")
        return memoryview(self._ffi.buffer(self._lib.zk_coverage_map(length), length[0]))

    def dump_lines(self) -> None:
        """Write gcov's counters beside the objects, for builds with coverage of lines."""
        self._lib.zk_coverage_dump()


def _load(build: Build) -> ModuleType:
    if build.module in sys.modules:
        return sys.modules[build.module]
    loader = importlib.machinery.ExtensionFileLoader(build.module, str(build.library))
    spec = importlib.util.spec_from_file_location(build.module, str(build.library), loader=loader)
    assert spec is not None
    try:
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    except ImportError as error:
        raise UsageError(f"{build.library}: cannot be loaded ({error}); build {build.name} again") from error
    sys.modules[build.module] = module
    return module


def words_of(records: bytes) -> Sequence[int]:
    """Return a stream's words."""
    return memoryview(records).cast("Q")
