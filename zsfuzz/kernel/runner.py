"""Runner: programs on a pair of targets of which at least one is a kernel.

In:    the names of two targets and of faults; programs.
Out:   RunResult, as zsfuzz/execute/runner.py gives it.
Never: steps one by one: a program crosses into C as one batch, and what comes back is judged.
Next:  streams of one design in zsfuzz/kernel/compare.py, of two in zsfuzz/kernel/contract.py.

Two sides of one design (the reference and 5.10; 6.12 and 7.2) are compared in everything that can be observed, others
at zsmalloc's interface. The core that a kernel runs on is 5.10's, with pages of 4096 bytes; whether compaction is
compiled in is the build's business. So a header's geometry gives the memory only, and of its switches only those of
the simulated heap reach a Python side.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

from zsfuzz.execute.blame import finding_of_exception
from zsfuzz.execute.block_judge import IN_LANES
from zsfuzz.execute.names import snake
from zsfuzz.execute.result import Observer, RunResult
from zsfuzz.execute.runner import machine_config
from zsfuzz.execute.side import Side
from zsfuzz.kernel.compare import Difference, first_difference
from zsfuzz.kernel.contract import first_breach
from zsfuzz.kernel.library import (
    BYTES,
    CONTRACT,
    FULL,
    PRIORITY,
    RANDOM,
    ROUND_ROBIN,
    STATE,
    Executor,
    Ran,
    Report,
    Request,
    words_of,
)
from zsfuzz.kernel.lower import lower_block, lower_steps
from zsfuzz.kernel.model import Model
from zsfuzz.kernel.targets import KernelTarget, PythonTarget, are_of_one_design, resolve_side, with_faults_of
from zsfuzz.kernel.tell import tell
from zsfuzz.machine.machine import MachineConfig
from zsfuzz.machine.report import Report as ModelReport
from zsfuzz.oracle.eras import RULES, EraDifferences
from zsfuzz.oracle.finding import Finding
from zsfuzz.oracle.judge import Violation
from zsfuzz.program.block import Chance, Switch
from zsfuzz.program.program import Header, Program

_HEAP_SWITCHES = ("heap_above_memmap", "no_quarantine")
_KEPT_SIDES = 4
_ROLES = ("reference", "candidate")
_FULL_CHANCE = 1 << 16
_EXPECTED_POINTS = 2000
_NO_RULES = dict.fromkeys(RULES, 0)


Sides = tuple[KernelTarget | PythonTarget, KernelTarget | PythonTarget]


@dataclass(slots=True)
class SideRun:
    """What one side did. finding: what stopped it."""

    stream: Sequence[int]
    finding: Finding | None
    effective: int = 0
    no_ops: int = 0
    checks: int = 0
    locks: int = 0
    features: tuple[int, ...] = ()
    records: bytes = b""
    schedule: tuple[Switch, ...] | None = None
    lengths: tuple[int, ...] = ()


class KernelRunner:
    """Runs programs on two targets of which at least one is a kernel."""

    def __init__(self, reference: str, candidate: str, faults: tuple[str, ...] = (), cadence: int = 64) -> None:
        self._start((reference, candidate), faults, cadence)
        self._resolved[faults] = self._resolve(faults)

    @classmethod
    def of(
        cls, left: KernelTarget | PythonTarget, right: KernelTarget | PythonTarget, cadence: int = 64
    ) -> KernelRunner:
        """Return a runner of two sides that are there already."""
        runner = cls.__new__(cls)
        runner._start((left.name, right.name), (), cadence)
        runner._resolved[()] = with_faults_of(left, right), with_faults_of(right, left)
        return runner

    def _start(self, targets: tuple[str, str], faults: tuple[str, ...], cadence: int) -> None:
        self.targets, self.cadence = targets, cadence
        self._faults = faults
        self._resolved: dict[tuple[str, ...], Sides] = {}
        self._designs: dict[tuple[str, str], bool] = {}
        self._requests: dict[tuple[int, int, int], Request] = {}
        self._machines: dict[tuple[str, tuple[str, ...], MachineConfig], Side] = {}

    def _resolve(self, faults: tuple[str, ...]) -> Sides:
        left, right = self.targets
        sides = resolve_side(left, faults, right), resolve_side(right, faults, left)
        return with_faults_of(sides[0], sides[1]), with_faults_of(sides[1], sides[0])

    def sides(self, program: Program) -> Sides:
        """Return the two targets with the faults that a program's header asks for."""
        if not program.header.faults:
            return self._resolved[self._faults]
        faults = tuple(dict.fromkeys((*self._faults, *program.header.faults)))
        if faults not in self._resolved:
            self._resolved[faults] = self._resolve(faults)
        return self._resolved[faults]

    def _is_one_design(self, left: KernelTarget | PythonTarget, right: KernelTarget | PythonTarget) -> bool:
        key = (left.name, right.name)
        if key not in self._designs:
            self._designs[key] = are_of_one_design(left, right)
        return self._designs[key]

    def executors(self) -> list[Executor]:
        """Return the kernels of this pair, for who wants their coverage."""
        return [side.executor for side in self._resolved[self._faults] if isinstance(side, KernelTarget)]

    def run(self, program: Program, *, cadence: int | None = None, observer: Observer | None = None) -> RunResult:
        """Return the verdict on one program."""
        left, right = self.sides(program)
        one_design = self._is_one_design(left, right)
        steps_between = cadence or self.cadence
        words = lower_steps(program.steps)
        if program.block is not None:
            words.extend(lower_block(program.block.lanes))
        elif one_design and observer is None and isinstance(left, KernelTarget) and isinstance(right, KernelTarget):
            agreed = self._run_agreeing(left, right, words, program.header, steps_between)
            if agreed is not None:
                return agreed
        both_kernels = isinstance(left, KernelTarget) and isinstance(right, KernelTarget)
        level = CONTRACT if not one_design else BYTES if not both_kernels else STATE if program.block is None else FULL
        config = machine_config(Program(_header_for(program.header, left, right), program.steps))
        # Two kernels of one design may still use other words of struct page.
        pages = level == BYTES and not both_kernels
        request = Request(config.normal_pages, config.movable_pages, level=level, cadence=steps_between, pages=pages)
        runs = self._run_sides((left, right), program, words, request, config)
        rules = EraDifferences(left.era, right.era)
        difference = self._difference(program, words, request, runs, (left, right), rules)
        finding = _verdict(program, runs, difference)
        if observer is not None:
            tell(observer, program, [run.stream for run in runs], difference)
        return _result(runs, finding, rules)

    def _run_agreeing(
        self, left: KernelTarget, right: KernelTarget, words: array[int], header: Header, cadence: int
    ) -> RunResult | None:
        """Return the verdict on two kernels that agree, None when they do not or one reports something.

        What two kernels put out is equal to the byte, so nothing is taken apart: this is the way of nearly all runs.
        """
        key = (header.normal_pages, header.movable_pages, cadence)
        request = self._requests.get(key)
        if request is None:
            config = machine_config(Program(_header_for(header, left, right), ()))
            request = self._requests[key] = Request(config.normal_pages, config.movable_pages, STATE, cadence)
        one, other = left.executor.run(words, request), right.executor.run(words, request)
        if one.records != other.records or one.report is not None or other.report is not None:
            return None
        return RunResult(
            (),
            other.effective,
            other.no_ops,
            tuple(other.features),
            _NO_RULES,
            {
                "outcomes": other.effective,
                "invariants": one.checks + other.checks,
                "drain": 1,
                "locks": one.locks + other.locks,
            },
        )

    def _run_sides(
        self, sides: Sides, program: Program, words: array[int], request: Request, config: MachineConfig
    ) -> list[SideRun]:
        """Run both sides. Of a block the leading one makes the schedule, if that is still to be made."""
        runs: dict[int, SideRun] = {}
        for number in _order_of(sides, program):
            led = next(iter(runs.values()), None)
            asked = in_block(program, request, led)
            runs[number] = self._run_side(sides[number], _ROLES[number], program, words, asked, config)
            if led is not None and led.schedule is not None:
                runs[number].schedule, runs[number].lengths = led.schedule, led.lengths
        return [runs[0], runs[1]]

    # -- one side

    def _run_side(
        self,
        side: KernelTarget | PythonTarget,
        role: str,
        program: Program,
        words: array[int],
        request: Request,
        config: MachineConfig,
    ) -> SideRun:
        if isinstance(side, PythonTarget):
            return self._run_model(side, role, program, request, config)
        return _side_run(side.executor.run(words, request), role, program)

    def _run_model(
        self, target: PythonTarget, role: str, program: Program, request: Request, config: MachineConfig
    ) -> SideRun:
        model = Model(
            self._machine(target, role, config),
            in_full=request.level != CONTRACT,
            cadence=request.cadence,
            audit=request.audit,
        )
        finding: Finding | None = None
        try:
            model.run(program.steps, before_block=program.block is not None)
        except Violation as violation:
            finding = violation.finding_at(model.step)
        except ModelReport as report:
            finding = finding_of_exception(report, role, model.step)
        except Exception as error:  # noqa: BLE001 - a target's exception is a finding, blame.py raises the rest
            finding = finding_of_exception(error, role, model.step)
        if finding is not None:
            finding = replace(finding, target=role, request=_request_at(program, model.step))
        locks = model.side.machine.locks.acquired_count
        return SideRun(model.stream, finding, model.effective, model.no_ops, model.checks, locks)

    def _machine(self, target: PythonTarget, role: str, config: MachineConfig) -> Side:
        key = (role, target.faults, config)
        side = self._machines.get(key)
        if side is None:
            if len(self._machines) >= _KEPT_SIDES:
                del self._machines[next(iter(self._machines))]
            side = self._machines[key] = Side(role, target.target, config)
        side.reset()
        return side

    # -- the two together

    def _difference(
        self,
        program: Program,
        words: array[int],
        request: Request,
        runs: list[SideRun],
        sides: Sides,
        rules: EraDifferences,
    ) -> Difference | None:
        if request.level == CONTRACT:
            return first_breach(program, runs[0].stream, runs[1].stream, rules)
        if request.level == STATE and not runs[0].finding and not runs[1].finding:
            if runs[0].records == runs[1].records:
                return None
        elif runs[0].stream == runs[1].stream:
            return None
        if request.level == STATE:
            in_full = replace(request, level=FULL)
            for number, side in enumerate(sides):
                assert isinstance(side, KernelTarget)
                runs[number].stream = words_of(side.executor.run(words, in_full).records)
        return first_difference(runs[0].stream, runs[1].stream)


def _order_of(sides: Sides, program: Program) -> tuple[int, int]:
    """Return which side runs first: the leader of a block whose schedule is still to be made, when it is a kernel."""
    chance = program.block.chance if program.block is not None else None
    if chance is None:
        return (0, 1)
    leader = chance.leader if isinstance(sides[chance.leader], KernelTarget) else 1 - chance.leader
    return (leader, 1 - leader)


def in_block(program: Program, request: Request, led: SideRun | None) -> Request:
    """Return the request with the schedule of the block, or the policy that makes it. led: the side before."""
    block = program.block
    if block is None:
        return request
    schedule = block.schedule
    if block.chance is not None:
        if led is None or led.schedule is None:
            policy, chance = _policy_of(block.chance)
            return replace(request, policy=policy, chance=chance, seed=block.chance.seed)
        schedule = led.schedule
    return replace(request, switches=tuple((each.lane, each.operation, each.point, each.to) for each in schedule))


def _policy_of(chance: Chance) -> tuple[int, int]:
    """Return what comes nearest to a policy of zsfuzz/machine/policies.py: (number, chance of 65536)."""
    expected = sum(chance.lengths) or _EXPECTED_POINTS
    match chance.policy:
        case "pct2" | "pct3":
            return PRIORITY, max(1, int(chance.policy[-1]) * _FULL_CHANCE // expected)
        case "pos":
            return PRIORITY, _FULL_CHANCE // 4
        case "round-robin":
            return ROUND_ROBIN, 0
        case "uniform":
            return RANDOM, _FULL_CHANCE - 1
        case _:
            return RANDOM, _FULL_CHANCE // (4 << chance.seed % 6)


def _header_for(header: Header, left: KernelTarget | PythonTarget, right: KernelTarget | PythonTarget) -> Header:
    """Return the header that a Python side is booted with beside a kernel."""
    switches = tuple(switch for switch in header.switches if switch in _HEAP_SWITCHES)
    if not all(side.compaction for side in (left, right)):
        switches = (*switches, "no_compaction")
    return replace(header, geometry="linux-5.10", switches=tuple(sorted(switches)))


def _side_run(ran: Ran, role: str, program: Program) -> SideRun:
    finding = None
    if (report := ran.report) is not None:
        place = f"{report.file}:{report.line} {report.function}()" if report.file else "the shim"
        step = min(ran.step, len(program.steps))
        finding = Finding(
            report.kind,
            report.rule,
            _functions(report),
            report.field,
            role,
            step,
            f"{report.message} [{place}]",
            (("file", report.file), ("line", str(report.line)), ("lane", str(report.lane))),
            _request_at(program, step),
        )
    schedule = None
    if program.block is not None and ran.lengths:
        schedule = program.block.schedule
        if program.block.chance is not None:
            schedule = tuple(Switch(lane, operation, point, to) for lane, operation, point, to in ran.recorded)
    return SideRun(
        words_of(ran.records),
        finding,
        ran.effective,
        ran.no_ops,
        ran.checks,
        ran.locks,
        tuple(ran.features),
        ran.records,
        schedule,
        ran.lengths,
    )


def _functions(report: Report) -> tuple[str, ...]:
    """Return the function that a report came from; none when an oracle found a wrong state."""
    found_later = report.kind == "contract" or (report.kind == "invariant" and report.rule.startswith("I"))
    return () if found_later or not report.function else (report.function,)


def _request_at(program: Program, step: int) -> str:
    if step < len(program.steps):
        return snake(type(program.steps[step]).__name__)
    return IN_LANES if program.block is not None else ""


def _verdict(program: Program, runs: list[SideRun], difference: Difference | None) -> Finding | None:
    """Return the first thing that went wrong. A report at the step of a difference is what explains it."""
    stopped = [run.finding for run in runs if run.finding is not None]
    first = min(stopped, key=lambda finding: finding.step, default=None)
    if difference is None or (first is not None and first.step <= difference.step):
        return first
    where = " ".join(difference.functions) or "state"
    return Finding(
        "divergence",
        difference.rule,
        difference.functions,
        difference.field,
        "both",
        difference.step,
        f"{where} {difference.field}: reference {difference.left[:120]}, candidate {difference.right[:120]}",
        (("reference", difference.left[:240]), ("candidate", difference.right[:240])),
        _request_at(program, difference.step),
    )


def _result(runs: list[SideRun], finding: Finding | None, rules: EraDifferences) -> RunResult:
    left, right = runs
    checks = {
        "outcomes": min(left.effective, right.effective),
        "invariants": left.checks + right.checks,
        "drain": 1 if finding is None else 0,
        "locks": left.locks + right.locks,
    }
    uses = rules.uses()
    parted = rules.parted
    led = next((run for run in (right, left) if run.schedule is not None), None)
    return RunResult(
        findings=() if finding is None else (finding,),
        operations=max(left.effective, right.effective),
        no_ops=min(left.no_ops, right.no_ops),
        features=right.features or left.features,
        expected=uses,
        checks=checks,
        parted=parted,
        schedule=led.schedule if led is not None else None,
        lengths=led.lengths if led is not None else (),
    )
