"""Runner: programs on a pair of targets, judged by the oracles.

In:    the names of two targets and of faults; programs.
Out:   RunResult; the same program gives the same result on every machine and every Python.
Never: picks targets from a program's header (its caller does), keeps findings, reads a clock.
Next:  what one step does in zsfuzz/execute/execution.py; the oracles in zsfuzz/oracle/invariants.py,
       zsfuzz/oracle/observe.py and zsfuzz/oracle/expected.py.

Machines are made once per geometry, memory size and switches, and put back to the state after boot for each program;
or to where an earlier program has been that began with the same steps (zsfuzz/execute/prefixes.py).
"""

from __future__ import annotations

from contextlib import nullcontext

from zsfuzz.execute.execution import Execution
from zsfuzz.execute.prefixes import Prefixes
from zsfuzz.execute.result import Observer, RunResult
from zsfuzz.execute.side import Side
from zsfuzz.machine.geometry import geometry
from zsfuzz.machine.lanes import Lanes
from zsfuzz.machine.machine import MachineConfig
from zsfuzz.machine.policies import check_policy
from zsfuzz.program.ops import Malloc
from zsfuzz.program.program import Header, Program
from zsfuzz.target.planting import Planting
from zsfuzz.target.registry import resolve_pair, shared_planting

_HEAP_BASE_BYTES = 256 << 10
_HEAP_BYTES_PER_SLOT = 64
_HEAP_BYTES_PER_PAGE = 512
_KEPT_PAIRS = 6

PairKey = tuple[MachineConfig, tuple[str, ...], bool]
"""The machine that programs ask for, the faults to plant, and whether lanes can run on it."""


def machine_config(program: Program) -> MachineConfig:
    """Return the machine that a program asks for. The heap is sized so that no allocation fails for lack of it."""
    header: Header = program.header
    shape = geometry(header.geometry)
    normal = header.normal_pages or shape.normal_pages
    movable = header.movable_pages or shape.movable_pages
    section = shape.section_pages
    normal, movable = -(-normal // section) * section, -(-movable // section) * section
    slots = max((step.slot for step in program.operations if type(step) is Malloc), default=0) + 1
    heap = _HEAP_BASE_BYTES + slots * _HEAP_BYTES_PER_SLOT + (normal + movable) * _HEAP_BYTES_PER_PAGE
    return MachineConfig(shape, normal, movable, 1 << (heap - 1).bit_length(), tuple(sorted(header.switches)))


class Runner:
    """Runs programs on one pair of targets.

    cadence: the full comparison and the full invariants run every that many steps, and at the end. resumes: go on
    from checkpoints; the results are the same without, only later. steps_resumed: how many steps were saved so.
    """

    def __init__(
        self,
        reference: str = "reference",
        candidate: str = "candidate",
        faults: tuple[str, ...] = (),
        cadence: int = 64,
        *,
        resumes: bool = True,
    ) -> None:
        self.targets = (reference, candidate)
        self.faults = faults
        self.cadence = cadence
        self.steps_resumed = 0
        self._resumes = resumes
        self._resolved: dict[tuple[str, ...], tuple[type, type, Planting | None]] = {}
        self._pairs: dict[PairKey, tuple[Side, Side]] = {}
        self._prefixes: dict[PairKey, dict[int, Prefixes]] = {}
        self._classes(faults)

    def _classes(self, faults: tuple[str, ...]) -> tuple[type, type, Planting | None]:
        if faults not in self._resolved:
            self._resolved[faults] = (*resolve_pair(*self.targets, faults), shared_planting(faults))
        return self._resolved[faults]

    def _key(self, program: Program) -> PairKey:
        faults = tuple(dict.fromkeys((*self.faults, *program.header.faults)))
        if program.block is not None and program.block.chance is not None:
            check_policy(program.block.chance.policy)
        return machine_config(program), faults, program.block is not None

    def _sides(self, key: PairKey) -> tuple[Side, Side]:
        """Return the two machines that a program asks for, in any state."""
        pair = self._pairs.get(key)
        if pair is None:
            reference, candidate, _ = self._classes(key[1])
            if len(self._pairs) >= _KEPT_PAIRS:
                oldest = next(iter(self._pairs))
                del self._pairs[oldest], self._prefixes[oldest]
            buffering = "store_buffers" in key[0].switches
            lanes = [Lanes(buffering=buffering) if key[2] else None for _ in range(2)]
            pair = (
                Side("reference", reference, key[0], lanes[0]),
                Side("candidate", candidate, key[0], lanes[1]),
            )
            self._pairs[key], self._prefixes[key] = pair, {}
        return pair

    def sides_of(self, program: Program) -> tuple[Side, Side]:
        """Return the two sides that a program runs on, for observers that look at them."""
        return self._sides(self._key(program))

    def run(self, program: Program, *, cadence: int | None = None, observer: Observer | None = None) -> RunResult:
        """Return the verdict on one program. cadence 1: everything after every step."""
        faults = tuple(dict.fromkeys((*self.faults, *program.header.faults)))
        with self._classes(faults)[2] or nullcontext():  # a fault of shared code is there for this run only
            return self._run(program, self._key(program), cadence, observer)

    def _run(self, program: Program, key: PairKey, cadence: int | None, observer: Observer | None) -> RunResult:
        sides = self._sides(key)
        steps_between = cadence or self.cadence
        prefixes, found = Prefixes(), None
        if self._resumes and observer is None:  # an observer is told of every step
            prefixes = self._prefixes[key].setdefault(steps_between, prefixes)
            found = prefixes.find(program.steps)
        if found is None:
            for side in sides:
                side.reset()
        execution = Execution(program, sides, steps_between, observer)
        if found is not None:
            execution.resume(found)
            self.steps_resumed += len(found.steps)
        execution.keep_at(prefixes.place(program.steps, found, goes_on=program.block is not None))
        result = execution.run()
        prefixes.add(execution.kept)
        return result
